//! Promise 6, by cause and by policy: what becomes of a POST that nobody knows the end of. With `probe` each ID is applied
//! exactly once and nothing is left to do; with `hold` at most once; with `retry` nothing is missing and every possible
//! copy is counted.

use std::path::PathBuf;
use std::time::Duration;

use animals_api::{ChaosOn, Config, Server};
use muster_proto::v1::{Run, Verdict};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::judge::differences;
use muster_tests::ledger::{Ledger, State, open_deliveries};
use muster_tests::pipelines::{folder, impatient};
use muster_tests::turn;

use crate::stand_in;

const ANIMALS: u64 = 300;
const SMALL_BATCHES: (&str, &str) = ("max_batch: 100", "max_batch: 20");
const POLICIES: [(&str, &str); 3] = [
    ("retry", "on_doubt: retry"),
    ("hold", "on_doubt: hold"),
    ("probe", "on_doubt: probe\n  probe: { url: \"${param:base_url}/animals/v1/home/${record:id}\" }"),
];

/// Half of the POSTs act after the time that they are given, and before their doubts may be settled.
fn acts_late() -> Server {
    let stall = Duration::from_millis(600)..=Duration::from_millis(1_000);
    stand_in(Config { chaos: 0.5, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(ANIMALS) })
}

/// A third of the POSTs store a half of their animals and answer a 500.
fn stores_halves() -> Server {
    stand_in(Config { partial: 0.33, ..Config::calm(ANIMALS) })
}

/// Each POST takes its time, so that a worker can be killed while it is under way.
fn slow() -> Server {
    let stall = Duration::from_millis(250)..=Duration::from_millis(300);
    stand_in(Config { chaos: 1.0, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(ANIMALS) })
}

struct Scene {
    _place: tempfile::TempDir,
    cluster: Cluster,
    run_id: String,
}

impl Scene {
    async fn new(server: &Server, policy: &str) -> Scene {
        let place = tempfile::tempdir().expect("a folder");
        // The doubts are settled 3 s after their announcement: later than the target acts.
        let patience = format!("{policy}\n  settle_after: 3s");
        let text = impatient(400, &[SMALL_BATCHES, ("on_doubt: retry", &patience)]);
        let pipelines = folder(place.path(), "doubtful", &text);
        let cluster = Cluster::with(place.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
        let run_id = cluster.start_run("doubtful", &server.base_url()).await;
        Scene { _place: place, cluster, run_id }
    }

    fn database(&self) -> PathBuf {
        self.cluster.database()
    }
}

/// What is promised of a run that is over.
fn judge(case: &str, policy: &str, server: &Server, run: &Run, verdict: &Verdict, ledger: &Ledger) {
    let book = server.book();
    let counts = verdict.counts.as_ref().expect("counts");
    let case = format!("{case} with {policy}");
    assert!(verdict.balanced, "{case}: {verdict:#?}");
    assert_eq!(differences(&book, ledger), Vec::<String>::new(), "{case}");
    assert_eq!((book.wrong(), book.unexpected()), (vec![], vec![]), "{case}");
    assert!(
        ledger.deliveries.iter().any(|delivery| delivery.state == State::InDoubt || delivery.retry_of > 0)
            || policy == "probe",
        "{case}: nothing was ever in doubt"
    );
    let copies = book.summary().copies;
    match policy {
        "retry" => {
            assert_eq!((book.missing(), counts.in_doubt), (vec![], 0), "{case}: {run:#?}");
            assert!(verdict.possible_copies >= i64::try_from(copies).expect("few"), "{case}: {copies} copies");
        }
        "hold" => {
            assert_eq!(book.duplicates(), vec![], "{case}");
            let stored = book.accepted().len() as u64;
            let (loaded, in_doubt) =
                (u64::try_from(counts.loaded).expect("few"), u64::try_from(counts.in_doubt).expect("few"));
            assert!(in_doubt > 0, "{case}: nothing was in doubt");
            assert_eq!(loaded + in_doubt, ANIMALS, "{case}");
            assert!(loaded <= stored && stored <= ANIMALS, "{case}: {loaded} loaded, {stored} in the book");
        }
        _ => {
            assert!(book.is_perfect(), "{case}: {:#?}", book.summary());
            assert_eq!((counts.in_doubt, u64::try_from(counts.loaded)), (0, Ok(ANIMALS)), "{case}");
            assert!(book.counters().asked > 0, "{case}: nobody was asked");
        }
    }
}

async fn end(case: &str, policy: &str, server: &Server, scene: &Scene) {
    let run = scene.cluster.watch(&scene.run_id).await;
    let book = &server.book();
    let done = |book: &animals_api::Book| {
        let counters = book.counters();
        counters.accepted_posts + counters.halved == counters.posts
    };
    within("the target acts on all POSTs", book.until(done)).await;
    let verdict = scene.cluster.verify(&scene.run_id).await;
    let ledger = Ledger::read(&scene.database(), &scene.run_id);
    judge(case, policy, server, &run, &verdict, &ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_that_are_applied_after_their_time() {
    let _turn = turn::light().await;
    for (policy, lines) in POLICIES {
        let server = acts_late();
        let scene = Scene::new(&server, lines).await;
        let _worker = scene.cluster.worker("w1", &["--concurrency", "24"]);
        end("late", policy, &server, &scene).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_that_are_stored_in_part() {
    let _turn = turn::light().await;
    for (policy, lines) in POLICIES {
        let server = stores_halves();
        let scene = Scene::new(&server, lines).await;
        let _worker = scene.cluster.worker("w1", &["--concurrency", "24"]);
        end("in part", policy, &server, &scene).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_whose_worker_is_killed_after_they_left() {
    let _turn = turn::light().await;
    for (policy, lines) in POLICIES {
        let server = slow();
        let scene = Scene::new(&server, lines).await;
        let mut first = scene.cluster.worker("w1", &["--concurrency", "24", "--max-leases", "3"]);
        // Its POST has arrived and is not answered.
        let stalls = server.book();
        within("a POST stalls", stalls.until(|book| book.counters().stalls_post > 0)).await;
        first.kill().await;
        assert!(open_deliveries(&scene.database(), Some("w1")) > 0, "{policy}: it was killed too late");
        let _second = scene.cluster.worker("w2", &["--concurrency", "24"]);
        end("killed", policy, &server, &scene).await;
    }
}
