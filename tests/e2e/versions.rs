//! A worker and a coordinator one version apart work together, or say plainly that they do not.

use animals_api::{Config, Server};
use muster_proto::v1::{
    AcquireLeasesRequest, AttendRequest, CompleteBatchRequest, CompletionState, Lease, RecordOutcome, RecordReport,
    RunState, WorkerInfo,
};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::until_some;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::pipelines::{self, variant};
use muster_tests::turn;
use tonic::{Code, Status};

use crate::stand_in;

const SESSION: &str = "session-of-an-older-worker";

/// What a worker of this version of the protocol asks; version 1 did not tell.
fn request(protocol: i32, capacity: i32) -> AcquireLeasesRequest {
    let worker = WorkerInfo { name: "older".to_owned(), version: "0.0.9".to_owned(), protocol };
    AcquireLeasesRequest {
        session_id: SESSION.to_owned(),
        worker: Some(worker),
        capacity,
        ..AcquireLeasesRequest::default()
    }
}

async fn leases(cluster: &Cluster, protocol: i32) -> Result<Vec<Lease>, Status> {
    cluster.as_worker().acquire_leases(request(protocol, 1)).await.map(|answer| answer.into_inner().leases)
}

/// A pipeline that probes its doubts, beside the built-in one that sends them again.
fn probing() -> String {
    let probe = "on_doubt: probe\n  probe:\n    url: ${param:base_url}/animals/v1/home/${record:id}";
    variant(&[("on_doubt: retry", probe)])
}

async fn cluster(server: &Server, folder: &std::path::Path) -> (Cluster, String, String) {
    let dir = pipelines::folder(folder, "probing", &probing());
    let cluster = Cluster::with(folder, &["--pipelines", dir.to_str().expect("a path")], &[]).await;
    let probing = cluster.start_run("probing", &server.base_url()).await;
    let listed = |run: &muster_proto::v1::Run| run.progress.is_some_and(|progress| progress.listing_closed);
    cluster.watch_until(&probing, listed).await;
    let sending = cluster.start_run("animals", &server.base_url()).await;
    (cluster, probing, sending)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_worker_gets_what_it_can_do() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(300)));
    let (cluster, probing, sending) = cluster(&server, folder.path()).await;
    // The older run is the one that probes; a worker of protocol 1 would send its doubts again.
    let lease = until_some("a batch is leased", async || leases(&cluster, 0).await.expect("an answer").pop()).await;
    assert_eq!(lease.run_id, sending);
    let record = |position: &u32| RecordReport {
        position: *position,
        outcome: RecordOutcome::DeadLetter.into(),
        stage: "validate".to_owned(),
        reason: "so said the older worker".to_owned(),
        ..RecordReport::default()
    };
    let report = CompleteBatchRequest {
        session_id: SESSION.to_owned(),
        lease_token: lease.lease_token.clone(),
        records: lease.parts[0].positions.iter().map(record).collect(),
        ..CompleteBatchRequest::default()
    };
    let answer = cluster.as_worker().complete_batch(report).await.expect("an answer").into_inner();
    assert_eq!(answer.state(), CompletionState::Done);
    // A worker of today does the rest of both.
    let _worker = cluster.worker("w1", &[]);
    let counts = async |run_id: &str| {
        assert_eq!(cluster.watch(run_id).await.state(), RunState::Finished);
        let counts = cluster.verify(run_id).await.counts.expect("counts");
        (counts.loaded, counts.dead_letter)
    };
    assert_eq!((counts(&sending).await, counts(&probing).await), ((200, 100), (300, 0)));
    // Both loaded into one home: what one of them gave up on, the other brought.
    let [sending, probing] = [&sending, &probing].map(|run_id| Ledger::read(&cluster.database(), run_id));
    assert_nothing_lost(&server.book(), &sending.and(probing));
    assert_eq!(server.book().summary().copies, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_would_not_share_a_rate_gets_no_batch_of_it() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(300)));
    let limited = variant(&[("  get_timeout: 3s", "  rate: 1000/s\n  get_timeout: 3s")]);
    let dir = pipelines::folder(folder.path(), "limited", &limited);
    let cluster = Cluster::with(folder.path(), &["--pipelines", dir.to_str().expect("a path")], &[]).await;
    let limited = cluster.start_run("limited", &server.base_url()).await;
    let listed = |run: &muster_proto::v1::Run| run.progress.is_some_and(|progress| progress.listing_closed);
    cluster.watch_until(&limited, listed).await;
    assert_eq!(leases(&cluster, 3).await.expect("an answer"), []);
    let _worker = cluster.worker("w1", &[]);
    assert_eq!(cluster.watch(&limited).await.state(), RunState::Finished);
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
    assert_nothing_lost(&server.book(), &Ledger::read(&cluster.database(), &limited));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_an_unknown_version_is_told_so() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(folder.path()).await;
    let newer = muster_proto::PROTOCOL + 1;
    let refused = leases(&cluster, newer).await.expect_err("refused");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let (says, speaks) = (refused.message(), format!("version {newer} of the worker protocol"));
    assert!(says.contains(&speaks) && says.contains("0.0.9") && says.contains("upgrade"), "{says}");
    let attend = AttendRequest { session_id: SESSION.to_owned(), worker: request(newer, 0).worker };
    let refused = cluster.as_worker().attend(attend).await.map(drop).expect_err("refused");
    assert_eq!(refused.code(), Code::FailedPrecondition);
}
