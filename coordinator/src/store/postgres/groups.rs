//! Transitions of leases, several in one transaction: announcing and reporting is most of what workers ask for, and each
//! by itself would wait for the run's counters until the one before is committed.
//!
//! Nobody waits for a group to fill: whatever has come while the one before was under way is the next. A group in which one
//! transition fails is undone, and its transitions run each by itself.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::ahead::Ahead;
use super::lane::{Lane, Lanes};
use super::transactions::turn;
use super::{LANES, PostgresStore, Shared};
use crate::domain::LeaseRef;
use crate::measures;
use crate::store::ledger::{Fault, Halt, Tx};
use crate::store::{Misuse, StoreError, WorkerResult};

/// Transitions in one transaction at most.
const GROUP: usize = 64;

/// Transitions that wait.
pub(super) type Queue = mpsc::UnboundedSender<Box<dyn Member>>;

/// A transition of one lease, and who waits for what comes of it.
pub(super) trait Member: Send {
    fn lease(&self) -> LeaseRef;
    /// Runs it in a transaction, and keeps what it gives.
    fn run(&self, tx: &Tx<'_>) -> Result<(), Halt>;
    /// The transaction is committed.
    fn committed(self: Box<Self>);
    /// Nothing came of it.
    fn failed(self: Box<Self>, error: StoreError);
    /// It did what nobody may.
    fn misused(self: Box<Self>, misuse: Misuse);
    /// Runs it in a transaction of its own.
    fn alone(self: Box<Self>, shared: &Shared, runtime: &Handle);
}

struct Waiting<T, F> {
    lease: LeaseRef,
    transition: F,
    given: Mutex<Option<T>>,
    reply: oneshot::Sender<WorkerResult<T>>,
}

impl<T, F> Waiting<T, F> {
    /// Whoever waited may have gone: what was committed stays committed.
    fn answer(self, result: WorkerResult<T>) {
        let _ = self.reply.send(result);
    }
}

impl<T, F> Member for Waiting<T, F>
where
    T: Send + 'static,
    F: Fn(&Tx<'_>) -> Result<T, Halt> + Send + 'static,
{
    fn lease(&self) -> LeaseRef {
        self.lease
    }

    fn run(&self, tx: &Tx<'_>) -> Result<(), Halt> {
        let given = (self.transition)(tx)?;
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some(given);
        Ok(())
    }

    fn committed(self: Box<Self>) {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner).take();
        let missing = || StoreError::Damaged("a transition of a group has not run".to_owned());
        self.answer(given.map(Ok).ok_or_else(missing));
    }

    fn failed(self: Box<Self>, error: StoreError) {
        self.answer(Err(error));
    }

    fn misused(self: Box<Self>, misuse: Misuse) {
        self.answer(Ok(Err(misuse)));
    }

    fn alone(self: Box<Self>, shared: &Shared, runtime: &Handle) {
        let transact = || shared.transition(&self.transition, runtime);
        let done = measures::transaction(measures::Database::Postgres, 1, transact);
        shared.note(&done);
        self.answer(done.map_err(StoreError::from));
    }
}

impl PostgresStore {
    /// Runs a transition of a lease that holds its run together with others, in a group.
    pub(super) async fn in_group<T, F>(&self, lease: LeaseRef, transition: F) -> WorkerResult<T>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T, Halt> + Send + 'static,
    {
        let closed = || StoreError::Unavailable("the coordinator is shutting down".to_owned());
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { lease, transition, given: Mutex::new(None), reply };
        self.groups.send(Box::new(waiting)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// Starts the lanes; they end with the store.
pub(super) fn start(shared: &Arc<Shared>, writers: &Arc<Semaphore>, lanes: &Lanes) -> std::io::Result<Queue> {
    let (queue, waiting) = mpsc::unbounded_channel();
    let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
    for _ in 0..LANES {
        let (waiting, runtime) = (Arc::clone(&waiting), Handle::current());
        let (shared, writers) = (Arc::clone(shared), Arc::clone(writers));
        lanes.start("groups", move |lane| {
            work(&shared, &waiting, lane, |member| {
                drop(runtime.spawn(alone(Arc::clone(&shared), Arc::clone(&writers), member)));
            });
        })?;
    }
    Ok(queue)
}

type Waiters = tokio::sync::Mutex<mpsc::UnboundedReceiver<Box<dyn Member>>>;

/// Waits for the next transition, unless there are some, and takes what else waits; false once there will be none.
async fn gather(waiting: &Waiters, group: &mut Vec<Box<dyn Member>>) -> bool {
    let queue = if group.is_empty() { Some(waiting.lock().await) } else { waiting.try_lock().ok() };
    // The other lane waits for the next one: there is none.
    let Some(mut queue) = queue else { return true };
    if group.is_empty() {
        let Some(first) = queue.recv().await else { return false };
        group.push(first);
    }
    while group.len() < GROUP
        && let Ok(next) = queue.try_recv()
    {
        group.push(next);
    }
    true
}

fn work(shared: &Shared, waiting: &Waiters, lane: &Lane, alone: impl Fn(Box<dyn Member>)) {
    // Of a batch that the group has already.
    let mut later: Vec<Box<dyn Member>> = Vec::new();
    loop {
        let mut group = std::mem::take(&mut later);
        if lane.wait(gather(waiting, &mut group)) != Some(true) {
            return;
        }
        let mut batches = HashSet::new();
        (group, later) = group.into_iter().partition(|member| batches.insert(member.lease().batch));
        // The counters of several runs are held one after another: in one order, so that nobody waits in a circle.
        group.sort_by_key(|member| member.lease().batch);
        let undone = lane.guarded("transitions", || run(shared, group, lane));
        // Whatever one of them waits for, the others do not.
        undone.into_iter().flatten().for_each(&alone);
    }
}

/// Runs it by itself, once there is a connection for it; where there is none in time, it is told.
async fn alone(shared: Arc<Shared>, writers: Arc<Semaphore>, member: Box<dyn Member>) {
    let permit = match turn(&writers).await {
        Ok(permit) => permit,
        Err(error) => return member.failed(error),
    };
    let run = move || {
        let _permit = permit;
        member.alone(&shared, &Handle::current());
    };
    if tokio::task::spawn_blocking(run).await.is_err() {
        tracing::error!("a transition has panicked");
    }
}

/// Runs a group once, and answers each; gives those that have to run by themselves, because it was undone.
fn run(shared: &Shared, group: Vec<Box<dyn Member>>, lane: &Lane) -> Vec<Box<dyn Member>> {
    let leases: Vec<LeaseRef> = group.iter().map(|member| member.lease()).collect();
    let together = |tx: &Tx<'_>| {
        let ahead = Ahead::of(tx.connection, &leases)?;
        tx.through(&ahead, |tx| group.iter().try_for_each(|member| member.run(tx)))?;
        Ok(ahead.write()?)
    };
    let transact = || shared.tried(&shared.means(lane, 1), &together);
    let done = measures::transaction(measures::Database::Postgres, group.len(), transact);
    match done {
        Ok(Ok(())) => group.into_iter().for_each(|member| member.committed()),
        Err(Fault::Store(error @ (StoreError::Unavailable(_) | StoreError::ReadOnly))) => {
            shared.note::<()>(&Err(Fault::Store(error.clone())));
            group.into_iter().for_each(|member| member.failed(error.clone()));
            return Vec::new();
        }
        Ok(Err(misuse)) if group.len() == 1 => {
            group.into_iter().for_each(|member| member.misused(misuse.clone()));
        }
        Ok(Err(_)) | Err(_) => return group,
    }
    shared.note::<()>(&Ok(()));
    Vec::new()
}
