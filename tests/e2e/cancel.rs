//! Promise 9: once CancelRun has answered no delivery begins, fetches stop, and a POST in flight is awaited.

use std::time::Duration;

use animals_api::{ChaosOn, Config};
use muster_proto::v1::begin_delivery_response::Result as Answer;
use muster_proto::v1::{
    AcquireLeasesRequest, BeginDeliveryRequest, CancelRunRequest, DeliveryRefusal, RunState, WorkerInfo,
};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::{until_some, within};
use muster_tests::judge::differences;
use muster_tests::ledger::{Ledger, State};
use muster_tests::pipelines::variant;
use muster_tests::process::Signal;
use muster_tests::{pipelines, turn};

use crate::stand_in;

async fn cancel(cluster: &Cluster, run_id: &str) {
    cluster.runs().cancel_run(CancelRunRequest { run_id: run_id.to_owned() }).await.expect("cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_in_flight_are_awaited_and_no_other_begins() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let stall = Duration::from_millis(1_000)..=Duration::from_millis(2_000);
    let server =
        stand_in(Config { chaos: 1.0, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(8_000) });
    let book = &server.book();
    let cluster = Cluster::start(folder.path()).await;
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    let mut worker = cluster.worker("w1", &["--max-leases", "12"]);
    // Some are acknowledged, others on their way.
    within("POSTs arrive", book.until(|book| book.counters().posts >= 20)).await;
    cancel(&cluster, &run_id).await;
    let announced = Ledger::read(&cluster.database(), &run_id);
    assert!(announced.count(State::Open) > 0, "no POST was in flight");

    let run = cluster.watch(&run_id).await;
    assert_eq!(run.state(), RunState::Cancelled);
    worker.signal(Signal::Terminate);
    worker.ended().await.with_code(0);
    let ledger = Ledger::read(&cluster.database(), &run_id);
    assert_eq!(ledger.deliveries.len(), announced.deliveries.len(), "a delivery began after the cancellation");
    assert!(book.counters().posts <= announced.deliveries.len() as u64, "more POSTs than announcements");
    assert_eq!((ledger.count(State::Open), ledger.count(State::InDoubt)), (0, 0), "a POST in flight was not awaited");
    assert_eq!(differences(book, &ledger), Vec::<String>::new());
    let verdict = cluster.verify(&run_id).await;
    let counts = verdict.counts.expect("counts");
    assert!(verdict.balanced, "{verdict:?}");
    assert_eq!(counts.loaded, i64::try_from(book.accepted().len()).expect("few"));
    assert_eq!(counts.loaded + counts.cancelled, counts.listed);
    // Once more changes nothing.
    cancel(&cluster, &run_id).await;
    assert_eq!(cluster.run(&run_id).await.state(), RunState::Cancelled);
}

/// Announces a delivery in a run that was cancelled; gives why it was refused, or nothing if it was not.
async fn begin_after_cancel(bug: &str) -> Option<DeliveryRefusal> {
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(200));
    let cluster = Cluster::with(folder.path(), &[], &[("MUSTER_PLANTED_BUG", bug)]).await;
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    let session_id = "a-worker-that-hears-nothing".to_owned();
    let worker = WorkerInfo { name: "deaf".to_owned(), ..WorkerInfo::default() };
    let lease = until_some("a batch is leased", async || {
        let wait = Some(prost_types::Duration { seconds: 5, nanos: 0 });
        let request = AcquireLeasesRequest {
            session_id: session_id.clone(),
            worker: Some(worker.clone()),
            capacity: 1,
            wait,
            ..AcquireLeasesRequest::default()
        };
        cluster.as_worker().acquire_leases(request).await.expect("an answer").into_inner().leases.pop()
    })
    .await;
    cancel(&cluster, &run_id).await;
    let request = BeginDeliveryRequest {
        session_id,
        lease_token: lease.lease_token,
        ordinal: 1,
        positions: lease.parts[0].positions.clone(),
        body_sha256: vec![7; 32],
        ..BeginDeliveryRequest::default()
    };
    match cluster.as_worker().begin_delivery(request).await.expect("an answer").into_inner().result {
        Some(Answer::Refused(refused)) => Some(refused.reason()),
        Some(Answer::Begun(_)) => None,
        None => panic!("an answer without a result"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_did_not_hear_of_it_is_refused() {
    let _turn = turn::light().await;
    assert_eq!(begin_after_cancel("").await, Some(DeliveryRefusal::RunCancelled));
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_lets_deliveries_begin_is_noticed() {
    let _turn = turn::light().await;
    assert_eq!(begin_after_cancel("begin_when_stopped").await, None, "was muster built with the feature planted-bugs?");
}

/// Fetches that a worker may still make after it heard of a cancellation, of those that it has leases for.
const STILL: u64 = 100;

/// Cancels a run while a worker with a batch of 1,000 records has fetched some; whether it stopped fetching.
async fn stops_fetching(bug: &str) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { latency: Duration::from_millis(100), page_size: 100, ..Config::calm(1_000) });
    let book = &server.book();
    let pipelines = pipelines::folder(folder.path(), "large", &variant(&[("max_batch: 100", "max_batch: 1000")]));
    let cluster = Cluster::with(folder.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
    let mut worker = cluster.worker_with("w1", &["--concurrency", "8"], &[("MUSTER_PLANTED_BUG", bug)]);
    let run_id = cluster.start_run("large", &server.base_url()).await;
    within("the worker fetches", book.until(|book| book.counters().details >= 50)).await;
    cancel(&cluster, &run_id).await;
    let fetched = book.counters().details;
    // Slots are taken in turn: the worker comes to the end of another run only when it is through with this one.
    let other = stand_in(Config::calm(100));
    let other_run = cluster.start_run("animals", &other.base_url()).await;
    let stopped = tokio::select! {
        () = within("more fetches", book.until(|book| book.counters().details > fetched + STILL)) => false,
        _ = cluster.watch(&other_run) => true,
    };
    worker.signal(Signal::Terminate);
    worker.ended().await.with_code(0);
    stopped && book.counters().details <= fetched + STILL
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_stop() {
    let _turn = turn::light().await;
    assert!(stops_fetching("").await, "the worker went on fetching");
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_goes_on_fetching_is_noticed() {
    let _turn = turn::light().await;
    assert!(!stops_fetching("fetch_after_cancel").await, "was muster built with the feature planted-bugs?");
}
