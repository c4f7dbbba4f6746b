//! The store on PostgreSQL: any number of coordinators on one database, none of them the first.
//!
//! A transition is a transaction on a connection of its own; what workers ask for most shares one (`groups.rs`). Nothing that matters is kept in the process: time and since
//! when coordinators serve stand in the database (`time.rs`), who may list or reap is decided by row locks and fences, and
//! what others wait for travels with the commit (`notices.rs`).

mod acquisitions;
mod ahead;
mod connection;
mod groups;
#[cfg(any(test, feature = "conformance"))]
mod harness;
mod lane;
mod migrations;
mod notices;
mod open;
#[cfg(test)]
mod tests;
mod time;
mod transactions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use muster_telemetry::names;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ledger::{Fault, News, SqlResult, Writable};
use super::{Events, Store, StoreError, StoreResult};
use crate::planted::Planted;

#[cfg(any(test, feature = "conformance"))]
pub use harness::PostgresBackend;
pub use open::{OpenError, Options};

/// Transitions of one coordinator at a time, each on a connection and a thread of its own; more wait in their tasks.
const WRITERS: u32 = 8;
/// Queries at a time: apart, so that long ones hold up no transition.
const READERS: u32 = 6;
/// With the one that listens.
const CONNECTIONS: u32 = WRITERS + READERS + 1;
/// Transactions of many at a time, of acquisitions and of announcements and reports, each on a connection of its own: while one
/// commits the other reads. A pool hands out its connections in turns, and on each of them every statement is parsed and
/// planned anew the first time: on what has few statements, soon no longer. All connections together are few enough for five
/// coordinators below PostgreSQL's usual 100.
const LANES: u32 = 2;
/// How long closing waits for what is under way.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// A store on a PostgreSQL database.
pub struct PostgresStore {
    shared: Arc<Shared>,
    writers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    groups: groups::Queue,
    acquisitions: acquisitions::Queue,
    /// Those that are under way.
    lanes: TaskTracker,
    /// Stops them, and whoever listens for other coordinators.
    closing: CancellationToken,
}

/// What transitions on their threads use.
struct Shared {
    pool: PgPool,
    events: Events,
    time: time::Time,
    notices: notices::Channel,
    writable: Writable,
    planted: Planted,
    /// Begins a transaction of many: the planner is told to look rows up, if it can be. Other databases that speak PostgreSQL's
    /// protocol have another one.
    begin_together: &'static str,
    /// Where it is, without a password.
    place: String,
}

#[async_trait]
impl Store for PostgresStore {
    fn events(&self) -> &Events {
        &self.shared.events
    }

    fn writable(&self) -> StoreResult<()> {
        self.shared.writable.check(Instant::now()).map_err(StoreError::Unavailable)
    }

    async fn close(&self) {
        self.closing.cancel();
        self.lanes.close();
        let closed = async { tokio::join!(self.shared.pool.close(), self.lanes.wait()) };
        if tokio::time::timeout(ENDS_WITHIN, closed).await.is_err() {
            tracing::warn!(
                { names::NEXT } = "the connections are closed under them",
                "transactions are still under way"
            );
        }
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Shared {
    /// Says once that nothing can be written, and once that it can again.
    fn note<T>(&self, outcome: &SqlResult<T>) {
        let now = Instant::now();
        let database = &self.place;
        let news = match outcome {
            Ok(_) => self.writable.committed(now),
            Err(Fault::Store(StoreError::Unavailable(reason))) => self.writable.failed(reason, now),
            // Says nothing of the database.
            Err(_) => None,
        };
        match (news, outcome) {
            (Some(News::Failing), Err(Fault::Store(error))) => tracing::error!(
                database,
                error = %error,
                { names::NEXT } = "calls are answered UNAVAILABLE and workers keep their results; it is tried again with every \
                                   call: no restart is needed, a line tells when it is back",
                "the database cannot be written"
            ),
            (Some(News::Recovered(after)), _) => {
                tracing::warn!(database, muster.seconds = after.as_secs_f64(), "the database can be written again");
            }
            (_, Err(fault)) => tracing::debug!(error = ?fault, "a transition could not be committed"),
            _ => {}
        }
    }
}
