//! SQLite under the conformance suite, and what only SQLite can get wrong.

mod item_rows;
mod opening;
mod upgrading;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{OpenError, Options, SqliteBackend, SqliteStore};
use crate::domain::DeliveryState;
use crate::planted::Planted;
use crate::store::conformance::bench::{A, begin, new_run, report};
use crate::store::conformance::{self, Bench, promises};
use crate::store::ledger::{Halt, Statement, Tx, Value};
use crate::store::{Completion, LEASE_TTL, Queries, Store, StoreError, StoreResult, Transitions};

fn backend() -> (SqliteBackend, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (SqliteBackend::new(folder.path().to_owned(), Planted::default()), folder)
}

#[tokio::test]
async fn runs() {
    let (backend, _folder) = backend();
    conformance::runs(&backend).await;
}

#[tokio::test]
async fn listing() {
    let (backend, _folder) = backend();
    conformance::listing(&backend).await;
}

#[tokio::test]
async fn list_guards() {
    let (backend, _folder) = backend();
    conformance::list_guards(&backend).await;
}

#[tokio::test]
async fn since() {
    let (backend, _folder) = backend();
    conformance::since(&backend).await;
}

#[tokio::test]
async fn unknown_fields() {
    let (backend, _folder) = backend();
    conformance::unknown_fields(&backend).await;
}

#[tokio::test]
async fn acquiring() {
    let (backend, _folder) = backend();
    conformance::acquiring(&backend).await;
}

#[tokio::test]
async fn sharing() {
    let (backend, _folder) = backend();
    conformance::sharing(&backend).await;
}

#[tokio::test]
async fn stock() {
    let (backend, _folder) = backend();
    conformance::stock(&backend).await;
}

#[tokio::test]
async fn rates() {
    let (backend, _folder) = backend();
    conformance::rates(&backend).await;
}

#[tokio::test]
async fn holding() {
    let (backend, _folder) = backend();
    conformance::holding(&backend).await;
}

#[tokio::test]
async fn items() {
    let (backend, _folder) = backend();
    conformance::items(&backend).await;
}

#[tokio::test]
async fn identities() {
    let (backend, _folder) = backend();
    conformance::identities(&backend).await;
}

#[tokio::test]
async fn announcing() {
    let (backend, _folder) = backend();
    conformance::announcing(&backend).await;
}

#[tokio::test]
async fn reporting() {
    let (backend, _folder) = backend();
    conformance::reporting(&backend).await;
}

#[tokio::test]
async fn rounds() {
    let (backend, _folder) = backend();
    conformance::rounds(&backend).await;
}

#[tokio::test]
async fn settling() {
    let (backend, _folder) = backend();
    conformance::settling(&backend).await;
}

#[tokio::test]
async fn probing() {
    let (backend, _folder) = backend();
    conformance::probing(&backend).await;
}

#[tokio::test]
async fn partly_applied() {
    let (backend, _folder) = backend();
    conformance::partly_applied(&backend).await;
}

#[tokio::test]
async fn protecting() {
    let (backend, _folder) = backend();
    conformance::protecting(&backend).await;
}

#[tokio::test]
async fn costs() {
    let (backend, _folder) = backend();
    conformance::costs(&backend).await;
}

#[tokio::test]
async fn outbox() {
    let (backend, _folder) = backend();
    conformance::outbox(&backend).await;
}

#[tokio::test]
async fn stalls() {
    let (backend, _folder) = backend();
    conformance::stalls(&backend).await;
}

#[tokio::test]
async fn declined() {
    let (backend, _folder) = backend();
    conformance::declined(&backend).await;
}

#[tokio::test]
async fn deleting() {
    let (backend, _folder) = backend();
    conformance::deleting(&backend).await;
}

#[tokio::test]
async fn expiring() {
    let (backend, _folder) = backend();
    conformance::expiring(&backend).await;
}

#[tokio::test]
async fn doubts() {
    let (backend, _folder) = backend();
    conformance::doubts(&backend).await;
}

#[tokio::test]
async fn cancelling() {
    let (backend, _folder) = backend();
    conformance::cancelling(&backend).await;
}

#[tokio::test]
async fn reading() {
    let (backend, _folder) = backend();
    conformance::reading(&backend).await;
}

/// MUSTER_TEST_SEQUENCES makes the campaign longer. Four at a time, since each spends its time waiting for the disk.
#[tokio::test]
async fn random_sequences() {
    let (backend, _folder) = backend();
    let sequences = std::env::var("MUSTER_TEST_SEQUENCES").ok().and_then(|count| count.parse().ok()).unwrap_or(200);
    let quarter = u64::div_ceil(sequences, 4);
    let campaigns = (0..4).map(|part| conformance::random(&backend, part * quarter..(part + 1) * quarter));
    let seen = futures::future::join_all(campaigns).await.into_iter().flatten().collect::<Vec<_>>();
    conformance::assert_all_seen(&seen);
}

#[tokio::test]
async fn random_shares() {
    let (backend, _folder) = backend();
    let seen = conformance::random_shares(&backend, 0..40).await.into_iter().collect::<Vec<_>>();
    conformance::assert_all_shares_seen(&seen);
}

#[tokio::test]
async fn promises() {
    let (backend, _folder) = backend();
    for promise in promises::ALL {
        assert_eq!((promise.check)(&backend).await, Ok(()), "promise {}: {}", promise.number, promise.words);
    }
}

/// Statements of a test.
fn run(tx: &Tx<'_>, statements: &[&'static str]) -> Result<(), Halt> {
    for sqlite in statements {
        tx.connection.execute(&Statement { name: "", sqlite, postgres: "" }, &[])?;
    }
    Ok(())
}

/// A transition that goes well until it is committed.
fn uncommittable(tx: &Tx<'_>) -> Result<(), Halt> {
    run(tx, &["PRAGMA defer_foreign_keys = ON", "INSERT INTO verdicts (run, round, verdict) VALUES (-1, 1, '')"])
}

fn is_unavailable<T>(answer: &StoreResult<T>) -> bool {
    matches!(answer, Err(StoreError::Unavailable(_)))
}

#[tokio::test]
async fn a_failed_commit_answers_unavailable_to_all_it_carried() {
    let (backend, _folder) = backend();
    let harness = backend.next();
    let store = harness.sqlite();
    // While the first transition waits, the others queue up behind it and share its commit.
    let (go, wait) = std::sync::mpsc::channel();
    let writer = store.writer().unwrap();
    let first = writer.call_worker(move |_| {
        wait.recv().unwrap();
        Ok(())
    });
    let release = async { go.send(()).unwrap() };
    let (first, second, third, ()) =
        tokio::join!(first, store.start_run(new_run("one")), writer.call_worker(uncommittable), release);
    assert!(is_unavailable(&first) && is_unavailable(&second) && is_unavailable(&third));
    assert!(store.runs(None, 10).await.unwrap().is_empty(), "nothing of it was committed");
    store.start_run(new_run("one")).await.unwrap();
    assert_eq!(store.runs(None, 10).await.unwrap().len(), 1, "and the store goes on");
}

#[tokio::test]
async fn a_transition_that_fails_takes_nothing_else_with_it() {
    let (backend, _folder) = backend();
    let harness = backend.next();
    let store = harness.sqlite();
    let (go, wait) = std::sync::mpsc::channel();
    let writer = store.writer().unwrap();
    let first = writer.call_worker(move |_| {
        wait.recv().unwrap();
        Ok(())
    });
    let failing =
        writer.call_worker(|tx| run(tx, &["UPDATE runs SET state = 2", "INSERT INTO no_such_table VALUES (1)"]));
    let release = async { go.send(()).unwrap() };
    let (first, second, third, ()) = tokio::join!(first, store.start_run(new_run("one")), failing, release);
    assert!(first.is_ok() && second.is_ok());
    assert!(matches!(third, Err(StoreError::Damaged(_))), "{third:?}");
    let run = store.runs(None, 10).await.unwrap().remove(0);
    assert_eq!(run.state, crate::domain::RunState::Running, "not half of it was written");
}

#[tokio::test]
async fn a_transition_that_panics_is_undone_and_the_thread_goes_on() {
    let (backend, _folder) = backend();
    let harness = backend.next();
    let store = harness.sqlite();
    store.start_run(new_run("one")).await.unwrap();
    let panicking = |tx: &Tx<'_>| -> Result<(), Halt> {
        run(tx, &["UPDATE runs SET state = 2"])?;
        panic!("no page {}", 7)
    };
    let answer = store.writer().unwrap().call_worker(panicking).await;
    assert!(matches!(&answer, Err(StoreError::Damaged(reason)) if reason.ends_with("no page 7")), "{answer:?}");
    let run = store.runs(None, 10).await.unwrap().remove(0);
    assert_eq!(run.state, crate::domain::RunState::Running, "nothing of it was written");
    store.start_run(new_run("two")).await.unwrap();
}

#[tokio::test]
async fn an_outage_of_the_disk_revokes_no_lease() {
    let (backend, _folder) = backend();
    let harness = backend.next();
    let store = Arc::clone(harness.sqlite());
    let bench = Bench::on(Box::new(harness));
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    for _ in 0..60 {
        bench.silence(Duration::from_secs(1)).await;
        assert!(is_unavailable(&store.writer().unwrap().call_worker(uncommittable).await));
    }
    bench.pass(LEASE_TTL - Duration::from_secs(1)).await;
    let done = bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    assert_eq!(done, Completion::Done, "its holder could not renew, and has a whole TTL to be heard again");
    assert_eq!(bench.verdict(&run).await.possible_copies, 0);
}

#[tokio::test]
async fn what_is_committed_is_on_the_disk() {
    let (backend, _folder) = backend();
    let harness = backend.next();
    let pragma = |name: &'static str| {
        harness.sqlite().writer().unwrap().call_worker(move |tx| {
            let row = tx.connection.query(&Statement { name, sqlite: name, postgres: "" }, &[])?.remove(0);
            Ok(row.0[0].clone())
        })
    };
    assert_eq!(pragma("PRAGMA synchronous").await.unwrap().unwrap(), Value::Int(Some(2)));
    assert_eq!(pragma("PRAGMA journal_mode").await.unwrap().unwrap(), Value::Text(Some("wal".to_owned())));
    assert_eq!(pragma("PRAGMA foreign_keys").await.unwrap().unwrap(), Value::Int(Some(1)));
    assert_eq!(pragma("PRAGMA mmap_size").await.unwrap().unwrap(), Value::Int(Some(0)));
    assert!(rusqlite::version_number() >= 3_051_003, "a corruption of the WAL was mended there");
}

fn open(path: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, Options::default())
}

#[tokio::test]
async fn a_ledger_has_one_writing_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::InUse(_))));
    first.start_run(new_run("one")).await.unwrap();
    let reader = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(reader.runs(None, 10).await.unwrap().len(), 1, "looking is allowed");
    assert!(matches!(reader.start_run(new_run("two")).await, Err(StoreError::ReadOnly)));
    first.close().await;
    assert!(is_unavailable(&first.start_run(new_run("two")).await), "closed is closed");
    let second = open(&path).unwrap();
    assert_eq!(second.runs(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_closed_ledger_is_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("ledger.db"), folder.path().join("copy.db"));
    let store = open(&path).unwrap();
    store.start_run(new_run("one")).await.unwrap();
    assert_eq!(store.runs(None, 10).await.unwrap().len(), 1);
    store.close().await;
    std::fs::copy(&path, &copy).unwrap();
    assert!(is_unavailable(&store.runs(None, 10).await), "closed is closed");
    let reader = SqliteStore::open_read_only(&copy).unwrap();
    assert_eq!(reader.runs(None, 10).await.unwrap().len(), 1);
}

/// Its lease would keep others waiting, though the lock on the file shows that its holder is dead.
#[tokio::test]
async fn a_dead_process_holds_no_listing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let store = SqliteStore::open(&path, Options::default()).unwrap();
    store.start_run(new_run("one")).await.unwrap();
    let before = store.take_listing("the dead", LEASE_TTL).await.unwrap().unwrap();
    assert!(store.take_listing("another", LEASE_TTL).await.unwrap().is_none());
    store.close().await;
    drop(store);
    let store = SqliteStore::open(&path, Options::default()).unwrap();
    let after = store.take_listing("another", LEASE_TTL).await.unwrap().unwrap();
    assert!(after.lease.epoch > before.lease.epoch, "and it is fenced");
}
