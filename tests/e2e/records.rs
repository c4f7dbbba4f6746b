//! What a record is: parts that are read by requests of their own, fields that its schema does not know, and what the
//! transform must give. The source here is scripted; what the target was sent is the oracle.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::extract::{Path as InPath, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use muster_tests::pipelines::{folder, variant};
use muster_tests::process::Start;
use muster_tests::turn;
use serde_json::{Value, json};

const ANIMALS: u64 = 40;

/// A source with visits to the vet, and a target that keeps what it is sent.
#[derive(Default)]
struct Zoo {
    /// Paths that were asked for: each third path fails once before it is served.
    asked: Mutex<HashSet<String>>,
    home: Mutex<BTreeMap<u64, Value>>,
}

type Answer = (StatusCode, Json<Value>);

impl Zoo {
    fn answer(&self, path: String, number: u64, body: Value) -> Answer {
        let first = self.asked.lock().expect("nobody panicked").insert(path);
        match first && number.is_multiple_of(3) {
            true => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!("Sorry!"))),
            false => (StatusCode::OK, Json(body)),
        }
    }
}

async fn list() -> Json<Value> {
    let items: Vec<Value> = (0..ANIMALS).map(|id| json!({ "id": id })).collect();
    Json(json!({ "items": items, "total_pages": 1 }))
}

/// Animal 7 has a field of its own, 9 another one deep within.
async fn detail(State(zoo): State<Arc<Zoo>>, InPath(id): InPath<u64>) -> Answer {
    let mut animal = json!({ "id": id, "name": "Gnu", "born_at": null, "friends": "", "owner": { "name": "Ada" } });
    match id {
        7 => animal["wings"] = json!(2),
        9 => animal["owner"]["cat"] = json!(1),
        _ => {}
    }
    zoo.answer(format!("animal {id}"), id, animal)
}

/// Every tenth animal never saw a vet.
async fn visits(State(zoo): State<Arc<Zoo>>, InPath(id): InPath<u64>) -> Answer {
    if id % 10 == 4 {
        return (StatusCode::NOT_FOUND, Json(json!("no visits")));
    }
    zoo.answer(format!("visits of {id}"), id + 1, json!([{ "fee": id }]))
}

async fn home(State(zoo): State<Arc<Zoo>>, Json(batch): Json<Vec<Value>>) -> Json<Value> {
    let mut home = zoo.home.lock().expect("nobody panicked");
    for animal in batch {
        let id = animal["id"].as_u64().expect("an ID");
        assert!(home.insert(id, animal).is_none(), "{id} came twice");
    }
    Json(json!({ "message": "Helped" }))
}

/// Runs the animals' pipeline with these changes; gives what was told, and what came home.
async fn run(changes: &[(&str, &str)], code: i32) -> (Value, BTreeMap<u64, Value>) {
    let _turn = turn::light().await;
    let zoo = Arc::<Zoo>::default();
    let routes = Router::new()
        .route("/animals/v1/animals", get(list))
        .route("/animals/v1/animals/{id}", get(detail))
        .route("/animals/v1/animals/{id}/visits", get(visits))
        .route("/animals/v1/home", post(home))
        .with_state(Arc::clone(&zoo));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let base_url = format!("base_url=http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let here = tempfile::tempdir().expect("a folder");
    let pipelines = folder(here.path(), "zoo", &variant(changes));
    let pipeline = pipelines.join("zoo.yaml");
    let arguments = ["run", pipeline.to_str().expect("a path"), "--set", &base_url, "--db", "my.db", "--json"];
    let told = Start::muster(here.path(), arguments).run().await.with_code(code).json();
    let came = zoo.home.lock().expect("nobody panicked").clone();
    (told, came)
}

const MAX_GONE: &str = "  max_gone: 1%";
const FRIENDS: &str = "    friends: (.friends / \",\")\n";

fn enriched(optional: bool) -> String {
    format!(
        "{MAX_GONE}\n  enrich:\n    visits:\n      request: {{ url: \"${{param:base_url}}/animals/v1/animals/${{record:id}}/visits\" }}\n      optional: {optional}"
    )
}

#[tokio::test]
async fn parts_of_a_record_are_read_and_joined_through_failures() {
    let with_visits = FRIENDS.trim_end().to_owned() + ",\n    visits\n";
    let (told, home) = run(&[(MAX_GONE, &enriched(true)), (FRIENDS, &with_visits)], 0).await;
    assert_eq!(told["verdict"]["counts"]["loaded"], json!(ANIMALS), "{told}");
    for id in 0..ANIMALS {
        let visits = if id % 10 == 4 { Value::Null } else { json!([{ "fee": id }]) };
        assert_eq!(home[&id]["visits"], visits, "animal {id}");
    }
    let (told, home) = run(&[(MAX_GONE, &enriched(false)), (FRIENDS, &with_visits)], 3).await;
    let counts = &told["verdict"]["counts"];
    assert_eq!(
        (&counts["loaded"], &counts["dead_letter"], &counts["gone"]),
        (&json!(36), &json!(4), &json!(0)),
        "{told}"
    );
    assert!((0..ANIMALS).all(|id| home.contains_key(&id) == (id % 10 != 4)), "{:?}", home.keys());
}

fn knowing(on_drift: &str) -> String {
    format!("on_schema_drift: {on_drift}\nschema:\n  type: object\n")
}

const SCHEMA: &str = "schema:\n  type: object\n";
const OWNER: (&str, &str) =
    ("    name: { type: string }\n", "    name: { type: string }\n    owner: { properties: { name: true } }\n");

#[tokio::test]
async fn fields_that_the_schema_does_not_know_make_dead_letters_pause_or_are_reported() {
    let (told, home) = run(&[(SCHEMA, &knowing("dead_letter")), OWNER], 3).await;
    let counts = &told["verdict"]["counts"];
    assert_eq!((&counts["loaded"], &counts["dead_letter"]), (&json!(38), &json!(2)), "{told}");
    assert!(!home.contains_key(&7) && !home.contains_key(&9));
    let (told, _) = run(&[(SCHEMA, &knowing("fail")), OWNER], 1).await;
    let reason = told.to_string();
    let named = |id: u64, path: &str| reason.contains(&format!("record {id}: the schema does not know {path};"));
    assert!(named(7, "/wings") || named(9, "/owner/cat"), "{told}");
    let (told, home) = run(&[(SCHEMA, &knowing("report")), OWNER], 0).await;
    let reported = json!([
        { "path": "/owner/cat", "records": 1, "sample_record_id": "9" },
        { "path": "/wings", "records": 1, "sample_record_id": "7" },
    ]);
    assert_eq!((&told["unknown_fields"], &told["verdict"]["unknown_fields"]), (&reported, &reported), "{told}");
    assert_eq!((told["verdict"]["complete"].as_bool(), home.len() as u64), (Some(true), ANIMALS), "{told}");
    let (told, home) = run(&[(SCHEMA, &knowing("ignore")), OWNER], 0).await;
    assert_eq!((told["verdict"]["counts"]["loaded"].as_u64(), home.len() as u64), (Some(ANIMALS), ANIMALS));
    assert_eq!(told["unknown_fields"], json!([]), "nobody looks");
}

#[tokio::test]
async fn what_the_transform_gives_is_checked() {
    let output = "output_schema:\n  properties:\n    id: { maximum: 37 }\nschema:\n  type: object\n";
    let (told, home) = run(&[(SCHEMA, output)], 3).await;
    assert_eq!(told["verdict"]["counts"]["dead_letter"], json!(2), "{told}");
    assert!((0..ANIMALS).all(|id| home.contains_key(&id) == (id <= 37)), "{:?}", home.keys());
}
