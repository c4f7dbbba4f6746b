//! SQLite under the conformance suite: real files, and clocks that a test sets.

#![allow(clippy::unwrap_used, reason = "a suite fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::{Options, SqliteStore};
use crate::domain::{TimeSources, Timestamp};
use crate::planted::Planted;
use crate::store::Store;
use crate::store::conformance::{Backend, Harness};

/// Ledgers in a folder.
pub struct SqliteBackend {
    folder: PathBuf,
    planted: Planted,
    opened: AtomicU32,
}

impl SqliteBackend {
    /// New ledgers in this folder, written by programs with this bug.
    pub fn new(folder: PathBuf, planted: Planted) -> Self {
        Self { folder, planted, opened: AtomicU32::new(0) }
    }

    /// The next ledger.
    pub(super) fn next(&self) -> SqliteHarness {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        self.on(self.folder.join(format!("ledger-{number}.db")))
    }

    /// A ledger that may be there already.
    pub(super) fn on(&self, path: PathBuf) -> SqliteHarness {
        let mut harness = SqliteHarness {
            path,
            planted: self.planted,
            wall: Arc::new(AtomicI64::new(1_700_000_000_000)),
            monotonic: Arc::new(AtomicI64::new(0)),
            store: None,
        };
        harness.open();
        harness
    }
}

#[async_trait]
impl Backend for SqliteBackend {
    async fn fresh(&self) -> Box<dyn Harness> {
        Box::new(self.next())
    }
}

/// One ledger, and its time in milliseconds.
pub(super) struct SqliteHarness {
    path: PathBuf,
    planted: Planted,
    wall: Arc<AtomicI64>,
    monotonic: Arc<AtomicI64>,
    store: Option<Arc<SqliteStore>>,
}

impl SqliteHarness {
    fn open(&mut self) {
        let (wall, monotonic) = (Arc::clone(&self.wall), Arc::clone(&self.monotonic));
        let sources = TimeSources {
            wall: Box::new(move || Timestamp::from_millis(wall.load(Ordering::Relaxed))),
            monotonic: Box::new(move || Duration::from_millis(monotonic.load(Ordering::Relaxed).unsigned_abs())),
        };
        let options = Options { clock: Some(sources), planted: self.planted };
        self.store = Some(Arc::new(SqliteStore::open(&self.path, options).unwrap()));
    }

    /// The store as what it is.
    pub(super) fn sqlite(&self) -> &Arc<SqliteStore> {
        self.store.as_ref().unwrap()
    }
}

#[async_trait]
impl Harness for SqliteHarness {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.sqlite()) as Arc<dyn Store>
    }

    async fn advance(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).unwrap();
        self.wall.fetch_add(millis, Ordering::Relaxed);
        self.monotonic.fetch_add(millis, Ordering::Relaxed);
    }

    async fn set_wall_clock(&self, by_millis: i64) {
        self.wall.fetch_add(by_millis, Ordering::Relaxed);
    }

    async fn restart(&mut self) {
        self.sqlite().close().await;
        self.store = None;
        self.open();
    }
}
