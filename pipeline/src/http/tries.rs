//! How often a GET was tried, as far as that counts.

use super::FetchError;
use super::circuit::Count;

/// The tries of one GET that count.
pub(super) struct Tries {
    pub(super) count: u32,
    /// What the host had done before the first of them.
    since: Count,
    /// Status and reason of the last one.
    pub(super) last: (Option<u16>, String),
}

impl Tries {
    pub(super) fn new(since: Count) -> Self {
        Self { count: 0, since, last: (None, String::new()) }
    }

    /// What met an outage does not count. Of a host that never served anything, only to those who wait for the first.
    pub(super) fn count_anew(&mut self, now: Count, wait_for_first: bool) {
        if now.in_vain > self.since.in_vain && (now.served > 0 || wait_for_first) {
            (self.count, self.since) = (0, now);
        }
    }

    pub(super) fn given_up(self) -> FetchError {
        let (status, last) = self.last;
        FetchError::GivenUp { attempts: self.count, last, status }
    }
}
