//! How many more batches to ask for.

use crate::held::MAX_TOKENS;

/// Records that a worker keeps waiting for each fetch slot, so that no slot runs dry while the next batch is on its way.
const RECORDS_PER_SLOT: usize = 2;
/// The same while others have nothing to do: what the slots are busy with, and no stock.
const WITHOUT_STOCK: usize = 1;
/// Size of a batch as long as none was seen.
const UNKNOWN_BATCH: usize = 100;

/// What a worker holds right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Leases held, but for those that wait for a source or target that is down.
    pub(crate) leases: usize,
    /// Those.
    pub(crate) waiting: usize,
    /// Records of the other leases whose fetch is not over.
    pub(crate) unfetched: usize,
}

impl Load {
    /// With which of the next fetches [`Capacity::wanted`] is more than it is now, which must be 0. Nothing, where only the end
    /// of a lease makes room for more.
    pub(crate) fn fetches_to_go(self, slots: usize, others_want: bool) -> Option<u64> {
        let to_go = (self.unfetched + 1).checked_sub(stock(slots, others_want))?;
        (to_go > 0).then_some(to_go as u64)
    }
}

/// Records that are to wait for so many slots.
fn stock(slots: usize, others_want: bool) -> usize {
    slots * if others_want { WITHOUT_STOCK } else { RECORDS_PER_SLOT }
}

/// What a worker can take.
#[derive(Debug)]
pub(crate) struct Capacity {
    max_leases: usize,
    batch_size: usize,
}

impl Capacity {
    /// For a worker with at most so many leases.
    pub(crate) fn new(max_leases: usize) -> Self {
        Self { max_leases, batch_size: UNKNOWN_BATCH }
    }

    /// Learns how large batches are from one that was leased.
    pub(crate) fn saw_batch(&mut self, records: usize) {
        self.batch_size = records.max(1);
    }

    /// How many more batches keep `slots` fetch slots busy: none as long as enough records wait, never beyond the lease
    /// limit. Leases that wait for a source or target that is down take no other run's place, up to as many as that limit.
    /// `others_want`: other workers have nothing to do.
    pub(crate) fn wanted(&self, slots: usize, load: Load, others_want: bool) -> usize {
        let missing = stock(slots, others_want).saturating_sub(load.unfetched);
        let all = (2 * self.max_leases).min(MAX_TOKENS);
        let room = self.max_leases.saturating_sub(load.leases).min(all.saturating_sub(load.leases + load.waiting));
        missing.div_ceil(self.batch_size).min(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(capacity: &Capacity, leases: usize, unfetched: usize) -> usize {
        capacity.wanted(64, Load { leases, unfetched, waiting: 0 }, false)
    }

    #[test]
    fn nothing_is_kept_in_stock_while_others_have_nothing_to_do() {
        let mut capacity = Capacity::new(32);
        capacity.saw_batch(10);
        let wanted = |unfetched| capacity.wanted(64, Load { leases: 1, unfetched, waiting: 0 }, true);
        assert_eq!((wanted(0), wanted(63), wanted(64), wanted(100)), (7, 1, 0, 0));
    }

    #[test]
    fn batches_are_wanted_after_as_many_fetches_as_was_said() {
        let capacity = Capacity::new(32);
        for (unfetched, others_want) in [(128, false), (200, false), (64, true), (200, true)] {
            let load = |unfetched| Load { leases: 1, unfetched, waiting: 0 };
            let to_go = usize::try_from(load(unfetched).fetches_to_go(64, others_want).unwrap()).unwrap();
            let wanted = |fetched| capacity.wanted(64, load(unfetched - fetched), others_want);
            assert_eq!((wanted(to_go - 1), wanted(to_go)), (0, 1), "{unfetched}");
        }
        // None are wanted now, so it is the lease limit.
        assert_eq!(Load { leases: 32, unfetched: 127, waiting: 0 }.fetches_to_go(64, false), None);
        assert_eq!(Load { leases: 32, unfetched: 0, waiting: 0 }.fetches_to_go(64, false), None);
    }

    #[test]
    fn an_idle_worker_asks_for_what_fills_its_slots_twice() {
        let capacity = Capacity::new(32);
        assert_eq!(wanted(&capacity, 0, 0), 2);
        assert_eq!(wanted(&capacity, 2, 127), 1);
        assert_eq!(wanted(&capacity, 2, 128), 0);
        assert_eq!(wanted(&capacity, 2, 200), 0);
    }

    #[test]
    fn stalled_posts_stop_nobody_until_the_limit() {
        let capacity = Capacity::new(32);
        assert_eq!(wanted(&capacity, 31, 0), 1);
        assert_eq!(wanted(&capacity, 32, 0), 0);
        assert_eq!(wanted(&capacity, 40, 0), 0);
    }

    #[test]
    fn what_waits_for_a_host_that_is_down_takes_no_place_up_to_a_limit() {
        let capacity = Capacity::new(4);
        let wanted = |leases, waiting| capacity.wanted(1_000, Load { leases, waiting, unfetched: 0 }, false);
        assert_eq!((wanted(0, 4), wanted(3, 4), wanted(4, 4)), (4, 1, 0));
        assert_eq!((wanted(0, 7), wanted(1, 7), wanted(0, 8), wanted(0, 9)), (1, 0, 0, 0));
        let large = Capacity::new(1_000);
        let wanted = |waiting| large.wanted(10_000, Load { leases: 0, waiting, unfetched: 0 }, false);
        assert_eq!((wanted(900), wanted(1_000)), (100, 0));
    }

    #[test]
    fn small_batches_are_asked_for_in_numbers() {
        let mut capacity = Capacity::new(32);
        capacity.saw_batch(20);
        assert_eq!(wanted(&capacity, 0, 0), 7);
        capacity.saw_batch(0);
        assert_eq!(wanted(&capacity, 0, 0), 32);
    }
}
