//! What the ledger has to tell of a whole run.

use super::{DeadLetterGroup, Doubt, History, Round};
use crate::domain::{Progress, Run, Timestamp, UnknownField};

/// At most so many of what there may be any number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBounds {
    /// Groups of dead letters.
    pub groups: u32,
    /// Deliveries in doubt.
    pub doubts: u32,
}

/// A run, what came of it and what it cost, in one view of the ledger.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// The run.
    pub run: Run,
    /// How far it is.
    pub progress: Progress,
    /// Its rounds, oldest first.
    pub rounds: Vec<Round>,
    /// Fields of the current round's records that their schema does not know.
    pub unknown_fields: Vec<UnknownField>,
    /// What each round cost, oldest first.
    pub costs: Vec<Costs>,
    /// What was acknowledged over time.
    pub history: History,
    /// Dead letters of all rounds, most frequent first.
    pub failures: Vec<DeadLetterGroup>,
    /// Deliveries in doubt on which records hang.
    pub doubts: Vec<Doubt>,
    /// The time of the view.
    pub at: Timestamp,
}

/// What a round cost, by its rows of leases and deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Costs {
    /// The round; 0: all.
    pub round: u32,
    /// Records that there was work for.
    pub records: i64,
    /// Leases.
    pub leases: i64,
    /// Of these, lost by time.
    pub expired: i64,
    /// Of these, over without a report.
    pub unreported: i64,
    /// What was reported.
    pub work: WorkDone,
    /// Deliveries by how they ended.
    pub deliveries: Deliveries,
    /// When the target acknowledged a delivery for the first time, ...
    pub first_applied_at: Option<Timestamp>,
    /// ... and for the last.
    pub last_applied_at: Option<Timestamp>,
}

/// What workers reported of the source's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkDone {
    /// Requests, all tries and hedges counted.
    pub requests: i64,
    /// Tries after a failed one.
    pub retries: i64,
    /// Copies of slow ones.
    pub hedges: i64,
    /// Bytes of bodies received.
    pub bytes: i64,
    /// How long requests were held back before they were sent, all together, in milliseconds.
    pub waited_ms: i64,
}

/// Deliveries by how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deliveries {
    /// Neither answered nor given up yet.
    pub open: i64,
    /// Acknowledged.
    pub applied: i64,
    /// Without effect.
    pub not_applied: i64,
    /// Refused.
    pub rejected: i64,
    /// Nobody knows.
    pub in_doubt: i64,
    /// Some of their records were applied.
    pub partly_applied: i64,
    /// Of all, those that repeat one in doubt.
    pub repeats: i64,
    /// Records that they carried.
    pub records: i64,
    /// The most often that the same records were sent.
    pub most_tries: u32,
}

impl Deliveries {
    /// All of them.
    pub fn announced(&self) -> i64 {
        self.open + self.applied + self.not_applied + self.rejected + self.in_doubt + self.partly_applied
    }
}

impl Costs {
    /// All rounds together. What a later round took over is of the first round's records.
    pub fn sum(rounds: &[Self]) -> Self {
        let records = rounds.first().map_or(0, |first| first.records);
        rounds.iter().fold(Self { records, ..Self::default() }, |sum, round| Self { records, ..sum.with(round) })
    }

    fn with(mut self, other: &Self) -> Self {
        let (work, deliveries) = (other.work, other.deliveries);
        let adds = [
            (&mut self.leases, other.leases),
            (&mut self.expired, other.expired),
            (&mut self.unreported, other.unreported),
            (&mut self.work.requests, work.requests),
            (&mut self.work.retries, work.retries),
            (&mut self.work.hedges, work.hedges),
            (&mut self.work.bytes, work.bytes),
            (&mut self.work.waited_ms, work.waited_ms),
            (&mut self.deliveries.open, deliveries.open),
            (&mut self.deliveries.applied, deliveries.applied),
            (&mut self.deliveries.not_applied, deliveries.not_applied),
            (&mut self.deliveries.rejected, deliveries.rejected),
            (&mut self.deliveries.in_doubt, deliveries.in_doubt),
            (&mut self.deliveries.partly_applied, deliveries.partly_applied),
            (&mut self.deliveries.repeats, deliveries.repeats),
            (&mut self.deliveries.records, deliveries.records),
        ];
        for (sum, more) in adds {
            *sum = sum.saturating_add(more);
        }
        self.deliveries.most_tries = self.deliveries.most_tries.max(deliveries.most_tries);
        let firsts = [self.first_applied_at, other.first_applied_at];
        self.first_applied_at = firsts.into_iter().flatten().min();
        self.last_applied_at = self.last_applied_at.max(other.last_applied_at);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_add_up_and_records_count_once() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        let work = WorkDone { requests: 3, retries: 1, hedges: 1, bytes: 512, waited_ms: 7 };
        let deliveries = Deliveries { applied: 2, in_doubt: 1, records: 30, most_tries: 2, ..Deliveries::default() };
        let round = Costs { round: 1, records: 30, leases: 3, work, deliveries, ..Costs::default() };
        let first = Costs { first_applied_at: at(10), last_applied_at: at(20), ..round };
        let second = Costs { round: 2, records: 5, first_applied_at: None, last_applied_at: None, ..round };
        let sum = Costs::sum(&[first, second]);
        assert_eq!((sum.round, sum.records, sum.leases), (0, 30, 6));
        assert_eq!(sum.work, WorkDone { requests: 6, retries: 2, hedges: 2, bytes: 1024, waited_ms: 14 });
        assert_eq!((sum.deliveries.announced(), sum.deliveries.records, sum.deliveries.most_tries), (6, 60, 2));
        assert_eq!((sum.first_applied_at, sum.last_applied_at), (at(10), at(20)));
        assert_eq!(Costs::sum(&[]), Costs::default());
    }
}
