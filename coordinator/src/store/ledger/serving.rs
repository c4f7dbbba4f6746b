//! Since when coordinators serve. A lease cannot be renewed while none does, so none is taken away until its holder
//! has had a whole TTL to be heard again.

use std::time::Duration;

use crate::domain::Timestamp;

/// A silence longer than this is a gap.
const GAP: Duration = Duration::from_secs(5);
/// How often the row `serving` is written at most.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// The row `serving`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Serving {
    /// Since when there was no gap.
    pub since: Timestamp,
    /// When a coordinator was last seen serving; none: none ever was.
    pub seen_at: Option<Timestamp>,
}

impl Serving {
    /// A coordinator serves now.
    pub fn seen(self, now: Timestamp) -> Self {
        let gap = self.seen_at.is_none_or(|seen_at| now.since(seen_at) > GAP);
        Self { since: if gap { now } else { self.since }, seen_at: Some(now) }
    }

    /// Is it time to write this, when the row says `written`?
    pub fn is_news(self, written: Self) -> bool {
        let due = |(seen_at, written): (Timestamp, Timestamp)| seen_at.since(written) >= WRITE_EVERY;
        self.since != written.since || self.seen_at.zip(written.seen_at).is_none_or(due)
    }
}
