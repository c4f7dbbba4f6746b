//! kinto.yaml from one collection to another, against a server with Kinto's manners; what the real one answers is on a
//! cassette.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use muster_tests::turn;
use serde_json::{Value, json};

use super::{run, serve};

const PASSWORD: &str = "canary:pass wörd";

/// Records by ID; those of the source in the order in which they were written.
#[derive(Clone, Default)]
struct Collection {
    records: Arc<Mutex<BTreeMap<String, Value>>>,
}

fn may(headers: &HeaderMap) -> bool {
    let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("muster:{PASSWORD}")));
    headers.get("authorization").is_some_and(|given| given.as_bytes() == expected.as_bytes())
}

async fn list(
    State(source): State<Collection>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if !may(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    assert_eq!(query["_sort"], "last_modified");
    let limit: usize = query["_limit"].parse().expect("a number");
    let token = query.get("_token").map(|token| BASE64_STANDARD.decode(token).expect("a token of ours"));
    let after = token.map(|token| String::from_utf8(token).expect("an ID"));
    let records = source.records.lock().expect("no panic in here");
    let rest = records.iter().filter(|(id, _)| after.as_ref().is_none_or(|after| *id > after));
    let page: Vec<&Value> = rest.clone().take(limit).map(|(_, record)| record).collect();
    let body = Json(json!({"data": page}));
    if rest.count() <= limit {
        return body.into_response();
    }
    let last = page.last().expect("full")["id"].as_str().expect("an ID");
    let token: String = BASE64_STANDARD.encode(last).replace('+', "%2B").replace('=', "%3D");
    let host = headers["host"].to_str().expect("a name");
    let next = format!(
        "http://{host}/v1/buckets/zoo/collections/animals/records?_sort=last_modified&_limit={limit}&_token={token}"
    );
    ([("Next-Page", next)], body).into_response()
}

async fn detail(State(source): State<Collection>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    match source.records.lock().expect("no panic in here").get(&id) {
        _ if !may(&headers) => StatusCode::UNAUTHORIZED.into_response(),
        Some(record) => Json(json!({"data": record, "permissions": {"write": ["basicauth:7"]}})).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn put(
    State(target): State<Collection>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if !may(&headers) || body["data"]["id"] != id.as_str() {
        return StatusCode::FORBIDDEN.into_response();
    }
    target.records.lock().expect("no panic in here").insert(id, body["data"].clone());
    (StatusCode::CREATED, Json(body)).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_copied() {
    let _turn = turn::light().await;
    let here = tempfile::tempdir().expect("a folder");
    let (source, target) = (Collection::default(), Collection::default());
    let animals = (0..64).map(|number| {
        let id = format!("animal-{number:03}");
        (
            id.clone(),
            json!({"id": id, "name": format!("Löwe \"{number}\""), "last_modified": 1_700_000_000_000_u64 + number}),
        )
    });
    source.records.lock().expect("nobody else").extend(animals);
    let from = "/v1/buckets/zoo/collections/animals/records";
    let reading = Router::new().route(from, get(list)).route(&format!("{from}/{{id}}"), get(detail));
    let writing = Router::new().route("/v1/buckets/copy/collections/records/records/{id}", axum::routing::put(put));
    let urls = (serve(reading.with_state(source.clone())).await, serve(writing.with_state(target.clone())).await);
    let set = [
        format!("base_url={}/v1", urls.0),
        format!("target_url={}/v1", urls.1),
        "from=buckets/zoo/collections/animals".to_owned(),
        "page_size=10".to_owned(),
    ];
    let secrets = [("KINTO_PASSWORD", PASSWORD), ("KINTO_TARGET_PASSWORD", PASSWORD)];
    run(here.path(), "kinto.yaml", &set.each_ref().map(String::as_str), &secrets, 64).await;
    let mut expected = source.records.lock().expect("no panic in there").clone();
    for record in expected.values_mut() {
        record.as_object_mut().expect("an object").remove("last_modified");
    }
    assert_eq!(*target.records.lock().expect("no panic in there"), expected);
}
