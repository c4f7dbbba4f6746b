//! Time as an input: whoever decides by the clock is handed one.

use std::ops::Add;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z on the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, read once and carried on by the monotonic clock: while the process lives, a jump of the wall
/// clock neither expires a lease nor keeps one alive.
pub struct SystemClock {
    base: Timestamp,
    started: Instant,
}

impl SystemClock {
    /// Starts at the wall clock's time, but never before `floor` (the latest time the store has seen): a wall clock
    /// set back while no coordinator ran must not make leases last longer.
    pub fn starting_after(floor: Timestamp) -> Self {
        Self { base: wall_clock().max(floor), started: Instant::now() }
    }
}

/// The wall clock's time, for a store's first start and for display.
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::default() + since
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.base + self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_set_back_does_not_take_the_store_back() {
        let future = wall_clock() + Duration::from_secs(3600);
        assert!(SystemClock::starting_after(future).now() >= future);
    }
}
