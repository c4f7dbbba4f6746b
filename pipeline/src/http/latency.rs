//! How long a host takes to answer: the 95th percentile of what was seen lately, and how that is against its best.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use super::pace::{Pace, Watch};

/// Four buckets to each doubling from 1 microsecond to over an hour: 19% is near enough to decide when to hedge.
const BUCKETS: usize = 128;
/// How many answers weigh in before the older half fades.
const MEMORY: u32 = 2048;
/// How many answers are needed before there is a percentile, and how often it is worked out again.
const STEP: u32 = 32;

#[derive(Debug)]
pub(crate) struct Latency {
    seen: Mutex<Seen>,
    /// Microseconds; 0 while there were too few answers.
    p95: AtomicU64,
    /// As a [`Pace`] has it.
    pace: AtomicU16,
}

#[derive(Debug)]
struct Seen {
    counts: [u32; BUCKETS],
    total: u32,
    watch: Watch,
}

impl Latency {
    pub(crate) fn new() -> Self {
        let seen = Seen { counts: [0; BUCKETS], total: 0, watch: Watch::new() };
        Self { seen: Mutex::new(seen), p95: AtomicU64::new(0), pace: AtomicU16::new(Pace::Good.code()) }
    }

    /// An answer took so long, while there may be so many in flight. A refusal, which is `served: false`, says nothing of how
    /// fast the host can serve.
    pub(crate) fn record(&self, took: Duration, served: bool, in_flight: usize) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut seen = super::lock(&self.seen);
        if served {
            seen.watch.record(u32::try_from(micros).unwrap_or(u32::MAX), in_flight);
            self.pace.store(seen.watch.pace().code(), Ordering::Relaxed);
        }
        seen.counts[bucket(micros)] += 1;
        seen.total += 1;
        if seen.total.is_multiple_of(STEP) {
            self.p95.store(seen.percentile_95(), Ordering::Relaxed);
        }
        if seen.total >= MEMORY {
            seen.counts.iter_mut().for_each(|count| *count /= 2);
            seen.total = seen.counts.iter().sum();
        }
    }

    /// Forgets what it was at best: the host has become another.
    pub(crate) fn start_anew(&self) {
        let mut seen = super::lock(&self.seen);
        seen.watch = Watch::new();
        self.pace.store(seen.watch.pace().code(), Ordering::Relaxed);
    }

    /// How fast it answers against how fast it can.
    pub(crate) fn pace(&self) -> Pace {
        Pace::of(self.pace.load(Ordering::Relaxed))
    }

    /// `None` until enough was seen.
    pub(crate) fn p95(&self) -> Option<Duration> {
        match self.p95.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }
}

impl Seen {
    fn percentile_95(&self) -> u64 {
        let wanted = self.total - self.total / 20;
        let mut sum = 0;
        for (index, count) in self.counts.iter().enumerate() {
            sum += count;
            if sum >= wanted {
                return upper(index);
            }
        }
        upper(BUCKETS - 1)
    }
}

/// The bucket of a number: its highest bit, and the two bits below it.
fn bucket(micros: u64) -> usize {
    let micros = micros.max(4);
    let exponent = micros.ilog2();
    let quarter = (micros >> (exponent - 2)) & 3;
    let index = (exponent as usize - 2) * 4 + usize::try_from(quarter).unwrap_or(0);
    index.min(BUCKETS - 1)
}

/// The first number above a bucket.
fn upper(index: usize) -> u64 {
    let (exponent, quarter) = (index / 4, index as u64 % 4);
    (5 + quarter) << exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_falls_into_them() {
        for micros in [4, 5, 7, 8, 9, 15, 16, 1000, 50_000, 3_000_000, 15_000_000] {
            let index = bucket(micros);
            assert!(micros < upper(index), "{micros}");
            assert!(index == 0 || micros >= upper(index - 1), "{micros}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_percentile_follows_what_is_seen() {
        let latency = Latency::new();
        for _ in 0..31 {
            latency.record(Duration::from_millis(10), true, 1);
        }
        assert_eq!(latency.p95(), None);
        for _ in 0..300 {
            latency.record(Duration::from_millis(10), true, 1);
        }
        let early = latency.p95().unwrap();
        assert!((Duration::from_millis(10)..Duration::from_millis(13)).contains(&early), "{early:?}");
        for _ in 0..20_000 {
            latency.record(Duration::from_millis(200), true, 1);
        }
        let late = latency.p95().unwrap();
        assert!((Duration::from_millis(200)..Duration::from_millis(250)).contains(&late), "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_pace_is_that_of_what_was_served_and_is_forgotten_with_it() {
        let latency = Latency::new();
        let answers = |millis, served| (0..64).for_each(|_| latency.record(Duration::from_millis(millis), served, 1));
        answers(20, true);
        answers(60, false);
        assert_eq!(latency.pace(), Pace::Good, "a refusal says nothing");
        answers(60, true);
        answers(60, true);
        assert_eq!(latency.pace(), Pace::Overrun(700));
        latency.start_anew();
        assert_eq!(latency.pace(), Pace::Good);
        answers(60, true);
        assert_eq!(latency.pace(), Pace::Good, "this is its best now");
    }
}
