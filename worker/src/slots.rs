//! Fetch slots, shared fairly among the runs that a worker has batches of.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// So many records are fetched at the same time. A free slot goes to the run that has the fewest for the batches that it has
/// here: how many these are, the coordinator has decided by the runs' shares. So a run whose source is slow, or whose batches
/// came first, holds up no other for longer than one fetch takes, which is long while its source wants to be left alone; while
/// that is down, it has none. Within a run who came first is served first: old batches end first.
#[derive(Debug)]
pub(crate) struct Slots(Arc<Mutex<State>>);

/// A batch's part in the slots, for as long as it is there. Its records have their slots in common: one that is over gives
/// back any of them.
#[derive(Debug)]
pub(crate) struct BatchSlots {
    slots: Slots,
    at: At,
}

/// On the way to a slot; gives its place up when it is dropped.
#[derive(Debug)]
pub(crate) struct Take<'a> {
    batch: &'a BatchSlots,
    /// Its number among those that wait.
    came: Option<u64>,
}

/// A record that is worked on, with a slot unless its batch rests; over when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a>(&'a BatchSlots);

/// Where a batch is found, by numbers that the slots gave.
#[derive(Clone, Copy, Debug)]
struct At {
    run: u64,
    batch: u64,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    /// Those with a batch here: few.
    runs: BTreeMap<u64, OfRun>,
    /// Places in all queues. None while a slot is free.
    waiting: usize,
    /// The last number that was given: to a run, a batch, or somebody who waits.
    came: u64,
}

#[derive(Debug, Default)]
struct OfRun {
    id: String,
    taken: usize,
    batches: BTreeMap<u64, OfBatch>,
    /// Batches that have slots or wait for some.
    busy: usize,
    queue: VecDeque<Waiting>,
}

#[derive(Clone, Copy, Debug, Default)]
struct OfBatch {
    taken: usize,
    /// Records that are worked on without a slot: their hosts are down, or were.
    slotless: usize,
    /// Its places in the queue.
    waiting: usize,
    rests: bool,
}

/// A place in the queue of a run.
#[derive(Debug)]
struct Waiting {
    came: u64,
    batch: u64,
    /// Whom to tell: nobody, where one of the batch's records without a slot is to have one again.
    waker: Option<Waker>,
}

impl Slots {
    pub(crate) fn new(slots: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: slots, ..State::default() })))
    }

    /// So many more.
    pub(crate) fn add(&self, slots: usize) {
        let mut state = self.lock();
        state.free += slots;
        hand_out(state);
    }

    /// How many are taken, and how many are not.
    pub(crate) fn busy_and_free(&self) -> (usize, usize) {
        let state = self.lock();
        (state.runs.values().map(|of_run| of_run.taken).sum(), state.free)
    }

    /// The part of a batch of this run.
    pub(crate) fn of_batch(&self, run_id: &str) -> BatchSlots {
        let mut state = self.lock();
        let known = state.runs.iter().find(|(_, of_run)| of_run.id == run_id).map(|(run, _)| *run);
        let run = known.unwrap_or_else(|| state.number());
        let batch = state.number();
        let new = || OfRun { id: run_id.to_owned(), ..OfRun::default() };
        state.runs.entry(run).or_insert_with(new).batches.insert(batch, OfBatch::default());
        BatchSlots { slots: Self(Arc::clone(&self.0)), at: At { run, batch } }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BatchSlots {
    /// A slot to fetch a record with.
    pub(crate) fn take(&self) -> Take<'_> {
        Take { batch: self, came: None }
    }

    /// The batch's hosts are down: its slots are for others. Work on its records goes on, and those that come to their turn
    /// begin without a slot.
    pub(crate) fn rest(&self) {
        let at = self.at;
        let mut state = self.slots.lock();
        state.change(at, |of_batch, queue| {
            of_batch.rests = true;
            of_batch.slotless += std::mem::take(&mut of_batch.taken);
            let all = queue.len();
            queue.retain(|waiting| waiting.batch != at.batch || waiting.waker.is_some());
            of_batch.waiting -= all - queue.len();
        });
        hand_out(state);
    }

    /// They are up again: its records without a slot wait for one.
    pub(crate) fn resume(&self) {
        let At { batch, .. } = self.at;
        let mut state = self.slots.lock();
        let came = state.number();
        state.change(self.at, |of_batch, queue| {
            of_batch.rests = false;
            of_batch.waiting += of_batch.slotless;
            queue.extend((0..of_batch.slotless).map(|_| Waiting { came, batch, waker: None }));
        });
        hand_out(state);
    }
}

impl Drop for BatchSlots {
    fn drop(&mut self) {
        // None of its records is left: each borrows it.
        let At { run, batch } = self.at;
        let mut state = self.slots.lock();
        if let Some(of_run) = state.runs.get_mut(&run) {
            of_run.batches.remove(&batch);
            if of_run.batches.is_empty() {
                state.runs.remove(&run);
            }
        }
    }
}

impl<'a> Future for Take<'a> {
    type Output = Slot<'a>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Slot<'a>> {
        let batch = self.batch;
        let mut state = batch.slots.lock();
        match self.came {
            None if state.free > 0 => {
                state.change(batch.at, |of_batch, _| of_batch.begin());
            }
            None => {
                self.came = Some(state.wait(batch.at, context.waker()));
                return Poll::Pending;
            }
            Some(came) => {
                if let Some(waiting) = state.waiting(batch.at, came) {
                    waiting.waker = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        }
        self.came = None;
        Poll::Ready(Slot(batch))
    }
}

impl Drop for Take<'_> {
    fn drop(&mut self) {
        let Some(came) = self.came else { return };
        let at = self.batch.at;
        let mut state = self.batch.slots.lock();
        state.change(at, |of_batch, queue| match place(queue, came) {
            Some(place) => {
                queue.remove(place);
                of_batch.waiting -= 1;
            }
            // It was given one and did not learn of it.
            None => of_batch.end(queue, at.batch),
        });
        hand_out(state);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let at = self.0.at;
        let mut state = self.0.slots.lock();
        state.change(at, |of_batch, queue| of_batch.end(queue, at.batch));
        hand_out(state);
    }
}

impl OfBatch {
    fn is_busy(&self) -> bool {
        self.taken + self.waiting > 0
    }

    /// It is a record's turn.
    fn begin(&mut self) {
        match self.rests {
            true => self.slotless += 1,
            false => self.taken += 1,
        }
    }

    /// A record is over. It gives back a slot if the batch has any, so that other runs need not wait until all of a batch that
    /// rested have one again.
    fn end(&mut self, queue: &mut VecDeque<Waiting>, batch: u64) {
        if self.taken > 0 {
            self.taken -= 1;
            return;
        }
        self.slotless -= 1;
        let last = queue.iter().rposition(|waiting| waiting.batch == batch && waiting.waker.is_none());
        if let Some(place) = last {
            queue.remove(place);
            self.waiting -= 1;
        }
    }

    /// The first in the queue is of this batch, and it is its turn. Gives whom to tell.
    fn serve(&mut self, queue: &mut VecDeque<Waiting>) -> Option<Waker> {
        let first = queue.pop_front()?;
        self.waiting -= 1;
        match first.waker {
            Some(_) => self.begin(),
            None => {
                self.slotless -= 1;
                self.taken += 1;
            }
        }
        first.waker
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.came += 1;
        self.came
    }

    /// Changes what a batch has, and counts what follows from that. Gives nothing when there is no such batch.
    fn change<T>(&mut self, at: At, change: impl FnOnce(&mut OfBatch, &mut VecDeque<Waiting>) -> T) -> Option<T> {
        let of_run = self.runs.get_mut(&at.run)?;
        let of_batch = of_run.batches.get_mut(&at.batch)?;
        let before = *of_batch;
        let changed = change(of_batch, &mut of_run.queue);
        self.free = self.free + before.taken - of_batch.taken;
        self.waiting = self.waiting + of_batch.waiting - before.waiting;
        of_run.taken = of_run.taken + of_batch.taken - before.taken;
        of_run.busy = of_run.busy + usize::from(of_batch.is_busy()) - usize::from(before.is_busy());
        Some(changed)
    }

    /// A record of the batch waits from now on. Gives its number.
    fn wait(&mut self, at: At, waker: &Waker) -> u64 {
        let came = self.number();
        self.change(at, |of_batch, queue| {
            of_batch.waiting += 1;
            queue.push_back(Waiting { came, batch: at.batch, waker: Some(waker.clone()) });
        });
        came
    }

    /// The place of the record with this number, while it waits.
    fn waiting(&mut self, at: At, came: u64) -> Option<&mut Waiting> {
        let queue = &mut self.runs.get_mut(&at.run)?.queue;
        let place = place(queue, came)?;
        queue.get_mut(place)
    }

    /// Gives a free slot to whoever's turn it is. Gives whom to tell, where it is not one that knows; nothing when none is
    /// free or nobody waits.
    fn serve(&mut self) -> Option<Option<Waker>> {
        if self.free == 0 || self.waiting == 0 {
            return None;
        }
        let firsts = self.runs.iter().filter_map(|(run, of_run)| Some((*run, of_run, of_run.queue.front()?)));
        // taken/busy without fractions.
        let next = firsts.min_by(|(_, a, first_a), (_, b, first_b)| {
            (a.taken * b.busy).cmp(&(b.taken * a.busy)).then_with(|| first_a.came.cmp(&first_b.came))
        });
        let (run, _, first) = next?;
        self.change(At { run, batch: first.batch }, OfBatch::serve)
    }
}

/// Gives free slots to those that wait, and tells them when the state is locked no more: who is woken looks at it at once.
fn hand_out(mut state: MutexGuard<'_, State>) {
    // As a rule it is one: no room is made for more.
    let first = state.serve();
    let rest: Vec<_> = std::iter::from_fn(|| state.serve()).collect();
    drop(state);
    first.into_iter().chain(rest).flatten().for_each(Waker::wake);
}

/// Where in a queue the one with this number stands.
fn place(queue: &VecDeque<Waiting>, came: u64) -> Option<usize> {
    queue.binary_search_by_key(&came, |waiting| waiting.came).ok()
}

#[cfg(test)]
mod tests;
