//! What whoever gets new leases waits for.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Changes of what is held, for the one who waits for them. Each costs a look at all leases, from another thread as a rule: so
/// of the many records only that one is a change with which the stock runs low.
#[derive(Debug, Default)]
pub(super) struct Changes {
    told: Notify,
    /// Records whose fetch is over, of all leases that there were.
    fetched: AtomicU64,
    /// Which of them is to be told; none is the 0th.
    awaited: AtomicU64,
}

impl Changes {
    /// Something changed.
    pub(super) fn tell(&self) {
        self.told.notify_one();
    }

    /// The fetch of a record is over.
    pub(super) fn one_fetched(&self) {
        // In one order with what `wait` does: it finds this record counted, or this finds what it waits for.
        let fetched = self.fetched.fetch_add(1, Ordering::SeqCst) + 1;
        if fetched == self.awaited.load(Ordering::SeqCst) {
            self.tell();
        }
    }

    /// Records fetched so far.
    pub(super) fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::SeqCst)
    }

    /// Waits for the next change, also one since the last wait; or until so many records are fetched.
    pub(super) async fn wait(&self, fetched: Option<u64>) {
        self.awaited.store(fetched.unwrap_or(0), Ordering::SeqCst);
        if fetched.is_none_or(|fetched| self.fetched() < fetched) {
            self.told.notified().await;
        }
    }
}
