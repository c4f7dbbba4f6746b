//! Threads for transactions of many, one after another on a connection of their own.
//!
//! A lane waits for the database itself, by a runtime that nobody else uses. On the runtime of the calls an answer would be noticed
//! only when one of its threads looks at its sockets, which it does after so many tasks: with the calls of some hundred workers there
//! always are some, and a transaction has a dozen answers to wait for.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Postgres};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ENDS_WITHIN;

/// As a pool does it.
const RENEWED_AFTER: Duration = Duration::from_secs(30 * 60);

/// Starts lanes, and waits for their end.
pub(super) struct Lanes {
    /// For one lane: a connection, and another one while that is being closed.
    pub pool: PgPoolOptions,
    pub connect: PgConnectOptions,
    /// Says when they are to end.
    pub closing: CancellationToken,
    pub running: TaskTracker,
}

/// What one has.
pub(super) struct Lane {
    runtime: Runtime,
    pool: PgPool,
    /// The connection while no transaction has it. Given back to the pool it would come back only with the runtime's next turn.
    kept: RefCell<Option<PoolConnection<Postgres>>>,
    /// When that was opened.
    opened: Cell<Instant>,
    closing: CancellationToken,
}

impl Lanes {
    /// Starts one that does this until there is nothing to wait for any more.
    ///
    /// # Errors
    ///
    /// There is no thread to be had.
    pub fn start(&self, name: &str, work: impl FnOnce(&Lane) + Send + 'static) -> std::io::Result<()> {
        let (pool, connect, closing) = (self.pool.clone(), self.connect.clone(), self.closing.clone());
        let running = self.running.token();
        let (tell, told) = mpsc::channel();
        // All that a lane has is made on its thread: a runtime must not be dropped where others wait, as it would be if there
        // is no thread to be had.
        let thread = move || {
            let _running = running;
            let made = Builder::new_current_thread().enable_all().build();
            let runtime = match made {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            drop(tell.send(Ok(())));
            let pool = {
                let _entered = runtime.enter();
                pool.connect_lazy_with(connect)
            };
            let opened = Cell::new(Instant::now());
            let lane = Lane { runtime, pool, kept: RefCell::default(), opened, closing };
            let _entered = lane.runtime.enter();
            lane.open_ahead();
            work(&lane);
            lane.close();
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(thread)?;
        told.recv().map_err(std::io::Error::other)?
    }
}

impl Lane {
    /// Waits for this; nothing, once the store is to be closed.
    pub fn wait<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(self.closing.run_until_cancelled(what))
    }

    /// Does this; nothing, where it panics.
    pub fn guarded<T>(&self, what: &str, run: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(run));
        done.inspect_err(|_| tracing::error!("a group of {what} has panicked")).ok()
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Its connection, and whether it was kept: what is new has just answered.
    pub fn take(&self) -> Result<(PoolConnection<Postgres>, bool), sqlx::Error> {
        // What was opened long ago goes back to the pool, which closes it: what the database keeps for a connection only grows.
        let kept = self.kept.take().filter(|_| self.opened.get().elapsed() < RENEWED_AFTER);
        if let Some(connection) = kept {
            return Ok((connection, true));
        }
        let connection = self.runtime.block_on(self.pool.acquire())?;
        self.opened.set(Instant::now());
        Ok((connection, false))
    }

    /// Keeps it for the next transaction.
    pub fn keep(&self, connection: PoolConnection<Postgres>) {
        self.kept.replace(Some(connection));
    }

    /// Before anybody waits for that. Where the database has none to spare now, whoever needs it is told.
    fn open_ahead(&self) {
        match self.take() {
            Ok((connection, _)) => self.keep(connection),
            Err(error) => tracing::debug!(error = %error, "a connection is opened when it is needed"),
        }
    }

    fn close(&self) {
        self.kept.take();
        let closed = self.runtime.block_on(async { tokio::time::timeout(ENDS_WITHIN, self.pool.close()).await });
        if closed.is_err() {
            tracing::debug!("a connection is closed without a word to the database");
        }
    }
}
