//! Whose turn it is, whatever records do and hosts go through.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::Duration;

use futures::FutureExt;

use super::*;

fn is_there<T>(take: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    take.now_or_never()
}

/// Takes a slot that is free.
fn free(batch: &BatchSlots) -> Slot<'_> {
    batch.take().now_or_never().expect("free")
}

/// Waits for so many that are not.
fn waiting(batch: &BatchSlots, many: usize) -> Vec<Take<'_>> {
    let mut takes: Vec<_> = (0..many).map(|_| batch.take()).collect();
    takes.iter_mut().for_each(|take| assert!(is_there(take).is_none()));
    takes
}

#[test]
fn a_free_slot_goes_to_the_run_that_has_the_fewest() {
    let slots = Slots::new(2);
    let (of_large, of_small) = (slots.of_batch("large"), slots.of_batch("small"));
    let (first, _second) = (free(&of_large), free(&of_large));
    let mut large = waiting(&of_large, 3);
    let mut small = waiting(&of_small, 1);
    drop(first);
    assert!(is_there(&mut large[0]).is_none());
    drop(is_there(&mut small[0]).expect("it has fewer"));
    assert!(is_there(&mut large[0]).is_some(), "nobody else waits");
}

#[test]
fn a_run_has_slots_for_the_batches_that_it_has() {
    let slots = Slots::new(0);
    let one = slots.of_batch("one");
    // What a batch has that wants nothing does not count.
    let three = [(); 4].map(|()| slots.of_batch("three"));
    let _of_one = waiting(&one, 20);
    let _of_three: Vec<_> = three[..3].iter().map(|batch| waiting(batch, 20)).collect();
    slots.add(40);
    let taken = |batch: &BatchSlots| slots.lock().runs[&batch.at.run].taken;
    assert_eq!((taken(&one), taken(&three[0])), (10, 30));
}

#[test]
fn who_came_first_is_first_within_a_run() {
    let slots = Slots::new(1);
    let (early, late) = (slots.of_batch("a"), slots.of_batch("a"));
    let held = free(&early);
    let (mut one, mut two) = (waiting(&early, 1), waiting(&late, 1));
    drop(held);
    assert!(is_there(&mut two[0]).is_none());
    drop(is_there(&mut one[0]).expect("its turn"));
    assert!(is_there(&mut two[0]).is_some());
}

#[test]
fn a_slot_is_not_lost_with_who_was_to_have_it() {
    let slots = Slots::new(1);
    let batch = slots.of_batch("a");
    let held = free(&batch);
    let (gone, given) = (waiting(&batch, 1), waiting(&batch, 1));
    drop(gone);
    drop(held);
    // Handed its slot, but it never asked for it.
    drop(given);
    drop(batch);
    let other = slots.of_batch("b");
    drop(free(&other));
    drop(other);
    let state = slots.lock();
    assert!(state.free == 1 && state.runs.is_empty(), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told() {
    let slots = Slots::new(1);
    let batch = slots.of_batch("a");
    let held = batch.take().await;
    let give_back = async {
        tokio::task::yield_now().await;
        drop(held);
    };
    let both = async { tokio::join!(batch.take(), give_back) };
    tokio::time::timeout(Duration::from_secs(1), both).await.expect("it was told");
    assert_eq!(slots.busy_and_free(), (0, 1));
}

#[test]
fn while_its_hosts_are_down_a_batch_leaves_its_slots_to_others() {
    let slots = Slots::new(2);
    let (down, other) = (slots.of_batch("down"), slots.of_batch("other"));
    let reading = (free(&down), free(&down));
    let mut next = waiting(&down, 1);
    let mut others = waiting(&other, 3);
    down.rest();
    assert!(is_there(&mut next[0]).is_some(), "its turn came, and it takes no slot");
    let mut slots_of_other: Vec<_> = others.iter_mut().filter_map(is_there).collect();
    assert_eq!((slots_of_other.len(), slots.busy_and_free()), (2, (2, 0)));
    // The two that had one wait for it again, and one of them is over before it comes.
    down.resume();
    drop(reading.0);
    assert!(slots_of_other.pop().is_some());
    assert!(is_there(&mut others[2]).is_none(), "the run that was down has fewer");
    assert!(slots_of_other.pop().is_some());
    assert!(is_there(&mut others[2]).is_some(), "nobody else waits");
    // The slot is there again once the reading with it is over.
    drop(others);
    assert_eq!(slots.busy_and_free(), (1, 1));
    drop(reading.1);
    assert_eq!(slots.busy_and_free(), (0, 2));
}

#[test]
fn what_rested_gives_slots_back_before_all_of_it_has_one_again() {
    let slots = Slots::new(2);
    let (rested, other) = (slots.of_batch("rested"), slots.of_batch("other"));
    rested.rest();
    let mut reading = [(); 4].map(|()| Some(free(&rested)));
    rested.resume();
    assert_eq!(slots.busy_and_free(), (2, 0));
    let mut waits = waiting(&other, 1);
    reading[0] = None;
    assert!(is_there(&mut waits[0]).is_some(), "it has fewer");
    assert_eq!(slots.busy_and_free(), (2, 0), "another of its records has it");
    drop(reading);
    assert_eq!(slots.busy_and_free(), (0, 2));
}

/// What always holds.
fn check(state: &State, slots: usize) {
    let taken: usize = state.runs.values().map(|of_run| of_run.taken).sum();
    let queued: usize = state.runs.values().map(|of_run| of_run.queue.len()).sum();
    assert_eq!((taken + state.free, queued), (slots, state.waiting), "{state:?}");
    assert!(state.free == 0 || state.waiting == 0, "a slot is free and somebody waits: {state:?}");
    for of_run in state.runs.values() {
        let sum = |of: fn(&OfBatch) -> usize| of_run.batches.values().map(of).sum::<usize>();
        assert_eq!((sum(|batch| batch.taken), sum(|batch| usize::from(batch.is_busy()))), (of_run.taken, of_run.busy));
        assert!(of_run.queue.iter().map(|waiting| waiting.came).is_sorted(), "{state:?}");
        for (&number, batch) in &of_run.batches {
            let own = || of_run.queue.iter().filter(move |waiting| waiting.batch == number);
            let again = own().filter(|waiting| waiting.waker.is_none()).count();
            assert_eq!(own().count(), batch.waiting, "{state:?}");
            // Whatever has no slot waits for one, unless the batch rests, which has none.
            assert_eq!(again, if batch.rests { 0 } else { batch.slotless }, "{state:?}");
            assert!(!batch.rests || batch.taken == 0, "{state:?}");
        }
    }
}

/// Somebody who comes for a slot, and looks only when told.
struct Comer<'a> {
    take: Take<'a>,
    /// What the last look left to be told by.
    told: Option<Arc<Told>>,
}

#[derive(Default)]
struct Told(AtomicBool);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<'a> Comer<'a> {
    fn look(&mut self) -> Option<Slot<'a>> {
        let told = Arc::<Told>::default();
        let waker = Waker::from(Arc::clone(&told));
        self.told = Some(told);
        match Pin::new(&mut self.take).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(slot) => Some(slot),
            Poll::Pending => None,
        }
    }

    /// Whether a look is of use: the first, and one after it was told.
    fn may_look(&self) -> bool {
        self.told.as_ref().is_none_or(|told| told.0.load(Ordering::Relaxed))
    }

    /// Who waits no more was told.
    fn check(&self, state: &mut State) {
        let waits = self.take.came.is_some_and(|came| state.waiting(self.take.batch.at, came).is_some());
        assert_eq!(self.told.is_none() || !waits, self.may_look(), "{state:?}");
    }
}

#[test]
fn no_slot_is_lost_or_made_and_nobody_waits_for_ever_in_whichever_order_all_happens() {
    const SLOTS: usize = 3;
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let slots = Slots::new(SLOTS);
        let batches = ["a", "a", "b"].map(|run| slots.of_batch(run));
        let mut rest = [false; 3];
        let (mut takes, mut reading) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            let which = rng.usize(..3);
            match rng.u8(..8) {
                0..3 => takes.push(Comer { take: batches[which].take(), told: None }),
                3..5 if !takes.is_empty() => {
                    let at = rng.usize(..takes.len());
                    if let Some(slot) = takes[at].look() {
                        drop(takes.swap_remove(at));
                        reading.push(slot);
                    }
                }
                5 if !takes.is_empty() => drop(takes.swap_remove(rng.usize(..takes.len()))),
                6 if !reading.is_empty() => drop(reading.swap_remove(rng.usize(..reading.len()))),
                7 => {
                    rest[which] = !rest[which];
                    if rest[which] { batches[which].rest() } else { batches[which].resume() }
                }
                _ => {}
            }
            let mut state = slots.lock();
            check(&state, SLOTS);
            takes.iter().for_each(|take: &Comer<'_>| take.check(&mut state));
        }
        drop(reading);
        while !takes.is_empty() {
            let before = takes.len();
            takes.retain_mut(|take| !take.may_look() || take.look().is_none());
            assert!(takes.len() < before, "{:?}", slots.lock());
            check(&slots.lock(), SLOTS);
        }
        drop(takes);
        drop(batches);
        let state = slots.lock();
        assert!(state.free == SLOTS && state.runs.is_empty(), "{state:?}");
    }
}
