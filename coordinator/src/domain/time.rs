//! Time as an input: whoever decides by the clock is handed one.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::planted::{Bug, Planted};

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

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Where a `SystemClock` reads the time: inputs, so that a test can make either jump.
pub struct TimeSources {
    /// The wall clock: somebody may set it forward or back at any moment.
    pub wall: Box<dyn Fn() -> Timestamp + Send + Sync>,
    /// Only ever goes forward; its zero means nothing.
    pub monotonic: Box<dyn Fn() -> Duration + Send + Sync>,
}

impl TimeSources {
    /// The machine's.
    pub fn machine() -> Self {
        let started = Instant::now();
        Self { wall: Box::new(wall_clock), monotonic: Box::new(move || started.elapsed()) }
    }
}

/// The machine's clock, read once and carried on by the monotonic clock: while the process lives, a jump of the wall
/// clock neither expires a lease nor keeps one alive.
pub struct SystemClock {
    base: Timestamp,
    started: Duration,
    sources: TimeSources,
    planted: Planted,
}

impl SystemClock {
    /// Starts at the wall clock's time, but never before `floor` (the latest time the store has seen): a wall clock
    /// set back while no coordinator ran must not make leases last longer.
    pub fn starting_after(floor: Timestamp) -> Self {
        Self::reading(TimeSources::machine(), floor, Planted::default())
    }

    /// The same, told where to read.
    pub fn reading(sources: TimeSources, floor: Timestamp, planted: Planted) -> Self {
        let (base, started) = ((sources.wall)().max(floor), (sources.monotonic)());
        Self { base, started, sources, planted }
    }
}

/// The machine's wall clock, wherever somebody sets it: for what is held against the clocks of others, never for what
/// expires.
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        wall_clock()
    }
}

/// The wall clock's time now.
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::default() + since
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        if self.planted.has(Bug::WallClock) {
            return (self.sources.wall)();
        }
        self.base + (self.sources.monotonic)().saturating_sub(self.started)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const HOUR: i64 = 3_600_000;

    /// A clock whose wall and monotonic sources a test sets, in milliseconds.
    fn clock(floor: i64) -> (SystemClock, Arc<AtomicI64>, Arc<AtomicI64>) {
        let (wall, monotonic) = (Arc::new(AtomicI64::new(10 * HOUR)), Arc::new(AtomicI64::new(77)));
        let (wall_source, monotonic_source) = (Arc::clone(&wall), Arc::clone(&monotonic));
        let sources = TimeSources {
            wall: Box::new(move || Timestamp::from_millis(wall_source.load(Ordering::Relaxed))),
            monotonic: Box::new(move || Duration::from_millis(monotonic_source.load(Ordering::Relaxed).unsigned_abs())),
        };
        (SystemClock::reading(sources, Timestamp::from_millis(floor), Planted::default()), wall, monotonic)
    }

    #[test]
    fn a_wall_clock_set_back_does_not_take_the_store_back() {
        let (clock, _, _) = clock(11 * HOUR);
        assert_eq!(clock.now(), Timestamp::from_millis(11 * HOUR));
    }

    #[test]
    fn only_the_monotonic_clock_moves_it_on() {
        let (clock, wall, monotonic) = clock(0);
        wall.fetch_add(HOUR, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp::from_millis(10 * HOUR));
        wall.fetch_sub(2 * HOUR, Ordering::Relaxed);
        monotonic.fetch_add(5, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp::from_millis(10 * HOUR + 5));
    }
}
