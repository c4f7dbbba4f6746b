//! Whether a host answers slower than it can: then more requests at once only wait in its queue instead of ours.
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

/// How a host answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// About as fast as it can.
    Good,
    /// More than half as slow again.
    Crowded,
    /// More than twice as slow, for the first time.
    Late,
    /// More than twice as slow once more. With so many thousandths of the requests in flight it would be just twice as slow, if what it
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
    /// How many make the next: as many as were in flight when the first of them came. While each adds two, no number of them would
    /// be as many as there are by then.
    round: usize,
    /// The best medians of this span and of the one before.
    best: [Option<u32>; 2],
    span_began: Instant,
    /// The last median was more than twice the best.
    late: bool,
    pace: Pace,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            window: Vec::new(),
            round: 0,
            best: [None; 2],
            span_began: Instant::now(),
            late: false,
            pace: Pace::Good,
        }
    }

    /// An answer took so many microseconds, while there may be so many in flight.
    pub(crate) fn record(&mut self, micros: u32, in_flight: usize) {
        if self.window.is_empty() {
            self.round = in_flight.clamp(*WINDOW.start(), *WINDOW.end());
        }
        self.window.push(micros);
        if self.window.len() >= self.round {
            self.pace = self.judge(Instant::now());
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
            let thousandths = bearable.as_micros() * 1_000 / median.as_micros();
            return Pace::Overrun(u16::try_from(thousandths).unwrap_or(u16::MAX).clamp(500, 999));
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

    #[tokio::test(start_paused = true)]
    async fn a_start_that_adds_two_for_each_answer_is_judged_round_by_round() {
        let (mut watch, mut in_flight) = (Watch::new(), 64);
        for millis in [20, 20, 60, 60] {
            let round = in_flight;
            for _ in 0..round {
                watch.record(1_000 * millis, in_flight);
                in_flight += if watch.pace() == Pace::Good { 2 } else { 0 };
            }
        }
        assert_eq!((watch.pace(), in_flight), (Pace::Overrun(700), 1_726));
    }
}
