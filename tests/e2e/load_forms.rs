//! Loading in every form, through a coordinator and two workers and an API that fails, stalls and stores halves: nothing is
//! lost, and the book is what the ledger says.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use animals_api::{Book, Config, Server};
use muster_proto::v1::{RunState, StartRunRequest, Verdict};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::judge::{assert_nothing_lost, differences};
use muster_tests::ledger::{Ledger, State};
use muster_tests::pipelines::{folder, impatient};
use muster_tests::turn;
use tempfile::TempDir;

use crate::stand_in;

const ANIMALS: u64 = 400;
const BATCH: &str = "max_batch: 100";
const URL: &str = "request:\n    method: POST\n    url: ${param:base_url}/animals/v1/home";

/// Errors, stalls and POSTs that are stored in part.
fn rough(animals: u64) -> Config {
    let stall = Duration::from_millis(100)..=Duration::from_millis(500);
    Config { chaos: 0.15, stall, partial: 0.3, page_size: 50, ..Config::calm(animals) }
}

struct Scene {
    place: TempDir,
    cluster: Cluster,
    run_id: String,
}

impl Scene {
    /// A run whose pipeline loads by this request and these further lines.
    async fn new(server: &Server, request: &str, lines: &str, audit_mode: bool) -> Scene {
        let place = tempfile::tempdir().expect("a folder");
        let request = format!("{request}\n  {lines}");
        let one_each = lines.contains("body: record");
        let size = if one_each { "max_batch: 1" } else { "max_batch: 20" };
        let text = impatient(2_000, &[(URL, &request), (BATCH, size)]);
        let pipelines = folder(place.path(), "forms", &text);
        let audit = place.path().join("audit");
        let flags = ["--pipelines", path(&pipelines), "--audit-dir", path(&audit)];
        let cluster = Cluster::with(place.path(), &flags, &[]).await;
        let start = StartRunRequest {
            pipeline: "forms".to_owned(),
            parameters: [("base_url".to_owned(), server.base_url())].into(),
            audit_mode,
            ..StartRunRequest::default()
        };
        let run = cluster.runs().start_run(start).await.expect("the run starts").into_inner().run.expect("a run");
        Scene { place, cluster, run_id: run.run_id }
    }

    /// Its end: book and ledger agree, whatever happened.
    async fn end(&self, book: &Book, form: &str) -> (Verdict, Ledger) {
        let run = self.cluster.watch(&self.run_id).await;
        assert_eq!(run.state(), RunState::Finished, "{form}: {run:#?}");
        let ledger = Ledger::read(&self.cluster.database(), &self.run_id);
        let verdict = self.cluster.verify(&self.run_id).await;
        assert!(verdict.complete && verdict.balanced, "{form}: {verdict:#?}");
        let copies = i64::try_from(book.summary().copies).expect("few");
        assert!(verdict.possible_copies >= copies, "{form}: {copies} copies, {} admitted", verdict.possible_copies);
        (verdict, ledger)
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn to(method: &str, face: &str) -> String {
    format!("request: {{ method: {method}, url: \"${{param:base_url}}/zoo/v1/home/{face}\" }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_loads_everything() {
    let _turn = turn::light().await;
    for (method, face, lines) in [
        ("POST", "array", "compress: gzip"),
        (
            "PATCH",
            "wrapped?key=X-Request-Id",
            "wrap: { by: muster, animals: $batch }\n  idempotency_header: X-Request-Id",
        ),
        ("POST", "lines", "body: ndjson"),
        ("PUT", "lines?key=x-batch", "body: ndjson\n  compress: gzip\n  idempotency_header: x-batch"),
        ("PUT", "${record:id}", "body: record"),
    ] {
        let form = format!("{method} {face} {lines}");
        // So many tries that none stays in doubt by bad luck alone: four of ten fail.
        let lines = &format!("{lines}\n  max_attempts: 25");
        let server = stand_in(rough(if face.contains("record") { 150 } else { ANIMALS }));
        let scene = Scene::new(&server, &to(method, face), lines, false).await;
        let _workers = ["w1", "w2"].map(|name| scene.cluster.worker(name, &["--concurrency", "24"]));
        let book = &server.book();
        let (verdict, ledger) = scene.end(book, &form).await;
        assert_eq!(verdict.counts.expect("counts").in_doubt, 0, "{form}");
        assert_nothing_lost(book, &ledger);
        assert!(ledger.count(State::InDoubt) > 0, "{form}: no POST was ever in doubt");
    }
}

/// Without a key nobody can tell a repeat from another delivery; what is loaded is the same.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_sent_where_the_target_wants_none() {
    let _turn = turn::light().await;
    let server = stand_in(Config { page_size: 50, ..Config::calm(100) });
    let scene = Scene::new(&server, &to("POST", "array"), "idempotency_header: none", false).await;
    let _worker = scene.cluster.worker("w1", &["--concurrency", "24"]);
    let book = &server.book();
    scene.end(book, "no key").await;
    assert!(book.is_perfect(), "{:?}", book.summary());
    assert!(book.posts().iter().all(|post| post.key.is_none()));
}

/// The stand-in's answer about each animal.
const EACH: &str = r#"per_record:
    outcomes: |
      [.animals[] | if .status < 300 then true
        elif .status == 503 then {outcome: "not_applied", reason: .error}
        else {outcome: "rejected", reason: .error} end]"#;

/// IDs in all files of acknowledgements: each is in one of them only.
fn acknowledged(folder: &Path) -> BTreeSet<u64> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("a file").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("batch_")) {
            let ids: Vec<u64> = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("IDs");
            for id in ids {
                assert!(all.insert(id), "{id} is in more than one file");
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_each_record_through_chaos_and_the_death_of_a_worker() {
    let _turn = turn::light().await;
    let server = stand_in(Config { busy: 0.1, poison: 15_u64.into(), chaos: 0.3, ..rough(1_000) });
    // So many tries that none stays in doubt by bad luck alone: each fails about every second time.
    let lines = format!("{EACH}\n  settle_after: 600ms\n  max_attempts: 25");
    let scene = Scene::new(&server, &to("POST", "each"), &lines, true).await;
    let mut first = scene.cluster.worker("w1", &["--concurrency", "8", "--max-leases", "4"]);
    let _second = scene.cluster.worker("w2", &["--concurrency", "8", "--max-leases", "4"]);
    let book = &server.book();
    within("some are loaded", book.until(|book| book.summary().accepted > 200)).await;
    first.kill().await;
    assert!(book.accepted().len() < 900, "it was done before the kill");
    let _third = scene.cluster.worker("w3", &["--concurrency", "8"]);

    let (verdict, ledger) = scene.end(book, "each").await;
    let counts = verdict.counts.expect("counts");
    assert_eq!(differences(book, &ledger), Vec::<String>::new());
    assert_eq!((book.missing(), book.wrong(), book.unexpected()), (vec![], vec![], vec![]));
    // What is refused when it repeats a doubt stays in doubt: it may have been taken the first time.
    assert_eq!((counts.loaded, counts.dead_letter + counts.in_doubt), (985, 15));
    let partly: Vec<_> = ledger.deliveries.iter().filter(|delivery| delivery.state == State::PartlyApplied).collect();
    assert!(partly.len() > 10, "only {} deliveries were applied in part", partly.len());
    // What the ledger says of each record of a delivery is what the book says of that very POST.
    let posts = book.posts();
    for delivery in partly {
        let found =
            posts.iter().any(|post| post.key.as_deref() == Some(&*delivery.key) && *post.ids == *delivery.present);
        assert!(found, "delivery {} with {:?} is not in the book", delivery.number, delivery.present);
    }
    let loaded: BTreeSet<u64> = book.accepted().into_iter().collect();
    assert_eq!(acknowledged(&scene.place.path().join("audit").join(&scene.run_id)), loaded);
}

/// An answer that does not fit is never guessed: what was stored and what was sent again is a possible copy.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_each_record_that_cannot_be_read_is_a_doubt() {
    let _turn = turn::light().await;
    let server = stand_in(Config { page_size: 50, ..Config::calm(60) });
    let lines = "per_record: { outcomes: '[.animals[:1][] | true]' }\n  settle_after: 200ms\n  max_attempts: 1";
    let scene = Scene::new(&server, &to("POST", "each"), lines, false).await;
    let _worker = scene.cluster.worker("w1", &["--concurrency", "24"]);
    let run = scene.cluster.watch(&scene.run_id).await;
    assert_eq!(run.state(), RunState::Finished);
    let ledger = Ledger::read(&scene.cluster.database(), &scene.run_id);
    assert_eq!(differences(&server.book(), &ledger), Vec::<String>::new());
    let verdict = scene.cluster.verify(&scene.run_id).await;
    assert!(verdict.balanced, "{verdict:#?}");
    // Only deliveries of one record have an answer that fits.
    assert!(ledger.deliveries.iter().all(|delivery| (delivery.ids.len() == 1) == (delivery.state == State::Applied)));
    assert_eq!(verdict.counts.expect("counts").loaded, 60);
}
