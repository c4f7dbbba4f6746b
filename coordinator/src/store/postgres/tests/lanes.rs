//! Connections that lanes keep: what becomes of them when the server ends them, and when the store is closed.

use std::time::{Duration, Instant};

use super::opening::database;
use super::server;
use crate::domain::{DeliveryState, Run};
use crate::planted::Planted;
use crate::store::conformance::Bench;
use crate::store::conformance::bench::{A, B, begin, new_run, report};
use crate::store::postgres::{LANES, PostgresBackend};
use crate::store::{Completion, GrantedLease, StoreError};

/// A ledger with a run of two batches, in a database of its own: by its name its connections are told from those of
/// others. All lanes are connected, and one batch is leased and announced.
async fn connected() -> (String, Bench, Run, GrantedLease) {
    let url = database(server());
    let name = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0.to_owned();
    let bench = Bench::on(Box::new(PostgresBackend::new(url, Planted::default()).next().await));
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"]]).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    // Those for acquisitions, those for announcements and reports, and what all others share.
    until("all lanes are connected", &name, |connections| connections > 2 * LANES).await;
    (name, bench, run, lease)
}

/// Waits until there are so many connections to a database.
async fn until(what: &str, name: &str, so_many: impl Fn(u32) -> bool) {
    let count =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND backend_type = 'client backend'");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let connections = server().sql(&count).parse().unwrap();
        if so_many(connections) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: there are {connections} connections");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_was_ended_costs_nobody_his_call() {
    let (name, bench, run, first) = connected().await;
    server().sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
    // Who listens connects again by himself.
    until("all are ended", &name, |connections| connections <= 1).await;
    let second = bench.lease(B).await;
    bench.announce(B, &second, begin(1, 0..4, 0)).await;
    for (session, lease) in [(A, &first), (B, &second)] {
        let applied = report(&[(1, DeliveryState::Applied)], &[]);
        assert_eq!(bench.complete(session, lease, applied).await, Completion::Done);
    }
    bench.store().writable().unwrap();
    assert_eq!(bench.counts(&run).await.loaded, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_closed_leaves_no_connection() {
    let (name, bench, _, lease) = connected().await;
    bench.store().close().await;
    until("all are closed", &name, |connections| connections == 0).await;
    let late = bench.store().begin(A, lease.token, begin(1, 0..4, 0)).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
}
