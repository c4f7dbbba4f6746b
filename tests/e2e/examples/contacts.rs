//! contacts.yaml against a CRM that gives tokens which do not live long, and a directory that takes one person at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use muster_tests::turn;
use serde_json::{Value, json};

use super::{run, serve};

const CONTACTS: u64 = 230;
const PAGE: u64 = 100;
const SECRET: &str = "canary crm secret";
const TOKEN: &str = "canary-directory-token";
/// Requests that a token of the CRM is good for.
const LIFE: u64 = 60;

#[derive(Default)]
struct Scene {
    /// Requests that came with each token.
    tokens: Mutex<BTreeMap<String, u64>>,
    people: Mutex<BTreeMap<String, Value>>,
}

type Shared = Arc<Scene>;

fn id(number: u64) -> String {
    format!("c-{number:04}/ö")
}

async fn token(State(scene): State<Shared>, headers: HeaderMap, form: String) -> Response {
    use base64::Engine as _;
    let encoded = base64::prelude::BASE64_STANDARD.encode("muster:canary+crm+secret");
    let is_known = headers.get("authorization").is_some_and(|given| given == &format!("Basic {encoded}"));
    if !is_known || !form.contains("grant_type=client_credentials") || !form.contains("scope=contacts.read") {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    }
    let mut tokens = scene.tokens.lock().expect("no panic in here");
    let token = format!("canary-token-{}", tokens.len());
    tokens.insert(token.clone(), 0);
    Json(json!({"access_token": token, "token_type": "Bearer"})).into_response()
}

/// Whether a token was sent that is not used up.
fn may(scene: &Scene, headers: &HeaderMap) -> bool {
    let sent = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let mut tokens = scene.tokens.lock().expect("no panic in here");
    let Some(asked) = sent.and_then(|token| tokens.get_mut(token)) else { return false };
    *asked += 1;
    *asked <= LIFE
}

async fn list(
    State(scene): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if !may(&scene, &headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let from: u64 = query.get("after").map_or(0, |after| after.trim_start_matches("at=").parse().expect("a cursor"));
    let end = (from + PAGE).min(CONTACTS);
    let results: Vec<Value> = (from..end).map(|number| json!({"id": id(number), "updated_at": "2026-01-01"})).collect();
    let mut page = json!({"results": results, "total": CONTACTS});
    if end < CONTACTS {
        page["paging"] = json!({"next": {"after": format!("at={end}")}});
    }
    Json(page).into_response()
}

async fn detail(State(scene): State<Shared>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if !may(&scene, &headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let first = (!id.contains("7")).then_some("Ärmel");
    let mail = format!("{}@Zoo.example", &id[..6]);
    let properties = json!({"email": mail, "firstname": first, "lastname": "O'Neil"});
    Json(json!({"id": id, "properties": properties, "archived": false})).into_response()
}

async fn keep(
    State(scene): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(person): Json<Value>,
) -> Response {
    if headers.get("authorization").is_none_or(|given| given != &format!("Bearer {TOKEN}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    scene.people.lock().expect("no panic in here").insert(id, person);
    (StatusCode::CREATED, "<p>Thank you!").into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_become_people() {
    let _turn = turn::light().await;
    let here = tempfile::tempdir().expect("a folder");
    let scene = Shared::default();
    let routes = Router::new()
        .route("/oauth/token", post(token))
        .route("/crm/v3/contacts", get(list))
        .route("/crm/v3/contacts/{id}", get(detail))
        .route("/people/{id}", put(keep));
    let url = serve(routes.with_state(Arc::clone(&scene))).await;
    let set = [format!("base_url={url}"), format!("target_url={url}")];
    let secrets = [("CRM_SECRET", SECRET), ("DIRECTORY_TOKEN", TOKEN)];
    run(here.path(), "contacts.yaml", &set.each_ref().map(String::as_str), &secrets, CONTACTS).await;
    let people = scene.people.lock().expect("no panic in there");
    assert!(people.keys().cloned().eq((0..CONTACTS).map(id)), "{} people", people.len());
    assert_eq!(people[&id(7)], json!({"id": id(7), "mail": "c-0007@zoo.example", "name": "O'Neil"}));
    assert_eq!(people[&id(8)]["name"], "Ärmel O'Neil");
    let tokens = scene.tokens.lock().expect("no panic in there");
    assert!(tokens.values().any(|asked| *asked > LIFE), "no token was used up: {tokens:?}");
}
