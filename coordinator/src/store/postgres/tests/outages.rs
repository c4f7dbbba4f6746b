//! The database goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_postgres::Postgres;

use crate::domain::{DeliveryState, RunId};
use crate::planted::Planted;
use crate::store::conformance::bench::{A, Bench, begin, new_run, report};
use crate::store::postgres::PostgresBackend;
use crate::store::{Begun, Completion, Store, StoreError};

/// Starts runs until it is told to stop; gives the names of those that were acknowledged, and how often it was refused.
async fn start_runs(store: Arc<dyn Store>, name: String, stop: Arc<AtomicBool>) -> (Vec<RunId>, usize) {
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let run = new_run(&format!("{name}-{number}"));
        match store.start_run(run.clone()).await {
            Ok(_) => acknowledged.push(run.id),
            Err(StoreError::Unavailable(_)) => refused += 1,
            Err(error) => panic!("an outage is answered {error:?}"),
        }
    }
    (acknowledged, refused)
}

/// Waits until the store can be written.
async fn until_it_is_back(store: &dyn Store) {
    for _ in 0..100 {
        if store.expire().await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the store does not find its database again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_nothing_that_was_acknowledged() {
    let server = Postgres::start();
    let mut harness = PostgresBackend::new(server.url(), Planted::default()).next().await;
    let other: Arc<dyn Store> = harness.another().await;
    let bench = Bench::on(Box::new(harness));
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;

    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = [bench.store(), Arc::clone(&other)]
        .into_iter()
        .enumerate()
        .map(|(number, store)| tokio::spawn(start_runs(store, format!("run-{number}"), Arc::clone(&stop))))
        .collect();
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        server.down();
        let away = other.expire().await;
        assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
        assert!(other.writable().is_err(), "who asks whether it can be written hears that it cannot");
        server.up();
        until_it_is_back(other.as_ref()).await;
        until_it_is_back(bench.store().as_ref()).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut refused = 0;
    for busy in busy {
        let (acknowledged, times) = busy.await.unwrap();
        refused += times;
        assert!(!acknowledged.is_empty());
        for id in acknowledged {
            assert!(bench.store().run(&id).await.unwrap().is_some(), "{id} was acknowledged and is gone");
        }
    }
    assert!(refused > 0, "nobody noticed the outages");

    // The lease of before holds, and so does what was announced under it.
    let begun = bench.begin(A, &lease, begin(1, 0..4, 0)).await;
    assert!(matches!(begun, Ok(Begun::Announced { number: 1, .. })), "{begun:?}");
    let done = bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    assert_eq!(done, Completion::Done);
    assert_eq!(bench.counts(&run).await.loaded, 4);
}
