//! How often a GET was tried, as far as that counts.

use super::FetchError;
use super::circuit::Count;

/// The tries of one GET that count.
pub(super) struct Tries {
    pub(super) count: u32,
    /// Times that it was the question itself, and met a plain error.
    asked_in_vain: u32,
    /// What the host had done before the first of them.
    pub(super) since: Count,
    /// Status and reason of the last one.
    pub(super) last: (Option<u16>, String),
    /// Whether that one was sent, and not answered in time.
    pub(super) silent: bool,
}

impl Tries {
    pub(super) fn new(since: Count) -> Self {
        Self { count: 0, asked_in_vain: 0, since, last: (None, String::new()), silent: false }
    }

    /// What met an outage does not count. Of a host that never served anything, only to those who wait for the first.
    pub(super) fn count_anew(&mut self, now: Count, wait_for_first: bool) {
        if now.in_vain > self.since.in_vain && (now.served > 0 || wait_for_first) {
            (self.count, self.since) = (0, now);
        }
    }

    /// Was this request the question again and again, and is it rather it that is ill than the host? Of a host that never
    /// served anything else nothing can be asked; one that is down is not reached, breaks off, or says 502 to 504.
    pub(super) fn is_ill(&mut self, now: Count, attempts: u32) -> bool {
        let plain = matches!(self.last.0, Some(status @ 500..=599) if !(502..=504).contains(&status));
        self.asked_in_vain += u32::from(plain && now.served == 0);
        if self.asked_in_vain >= attempts {
            self.count = self.count.max(self.asked_in_vain);
        }
        self.asked_in_vain >= attempts
    }

    pub(super) fn given_up(self) -> FetchError {
        let (status, last) = self.last;
        FetchError::GivenUp { attempts: self.count, last, status, silent: self.silent }
    }
}
