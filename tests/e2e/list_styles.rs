//! Every style of list, through a coordinator and its workers; and lists that are not what they say.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use animals_api::Config;
use axum::extract::{Path as InPath, Query};
use axum::routing::{get, post};
use axum::{Json, Router};
use muster_proto::v1::{Run, RunState};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::pipelines::{folder, variant};
use muster_tests::process::Start;
use muster_tests::turn;
use serde_json::{Value, json};

use crate::listing::{named, run};
use crate::{base_url, stand_in, unreliable};

const ANIMALS: u64 = 300;
const LIST: &str = "/animals/v1/animals\n    pagination:\n      page_number: # ?page=1, ?page=2, ... up to what \
                    total_pages says\n        parameter: page\n        first: 1\n        total_pages: $.total_pages\n    \
                    items: $.items # the list on a page\n    id: $.id # the ID of an item on it\n";

/// The list of animals.yaml at another path, by another style.
fn list(path: &str, style: &str) -> String {
    format!("{path}\n    pagination: {style}\n    items: $.items\n    id: $.id\n")
}

/// A whole list in place of the one of animals.yaml.
fn styled(path: &str, style: &str) -> String {
    variant(&[(LIST, &list(path, style))])
}

/// animals.yaml with a list that its user gives.
fn given(ids: &str, parameter: &str) -> String {
    let text = variant(&[(
        "    default: http://127.0.0.1:3123\n",
        &format!("    default: http://127.0.0.1:3123\n{parameter}"),
    )]);
    let from = text.find("  list:\n").expect("a list");
    let to = text.find("  # One record.").expect("what comes after it");
    format!("{}  list: {{ ids: {ids} }}\n{}", &text[..from], &text[to..])
}

/// One of each, by name.
fn styles(here: &Path) -> Vec<(&'static str, String)> {
    let all: Vec<String> = (0..ANIMALS).map(|id| id.to_string()).collect();
    let file = here.join("ids.txt");
    std::fs::write(&file, all.join("\n")).expect("a file");
    let cursor = "{ cursor: { next: $.next_cursor, total: $.total } }";
    let token = "{ cursor: { parameter: token, next: { header: X-Next-Token }, total: { header: X-Total-Count } } }";
    let linked = styled("/zoo/v1/list/link", "{ link_header: {} }").replace("items: $.items", "items: $");
    let numbered = variant(&[("        total_pages: $.total_pages\n", "        size: 10\n")]);
    let parameter = format!("  ids: {{ default: \"{}\" }}\n", all.join(","));
    vec![
        ("page-by-size", numbered),
        ("offset", styled("/zoo/v1/list/offset", "{ offset: { limit: 10, total: $.total } }")),
        ("offset-without-total", styled("/zoo/v1/list/offset", "{ offset: { limit: 10 } }")),
        ("cursor", styled("/zoo/v1/list/cursor", cursor)),
        ("next", styled("/zoo/v1/list/next", "{ next_url: { next: $.next, total: $.count } }")),
        ("link", linked),
        ("token", styled("/zoo/v1/list/token", token)),
        ("single", styled("/zoo/v1/list/single", "{ single: {} }")),
        ("parameter", given("{ parameter: ids }", &parameter)),
        ("file", given(&format!("{{ file: {} }}", file.display()), "")),
        ("twice", variant(&[("    concurrency: 16 # pages at once\n", "    order_check: relist\n")])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_style_lists_all_there_is() {
    let _turn = turn::heavy().await;
    let here = tempfile::tempdir().expect("a folder");
    let styles = styles(here.path());
    let mut pipelines = here.path().to_owned();
    for (name, text) in &styles {
        pipelines = folder(here.path(), name, text);
    }
    let cluster = Cluster::with(here.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
    let _crew = ["w1", "w2"].map(|name| cluster.worker(name, &[]));
    let mut runs = Vec::new();
    for (name, _) in &styles {
        let stall = Duration::from_millis(100)..=Duration::from_millis(300);
        let server = stand_in(Config { chaos: 0.05, stall, ..Config::calm(ANIMALS) });
        let run_id = cluster.start_run(name, &server.base_url()).await;
        runs.push((*name, server, run_id));
    }
    for (name, server, run_id) in runs {
        // One that pauses by itself ends the test as well, and says why.
        let ended = |run: &Run| run.finished_at.is_some() || run.state() == RunState::Paused;
        let run = cluster.watch_until(&run_id, ended).await;
        assert_eq!(run.state(), RunState::Finished, "{name}: {}", run.state_reason);
        let verdict = cluster.verify(&run_id).await;
        assert!(verdict.complete && verdict.balanced, "{name}: {:?}", verdict.discrepancies);
        assert!(server.book().is_perfect(), "{name}: {:?}", server.book().summary());
        assert_nothing_lost(&server.book(), &Ledger::read(&cluster.database(), &run_id));
    }
}

/// Pages of the list in the next test, at 10 animals each.
const PAGES: u64 = 60;
/// At which the coordinator is killed.
const KILLED_AT: u64 = 30;

/// Kills the coordinator when so many pages were asked for; gives how many were in the end.
async fn killed_amid_the_list(style: &str, pages: u64) -> u64 {
    let here = tempfile::tempdir().expect("a folder");
    let once = ["hedge_after: 50ms", "hedge_copies: 1"];
    let server = stand_in(Config { latency: Duration::from_millis(20), ..Config::calm(PAGES * 10) });
    let pipelines = folder(here.path(), "styled", &style.replace(once[0], once[1]));
    let mut cluster = Cluster::with(here.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
    let run_id = cluster.start_run("styled", &server.base_url()).await;
    let book = server.book();
    within("pages are listed", book.until(|book| book.counters().lists >= pages)).await;
    cluster.kill().await;
    cluster.restart();
    cluster.serves().await;
    let _crew = ["w1", "w2"].map(|name| cluster.worker(name, &[]));
    let run = cluster.watch(&run_id).await;
    assert_eq!(run.state(), RunState::Finished, "{}", run.state_reason);
    let verdict = cluster.verify(&run_id).await;
    assert!(verdict.complete && verdict.balanced, "{:?}", verdict.discrepancies);
    assert!(book.is_perfect(), "{:?}", book.summary());
    book.counters().lists
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_where_it_was_when_its_coordinator_was_killed() {
    let _turn = turn::heavy().await;
    let cursor = styled("/zoo/v1/list/cursor", "{ cursor: { next: $.next_cursor } }");
    let asked = killed_amid_the_list(&cursor, KILLED_AT).await;
    assert!(asked < PAGES + KILLED_AT, "it began anew: {asked} pages were asked for");
    let offset = styled("/zoo/v1/list/offset", "{ offset: { limit: 10, total: $.total } }");
    let asked = killed_amid_the_list(&offset, KILLED_AT).await;
    assert!(asked < PAGES + KILLED_AT, "it began anew: {asked} pages were asked for");
    let twice = styled("/zoo/v1/list/cursor", "{ cursor: { next: $.next_cursor } }\n    order_check: relist");
    let asked = killed_amid_the_list(&twice, PAGES + KILLED_AT).await;
    assert!((2 * PAGES..2 * PAGES + KILLED_AT).contains(&asked), "{asked} pages were asked for");
}

/// What a source answers to this query; `times`: how often its list was asked for before.
type Script = fn(cursor: u64, times: u64) -> Value;

async fn serve(script: Script) -> String {
    let listed = std::sync::Arc::new(AtomicU64::new(0));
    let list = move |Query(query): Query<HashMap<String, u64>>| async move {
        let times = listed.fetch_add(1, Ordering::Relaxed);
        Json(script(query.get("cursor").copied().unwrap_or(0), times))
    };
    let detail =
        async |InPath(id): InPath<u64>| Json(json!({ "id": id, "name": "Gnu", "born_at": null, "friends": "" }));
    let routes = Router::new()
        .route("/list", get(list))
        .route("/animals/v1/animals/{id}", get(detail))
        .route("/animals/v1/home", post(async || Json(json!({ "message": "Helped" }))));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("base_url=http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, unreliable(routes)).await });
    url
}

/// What a verdict names of a list by cursors, and how many records were loaded.
async fn scripted(script: Script, style: &str) -> (Vec<String>, u64) {
    run(&serve(script).await, &[(LIST, &list("/list", style))]).await
}

fn items(ids: &[u64]) -> Vec<Value> {
    ids.iter().map(|id| json!({ "id": id })).collect()
}

const CURSOR: &str = "{ cursor: { next: $.next } }";
const COUNTED: &str = "{ cursor: { next: $.next, total: $.total } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_comes_back_is_named() {
    let script: Script =
        |cursor, _| json!({ "items": items(&[cursor]), "next": if cursor < 2 { cursor + 1 } else { 1 } });
    assert_eq!(scripted(script, CURSOR).await, named(&["CURSOR_REPEATED"], 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_list_is_named() {
    let script: Script = |cursor, _| json!({ "items": items(&[cursor]), "next": cursor + 1 });
    let style = format!("{CURSOR}\n    max_pages: 5");
    assert_eq!(scripted(script, &style).await, named(&["ENDLESS_LIST"], 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_of_records_that_disagrees_is_named() {
    let lies: Script = |cursor, _| json!({ "items": items(&[cursor]), "total": 9, "next": if cursor < 2 { json!(cursor + 1) } else { Value::Null } });
    assert_eq!(scripted(lies, COUNTED).await, named(&["TOTAL_DISAGREES"], 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_page_amid_a_list_is_named() {
    let script: Script = |cursor, _| match cursor {
        1 => json!({ "items": [], "next": 2 }),
        2 => json!({ "items": items(&[2]) }),
        _ => json!({ "items": items(&[0]), "next": 1 }),
    };
    assert_eq!(scripted(script, CURSOR).await, named(&["EMPTY_PAGE"], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_size_that_the_source_caps_is_named() {
    let server = stand_in(Config { chaos: 0.1, stall: crate::SHORT, ..Config::calm(40) });
    let offset = |more: &str| list("/zoo/v1/list/offset", &format!("{{ offset: {{ limit: 20{more} }} }}"));
    let (codes, loaded) = run(&base_url(&server), &[(LIST, &offset(", total: $.total"))]).await;
    assert_eq!((codes, loaded), named(&["SHORT_PAGE", "TOTAL_DISAGREES"], 20));
    let (codes, loaded) = run(&base_url(&server), &[(LIST, &offset(""))]).await;
    assert_eq!((codes, loaded), named(&["SHORT_PAGE"], 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_one_of_two_listings_brings_is_named() {
    let script: Script = |_, times| json!({ "items": items(if times == 0 { &[1, 2, 3] } else { &[2, 3, 4] }) });
    let twice = "{ single: {} }\n    order_check: relist";
    assert_eq!(scripted(script, twice).await, named(&["MISSED_BY_FIRST_LISTING", "VANISHED_FROM_LIST"], 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_page_elsewhere_is_not_followed() {
    let _turn = turn::light().await;
    let here = tempfile::tempdir().expect("a folder");
    let script: Script =
        |_, _| json!({ "items": items(&[1]), "next": "http://localhost:9/zoo/v1/list/next?key=s3cret" });
    let url = serve(script).await;
    let text = variant(&[(LIST, &list("/list", "{ next_url: { next: $.next } }"))]);
    std::fs::write(here.path().join("own.yaml"), text).expect("a file");
    let ended =
        Start::muster(here.path(), ["run", "./own.yaml", "--set", &url, "--db", "my.db"]).run().await.with_code(1);
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert!(
        told.contains("said to be at http://localhost:9/zoo/v1/list/next, which is not where the list is"),
        "{told}"
    );
    assert!(!told.contains("s3cret"), "{told}");
}
