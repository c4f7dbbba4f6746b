//! Whether a host answers slower than it can, or more requests at once bring no more answers: then they only wait in its queue
//! instead of ours.
//!
//! After Netflix's concurrency-limits (Gradient2) and Vector's adaptive request concurrency: what answers take now against what
//! they took at best. Medians, because a few answers of every API stall; each of a whole round of requests, and of two rounds
//! before it costs anything, because a process that stood still for a moment finds all answers late that came meanwhile.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

/// Answers that make a median: as many as there may be in flight, within these bounds.
const WINDOW: RangeInclusive<usize> = 64..=1_024;
/// The best is that of the last two such spans, so that a host which has become slower for good is not held to its past.
const SPAN: Duration = Duration::from_secs(30);
/// What a median may be above the best in any case, so that noise on a fast network is none.
const NOISE: Duration = Duration::from_millis(1);

/// By how much there must be more in flight for it to be seen what that brings, and how much that must be: less than half of it
/// is a queue.
const GROWN: f64 = 1.5;
const BROUGHT: f64 = 1.25;

/// How a host answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// About as fast as it can.
    Good,
    /// More than half as slow again.
    Crowded,
    /// More than twice as slow, or no more answers with more in flight, for the first time.
    Late,
    /// The same once more. With so many thousandths of the requests in flight it would be just twice as slow, if what it
    /// takes is all waiting in a queue; never fewer than half.
    Overrun(u16),
}

impl Pace {
    /// The thousandths of [`Pace::Overrun`], which are never so few, or one of these.
    const GOOD: u16 = 0;
    const CROWDED: u16 = 1;
    const LATE: u16 = 2;

    /// As a number, for an atomic.
    pub(crate) fn code(self) -> u16 {
        match self {
            Pace::Good => Self::GOOD,
            Pace::Crowded => Self::CROWDED,
            Pace::Late => Self::LATE,
            Pace::Overrun(thousandths) => thousandths,
        }
    }

    pub(crate) fn of(code: u16) -> Self {
        match code {
            Self::GOOD => Pace::Good,
            Self::CROWDED => Pace::Crowded,
            Self::LATE => Pace::Late,
            thousandths => Pace::Overrun(thousandths),
        }
    }
}

/// What answers take, now and at best.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Of the answers since the last median, in microseconds.
    window: Vec<u32>,
    /// The best medians of this span and of the one before.
    best: [Option<u32>; 2],
    span_began: Instant,
    /// The last median was more than twice the best.
    late: bool,
    growth: Growth,
    pace: Pace,
}

/// What more requests in flight bring, until it is known once what is enough. A first median is no measure of how fast a host can
/// be: it has all connections in it that were made, and whatever else began at that time.
#[derive(Debug)]
struct Growth {
    window_began: Instant,
    /// How many there were in flight when more of them last brought more, and the answers a second then.
    last: Option<(usize, f64)>,
    /// The last look found that they brought no more.
    in_vain: bool,
    is_over: bool,
}

impl Growth {
    fn new() -> Self {
        Self { window_began: Instant::now(), last: None, in_vain: false, is_over: false }
    }

    /// So many answers came since the last look. Gives what follows where more in flight brought no more.
    fn judge(&mut self, answers: usize, in_flight: usize, now: Instant) -> Option<Pace> {
        let took = now.duration_since(std::mem::replace(&mut self.window_began, now));
        if self.is_over || took.is_zero() {
            return None;
        }
        let rate = answers as f64 / took.as_secs_f64();
        match self.last {
            Some((before, _)) if (in_flight as f64) < before as f64 * GROWN => None,
            Some((before, of_before)) if rate < of_before * BROUGHT => {
                if !std::mem::replace(&mut self.in_vain, true) {
                    return Some(Pace::Late);
                }
                self.is_over = true;
                Some(overrun(before as u128 * 1_000 / in_flight as u128))
            }
            _ => {
                (self.last, self.in_vain) = (Some((in_flight, rate)), false);
                None
            }
        }
    }
}

fn overrun(thousandths: u128) -> Pace {
    Pace::Overrun(u16::try_from(thousandths).unwrap_or(u16::MAX).clamp(500, 999))
}

impl Watch {
    pub(crate) fn new() -> Self {
        let (best, span_began, growth) = ([None; 2], Instant::now(), Growth::new());
        Self { window: Vec::new(), best, span_began, late: false, growth, pace: Pace::Good }
    }

    /// An answer took so many microseconds, while there may be so many in flight.
    pub(crate) fn record(&mut self, micros: u32, in_flight: usize) {
        self.window.push(micros);
        if self.window.len() >= in_flight.clamp(*WINDOW.start(), *WINDOW.end()) {
            let now = Instant::now();
            let grown = self.growth.judge(self.window.len(), in_flight, now);
            self.pace = match (self.judge(now), grown) {
                (Pace::Good | Pace::Crowded, Some(grown)) => grown,
                (pace, _) => pace,
            };
            self.growth.is_over |= matches!(self.pace, Pace::Overrun(_));
        }
    }

    /// By the last median.
    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    fn judge(&mut self, now: Instant) -> Pace {
        let middle = self.window.len() / 2;
        let (_, median, _) = self.window.select_nth_unstable(middle);
        let median = *median;
        self.window.clear();
        if now.duration_since(self.span_began) >= SPAN {
            (self.best, self.span_began) = ([None, self.best[0]], now);
        }
        self.best[0] = Some(self.best[0].map_or(median, |best| best.min(median)));
        let best = Duration::from_micros(self.best.iter().flatten().copied().min().unwrap_or(median).into());
        let median = Duration::from_micros(median.into());
        let bearable = 2 * (best + NOISE);
        let was_late = std::mem::replace(&mut self.late, median > bearable);
        if self.late && !was_late {
            return Pace::Late;
        }
        if self.late {
            return overrun(bearable.as_micros() * 1_000 / median.as_micros());
        }
        if median.saturating_sub(best) > best / 2 + NOISE { Pace::Crowded } else { Pace::Good }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: usize = *WINDOW.start();

    fn answers(watch: &mut Watch, count: usize, millis: u32) -> Pace {
        for at in 0..count {
            // One of ten stalls.
            watch.record(1_000 * if at % 10 == 9 { 5_000 } else { millis }, 1);
        }
        watch.pace()
    }

    #[tokio::test(start_paused = true)]
    async fn slower_answers_are_noticed_and_stalls_are_not() {
        let mut watch = Watch::new();
        assert_eq!(answers(&mut watch, ROUND - 1, 500), Pace::Good, "too few to say");
        assert_eq!(answers(&mut watch, 1 + 5 * ROUND, 20), Pace::Good);
        assert_eq!(answers(&mut watch, ROUND, 29), Pace::Good);
        assert_eq!(answers(&mut watch, ROUND, 35), Pace::Crowded);
        assert_eq!(answers(&mut watch, ROUND, 60), Pace::Late);
        assert_eq!(answers(&mut watch, ROUND, 20), Pace::Good, "it was a moment");
        assert_eq!(answers(&mut watch, ROUND, 60), Pace::Late);
        assert_eq!(answers(&mut watch, ROUND, 60), Pace::Overrun(700));
        assert_eq!(answers(&mut watch, ROUND, 600), Pace::Overrun(500));
        assert_eq!(answers(&mut watch, ROUND, 20), Pace::Good);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_has_become_slower_for_good_is_not_held_to_its_past() {
        let mut watch = Watch::new();
        answers(&mut watch, ROUND, 20);
        assert!(matches!(answers(&mut watch, 2 * ROUND, 90), Pace::Overrun(_)));
        for _ in 0..2 {
            tokio::time::advance(SPAN).await;
            answers(&mut watch, ROUND, 90);
        }
        assert_eq!(watch.pace(), Pace::Good);
    }

    #[tokio::test(start_paused = true)]
    async fn noise_of_a_fast_network_is_none() {
        let mut watch = Watch::new();
        for micros in [150, 600, 1_100] {
            for _ in 0..ROUND {
                watch.record(micros, 1);
            }
            assert_eq!(watch.pace(), Pace::Good, "{micros}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_judgement_takes_as_many_answers_as_there_are_in_flight() {
        let mut watch = Watch::new();
        answers(&mut watch, ROUND, 20);
        for _ in 0..300 {
            watch.record(60_000, 301);
        }
        assert_eq!(watch.pace(), Pace::Good);
        watch.record(60_000, 301);
        assert_eq!(watch.pace(), Pace::Late);
        for _ in 0..=*WINDOW.end() {
            watch.record(20_000, usize::MAX);
        }
        assert_eq!(watch.pace(), Pace::Good, "however many there are");
    }

    /// A round of so many in flight takes so long.
    async fn round(watch: &mut Watch, in_flight: usize, millis: u64) -> Pace {
        tokio::time::advance(Duration::from_millis(millis)).await;
        // All answers take as long: it is not by that that it is seen.
        (0..in_flight).for_each(|_| watch.record(20_000, in_flight));
        watch.pace()
    }

    #[tokio::test(start_paused = true)]
    async fn more_in_flight_that_bring_no_more_answers_are_too_many() {
        let mut watch = Watch::new();
        for (in_flight, millis, pace) in [
            (64, 40, Pace::Good),
            (192, 20, Pace::Good),
            (576, 200, Pace::Late),
            (576, 22, Pace::Good),
            (900, 35, Pace::Late),
            (900, 34, Pace::Overrun(640)),
            (576, 60, Pace::Good),
            (900, 60, Pace::Good),
            (1_000, 100, Pace::Good),
        ] {
            assert_eq!(round(&mut watch, in_flight, millis).await, pace, "{in_flight} in {millis} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_flight_without_having_become_more_says_nothing() {
        let mut watch = Watch::new();
        for (in_flight, millis) in [(64, 20), (64, 500), (90, 30), (64, 500), (64, 500)] {
            assert_eq!(round(&mut watch, in_flight, millis).await, Pace::Good);
        }
    }
}
