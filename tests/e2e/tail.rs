//! The end of a run: what one worker has leased ahead goes to another one that has nothing to do.

use animals_api::{Config, Server};
use muster_proto::v1::fleet_service_client::FleetServiceClient;
use muster_proto::v1::{ListWorkersRequest, RunState, Worker};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::until_some;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, most_attempts};
use muster_tests::pipelines::{folder, variant};
use muster_tests::postgres::Postgres;
use muster_tests::turn;
use tempfile::TempDir;

use crate::stand_in;

/// Each worker fetches so many records at once, and leases as many ahead.
const SLOTS: u64 = 10;
const PER_BATCH: u64 = 2;
/// The first worker has all of them and waits for more.
const ANIMALS: u64 = 2 * SLOTS - PER_BATCH;
/// Of one answer: so long a worker's slots are busy, and what it has leased ahead waits. In this time another worker
/// has to start and get what it waits for, on a machine that is busy with something else, too.
const SLOW_MS: u64 = 20_000;

/// Animals two by two, of a source that takes its time.
fn pipeline(place: &TempDir) -> String {
    let text = variant(&[
        ("max_batch: 100", &format!("max_batch: {PER_BATCH}")),
        ("get_timeout: 3s", "get_timeout: 30s"),
        ("hedge_after: 50ms", "hedge_after: 30s"),
    ]);
    folder(place.path(), "pairs", &text).to_str().expect("a path").to_owned()
}

async fn worker(cluster: &Cluster, name: &str) -> Option<Worker> {
    let request = ListWorkersRequest { include_gone: true, ..ListWorkersRequest::default() };
    let known = FleetServiceClient::new(cluster.channel()).list_workers(request).await.ok()?.into_inner();
    known.workers.into_iter().find(|worker| worker.name == name)
}

/// Worker A at one coordinator has leased everything, and works on half of it. Then worker B starts, at the same or another
/// one. Gives the run's ID and how many batches B completed.
async fn a_second_worker_helps(one: &Cluster, other: &Cluster, herd: &Server) -> (String, i64) {
    let run_id = one.start_run("pairs", &herd.base_url()).await;
    one.watch_until(&run_id, |run| run.progress.is_some_and(|progress| progress.listing_closed)).await;
    herd.turn(|knobs| knobs.latency_ms = SLOW_MS);
    let flags = ["--concurrency", &SLOTS.to_string()];
    let _a = one.worker("a", &flags);
    let all = i32::try_from(ANIMALS / PER_BATCH).expect("few");
    until_some("all is leased to A", async || worker(one, "a").await.filter(|a| a.leases_held == all)).await;
    let _b = other.worker("b", &flags);
    until_some("B has most of what A had in stock", async || worker(one, "b").await.filter(|b| b.leases_held >= 3))
        .await;
    assert_eq!(herd.book().counters().posts, 0, "A would have got to them by now");
    herd.turn(|knobs| knobs.latency_ms = 0);
    assert_eq!(one.watch(&run_id).await.state(), RunState::Finished);
    let (a, b) = (worker(one, "a").await.expect("A"), worker(one, "b").await.expect("B"));
    assert_eq!(a.batches_completed + b.batches_completed, i64::from(all));
    assert!(b.batches_completed >= 3, "{a:?} {b:?}");
    (run_id, b.batches_completed)
}

fn assert_perfect(herd: &Server, ledger: &Ledger, most_attempts: i64, given: i64) {
    assert!(herd.book().is_perfect(), "{:?}", herd.book().summary());
    assert_nothing_lost(&herd.book(), ledger);
    assert_eq!(most_attempts, 1, "what was given back is not charged");
    let all = i64::try_from(ANIMALS / PER_BATCH).expect("few");
    let endings = [("completed".to_owned(), all), ("released".to_owned(), given)];
    assert_eq!(ledger.endings, endings.into(), "what A gave back B had, and nobody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_nothing_to_do_gets_what_another_has_in_stock() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let herd = stand_in(Config::calm(ANIMALS));
    let cluster = Cluster::with(place.path(), &["--pipelines", &pipeline(&place)], &[]).await;
    let (run_id, given) = a_second_worker_helps(&cluster, &cluster, &herd).await;
    let database = cluster.database();
    assert_perfect(&herd, &Ledger::read(&database, &run_id), most_attempts(&database, &run_id), given);
}

#[tokio::test(flavor = "multi_thread")]
async fn also_where_they_ask_two_coordinators() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let herd = stand_in(Config::calm(ANIMALS));
    let database = Postgres::start();
    let pipelines = pipeline(&place);
    let flags = ["--pipelines", pipelines.as_str()];
    let one = Cluster::sharing(place.path(), &database.url(), &flags, &[]).await;
    let other = Cluster::sharing(place.path(), &database.url(), &flags, &[]).await;
    let (run_id, given) = a_second_worker_helps(&one, &other, &herd).await;
    let attempts = database.sql("SELECT max(attempt) FROM batches");
    let attempts = attempts.trim().parse().expect("a number");
    assert_perfect(&herd, &Ledger::read_shared(&database, &run_id), attempts, given);
}
