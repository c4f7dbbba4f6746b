//! Which databases are taken for a ledger, and which are not.

use std::sync::atomic::{AtomicU32, Ordering};

use muster_postgres::Postgres;
use sqlx::Connection;

use super::server;
use crate::audit::audit;
use crate::domain::DeliveryState;
use crate::planted::Planted;
use crate::store::conformance::Bench;
use crate::store::conformance::bench::{A, new_run};
use crate::store::postgres::{OpenError, Options, PostgresBackend, PostgresStore};
use crate::store::{Completion, Fenced, Queries, Started, Store, Transitions};

/// A database of its own: some of what is set here is set for a whole one.
pub(super) fn database(server: &Postgres) -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let name = format!("opening_{}", MADE.fetch_add(1, Ordering::Relaxed));
    server.sql(&format!("CREATE DATABASE {name}"));
    server.url().replace("/postgres?", &format!("/{name}?"))
}

async fn refused(url: &str) -> String {
    match PostgresStore::open(url, Options::default()).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn an_empty_database_becomes_a_ledger_once() {
    let url = database(server());
    // Whoever comes at the same time finds it made.
    let together = (0..4).map(|_| PostgresStore::open(&url, Options::default()));
    let stores = futures::future::join_all(together).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    assert!(matches!(stores[0].start_run(new_run("one")).await.unwrap(), Started::New(_)));
    assert_eq!(stores[3].runs(None, 10).await.unwrap().len(), 1);
    stores[3].writable().unwrap();
}

#[tokio::test]
async fn another_programs_database_and_a_newer_ledger_are_left_alone() {
    let url = database(server());
    sqlx_run(&url, "CREATE TABLE customers (id integer)").await;
    let said = refused(&url).await;
    assert!(said.contains("another program") && said.contains("search_path") && !said.contains("canary"), "{said}");
    sqlx_run(&url, "CREATE SCHEMA own").await;
    let own = format!("{url}&options=-csearch_path%3Down");
    PostgresStore::open(&own, Options::default()).await.unwrap().close().await;
    sqlx_run(&url, "UPDATE own.muster_schema SET version = 99").await;
    let said = refused(&own).await;
    assert!(said.contains("schema version 99") && said.contains("use a newer muster"), "{said}");
    let nowhere = format!("{url}&options=-csearch_path%3Dnowhere");
    assert!(refused(&nowhere).await.contains("CREATE SCHEMA"));
}

/// What a version after this one would do that only adds.
const ADDED: &str = "ALTER TABLE runs ADD COLUMN of_the_future bigint NOT NULL DEFAULT 7;
                     ALTER TABLE batches ADD COLUMN of_the_future text;
                     CREATE TABLE things_of_the_future (thing bigint);
                     UPDATE muster_schema SET applied = 99;";

#[tokio::test]
async fn a_newer_ledger_that_was_only_added_to_is_used_as_it_is() {
    let harness = PostgresBackend::new(server().url(), Planted::default()).next().await;
    let url = harness.url.clone();
    let mut bench = Bench::on(Box::new(harness));
    let (before, run) = (bench.one_batch(new_run("before"), 4).await, bench.one_batch(new_run("one"), 4).await);
    let held = bench.lease(A).await;
    // One that serves goes on, and so does one that is started.
    sqlx_run(&url, ADDED).await;
    assert_eq!(bench.deliver(A, &held, DeliveryState::Applied).await, Completion::Done);
    bench.conclude(&before).await;
    bench.restart().await;
    let lease = bench.lease(A).await;
    assert_eq!(bench.deliver(A, &lease, DeliveryState::Applied).await, Completion::Done);
    bench.conclude(&run).await;
    for run in [before, run] {
        assert!(bench.run(&run.id).await.verdict.is_some_and(|verdict| verdict.is_complete()));
    }
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    let told: (i32, i32) =
        sqlx::query_as("SELECT version, applied FROM muster_schema").fetch_one(&mut connection).await.unwrap();
    assert_eq!(told, (1, 99), "it stays what it is, and a program of the first version may use it");
}

#[tokio::test]
async fn a_ledger_of_the_first_version_is_upgraded_beside_whoever_uses_it() {
    let url = database(server());
    let first = include_str!("../migrations/0001_ledger.sql");
    let place = "CREATE TABLE muster_schema (version integer NOT NULL); INSERT INTO muster_schema VALUES (1);";
    sqlx_run(&url, &format!("{place}{first}")).await;
    // Somebody has the tables in hand.
    let mut other = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE runs IN ROW EXCLUSIVE MODE").execute(&mut other).await.unwrap();
    let upgraded = tokio::spawn({
        let url = url.clone();
        async move { PostgresStore::open(&url, Options::default()).await }
    });
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%ADD COLUMN%'
                 AND datname = current_database()";
    // Through another one: within a transaction it would see what it saw first.
    let mut looking = sqlx::PgConnection::connect(&url).await.unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut looking).await.unwrap() {
        assert!(tokio::time::Instant::now() < deadline && !upgraded.is_finished(), "the upgrade waits for nobody");
    }
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    let store = upgraded.await.unwrap().unwrap();
    assert!(matches!(store.start_run(new_run("one")).await.unwrap(), Started::New(_)));
}

async fn sqlx_run(url: &str, text: &str) {
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_database_that_loses_commits_is_refused_or_said_aloud() {
    let url = database(server());
    let name = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0.to_owned();
    let first = PostgresStore::open(&url, Options::default()).await.unwrap();
    let Started::New(before) = first.start_run(new_run("before")).await.unwrap() else { panic!("it is new") };
    let (_, verdict) = audit(&first, &before.id, None).await.unwrap().unwrap();
    assert!(!verdict.degraded);
    let Started::New(over) = first.start_run(new_run("over")).await.unwrap() else { panic!("it is new") };
    first.cancel_run(&over.id).await.unwrap();
    let (read, verdict) = audit(&first, &over.id, None).await.unwrap().unwrap();
    assert_eq!(first.conclude(&read, &verdict, &[]).await.unwrap(), Fenced::Committed(()));
    first.close().await;

    server().sql(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let said = refused(&url).await;
    assert!(said.contains("synchronous_commit = off") && said.contains("--accept-data-loss"), "{said}");
    let options = Options { accept_data_loss: true, ..Options::default() };
    let degraded = PostgresStore::open(&url, options).await.unwrap();
    let (_, verdict) = audit(&degraded, &before.id, None).await.unwrap().unwrap();
    assert!(verdict.degraded, "the run goes on without what protects it");
    let (_, verdict) = audit(&degraded, &over.id, None).await.unwrap().unwrap();
    assert!(!verdict.degraded, "it was over before");
    degraded.close().await;

    server().sql(&format!("ALTER DATABASE {name} SET synchronous_commit = on"));
    let again = PostgresStore::open(&url, Options::default()).await.unwrap();
    let (_, verdict) = audit(&again, &before.id, None).await.unwrap().unwrap();
    assert!(verdict.degraded, "what was lost then is not back");
    let (_, verdict) = audit(&again, &over.id, None).await.unwrap().unwrap();
    assert!(!verdict.degraded, "and nothing was of one that was over before");
}

#[tokio::test]
async fn a_replica_is_refused() {
    let server = Postgres::start();
    server.down();
    server.stand_by();
    let said = refused(&server.url()).await;
    assert!(said.contains("read replica") && said.contains("name its primary"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_entered_says_what_to_do_and_no_password() {
    let url = server().url();
    let absent = url.replace("/postgres?", "/nowhere?");
    let said = refused(&absent).await;
    assert!(said.contains("CREATE DATABASE") && !said.contains("canary"), "{said}");
    let error = PostgresStore::open("postgres://me:canary@host:port/db", Options::default()).await;
    assert!(matches!(error, Err(OpenError::Url(text)) if !text.contains("canary")));
}

/// As docs/OPERATIONS.md has it.
#[tokio::test]
async fn a_backup_is_a_ledger_again() {
    let url = database(server());
    let store = PostgresStore::open(&url, Options::default()).await.unwrap();
    let Started::New(run) = store.start_run(new_run("one")).await.unwrap() else { panic!("it is new") };
    let tool = |name: &str, arguments: &[&str]| {
        let ran = server().tool(name, arguments);
        assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
    };
    tool("pg_dump", &["--format=custom", "--file=muster.dump", &url]);
    let Started::New(later) = store.start_run(new_run("two")).await.unwrap() else { panic!("it is new") };
    store.close().await;

    let restored = database(server());
    tool("pg_restore", &["--exit-on-error", "--dbname", &restored, "muster.dump"]);
    let store = PostgresStore::open(&restored, Options::default()).await.unwrap();
    assert_eq!(store.run(&run.id).await.unwrap().map(|run| run.id), Some(run.id));
    assert!(store.run(&later.id).await.unwrap().is_none(), "it came after the backup");
    assert!(matches!(store.start_run(new_run("three")).await.unwrap(), Started::New(_)), "and goes on");
}
