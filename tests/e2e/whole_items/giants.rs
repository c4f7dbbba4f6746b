//! Items that do not fit into one message.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use muster_proto::v1::Counts;
use muster_tests::turn;
use serde_json::{Value, json};

use super::{cluster, counts, whole};

/// What a target of large records was sent: the size of each animal's friends, by ID.
type Arrived = Arc<Mutex<BTreeMap<u64, usize>>>;

/// A list of animals with so many bytes of friends each, and a home for them.
async fn giants(sizes: &'static [usize]) -> (String, Arrived) {
    let list = async move || {
        let animal = |(id, size): (u64, &usize)| json!({"id": id, "name": "Giant", "born_at": null, "friends": "x".repeat(*size)});
        Json(json!({"total_pages": 1, "items": (0..).zip(sizes).map(animal).collect::<Vec<_>>()}))
    };
    let home = async |State(arrived): State<Arrived>, Json(animals): Json<Vec<Value>>| {
        for animal in animals {
            let friends = animal["friends"][0].as_str().map_or(0, str::len);
            arrived.lock().expect("no test panics in here").insert(animal["id"].as_u64().expect("an ID"), friends);
        }
        Json(json!({ "message": "Helped" }))
    };
    let arrived = Arrived::default();
    let routes = Router::new()
        .route("/animals/v1/animals", get(list))
        .route("/animals/v1/home", post(home))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(&arrived));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, arrived)
}

#[tokio::test(flavor = "multi_thread")]
async fn items_larger_than_a_message_arrive_whole() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let sizes: &[usize] = &[10, 700_000, 256 << 10, 0, 1_000_000, 2_000_000, 5];
    let (url, arrived) = giants(sizes).await;
    let cluster = cluster(place.path(), "whole", &whole(&[])).await;
    let _worker = cluster.worker("w1", &[]);
    let run_id = cluster.start_run("whole", &url).await;
    let run = cluster.watch(&run_id).await;
    assert_eq!(counts(&run), Counts { listed: 7, loaded: 6, dead_letter: 1, ..Counts::default() });
    let mut expected: BTreeMap<u64, usize> = (0..).zip(sizes.iter().copied()).collect();
    expected.remove(&5);
    assert_eq!(*arrived.lock().expect("no test panics in here"), expected);
}
