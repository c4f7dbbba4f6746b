//! What happens in the ledger, told after the commit, so that nobody has to poll.

use std::time::Duration;

use tokio::sync::{broadcast, watch};

use crate::domain::{LeaseToken, RunId};

/// Something that others wait for, or that concerns a worker's leases at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A run was paused or cancelled.
    RunStopped {
        /// Which.
        run_id: RunId,
        /// In words.
        reason: String,
    },
    /// A lease ran out.
    LeaseExpired {
        /// Whose it was.
        session: String,
        /// Which.
        token: LeaseToken,
    },
    /// A host asked to be left alone.
    HostClosed {
        /// Which.
        host: String,
        /// For so long from now on.
        time: Duration,
    },
    /// Another session has nothing to do.
    LeasesWanted {
        /// Who is to give some back.
        session: String,
        /// How many at most.
        leases: u32,
    },
    /// A run is over.
    RunOver {
        /// Which.
        run_id: RunId,
    },
    /// A run was deleted.
    RunDeleted,
}

/// Where to wait for changes. A signal that comes when nobody waits is not lost: the next wait sees that its number
/// has grown.
pub struct Events {
    work: watch::Sender<u64>,
    changed: watch::Sender<u64>,
    pushed: broadcast::Sender<Event>,
}

/// Events that a slow stream may lag behind; after that it is told to catch up by renewing.
const BACKLOG: usize = 1024;

impl Default for Events {
    fn default() -> Self {
        Self { work: watch::Sender::new(0), changed: watch::Sender::new(0), pushed: broadcast::Sender::new(BACKLOG) }
    }
}

impl Events {
    /// Wakes when there may be a batch to lease or a listing to take up.
    pub fn work(&self) -> watch::Receiver<u64> {
        self.work.subscribe()
    }

    /// Wakes when anything was committed.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Pushes for workers.
    pub fn pushed(&self) -> broadcast::Receiver<Event> {
        self.pushed.subscribe()
    }

    /// Tells of a commit.
    pub(super) fn tell(&self, work: bool, pushes: impl IntoIterator<Item = Event>) {
        if work {
            self.work.send_modify(|count| *count += 1);
        }
        self.changed.send_modify(|count| *count += 1);
        for event in pushes {
            // Nobody attends: nobody needs to know.
            let _ = self.pushed.send(event);
        }
    }
}
