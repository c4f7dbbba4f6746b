//! A transition as a transaction, and a query as one that only reads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use muster_telemetry::crash::{self, Point};
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{Driver, QUERY, STATEMENT, Wire, classify};
use super::lane::Lane;
use super::open::ACQUIRE;
use super::{CONNECTIONS, PostgresStore, Shared};
use crate::domain::{LeaseRef, Timestamp};
use crate::measures;
use crate::store::ledger::{Database, Fault, Halt, SqlResult, Tx, View, words_of};
use crate::store::{Acquire, Acquired, Misuse, StoreError, StoreResult, WorkerResult};

/// How often a transition is tried that another one was in the way of.
pub(super) const TRIES: u32 = 8;
/// Before the second try; doubled with each, and up to twice as long, so that the same two do not meet again.
const AGAIN_AFTER: Duration = Duration::from_millis(5);
/// Begins a transition of one.
pub(super) const BEGIN: &str = "BEGIN";

/// Where a transaction has its connection from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// From those of all, for a thread of this runtime.
    Pool(&'a PgPool, &'a Handle),
    /// From its lane.
    Lane(&'a Lane),
}

impl<'a> Source<'a> {
    fn driver(self) -> Driver<'a> {
        match self {
            Self::Pool(_, runtime) => Driver::Others(runtime),
            Self::Lane(lane) => Driver::Itself(lane.runtime()),
        }
    }

    /// A connection, and whether it was kept.
    fn take(self) -> Result<(PoolConnection<Postgres>, bool), sqlx::Error> {
        match self {
            Self::Pool(pool, runtime) => {
                let kept = pool.num_idle() > 0;
                runtime.block_on(pool.acquire()).map(|connection| (connection, kept))
            }
            Self::Lane(lane) => lane.take(),
        }
    }

    /// Gives it back, for whoever is next.
    fn give_back(self, connection: PoolConnection<Postgres>) {
        match self {
            Self::Pool(..) => drop(connection),
            Self::Lane(lane) => lane.keep(connection),
        }
    }
}

/// How a transaction comes about.
pub(super) struct Means<'a> {
    source: Source<'a>,
    /// What begins it.
    begin: &'static str,
    /// How often it is tried at most.
    tries: u32,
}

/// A connection with what its first statement gave.
type First<T> = (PoolConnection<Postgres>, T);

impl Database for PostgresStore {
    async fn call_worker<T, F>(&self, transition: F) -> WorkerResult<T>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T, Halt> + Send + 'static,
    {
        let permit = turn(&self.writers).await?;
        let shared = Arc::clone(&self.shared);
        // On a thread, so that a caller who goes away leaves no transaction half done.
        let run = move || {
            let _permit = permit;
            let transact = || shared.transition(&transition, &Handle::current());
            let done = measures::transaction(measures::Database::Postgres, 1, transact);
            shared.note(&done);
            done
        };
        let done = tokio::task::spawn_blocking(run).await;
        Ok(done.map_err(|error| StoreError::Unavailable(error.to_string()))??)
    }

    async fn call_together<T, F>(&self, lease: LeaseRef, transition: F) -> WorkerResult<T>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T, Halt> + Send + 'static,
    {
        self.in_group(lease, transition).await
    }

    async fn acquire_together(&self, acquire: Acquire) -> StoreResult<Acquired> {
        self.acquire_in_turn(acquire).await
    }

    async fn read<T, F>(&self, query: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> SqlResult<T> + Send + 'static,
    {
        let permit = turn(&self.readers).await?;
        let shared = Arc::clone(&self.shared);
        let run = move || {
            let _permit = permit;
            shared.query(query, &Handle::current())
        };
        let found = tokio::task::spawn_blocking(run).await;
        Ok(found.map_err(|error| StoreError::Unavailable(error.to_string()))??)
    }
}

/// Waits for a connection to be free, in a task and not on a thread.
pub(super) async fn turn(connections: &Arc<Semaphore>) -> StoreResult<OwnedSemaphorePermit> {
    let busy = || StoreError::Unavailable("no connection to the database became free in time".to_owned());
    let turn = tokio::time::timeout(ACQUIRE, Arc::clone(connections).acquire_owned()).await;
    turn.map_err(|_| busy())?.map_err(|_| busy())
}

impl Shared {
    /// Runs a transition, again where another one was in its way.
    pub(super) fn transition<T>(
        &self,
        transition: &dyn Fn(&Tx<'_>) -> Result<T, Halt>,
        runtime: &Handle,
    ) -> SqlResult<Result<T, Misuse>> {
        let source = Source::Pool(&self.pool, runtime);
        self.tried(&Means { source, begin: BEGIN, tries: TRIES }, transition)
    }

    /// Those of a transaction of many.
    pub(super) fn means<'a>(&self, lane: &'a Lane, tries: u32) -> Means<'a> {
        Means { source: Source::Lane(lane), begin: self.begin_together, tries }
    }

    /// Runs a transition by these means, again where another one was in its way.
    pub(super) fn tried<T>(
        &self,
        &Means { source, begin, tries }: &Means<'_>,
        transition: &dyn Fn(&Tx<'_>) -> Result<T, Halt>,
    ) -> SqlResult<Result<T, Misuse>> {
        let mut pause = AGAIN_AFTER;
        for tried in 1.. {
            let (mut connection, times) = self.first(source, |wire| self.time.seen(wire))?;
            let wire = Wire::new(&mut connection, source.driver(), STATEMENT);
            let done = self.attempt(&wire, begin, times, transition);
            match &done {
                Err(Fault::InTheWay(_)) | Ok(_) => source.give_back(connection),
                // In what state it is, nobody knows.
                Err(_) => connection.close_on_drop(),
            }
            match done {
                Err(Fault::InTheWay(reason)) if tried < tries => {
                    tracing::debug!(reason, tried, "a transition is tried again");
                }
                done => return done,
            }
            std::thread::sleep(pause.mul_f64(1.0 + fastrand::f64()));
            pause *= 2;
        }
        Err(Fault::InTheWay("it was never tried".to_owned()))
    }

    /// One try, from BEGIN to COMMIT or ROLLBACK.
    fn attempt<T>(
        &self,
        wire: &Wire<'_>,
        begin: &'static str,
        (now, serving_since): (Timestamp, Timestamp),
        transition: &dyn Fn(&Tx<'_>) -> Result<T, Halt>,
    ) -> SqlResult<Result<T, Misuse>> {
        wire.script(begin)?;
        let tx = Tx::new(wire, now, serving_since, self.planted);
        let done = catch_unwind(AssertUnwindSafe(|| transition(&tx)));
        let done = done.unwrap_or_else(|panic| Err(Halt::Panicked(words_of(panic.as_ref()))));
        let (work, pushes) = (tx.work.get(), tx.pushes.into_inner());
        let halt = match done.and_then(|value| Ok((value, self.notices.send(wire, work, &pushes)?))) {
            Ok((value, ())) => {
                crash::pass(Point::BeforeCommit);
                wire.script("COMMIT").map_err(unknown)?;
                crash::pass(Point::AfterCommit);
                self.events.tell(work, pushes);
                return Ok(Ok(value));
            }
            Err(halt) => halt,
        };
        wire.script("ROLLBACK")?;
        match halt {
            Halt::Misuse(misuse) => Ok(Err(misuse)),
            Halt::Fault(fault) => Err(fault),
            Halt::Panicked(words) => Err(Fault::bad(format!("a transition panicked and was undone: {words}"))),
        }
    }

    fn query<T>(&self, query: impl FnOnce(&View<'_>) -> SqlResult<T>, runtime: &Handle) -> SqlResult<T> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = {}",
            QUERY.as_millis()
        );
        let source = Source::Pool(&self.pool, runtime);
        let (mut connection, ()) = self.first(source, |wire| wire.script(&begin))?;
        let wire = Wire::new(&mut connection, source.driver(), QUERY);
        let now = || self.time.now(&wire);
        let found = catch_unwind(AssertUnwindSafe(|| query(&View::new(&wire, &now))));
        let found =
            found.unwrap_or_else(|panic| Err(Fault::bad(format!("a query panicked: {}", words_of(panic.as_ref())))));
        let ended = wire.script("ROLLBACK");
        if ended.is_err() {
            connection.close_on_drop();
        }
        found
    }

    /// A connection, and what its first statement gives. One that was kept may have been closed at the other end, by a
    /// restart for instance, or lead to nobody: then another is taken, since nothing was changed by it. A new one has just
    /// answered, so that what it is slow with is the statement.
    fn first<T>(&self, source: Source<'_>, first: impl Fn(&Wire<'_>) -> SqlResult<T>) -> SqlResult<First<T>> {
        let mut spare = CONNECTIONS;
        loop {
            let (mut connection, kept) = source.take().map_err(|error| classify(&error))?;
            let given = first(&match kept {
                true => Wire::kept(&mut connection, source.driver()),
                false => Wire::new(&mut connection, source.driver(), STATEMENT),
            });
            match given {
                Ok(given) => return Ok((connection, given)),
                Err(Fault::Store(StoreError::Unavailable(_))) if spare > 0 => spare -= 1,
                Err(fault) => {
                    connection.close_on_drop();
                    return Err(fault);
                }
            }
            connection.close_on_drop();
        }
    }
}

/// Of a COMMIT that was not answered nobody knows what came of it; of one that was refused it is known.
fn unknown(fault: Fault) -> Fault {
    match fault {
        Fault::Store(error) => {
            let text = format!("it is not known whether it was committed, so repeat the call: {error}");
            Fault::Store(StoreError::Unavailable(text))
        }
        other => other,
    }
}
