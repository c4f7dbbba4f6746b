//! What a requester counts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::RequesterStats;

// On a line of the processor's cache of its own: every request writes to it, and only reads what would stand beside it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) hedges: AtomicU64,
    pub(super) hedges_won: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
}

impl Counters {
    /// What was counted so far.
    pub(super) fn read(&self) -> RequesterStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RequesterStats {
            requests: read(&self.requests),
            retries: read(&self.retries),
            hedges: read(&self.hedges),
            hedges_won: read(&self.hedges_won),
            throttled: read(&self.throttled),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
        }
    }
}
