//! What a transition and a query see, and what a kind of database must do for them.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::Deref;
use std::time::Instant;

use super::{Connection, Fault, SqlResult, acquire};
use crate::domain::{LeaseRef, Timestamp};
use crate::planted::Planted;
use crate::store::{Acquire, Acquired, Event, Misuse, StoreError, StoreResult, WorkerResult};

/// Why a transition ends without a trace.
#[derive(Debug)]
pub(in crate::store) enum Halt {
    /// The database said no.
    Fault(Fault),
    /// The caller did what no lost race explains.
    Misuse(Misuse),
    /// The transition has a bug.
    Panicked(String),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Misuse> for Halt {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

/// What a panic said.
pub(in crate::store) fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words").to_owned()
}

/// What a transition sees: the connection within the transaction, the time, and where to note what others must hear.
pub(in crate::store) struct Tx<'a> {
    /// Within a transaction, or a savepoint.
    pub connection: &'a dyn Connection,
    /// The time of this transition.
    pub now: Timestamp,
    /// When that was, by the process's clock: just now.
    pub as_of: Instant,
    /// Since when coordinators serve without a gap.
    pub serving_since: Timestamp,
    /// Bugs that tests switch on.
    pub planted: Planted,
    pub(in crate::store) work: Cell<bool>,
    pub(in crate::store) pushes: RefCell<Vec<Event>>,
}

impl<'a> Tx<'a> {
    /// One that nobody has noted anything in.
    pub fn new(connection: &'a dyn Connection, now: Timestamp, serving_since: Timestamp, planted: Planted) -> Self {
        Self {
            connection,
            now,
            as_of: Instant::now(),
            serving_since,
            planted,
            work: Cell::new(false),
            pushes: RefCell::new(Vec::new()),
        }
    }

    /// Runs `what` on another connection within the same transaction.
    pub fn through<T>(&self, connection: &dyn Connection, what: impl FnOnce(&Tx<'_>) -> T) -> T {
        let tx = Tx { connection, work: Cell::new(self.work.get()), pushes: RefCell::new(self.pushes.take()), ..*self };
        let given = what(&tx);
        self.work.set(tx.work.get());
        self.pushes.replace(tx.pushes.into_inner());
        given
    }

    /// There may be something to lease or to list now.
    pub fn tell_work(&self) {
        self.work.set(true);
    }

    /// A worker must hear of this at once.
    pub fn push(&self, event: Event) {
        self.pushes.borrow_mut().push(event);
    }
}

/// What a query sees: one consistent view.
pub(in crate::store) struct View<'a> {
    /// Within a transaction that only reads.
    pub connection: &'a dyn Connection,
    clock: &'a dyn Fn() -> SqlResult<Timestamp>,
}

impl<'a> View<'a> {
    /// Of this connection, with the time as `clock` gives it.
    pub fn new(connection: &'a dyn Connection, clock: &'a dyn Fn() -> SqlResult<Timestamp>) -> Self {
        Self { connection, clock }
    }

    /// The store's time.
    pub fn now(&self) -> SqlResult<Timestamp> {
        (self.clock)()
    }
}

impl<'a> Deref for View<'a> {
    type Target = dyn Connection + 'a;

    fn deref(&self) -> &Self::Target {
        self.connection
    }
}

/// A kind of database: runs transitions and queries. All else about the ledger is the same for all of them.
pub(in crate::store) trait Database: Send + Sync + 'static {
    /// Runs a transition and answers after its commit. It runs again when another transaction was in its way.
    fn call_worker<T, F>(&self, transition: F) -> impl Future<Output = WorkerResult<T>> + Send
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T, Halt> + Send + 'static;

    /// The same for a transition that touches one lease alone and holds its run together with others: several may share a
    /// transaction.
    fn call_together<T, F>(&self, lease: LeaseRef, transition: F) -> impl Future<Output = WorkerResult<T>> + Send
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T, Halt> + Send + 'static,
    {
        let _ = lease;
        self.call_worker(transition)
    }

    /// Leases batches; several acquisitions may share a transaction.
    fn acquire_together(&self, acquire: Acquire) -> impl Future<Output = StoreResult<Acquired>> + Send {
        async move {
            let acquires = [acquire];
            let (mut acquired, expired) = self.call(move |tx| acquire::acquire(tx, &acquires)).await?;
            // The reaper finds nothing of these any more.
            expired.log();
            acquired.pop().ok_or_else(|| StoreError::Damaged("an acquisition has no answer".to_owned()))
        }
    }

    /// Runs a query.
    fn read<T, F>(&self, query: F) -> impl Future<Output = StoreResult<T>> + Send
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> SqlResult<T> + Send + 'static;

    /// Runs a transition that nobody can misuse.
    fn call<T, F>(&self, transition: F) -> impl Future<Output = StoreResult<T>> + Send
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> SqlResult<T> + Send + 'static,
    {
        async move {
            let result = self.call_worker(move |tx| transition(tx).map_err(Halt::Fault)).await?;
            result.map_err(|misuse| StoreError::Damaged(format!("unexpected: {misuse:?}")))
        }
    }
}
