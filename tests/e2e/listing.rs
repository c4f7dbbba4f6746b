//! The list of a source that is not what it says: the run ends, and its verdict names what may be missing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use animals_api::{Config, Shifting};
use axum::extract::{Path as InPath, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use muster_proto::v1::{CancelRunRequest, RunState};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::until_some;
use muster_tests::pipelines::{folder, variant};
use muster_tests::turn;
use serde_json::{Value, json};

use crate::{base_url, stand_in, unreliable};

/// What a source answers when it is asked for a page; nothing: it never does.
type Script = fn(u64) -> Option<(StatusCode, Value)>;

/// A source whose list is scripted, and whose records and target are sound.
struct Source {
    script: Script,
    /// GETs of the list.
    asked: AtomicU64,
}

async fn list(
    State(source): State<Arc<Source>>,
    Query(query): Query<HashMap<String, u64>>,
) -> (StatusCode, Json<Value>) {
    source.asked.fetch_add(1, Ordering::Relaxed);
    let Some((status, body)) = (source.script)(query["page"]) else { std::future::pending().await };
    (status, Json(body))
}

async fn detail(InPath(id): InPath<u64>) -> Json<Value> {
    Json(json!({ "id": id, "name": "Gnu", "born_at": null, "friends": "" }))
}

async fn serve(script: Script) -> (Arc<Source>, String) {
    let source = Arc::new(Source { script, asked: AtomicU64::new(0) });
    let routes = Router::new()
        .route("/animals/v1/animals", get(list))
        .route("/animals/v1/animals/{id}", get(detail))
        .route("/animals/v1/home", post(async || Json(json!({ "message": "Helped" }))))
        .with_state(Arc::clone(&source));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, unreliable(routes)).await });
    (source, url)
}

/// A page of these IDs.
fn page(ids: impl IntoIterator<Item = u64>, total_pages: u64) -> Option<(StatusCode, Value)> {
    let items: Vec<Value> = ids.into_iter().map(|id| json!({ "id": id })).collect();
    Some((StatusCode::OK, json!({ "items": items, "total_pages": total_pages })))
}

/// The codes of all that stands against a run's completeness, and how many records were loaded.
pub(crate) async fn run(base_url: &str, changes: &[(&str, &str)]) -> (Vec<String>, u64) {
    let _turn = turn::light().await;
    let here = tempfile::tempdir().expect("a folder");
    let pipelines = folder(here.path(), "listed", &variant(changes));
    let cluster = Cluster::with(here.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
    let run_id = cluster.start_run("listed", base_url.trim_start_matches("base_url=")).await;
    let _workers = ["w1", "w2"].map(|name| cluster.worker(name, &[]));
    assert_eq!(cluster.watch(&run_id).await.state(), RunState::Finished);
    let verdict = cluster.verify(&run_id).await;
    assert!(!verdict.complete && verdict.balanced, "{verdict:?}");
    let codes = verdict.discrepancies.iter().map(|found| found.code.clone()).collect();
    (codes, verdict.counts.expect("counts").loaded.unsigned_abs())
}

async fn run_scripted(script: Script, changes: &[(&str, &str)]) -> (Vec<String>, u64) {
    let (_, url) = serve(script).await;
    run(&format!("base_url={url}"), changes).await
}

pub(crate) fn named(codes: &[&str], loaded: u64) -> (Vec<String>, u64) {
    (codes.iter().map(|code| (*code).to_owned()).collect(), loaded)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_read_is_given_up() {
    let script = |number| match number {
        2 => Some((StatusCode::OK, json!({ "items": "none", "total_pages": 3 }))),
        _ => page([number], 3),
    };
    assert_eq!(run_scripted(script, &[]).await, named(&["PAGE_GIVEN_UP", "PAGES_MISSING"], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_always_fails_is_given_up() {
    let script = |number| match number {
        2 => Some((StatusCode::BAD_GATEWAY, json!("Sorry!"))),
        _ => page([number], 3),
    };
    let soon = [("get_timeout: 3s", "get_attempts: 3")];
    assert_eq!(run_scripted(script, &soon).await, named(&["PAGE_GIVEN_UP", "PAGES_MISSING"], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_changes_is_named() {
    assert_eq!(
        run_scripted(|number| page([number], if number < 3 { 3 } else { 4 }), &[]).await,
        named(&["TOTAL_DISAGREES"], 4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_of_nothing_beside_items_is_named() {
    assert_eq!(run_scripted(|number| page([number], 0), &[]).await, named(&["TOTAL_DISAGREES"], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_page_below_the_last_is_named() {
    let script = |number| page((number != 2).then_some(number), 3);
    assert_eq!(run_scripted(script, &[]).await, named(&["EMPTY_PAGE"], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_ignores_the_page_number_is_not_listed_for_ever() {
    let without_total = [("        total_pages: $.total_pages\n", "")];
    let (codes, loaded) = run_scripted(|_| page([1, 2, 3], 1), &without_total).await;
    assert!(codes.iter().any(|code| code == "PAGE_REPEATED"), "{codes:?}");
    assert_eq!(loaded, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_ignores_the_page_number_is_named_where_it_says_how_many_pages_there_are() {
    assert_eq!(run_scripted(|_| page([1, 2, 3], 4), &[]).await, named(&["IDS_SHIFTED", "PAGE_REPEATED"], 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_stands_twice_on_a_page_is_named() {
    assert_eq!(run_scripted(|_| page([1, 2, 1], 1), &[]).await, named(&["ID_TWICE_ON_A_PAGE"], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_without_an_id_is_named_and_holds_no_other_up() {
    let script = |number| match number {
        2 => Some((StatusCode::OK, json!({ "items": [{ "id": 2 }, { "key": 3 }, { "id": null }], "total_pages": 3 }))),
        _ => page([number], 3),
    };
    assert_eq!(run_scripted(script, &[]).await, named(&["ITEM_WITHOUT_ID"], 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_given_twice_is_named() {
    let server = stand_in(Config { chaos: 0.1, stall: crate::SHORT, ..Config::calm(10) });
    let ids = tempfile::tempdir().expect("a folder");
    let file = ids.path().join("ids.txt");
    std::fs::write(&file, "1\n2\n3\n2\n").expect("a file");
    let text = muster_pipeline::built_in("animals").expect("built in");
    let (from, to) = (text.find("    request:\n").expect("a list"), text.find("    concurrency: 16").expect("its end"));
    let given = format!("    ids: {{ file: {} }}\n", file.display());
    let concurrency = "    concurrency: 16 # pages at once\n";
    assert_eq!(
        run(&base_url(&server), &[(&text[from..to], &given), (concurrency, "")]).await,
        named(&["ID_TWICE_IN_LIST"], 3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_move_while_they_are_listed_are_named() {
    let shifting = Some(Shifting { every: 5, by: 3 });
    let server = stand_in(Config { shifting, chaos: 0.1, stall: crate::SHORT, ..Config::calm(400) });
    let (codes, loaded) = run(&base_url(&server), &[]).await;
    assert_eq!(codes, ["IDS_SHIFTED"]);
    assert!(loaded < 400, "no record was missed, so that nothing was to be noticed");
}

/// Longer than CancelRun may leave fetches running.
const STOPPED: Duration = Duration::from_secs(1);
/// In which pages that hang are asked for again: their timeout is shorter, and the listing's next renewal comes later.
const LISTENED: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_not_listed_on() {
    let _turn = turn::light().await;
    let here = tempfile::tempdir().expect("a folder");
    let (source, url) = serve(|number| if number == 1 { page([1], 50) } else { None }).await;
    let pipelines = folder(here.path(), "hasty", &variant(&[("get_timeout: 3s", "get_timeout: 500ms")]));
    let cluster = Cluster::with(here.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
    let run_id = cluster.start_run("hasty", &url).await;
    let asked = || source.asked.load(Ordering::Relaxed);
    until_some("pages are asked for", async || (asked() > 4).then_some(())).await;
    cluster.runs().cancel_run(CancelRunRequest { run_id: run_id.clone() }).await.expect("cancelled");
    cluster.watch_until(&run_id, |run| run.state() == RunState::Cancelled).await;
    // However busy the machine is: a coordinator that has listed another run meanwhile has heard of it.
    let sound = stand_in(Config::calm(20));
    let other = cluster.start_run("hasty", &sound.base_url()).await;
    cluster.watch_until(&other, |run| run.progress.is_some_and(|progress| progress.listing_closed)).await;
    tokio::time::sleep(STOPPED).await;
    let before = asked();
    tokio::time::sleep(LISTENED).await;
    assert_eq!(asked(), before, "pages of a cancelled run were asked for");
    assert_eq!(cluster.run(&run_id).await.state(), RunState::Cancelled);
}
