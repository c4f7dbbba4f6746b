//! Fetch slots, shared fairly among the runs that a worker has batches of.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// So many records are fetched at the same time. A free slot goes to the run that has the fewest, so that a run whose source
/// is slow, or whose batches came first, holds up no other for longer than one fetch. Within a run who came first is served
/// first: old batches end first.
#[derive(Debug)]
pub(crate) struct Slots(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    free: usize,
    runs: BTreeMap<String, OfRun>,
    /// How many times somebody began to wait.
    waited: u64,
}

#[derive(Debug, Default)]
struct OfRun {
    taken: usize,
    /// Since when, and whom to tell.
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// A slot, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    slots: &'a Slots,
    run_id: &'a str,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.slots.give_back(self.run_id);
    }
}

/// Somebody who waits. Who goes away with a slot on its way gives it back.
struct Waiting<'a> {
    slots: &'a Slots,
    run_id: &'a str,
    told: Option<oneshot::Receiver<()>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Closed first: from then on nobody hands it a slot.
        if let Some(mut told) = self.told.take() {
            told.close();
            if told.try_recv().is_ok() {
                self.slots.give_back(self.run_id);
            }
        }
    }
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

    /// A slot to fetch a record of this run with.
    pub(crate) async fn take<'a>(&'a self, run_id: &'a str) -> Slot<'a> {
        let told = {
            let mut state = self.lock();
            let (tell, told) = oneshot::channel();
            state.waited += 1;
            let since = state.waited;
            state.of(run_id).waiting.push_back((since, tell));
            state.hand_out();
            told
        };
        let mut waiting = Waiting { slots: self, run_id, told: Some(told) };
        if let Some(told) = &mut waiting.told {
            // The sender is dropped only with the slots, or with this.
            let _ = told.await;
        }
        waiting.told = None;
        Slot { slots: self, run_id }
    }

    fn give_back(&self, run_id: &str) {
        let mut state = self.lock();
        state.of(run_id).taken -= 1;
        state.free += 1;
        state.hand_out();
        state.runs.retain(|_, of_run| of_run.taken > 0 || !of_run.waiting.is_empty());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(&mut self, run_id: &str) -> &mut OfRun {
        self.runs.entry(run_id.to_owned()).or_default()
    }

    /// Gives free slots to those that wait: the run that has the fewest first, then who has waited the longest.
    fn hand_out(&mut self) {
        while self.free > 0 {
            let waiting = self.runs.values_mut().filter(|of_run| !of_run.waiting.is_empty());
            let next = waiting.min_by_key(|of_run| (of_run.taken, of_run.waiting.front().map(|(since, _)| *since)));
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

    #[test]
    fn a_free_slot_goes_to_the_run_that_has_the_fewest() {
        let slots = Slots::new(2);
        let first = slots.take("large").now_or_never().expect("free");
        let _second = slots.take("large").now_or_never().expect("free");
        let mut large: Vec<_> = (0..3).map(|_| Box::pin(slots.take("large"))).collect();
        large.iter_mut().for_each(|take| assert!(take.now_or_never().is_none()));
        let mut small = Box::pin(slots.take("small"));
        assert!((&mut small).now_or_never().is_none());
        drop(first);
        assert!((&mut large[0]).now_or_never().is_none());
        let small = small.now_or_never().expect("it has fewer");
        drop(small);
        assert!((&mut large[0]).now_or_never().is_some(), "nobody else waits");
    }

    #[test]
    fn who_came_first_is_first_within_a_run() {
        let slots = Slots::new(1);
        let held = slots.take("a").now_or_never().expect("free");
        let (mut one, mut two) = (Box::pin(slots.take("a")), Box::pin(slots.take("a")));
        assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none());
        drop(held);
        assert!((&mut two).now_or_never().is_none());
        let one = one.now_or_never().expect("its turn");
        drop(one);
        assert!(two.now_or_never().is_some());
    }

    #[test]
    fn a_slot_is_not_lost_with_who_was_to_have_it() {
        let slots = Slots::new(1);
        let held = slots.take("a").now_or_never().expect("free");
        let (mut gone, mut given) = (Box::pin(slots.take("a")), Box::pin(slots.take("a")));
        assert!((&mut gone).now_or_never().is_none() && (&mut given).now_or_never().is_none());
        drop(gone);
        drop(held);
        // Given its slot, but never asked for it.
        drop(given);
        assert!(slots.take("b").now_or_never().is_some());
        let state = slots.lock();
        assert!(state.free == 1 && state.runs.is_empty(), "{state:?}");
    }

    #[test]
    fn more_slots_are_of_use_at_once() {
        let slots = Slots::new(0);
        let mut take = Box::pin(slots.take("a"));
        assert!((&mut take).now_or_never().is_none());
        slots.add(1);
        assert!(take.now_or_never().is_some());
    }
}
