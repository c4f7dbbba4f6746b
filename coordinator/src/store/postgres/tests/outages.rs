//! The database goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_postgres::Postgres;
use tokio::sync::watch;

use super::opening::database;
use super::server;
use crate::domain::{DeliveryState, RunId};
use crate::planted::Planted;
use crate::store::conformance::bench::{A, Bench, begin, new_run, report};
use crate::store::postgres::{Options, PostgresBackend, PostgresStore};
use crate::store::{Begun, Completion, Queries, Started, Store, StoreError, Transitions};

/// Starts runs until it is told to stop, and counts each; gives the names of those that were acknowledged, and how often it was
/// refused.
async fn start_runs(
    store: Arc<dyn Store>,
    name: String,
    stop: Arc<AtomicBool>,
    count: watch::Sender<usize>,
) -> (Vec<RunId>, usize) {
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let run = new_run(&format!("{name}-{number}"));
        match store.start_run(run.clone()).await {
            Ok(_) => {
                acknowledged.push(run.id);
                count.send_modify(|count| *count += 1);
            }
            Err(StoreError::Unavailable(_)) => refused += 1,
            Err(error) => panic!("an outage is answered {error:?}"),
        }
    }
    (acknowledged, refused)
}

/// Waits until the store can be written: it looks for its database by itself, and each look takes its time.
async fn until_it_is_back(store: &dyn Store) {
    let written = async { while store.expire().await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(60), written).await.expect("the store finds its database again");
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
    let (started, mut acknowledged) = watch::channel(0);
    let busy: Vec<_> = [bench.store(), Arc::clone(&other)]
        .into_iter()
        .enumerate()
        .map(|(number, store)| {
            tokio::spawn(start_runs(store, format!("run-{number}"), Arc::clone(&stop), started.clone()))
        })
        .collect();
    for _ in 0..3 {
        // In the middle of things: some more were started since the last outage.
        let before = *acknowledged.borrow();
        acknowledged.wait_for(|count| *count >= before + 10).await.unwrap();
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

/// A store on a database of its own, and what happens to each COMMIT of a run there.
async fn at_commit(what: &str) -> (PostgresStore, String) {
    let url = database(server());
    let store = PostgresStore::open(&url, Options::default()).await.unwrap();
    let trigger = format!(
        "CREATE SEQUENCE commits;
         CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what} RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON runs DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION at_commit();"
    );
    server().run_in(&url, &trigger);
    (store, url)
}

#[tokio::test]
async fn a_commit_that_is_not_answered_is_not_acknowledged() {
    let (store, url) = at_commit("PERFORM pg_terminate_backend(pg_backend_pid());").await;
    let answer = store.start_run(new_run("one")).await;
    let Err(StoreError::Unavailable(words)) = answer else { panic!("a lost COMMIT is answered {answer:?}") };
    assert!(words.contains("not known whether it was committed"), "{words}");
    server().run_in(&url, "DROP TRIGGER at_commit ON runs");
    assert!(matches!(store.start_run(new_run("one")).await.unwrap(), Started::New(_)), "repeated, it goes through");
    assert_eq!(store.runs(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_another_transaction_was_in_the_way_of_is_tried_again() {
    let refuse = |times: u32| {
        format!("IF nextval('commits') <= {times} THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '40001'; END IF;")
    };
    let (store, _) = at_commit(&refuse(3)).await;
    assert!(matches!(store.start_run(new_run("one")).await.unwrap(), Started::New(_)));
    assert_eq!(store.runs(None, 10).await.unwrap().len(), 1, "once");
    let (store, _) = at_commit(&refuse(1_000)).await;
    let answer = store.start_run(new_run("one")).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "not for ever: {answer:?}");
    store.writable().unwrap();
}
