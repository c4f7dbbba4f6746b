//! Files of older versions, and what becomes of the space of deleted runs.

use super::super::migrations;
use super::*;
use crate::store::conformance::bench::run_with;
use crate::store::{Outcomes, Redrive};

/// A ledger that the program of schema version 1 wrote.
fn of_version_1(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(include_str!("../fixtures/schema_1.sql")).unwrap();
}

#[tokio::test]
async fn an_older_ledger_is_upgraded_and_a_copy_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    of_version_1(&path);
    let refused = SqliteStore::open_read_only(&path).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::TooOld { found: 1, .. }), "reading alone changes nothing");

    let bench = Bench::on(Box::new(SqliteBackend::new(folder.path().to_owned(), Planted::default()).on(path.clone())));
    let runs = bench.store().runs(None, 10).await.unwrap();
    let [waiting, over] = &runs[..] else { panic!("{runs:?}") };
    let verdict = bench.verdict(over).await;
    assert_eq!((verdict.counts.loaded, verdict.counts.dead_letter), (22, 2));
    assert_eq!(over.verdict.as_ref().map(|verdict| verdict.counts), Some(verdict.counts), "as it was written then");
    assert_eq!(bench.store().rounds(over).await.unwrap().len(), 1);
    let much_later = crate::domain::Timestamp::from_millis(i64::MAX);
    assert_eq!(bench.store().started(over, much_later).await.unwrap(), over.created_at, "all that is known of it");
    assert_eq!(bench.counts(waiting).await.pending, 24);
    let lease = bench.lease(A).await;
    assert_eq!(bench.deliver(A, &lease, DeliveryState::Applied).await, Completion::Done);
    let redrive = Redrive { outcomes: Outcomes { dead_letter: true, ..Default::default() }, ..Default::default() };
    bench.store().redrive(&over.id, redrive).await.unwrap();
    assert_eq!(bench.run(&over.id).await.round, 2);

    let copy = rusqlite::Connection::open(migrations::copy_of(&path, 1)).unwrap();
    let count = |what: &str| copy.query_row(what, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((count("PRAGMA user_version"), count("SELECT count(*) FROM records")), (1, 48));
    let vacuum: i64 =
        rusqlite::Connection::open(&path).unwrap().query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).unwrap();
    assert_eq!(vacuum, 2, "deleted runs give their space back");
}

/// What a version after this one would do that only adds.
const ADDED: &str = "ALTER TABLE runs ADD COLUMN of_the_future INTEGER NOT NULL DEFAULT 7;
                     ALTER TABLE batches ADD COLUMN of_the_future TEXT;
                     CREATE TABLE things_of_the_future (thing INTEGER);
                     UPDATE muster_schema SET applied = 99;";

#[tokio::test]
async fn a_newer_ledger_that_was_only_added_to_is_used_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    open(&path).unwrap().close().await;
    rusqlite::Connection::open(&path).unwrap().execute_batch(ADDED).unwrap();
    let bench = Bench::on(Box::new(SqliteBackend::new(folder.path().to_owned(), Planted::default()).on(path.clone())));
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    assert_eq!(bench.deliver(A, &lease, DeliveryState::Applied).await, Completion::Done);
    bench.conclude(&run).await;
    assert!(bench.run(&run.id).await.verdict.is_some_and(|verdict| verdict.is_complete()));
    assert_eq!(SqliteStore::open_read_only(&path).unwrap().runs(None, 10).await.unwrap().len(), 1);
    drop(bench);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let applied: i64 = connection.query_row("SELECT applied FROM muster_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(applied, 99, "it stays what it is");
    assert!(!migrations::copy_of(&path, 99).exists());
}

/// A program of the version before looks at `user_version` alone.
#[tokio::test]
async fn the_version_before_may_use_an_upgraded_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    open(&path).unwrap().close().await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 3);
}

#[test]
fn without_a_copy_nothing_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    of_version_1(&path);
    // Something that is no file stands where the copy goes.
    std::fs::create_dir(migrations::copy_of(&path, 1)).unwrap();
    let refused = open(&path).map(drop).unwrap_err().to_string();
    assert!(refused.contains("schema-1") && refused.contains("copy"), "{refused}");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
}

#[tokio::test]
async fn deleted_runs_give_their_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let bench = Bench::on(Box::new(SqliteBackend::new(folder.path().to_owned(), Planted::default()).on(path.clone())));
    let new = run_with("one", |terms| terms.max_batch = 1000);
    let ids: Vec<String> = (0..30_000).map(|id| format!("\"{id:0>60}\"")).collect();
    let run = bench.listed(new, &[&ids.iter().map(String::as_str).collect::<Vec<_>>()]).await;
    bench.store().cancel_run(&run.id).await.unwrap();
    bench.conclude(&run).await;
    let pages = || {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let before = pages();
    bench.store().delete_run(&run.id).await.unwrap();
    let mut sweeps = 0;
    while bench.store().sweep().await.unwrap().more {
        sweeps += 1;
    }
    assert!(sweeps < 30, "{sweeps} sweeps, a commit each");
    let after = pages();
    assert!(after * 10 < before, "{before} pages before, {after} after");
}
