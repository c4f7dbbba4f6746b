//! Acquisitions, several in one transaction: at the same time they would look for the same ready batches, each passing over
//! what the others hold, and each would read what is the same for all.
//!
//! Nobody waits for a group to fill: whatever has come while the one before was under way is the next.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::lane::{Lane, Lanes};
use super::transactions::TRIES;
use super::{LANES, PostgresStore, Shared};
use crate::measures;
use crate::store::ledger::{Halt, Tx, acquire};
use crate::store::{Acquire, Acquired, StoreError, StoreResult};

/// Acquisitions in one transaction at most: many, since the number of its statements does not grow with them, and yet so few
/// that a whole fleet that asks at the same moment keeps more than one lane busy. docs/PERFORMANCE.md has what other sizes
/// took.
const GROUP: usize = 128;
/// Acquisitions that wait.
pub(super) type Queue = mpsc::UnboundedSender<Waiting>;

/// An acquisition, and who waits for what it brings.
pub(super) struct Waiting {
    acquire: Acquire,
    reply: oneshot::Sender<StoreResult<Acquired>>,
}

impl PostgresStore {
    /// Acquires together with whoever else waits.
    pub(super) async fn acquire_in_turn(&self, acquire: Acquire) -> StoreResult<Acquired> {
        let closed = || StoreError::Unavailable("the coordinator is shutting down".to_owned());
        let (reply, answer) = oneshot::channel();
        self.acquisitions.send(Waiting { acquire, reply }).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// Starts what does them, several groups at a time: whoever comes while one is under way does not wait for its end. They pass
/// over what the other holds, as those of several coordinators do. It ends with the store.
pub(super) fn start(shared: &Arc<Shared>, lanes: &Lanes) -> std::io::Result<Queue> {
    let (queue, waiting) = mpsc::unbounded_channel();
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..LANES {
        let (shared, waiting) = (Arc::clone(shared), Arc::clone(&waiting));
        lanes.start("acquisitions", move |lane| work(&shared, &waiting, lane))?;
    }
    Ok(queue)
}

fn work(shared: &Shared, waiting: &Mutex<UnboundedReceiver<Waiting>>, lane: &Lane) {
    let mut group = Vec::new();
    while lane.wait(async { waiting.lock().await.recv_many(&mut group, GROUP).await }).is_some_and(|came| came > 0) {
        // Who has gone wants no lease.
        let group = group.drain(..).filter(|waiting: &Waiting| !waiting.reply.is_closed()).collect();
        lane.guarded("acquisitions", || run(shared, group, lane));
    }
}

fn run(shared: &Shared, group: Vec<Waiting>, lane: &Lane) {
    let (acquires, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|of| (of.acquire, of.reply)).unzip();
    if acquires.is_empty() {
        return;
    }
    let together = |tx: &Tx<'_>| acquire(tx, &acquires).map_err(Halt::Fault);
    let transact = || shared.tried(&shared.means(lane, TRIES), &together);
    let done = measures::transaction(measures::Database::Postgres, acquires.len(), transact);
    shared.note(&done);
    let acquired = match done {
        Ok(Ok((acquired, expired))) => {
            // The reaper finds nothing of these any more.
            expired.log();
            Ok(acquired)
        }
        Ok(Err(misuse)) => Err(StoreError::Damaged(format!("unexpected: {misuse:?}"))),
        Err(fault) => Err(StoreError::from(fault)),
    };
    let group: Vec<_> = acquires.into_iter().zip(replies).map(|(acquire, reply)| Waiting { acquire, reply }).collect();
    match acquired {
        // What is wrong may be with what one of them asks for.
        Err(StoreError::Damaged(_)) if group.len() > 1 => {
            group.into_iter().for_each(|one| run(shared, vec![one], lane))
        }
        acquired => answer(group, acquired),
    }
}

/// Where nobody waits any more, the next acquisition of the session brings its leases.
fn answer(group: Vec<Waiting>, acquired: StoreResult<Vec<Acquired>>) {
    match acquired {
        Ok(acquired) => group.into_iter().zip(acquired).for_each(|(waiting, acquired)| {
            let _ = waiting.reply.send(Ok(acquired));
        }),
        Err(error) => group.into_iter().for_each(|waiting| {
            let _ = waiting.reply.send(Err(error.clone()));
        }),
    }
}
