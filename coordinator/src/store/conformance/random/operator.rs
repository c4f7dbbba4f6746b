//! An operator among the workers: settles doubts of runs that hold them.

use super::sequence::Sequence;
use super::workers::Known;
use crate::domain::{DeliveryState, Positions};
use crate::store::{Settle, Settled};

impl Sequence {
    /// Settles one of the doubts of which its worker knows nothing: whoever saw the target's answer may still say it.
    pub(super) async fn settle(&mut self) {
        let doubts = self.bench.store().doubts(&self.run, 0, 100).await.unwrap();
        let known = |number: i64| {
            let leases = self.known.iter().enumerate();
            let of = |(index, known): (usize, &Known)| {
                let sent = known.deliveries.iter().position(|sent| sent.number == number && sent.outcome.is_none());
                sent.map(|sent| (index, sent))
            };
            leases.filter_map(of).next()
        };
        let found = doubts.iter().find_map(|doubt| known(doubt.number).map(|at| (doubt, at)));
        let Some((doubt, (index, sent))) = found.filter(|_| self.holds) else { return };
        let positions = self.known[index].deliveries[sent].announced.positions.clone();
        let present = match self.random.below(3) {
            0 => positions.clone(),
            1 => Positions::default(),
            _ => positions.halves().0,
        };
        let ids = doubt.record_ids.iter().zip(positions.iter()).filter(|(_, place)| present.contains(*place));
        let applied_ids = if present == positions { Vec::new() } else { ids.map(|(id, _)| id.clone()).collect() };
        let applied = !present.is_empty();
        let settle = Settle { numbers: vec![doubt.number], applied, applied_ids, note: String::new() };
        match self.bench.store().settle(&self.run.id, settle).await.unwrap() {
            Some(Settled::Done { .. }) => {}
            Some(Settled::Refused(_)) => {
                self.seen.insert("settled too early");
                return;
            }
            None => panic!("the run is there"),
        }
        self.doubted.insert(doubt.number, Vec::new());
        self.seen.insert(match (applied, present == positions) {
            (false, _) => "settled as not applied",
            (true, true) => "settled as applied",
            (true, false) => "settled as partly applied",
        });
        let batch = self.known[index].lease.token.lease().batch.batch;
        self.applied.extend(present.iter().map(|place| (batch, place)));
        // Its worker will not contradict.
        let outcome = match (applied, present == positions) {
            (false, _) => DeliveryState::NotApplied,
            (true, true) => DeliveryState::Applied,
            (true, false) => DeliveryState::InDoubt,
        };
        self.known[index].deliveries[sent].outcome = Some(outcome);
    }
}
