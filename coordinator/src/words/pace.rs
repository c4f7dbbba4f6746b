//! How fast a run is, of late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The rate shown is that of the last so much time.
const PACE_WINDOW: Duration = Duration::from_secs(5);
/// How long a rate stands before it may change: numbers that change with each frame cannot be read.
const PACE_STANDS: Duration = Duration::from_secs(1);

/// The rate of late.
#[derive(Debug, Default)]
pub struct Pace {
    /// How much was settled when.
    samples: VecDeque<(Instant, i64)>,
    /// Since when a rate stands, and which.
    stands: Option<(Instant, f64)>,
}

impl Pace {
    /// So much was settled at this moment.
    pub fn note(&mut self, now: Instant, settled: i64) {
        self.samples.push_back((now, settled));
        // One sample from before the window stays: the window's start lies behind it.
        while self.samples.get(1).is_some_and(|(time, _)| now.duration_since(*time) > PACE_WINDOW) {
            self.samples.pop_front();
        }
    }

    /// The rate to be shown: it changes once in a while.
    pub fn shown(&mut self, now: Instant) -> f64 {
        match self.stands {
            Some((since, rate)) if now.duration_since(since) < PACE_STANDS => rate,
            _ => {
                let rate = self.per_second(now);
                // While nothing is known yet, the first rate need not wait.
                self.stands = (rate > 0.0).then_some((now, rate));
                rate
            }
        }
    }

    fn per_second(&self, now: Instant) -> f64 {
        let (Some((began, first)), Some((_, latest))) = (self.samples.front(), self.samples.back()) else { return 0.0 };
        // Silence counts: what was settled before the window is not of late, whether or not news came since.
        let older = |(time, _): &&(Instant, i64)| now.duration_since(*time) >= PACE_WINDOW;
        let before = self.samples.iter().rev().find(older).map_or(*first, |(_, settled)| *settled);
        let span = now.duration_since(*began).min(PACE_WINDOW).as_secs_f64();
        if span < 0.2 { 0.0 } else { (latest - before).max(0) as f64 / span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.per_second(at(0)), 0.0);
        pace.note(at(0), 0);
        pace.note(at(1), 1000);
        assert_eq!(pace.per_second(at(1)), 1000.0);
        // Silence lowers it: first by time, then because nothing was settled in the window.
        assert_eq!(pace.per_second(at(4)), 250.0);
        assert_eq!(pace.per_second(at(6)), 0.0);
        for second in 2..=20 {
            pace.note(at(second), 1000 + 10 * i64::try_from(second).unwrap());
        }
        assert_eq!(pace.per_second(at(20)), 10.0);
        assert!(pace.samples.len() < 10, "{pace:?}");
    }

    #[test]
    fn a_rate_stands_for_a_while() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::default();
        pace.note(at(0), 0);
        assert_eq!(pace.shown(at(0)), 0.0);
        pace.note(at(1000), 100);
        assert_eq!((pace.shown(at(1000)), pace.shown(at(1900)), pace.shown(at(2000))), (100.0, 100.0, 50.0));
    }
}
