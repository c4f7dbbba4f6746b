//! Fetch slots, shared fairly among the runs that a worker has batches of.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// So many records are fetched at the same time. A free slot goes to the run that has the fewest for the batches that it has
/// here: how many these are, the coordinator has decided by the runs' shares. So a run whose source is slow, or whose batches
/// came first, holds up no other for longer than one fetch takes, which is long while its source wants to be left alone; while
/// that is down, it has none. Within a run who came first is served first: old batches end first.
#[derive(Debug)]
pub(crate) struct Slots(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    free: usize,
    runs: BTreeMap<String, OfRun>,
    /// How many times somebody came for a slot.
    came: u64,
}

#[derive(Debug, Default)]
struct OfRun {
    taken: u64,
    /// Records that have a slot or wait for one, by batch.
    records: BTreeMap<i64, usize>,
    /// Since when, and whom to tell.
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// A slot, or the place of somebody who waits for one; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    slots: &'a Slots,
    run_id: &'a str,
    batch: i64,
    /// Until it is there.
    on_its_way: Option<oneshot::Receiver<()>>,
}

impl Slots {
    pub(crate) fn new(slots: usize) -> Self {
        Self(Mutex::new(State { free: slots, ..State::default() }))
    }

    /// So many more.
    pub(crate) fn add(&self, slots: usize) {
        let mut state = self.lock();
        state.free += slots;
        state.hand_out();
    }

    /// How many are taken, and how many are not.
    pub(crate) fn busy_and_free(&self) -> (usize, usize) {
        let state = self.lock();
        let busy: u64 = state.runs.values().map(|of_run| of_run.taken).sum();
        (usize::try_from(busy).unwrap_or(usize::MAX), state.free)
    }

    /// A slot to fetch a record of this batch with.
    pub(crate) async fn take<'a>(&'a self, run_id: &'a str, batch: i64) -> Slot<'a> {
        let (tell, told) = oneshot::channel();
        {
            let mut state = self.lock();
            state.came += 1;
            let since = state.came;
            let of_run = state.runs.entry(run_id.to_owned()).or_default();
            *of_run.records.entry(batch).or_default() += 1;
            of_run.waiting.push_back((since, tell));
            state.hand_out();
        }
        let mut slot = Slot { slots: self, run_id, batch, on_its_way: Some(told) };
        if let Some(told) = &mut slot.on_its_way {
            // Nobody drops the other end without a word but this, by being dropped.
            let _ = told.await;
        }
        slot.on_its_way = None;
        slot
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        // Closed first: from then on nobody hands it a slot.
        let has_it = self.on_its_way.take().is_none_or(|mut told| {
            told.close();
            told.try_recv().is_ok()
        });
        if let Some(of_run) = state.runs.get_mut(self.run_id) {
            of_run.leave(self.batch, has_it);
            if of_run.records.is_empty() {
                state.runs.remove(self.run_id);
            }
        }
        state.free += usize::from(has_it);
        state.hand_out();
    }
}

impl OfRun {
    fn leave(&mut self, batch: i64, had_a_slot: bool) {
        self.taken -= u64::from(had_a_slot);
        if let Some(left) = self.records.get_mut(&batch) {
            *left -= 1;
            if *left == 0 {
                self.records.remove(&batch);
            }
        }
    }

    /// Since when its first one waits.
    fn since(&self) -> Option<u64> {
        self.waiting.front().map(|(since, _)| *since)
    }
}

impl State {
    /// Gives free slots to those that wait.
    fn hand_out(&mut self) {
        while self.free > 0 {
            let waiting = self.runs.values_mut().filter(|of_run| !of_run.waiting.is_empty());
            // taken/batches without fractions.
            let next = waiting.min_by(|a, b| {
                let (batches_a, batches_b) = (a.records.len() as u64, b.records.len() as u64);
                (a.taken * batches_b).cmp(&(b.taken * batches_a)).then_with(|| a.since().cmp(&b.since()))
            });
            let Some(of_run) = next else { return };
            // Who does not wait any more takes none.
            if let Some((_, tell)) = of_run.waiting.pop_front()
                && tell.send(()).is_ok()
            {
                of_run.taken += 1;
                self.free -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn is_there<T>(take: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        take.now_or_never()
    }

    #[test]
    fn a_free_slot_goes_to_the_run_that_has_the_fewest() {
        let slots = Slots::new(2);
        let first = slots.take("large", 1).now_or_never().expect("free");
        let _second = slots.take("large", 1).now_or_never().expect("free");
        let mut large: Vec<_> = (0..3).map(|_| Box::pin(slots.take("large", 1))).collect();
        large.iter_mut().for_each(|take| assert!(is_there(take).is_none()));
        let mut small = Box::pin(slots.take("small", 1));
        assert!(is_there(&mut small).is_none());
        drop(first);
        assert!(is_there(&mut large[0]).is_none());
        drop(is_there(&mut small).expect("it has fewer"));
        assert!(is_there(&mut large[0]).is_some(), "nobody else waits");
    }

    #[test]
    fn a_run_has_slots_for_the_batches_that_it_has() {
        let slots = Slots::new(0);
        let mut one: Vec<_> = (0..20).map(|_| Box::pin(slots.take("one", 7))).collect();
        let mut three: Vec<_> = (0..60).map(|number| Box::pin(slots.take("three", number / 20))).collect();
        one.iter_mut().chain(&mut three).for_each(|take| assert!(is_there(take).is_none()));
        slots.add(40);
        let state = slots.lock();
        let taken = |run: &str| state.runs[run].taken;
        assert_eq!((taken("one"), taken("three")), (10, 30));
    }

    #[test]
    fn who_came_first_is_first_within_a_run() {
        let slots = Slots::new(1);
        let held = slots.take("a", 1).now_or_never().expect("free");
        let (mut one, mut two) = (Box::pin(slots.take("a", 1)), Box::pin(slots.take("a", 2)));
        assert!(is_there(&mut one).is_none() && is_there(&mut two).is_none());
        drop(held);
        assert!(is_there(&mut two).is_none());
        drop(is_there(&mut one).expect("its turn"));
        assert!(is_there(&mut two).is_some());
    }

    #[test]
    fn a_slot_is_not_lost_with_who_was_to_have_it() {
        let slots = Slots::new(1);
        let held = slots.take("a", 1).now_or_never().expect("free");
        let (mut gone, mut given) = (Box::pin(slots.take("a", 2)), Box::pin(slots.take("a", 3)));
        assert!(is_there(&mut gone).is_none() && is_there(&mut given).is_none());
        drop(gone);
        drop(held);
        // Handed its slot, but it never asked for it.
        drop(given);
        assert!(slots.take("b", 1).now_or_never().is_some());
        let state = slots.lock();
        assert!(state.free == 1 && state.runs.is_empty(), "{state:?}");
    }
}
