//! A record that the target never takes although it refuses none: the run ends all the same, and says why.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use animals_api::Config;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use muster_proto::v1::{ListDeadLettersRequest, RunState};
use muster_tests::cluster::Cluster;
use muster_tests::pipelines::{folder, variant};
use muster_tests::turn;
use serde_json::Value;

use crate::stand_in;

const POISON: u64 = 7;

/// What a target has that is busy whenever it sees the poison.
#[derive(Clone, Default)]
struct Target(Arc<Mutex<BTreeSet<u64>>>);

impl Target {
    fn take(&self, body: &[u8]) -> (StatusCode, &'static str) {
        let records: Vec<Value> = serde_json::from_slice(body).expect("an array");
        let ids: Vec<u64> = records.iter().filter_map(|record| record["id"].as_u64()).collect();
        if ids.contains(&POISON) {
            return (StatusCode::SERVICE_UNAVAILABLE, "Sorry! Busy with something else");
        }
        self.0.lock().expect("never poisoned").extend(ids);
        (StatusCode::OK, r#"{"message": "Helped"}"#)
    }

    /// Where it takes POSTs.
    async fn serve(&self) -> String {
        let target = self.clone();
        let take = async move |body: axum::body::Bytes| target.take(&body);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}/home", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/home", post(take))).await });
        url
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_never_taken_is_a_dead_letter() {
    let _turn = turn::light().await;
    let (place, source, target) =
        (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(250)), Target::default());
    let text = variant(&[
        ("url: ${param:base_url}/animals/v1/home", &format!("url: {}", target.serve().await)),
        ("max_batch: 100", "max_batch: 20\n  max_attempts: 2"),
    ]);
    let pipelines = folder(place.path(), "declined", &text);
    let cluster = Cluster::with(place.path(), &["--pipelines", &pipelines.to_string_lossy()], &[]).await;
    let run_id = cluster.start_run("declined", &source.base_url()).await;
    let _workers = ["w1", "w2"].map(|name| cluster.worker(name, &[]));
    let run = cluster.watch(&run_id).await;
    assert_eq!(run.state(), RunState::Finished, "{run:#?}");
    let verdict = cluster.verify(&run_id).await;
    assert!(verdict.complete && verdict.balanced, "{verdict:#?}");
    let taken = target.0.lock().expect("never poisoned").clone();
    let left: Vec<u64> = (0..1_000).filter(|id| source.book().animal(*id).is_some() && !taken.contains(id)).collect();
    assert_eq!(left, [POISON]);
    let request = ListDeadLettersRequest { run_id, ..ListDeadLettersRequest::default() };
    let letters = cluster.audit().list_dead_letters(request).await.expect("dead letters").into_inner().dead_letters;
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert_eq!((letters[0].record_id.as_str(), letters[0].stage.as_str()), ("7", "load"));
    assert!(
        letters[0].reason.contains("while it applied others") && letters[0].body.contains("Sorry!"),
        "{letters:#?}"
    );
}
