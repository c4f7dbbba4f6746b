//! github-issues.yaml against a server with GitHub's manners: Link headers, a bearer token, headers that it asks for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use muster_tests::turn;
use serde_json::{Value, json};

use super::{run, serve};

const ISSUES: u64 = 125;
/// Fewer than are asked for: what counts is the Link header.
const PAGE: u64 = 30;
const TOKEN: &str = "canary-github-token";
const KEY: &str = "canary-tickets-key";

/// What the ticket system was sent, by key.
type Tickets = Arc<Mutex<BTreeMap<String, Value>>>;

fn issue(number: u64) -> Value {
    let mut issue = json!({
        "id": 7_000_000 + number, "number": number, "title": format!("„{number}“ wächst"), "state": "open",
        "body": (!number.is_multiple_of(4)).then_some("It\r\n*grows*"), "created_at": "2026-01-02T03:04:05Z", "closed_at": null,
        "updated_at": "2026-02-03T04:05:06Z", "labels": [{"name": "bug"}, {"name": "größe"}], "reactions": {"+1": 3},
        "user": (!number.is_multiple_of(9)).then(|| json!({"login": "keeper"})),
    });
    if number.is_multiple_of(5) {
        issue["pull_request"] = json!({"url": "https://api.github.com/"});
    }
    issue
}

fn refusal(headers: &HeaderMap) -> Option<Response> {
    let has = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
    if !has("authorization", &format!("Bearer {TOKEN}")) {
        return Some((StatusCode::UNAUTHORIZED, Json(json!({"message": "Bad credentials"}))).into_response());
    }
    let asked = has("accept", "application/vnd.github+json") && has("x-github-api-version", "2022-11-28");
    (!asked || !headers.contains_key("user-agent")).then(|| StatusCode::FORBIDDEN.into_response())
}

async fn list(Query(query): Query<HashMap<String, String>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refusal(&headers) {
        return refusal;
    }
    assert_eq!((query["state"].as_str(), query["per_page"].as_str()), ("all", "100"));
    let page: u64 = query.get("page").map_or(1, |page| page.parse().expect("a number"));
    let host = headers["host"].to_str().expect("a name");
    let at = |page: u64| {
        format!("<http://{host}/repos/zoo/herd/issues?state=all&sort=created&direction=asc&per_page=100&page={page}>")
    };
    let last = ISSUES.div_ceil(PAGE);
    let mut link = format!("{}; rel=\"first\"", at(1));
    if page < last {
        link = format!("{}; rel=\"next\", {}; rel=\"last\", {link}", at(page + 1), at(last));
    }
    let issues: Vec<Value> = ((page - 1) * PAGE + 1..=ISSUES.min(page * PAGE)).map(issue).collect();
    ([("link", link)], Json(issues)).into_response()
}

async fn detail(Path(number): Path<u64>, headers: HeaderMap) -> Response {
    refusal(&headers).unwrap_or_else(|| Json(issue(number)).into_response())
}

async fn take(State(tickets): State<Tickets>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if headers.get("x-api-key").is_none_or(|key| key != KEY) || body["source"] != "github" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let batch = body["tickets"].as_array().expect("a list");
    assert!(batch.len() <= 50);
    let mut tickets = tickets.lock().expect("no panic in here");
    for ticket in batch {
        let copy = tickets.insert(ticket["key"].as_str().expect("a key").to_owned(), ticket.clone());
        assert!(copy.is_none(), "twice: {ticket}");
    }
    Json(json!({"taken": batch.len()})).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn issues_become_tickets() {
    let _turn = turn::light().await;
    let here = tempfile::tempdir().expect("a folder");
    let tickets = Tickets::default();
    let source = serve(
        Router::new().route("/repos/zoo/herd/issues", get(list)).route("/repos/zoo/herd/issues/{number}", get(detail)),
    );
    let target = serve(Router::new().route("/tickets", post(take)).with_state(Arc::clone(&tickets)));
    let set = [
        format!("base_url={}", source.await),
        "repository=zoo/herd".to_owned(),
        format!("target_url={}", target.await),
    ];
    let secrets = [("GITHUB_TOKEN", TOKEN), ("TICKETS_KEY", KEY)];
    run(here.path(), "github-issues.yaml", &set.each_ref().map(String::as_str), &secrets, ISSUES).await;
    let tickets = tickets.lock().expect("no panic in there");
    assert_eq!(tickets.len() as u64, ISSUES);
    let expected = json!({
        "key": "GH-45", "kind": "change", "title": "„45“ wächst", "text": "It\r\n*grows*", "labels": ["bug", "größe"],
        "author": null, "opened_at": "2026-01-02T03:04:05Z", "closed_at": null,
    });
    assert_eq!(tickets["GH-45"], expected);
    assert_eq!((&tickets["GH-44"]["kind"], &tickets["GH-44"]["text"]), (&json!("issue"), &json!("")));
}
