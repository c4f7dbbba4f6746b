//! PostgreSQL under the conformance suite: a real server, a schema for each ledger, and clocks that a test sets.
//!
//! The database's clock goes on by itself, and the suite's time stands still. So a ledger of a test has one table more,
//! `clock_of_tests`, whose one row stands for the database's clock; only `Time::of_tests` makes a store read it.

#![allow(clippy::unwrap_used, reason = "a suite fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::time::Time;
use super::{Options, PostgresStore};
use crate::planted::Planted;
use crate::store::Store;
use crate::store::conformance::{Backend, Harness};

/// Ledgers on a server, which may have others.
pub struct PostgresBackend {
    url: String,
    planted: Planted,
}

/// Ledgers of this process so far.
static MADE: AtomicU32 = AtomicU32::new(0);

impl PostgresBackend {
    /// New ledgers in the database at this URL, written by programs with this bug. The URL has a query.
    pub fn new(url: String, planted: Planted) -> Self {
        Self { url, planted }
    }

    /// The next ledger.
    pub(super) async fn next(&self) -> PostgresHarness {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let schema = format!("ledger_{}_{number}", std::process::id());
        let mut harness = PostgresHarness {
            server: self.url.clone(),
            url: format!("{}&options=-csearch_path%3D{schema}", self.url),
            clock: format!("{schema}.clock_of_tests"),
            planted: self.planted,
            monotonic: Arc::new(AtomicI64::new(0)),
            stores: Vec::new(),
        };
        harness.sql(&format!("CREATE SCHEMA {schema}")).await;
        harness.open().await;
        harness
    }
}

#[async_trait]
impl Backend for PostgresBackend {
    async fn fresh(&self) -> Box<dyn Harness> {
        Box::new(self.next().await)
    }
}

/// One ledger, and its time in milliseconds.
pub(super) struct PostgresHarness {
    server: String,
    /// Of the ledger.
    pub url: String,
    clock: String,
    planted: Planted,
    monotonic: Arc<AtomicI64>,
    stores: Vec<Arc<PostgresStore>>,
}

impl PostgresHarness {
    async fn sql(&self, text: &str) {
        let mut connection = PgConnection::connect(&self.server).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// One more coordinator on it.
    pub(super) async fn another(&mut self) -> Arc<PostgresStore> {
        let monotonic = Arc::clone(&self.monotonic);
        let monotonic = Box::new(move || Duration::from_millis(monotonic.load(Ordering::Relaxed).unsigned_abs()));
        let time = |planted, degraded| Time::of_tests(monotonic, planted, degraded);
        let options = Options { planted: self.planted, ..Options::default() };
        let store = Arc::new(PostgresStore::open_by(&self.url, options, time).await.unwrap());
        self.stores.push(Arc::clone(&store));
        store
    }

    async fn open(&mut self) {
        let clock = &self.clock;
        self.sql(&format!(
            "CREATE TABLE {clock} AS SELECT 1700000000000::bigint AS now;
             CREATE TABLE {}.muster_schema (version integer NOT NULL);
             INSERT INTO {}.muster_schema VALUES (0)",
            clock.split('.').next().unwrap(),
            clock.split('.').next().unwrap()
        ))
        .await;
        self.another().await;
    }

    /// The first store, as what it is.
    pub(super) fn postgres(&self) -> &Arc<PostgresStore> {
        &self.stores[0]
    }
}

#[async_trait]
impl Harness for PostgresHarness {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.postgres()) as Arc<dyn Store>
    }

    async fn advance(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).unwrap();
        self.set_wall_clock(millis).await;
        self.monotonic.fetch_add(millis, Ordering::Relaxed);
    }

    async fn set_wall_clock(&self, by_millis: i64) {
        let set = sqlx::query("UPDATE clock_of_tests SET now = now + $1").bind(by_millis);
        set.execute(&self.postgres().shared.pool).await.unwrap();
    }

    async fn restart(&mut self) {
        for store in std::mem::take(&mut self.stores) {
            store.close().await;
        }
        self.another().await;
    }
}
