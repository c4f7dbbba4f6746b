//! The store on SQLite: one file, one writing process.
//!
//! All transitions run on one writer thread, each in a savepoint; those that queue up while a commit is on its way to
//! the disk share the next one. Queries run on connections of their own and see the last commit (WAL).

mod connection;
#[cfg(any(test, feature = "conformance"))]
mod harness;
mod migrations;
mod open;
mod serving;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::ledger::{Database, Halt, SqlResult, Tx, View};
use super::{Events, Store, StoreError, StoreResult, WorkerResult};
use crate::domain::Clock;

#[cfg(any(test, feature = "conformance"))]
pub use harness::SqliteBackend;
pub use open::{OpenError, Options};

/// How many queries run at once.
const READERS: usize = 4;
/// How long closing waits for queries that are under way.
const QUERIES_END_WITHIN: Duration = Duration::from_secs(5);

/// A store on a SQLite file.
pub struct SqliteStore {
    events: Arc<Events>,
    clock: Arc<dyn Clock>,
    /// None: opened for reading only.
    writer: Option<writer::Writer>,
    readers: Arc<Mutex<Vec<Connection>>>,
    free_readers: Arc<Semaphore>,
}

#[async_trait]
impl Store for SqliteStore {
    fn events(&self) -> &Events {
        &self.events
    }

    fn writable(&self) -> StoreResult<()> {
        self.writer()?.writable().map_err(StoreError::Unavailable)
    }

    /// The file then holds everything.
    async fn close(&self) {
        self.close_readers().await;
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }
}

impl Database for SqliteStore {
    async fn call_worker<T, F>(&self, transition: F) -> WorkerResult<T>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T, Halt> + Send + 'static,
    {
        self.writer()?.call_worker(transition).await
    }

    /// On a connection of its own.
    async fn read<T, F>(&self, query: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> SqlResult<T> + Send + 'static,
    {
        let gone = |error: &dyn std::fmt::Display| StoreError::Unavailable(error.to_string());
        let permit = Arc::clone(&self.free_readers).acquire_owned().await.map_err(|error| gone(&error))?;
        let (readers, clock) = (Arc::clone(&self.readers), Arc::clone(&self.clock));
        let run = move || {
            let _permit = permit;
            let mut lent = Lent { connection: None, home: readers };
            let connection = lent.take()?;
            let view = connection.transaction().map_err(|error| classify(&error))?;
            let now = || Ok(clock.now());
            Ok(query(&View::new(&*view, &now))?)
        };
        tokio::task::spawn_blocking(run).await.map_err(|error| gone(&error))?
    }
}

impl SqliteStore {
    /// The writer, unless the store was opened for reading only.
    fn writer(&self) -> StoreResult<&writer::Writer> {
        self.writer.as_ref().ok_or(StoreError::ReadOnly)
    }

    /// Readers go first: what they still look at, the writer could not move from the log into the file.
    async fn close_readers(&self) {
        let all = self.free_readers.acquire_many(u32::try_from(READERS).unwrap_or(u32::MAX));
        if tokio::time::timeout(QUERIES_END_WITHIN, all).await.is_err() {
            tracing::warn!(
                { muster_telemetry::names::NEXT } = "the ledger is closed under them",
                "queries are still under way"
            );
        }
        self.free_readers.close();
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A reader's connection on its way out and back, also when a query panics.
struct Lent {
    connection: Option<Connection>,
    home: Arc<Mutex<Vec<Connection>>>,
}

impl Lent {
    fn take(&mut self) -> StoreResult<&mut Connection> {
        let connection = self.home.lock().unwrap_or_else(PoisonError::into_inner).pop();
        self.connection = connection;
        self.connection.as_mut().ok_or_else(|| StoreError::Unavailable("no connection is free".to_owned()))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.home.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

/// Errors by what the caller does next.
fn classify(error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(
            Code::DiskFull
            | Code::SystemIoFailure
            | Code::DatabaseBusy
            | Code::DatabaseLocked
            | Code::OutOfMemory
            | Code::CannotOpen
            | Code::ReadOnly
            | Code::OperationInterrupted,
        ) => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Damaged(error.to_string()),
    }
}
