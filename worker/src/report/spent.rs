//! What requests cost, summed up.

use std::time::Duration;

use muster_pipeline::Cost;
use muster_proto::v1::WorkStats;

/// What all requests for something cost, whatever came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    requests: i64,
    /// Of these, tries after a failed one.
    retries: i64,
    /// Of these, copies.
    hedges: i64,
    /// Received.
    bytes: i64,
    /// How long they were held back, all together.
    waited: Duration,
}

impl Spent {
    /// Adds what one GET cost.
    pub(crate) fn add(&mut self, cost: Cost) {
        self.add_all(Self {
            requests: i64::from(cost.attempts) + i64::from(cost.hedges) + i64::from(cost.questions),
            retries: i64::from(cost.attempts.saturating_sub(1)),
            hedges: i64::from(cost.hedges),
            bytes: i64::try_from(cost.bytes).unwrap_or(i64::MAX),
            waited: cost.waited,
        });
    }

    /// Adds what others cost.
    pub(crate) fn add_all(&mut self, others: Self) {
        self.requests += others.requests;
        self.retries += others.retries;
        self.hedges += others.hedges;
        self.bytes += others.bytes;
        self.waited += others.waited;
    }

    /// As the coordinator is told.
    pub(super) fn stats(self) -> WorkStats {
        let Self { requests, retries, hedges, bytes, waited } = self;
        let waited = prost_types::Duration::try_from(waited).ok();
        WorkStats { requests, retries, hedges, bytes_received: bytes, waited }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_after_the_first_of_each_get_are_retries() {
        let cost = |attempts, hedges, questions| Cost { attempts, hedges, questions, bytes: 10, ..Cost::default() };
        let (mut record, mut all) = (Spent::default(), Spent::default());
        // A detail, and a part of it that was never sent.
        record.add(Cost { waited: Duration::from_millis(1_500), ..cost(3, 1, 2) });
        record.add(cost(0, 0, 0));
        all.add(cost(1, 0, 0));
        all.add_all(record);
        let waited = Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 });
        assert_eq!(all.stats(), WorkStats { requests: 7, retries: 2, hedges: 1, bytes_received: 30, waited });
    }
}
