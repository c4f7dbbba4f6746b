//! The leases this worker holds, and what it was told about them.

mod changes;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use changes::Changes;
use muster_proto::v1::{Lease, LeasedRun};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::capacity::Load;
use crate::coordinator::CALL_DEADLINE;
use crate::planted::{self, Bug};
use crate::ready::ReadyPipeline;
use crate::standing::Standing;
use crate::trace::BatchTrace;

/// The most tokens that the coordinator takes in one call.
pub(crate) const MAX_TOKENS: usize = 1_000;

/// After others wanted leases, nothing is kept in stock for so long: what was given back would come again at once.
const WITHOUT_STOCK: Duration = Duration::from_secs(5);

/// Why work on a lease is to stop; in rising order: a later one wins over those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// It is not.
    No,
    /// Another worker has nothing to do: the lease is given back. Only one that no work has begun on.
    Wanted,
    /// The worker ends: what is not fetched yet is given back, what is fetched is delivered.
    Draining,
    /// The run is paused or cancelled: no delivery begins any more.
    RunStopped,
    /// The lease is somebody else's: no delivery begins, and only deliveries already announced are reported.
    Lost,
}

/// One lease this worker holds. Nothing is delivered, completed or released without one.
#[derive(Debug)]
pub(crate) struct HeldLease {
    token: String,
    run_id: String,
    batch: i64,
    attempt: i32,
    stop: watch::Sender<Stop>,
    /// Work on it has begun. Changes only while nobody changes `stop`.
    begun: AtomicBool,
    /// Which lease of the session it is.
    number: u64,
    deadline: Mutex<Instant>,
    unfetched: AtomicUsize,
    /// What it is worked on with, once that is there.
    pipeline: OnceLock<Arc<ReadyPipeline>>,
    /// Where this process exports traces.
    trace: Option<Arc<BatchTrace>>,
    ending: AtomicBool,
    changes: Arc<Changes>,
}

impl HeldLease {
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn run_id(&self) -> &str {
        &self.run_id
    }

    pub(crate) fn batch(&self) -> i64 {
        self.batch
    }

    pub(crate) fn attempt(&self) -> i32 {
        self.attempt
    }

    /// What is noted of the work on it, where anybody wants to know.
    pub(crate) fn trace(&self) -> Option<&Arc<BatchTrace>> {
        self.trace.as_ref()
    }

    /// What it is worked on with, if that is there.
    pub(crate) fn pipeline(&self) -> Option<&ReadyPipeline> {
        self.pipeline.get().map(Arc::as_ref)
    }

    /// What the worker was told so far.
    pub(crate) fn stop(&self) -> Stop {
        *self.stop.borrow()
    }

    /// Waits until there is a reason to stop that is at least `least`.
    pub(crate) async fn stopped(&self, least: Stop) -> Stop {
        let mut stop = self.stop.subscribe();
        // The sender lives in self, so the channel cannot close while this waits.
        stop.wait_for(|now| *now >= least).await.map_or(Stop::Lost, |now| *now)
    }

    /// Work on the lease begins, unless it is being given back because others want it: from now on it is not.
    pub(crate) fn begin(&self) -> bool {
        if self.begun.load(Ordering::Relaxed) {
            return true;
        }
        let mut begins = false;
        self.stop.send_if_modified(|now| {
            begins = *now != Stop::Wanted;
            self.begun.store(begins, Ordering::Relaxed);
            false
        });
        begins
    }

    /// Others want the lease: it is given back, unless work on it has begun or is to stop for another reason.
    fn give_back(&self) -> bool {
        self.stop.send_if_modified(|now| {
            let idle = *now == Stop::No && !self.begun.load(Ordering::Relaxed);
            if idle {
                *now = Stop::Wanted;
            }
            idle
        })
    }

    /// The lease is worked on with this pipeline: it depends on its source and its target.
    pub(crate) fn needs(&self, pipeline: &Arc<ReadyPipeline>) {
        // A lease has one run, and a run one pipeline.
        let _ = self.pipeline.set(Arc::clone(pipeline));
        self.changes.tell();
    }

    /// The fetch of one record is over.
    pub(crate) fn record_fetched(&self) {
        let _ = self.unfetched.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        self.changes.one_fetched();
    }

    /// No record of this lease will be fetched any more.
    pub(crate) fn fetch_over(&self) {
        self.unfetched.store(0, Ordering::Relaxed);
        self.changes.tell();
    }

    /// The lease is being reported or given back: that it ends is no news any more.
    pub(crate) fn ending(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    fn raise(&self, stop: Stop) {
        if stop == Stop::RunStopped && planted::is(Bug::FetchAfterCancel) {
            return;
        }
        self.stop.send_if_modified(|now| {
            let higher = stop > *now;
            *now = stop.max(*now);
            higher
        });
    }
}

#[derive(Debug, Default)]
struct Inner {
    leases: HashMap<String, Arc<HeldLease>>,
    /// Runs that were stopped while an acquisition was under way: its answer may still carry their leases.
    stopped_runs: HashMap<String, Instant>,
    /// Tokens of leases whose report was refused, each until its lease is surely over.
    refused: HashMap<String, Instant>,
    /// Until when a drain may take, once it has begun.
    drains_until: Option<Instant>,
    /// When other workers had nothing to do.
    wanted_at: Option<Instant>,
    /// Leases taken in so far.
    adopted: u64,
}

/// All leases of this worker's session, from the moment they are granted until their end was told to the coordinator.
#[derive(Debug, Default)]
pub(crate) struct HeldLeases {
    inner: Mutex<Inner>,
    changes: Arc<Changes>,
}

impl HeldLeases {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every critical section leaves the maps whole, so a panic elsewhere does not spoil them.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a granted lease in, unless it is held already (the coordinator repeats answers that may have got lost).
    ///
    /// `sent_at` is when the request that it answers was sent: the lease's time counts from there.
    pub(crate) fn adopt(&self, lease: &Lease, run: &LeasedRun, sent_at: Instant) -> Option<Arc<HeldLease>> {
        let mut inner = self.lock();
        if inner.leases.contains_key(&lease.lease_token) || inner.refused.contains_key(&lease.lease_token) {
            return None;
        }
        inner.adopted += 1;
        let held = Arc::new(HeldLease {
            token: lease.lease_token.clone(),
            run_id: run.run_id.clone(),
            batch: lease.batch,
            attempt: lease.attempt,
            stop: watch::Sender::new(Stop::No),
            begun: AtomicBool::new(false),
            number: inner.adopted,
            deadline: Mutex::new(sent_at + ttl(lease.ttl)),
            unfetched: AtomicUsize::new(lease.parts.iter().map(|part| part.record_ids.len()).sum()),
            pipeline: OnceLock::new(),
            trace: BatchTrace::begin(lease, run, sent_at),
            ending: AtomicBool::new(false),
            changes: Arc::clone(&self.changes),
        });
        if inner.drains_until.is_some() {
            held.raise(Stop::Draining);
        }
        if inner.stopped_runs.get(&run.run_id).is_some_and(|stopped_at| *stopped_at >= sent_at) {
            held.raise(Stop::RunStopped);
        }
        inner.leases.insert(held.token.clone(), Arc::clone(&held));
        Some(held)
    }

    /// An acquisition is about to be sent: only runs stopped from now on can surprise its answer.
    pub(crate) fn acquisition_starts(&self) {
        self.lock().stopped_runs.clear();
    }

    /// The lease came to its end and the coordinator knows.
    pub(crate) fn remove(&self, lease: &HeldLease) {
        self.lock().leases.remove(&lease.token);
        self.changes.tell();
    }

    /// The coordinator refuses the report of this lease for good. It still counts the lease as this session's, and
    /// would hand one out again that the session does not name: so it is named until its time has passed.
    pub(crate) fn refused(&self, lease: &HeldLease) {
        let until = *lease.deadline.lock().unwrap_or_else(PoisonError::into_inner) + CALL_DEADLINE;
        self.lock().refused.insert(lease.token.clone(), until);
    }

    /// Tokens of all leases that this session knows of, so that none of them is handed out to it again.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let mut inner = self.lock();
        let now = Instant::now();
        inner.refused.retain(|_, until| *until > now);
        let refused = inner.refused.keys().filter(|token| !inner.leases.contains_key(*token));
        inner.leases.keys().chain(refused).take(MAX_TOKENS).cloned().collect()
    }

    /// Tokens of the leases worth renewing.
    pub(crate) fn renewable(&self) -> Vec<String> {
        self.lock().leases.values().filter(|lease| lease.stop() != Stop::Lost).map(|l| l.token.clone()).collect()
    }

    /// Leases whose time has passed without a renewal.
    pub(crate) fn overdue(&self, now: Instant) -> usize {
        let over = |lease: &HeldLease| *lease.deadline.lock().unwrap_or_else(PoisonError::into_inner) < now;
        self.lock().leases.values().filter(|lease| lease.stop() != Stop::Lost && over(lease)).count()
    }

    /// The lease's time now runs until `deadline`.
    pub(crate) fn renewed(&self, token: &str, deadline: Instant) {
        if let Some(lease) = self.lock().leases.get(token) {
            let mut until = lease.deadline.lock().unwrap_or_else(PoisonError::into_inner);
            *until = deadline.max(*until);
        }
    }

    /// The lease is somebody else's now. Gives it back when that is news.
    pub(crate) fn lose(&self, token: &str) -> Option<Arc<HeldLease>> {
        self.raise_one(token, Stop::Lost)
    }

    /// The lease's run is paused or cancelled. Gives the lease back when that is news.
    pub(crate) fn stop_one(&self, token: &str) -> Option<Arc<HeldLease>> {
        self.raise_one(token, Stop::RunStopped)
    }

    /// A run is paused or cancelled: stops the work on all its leases and returns how many there are.
    pub(crate) fn stop_run(&self, run_id: &str, now: Instant) -> usize {
        let mut inner = self.lock();
        inner.stopped_runs.insert(run_id.to_owned(), now);
        inner
            .leases
            .values()
            .filter(|lease| lease.run_id == run_id)
            .inspect(|lease| lease.raise(Stop::RunStopped))
            .count()
    }

    /// Other workers have nothing to do and would take so many leases: the youngest of those that no work has begun on are
    /// given back, as long as `keep` records are left to be fetched. Returns how many.
    pub(crate) fn give_back(&self, most: usize, keep: usize, now: Instant) -> usize {
        let mut inner = self.lock();
        inner.wanted_at = Some(now);
        let unfetched = |lease: &HeldLease| lease.unfetched.load(Ordering::Relaxed);
        let mut idle: Vec<&Arc<HeldLease>> = inner.leases.values().filter(|lease| lease.stop() == Stop::No).collect();
        let mut left: usize = idle.iter().map(|lease| unfetched(lease)).sum();
        idle.retain(|lease| unfetched(lease) > 0);
        idle.sort_by_key(|lease| Reverse(lease.number));
        let mut given = 0;
        for lease in idle {
            let records = unfetched(lease);
            if given < most && left >= keep + records && lease.give_back() {
                left -= records;
                given += 1;
            }
        }
        given
    }

    /// Until when nothing is kept in stock, because others have nothing to do.
    pub(crate) fn without_stock_until(&self, now: Instant) -> Option<Instant> {
        let until = self.lock().wanted_at? + WITHOUT_STOCK;
        (until > now).then_some(until)
    }

    /// Whether others wanted leases at this time or later.
    pub(crate) fn wanted_since(&self, time: Instant) -> bool {
        self.lock().wanted_at.is_some_and(|at| at >= time)
    }

    /// The worker ends, at `until` at the latest.
    pub(crate) fn drain(&self, until: Instant) {
        let mut inner = self.lock();
        inner.drains_until = Some(until);
        inner.leases.values().for_each(|lease| lease.raise(Stop::Draining));
    }

    /// When the worker ends at the latest, if it is ending.
    pub(crate) fn drains_until(&self) -> Option<Instant> {
        self.lock().drains_until
    }

    /// What is held and what of it is still to be fetched, where the runs stand like this.
    pub(crate) fn load(&self, standing: &Standing) -> Load {
        let inner = self.lock();
        let (waiting, others): (Vec<_>, Vec<_>) =
            inner.leases.values().partition(|lease| standing.waits(&lease.run_id));
        let unfetched = others.iter().map(|lease| lease.unfetched.load(Ordering::Relaxed)).sum();
        Load { leases: others.len(), waiting: waiting.len(), unfetched }
    }

    /// How the runs of the leases stand.
    pub(crate) fn standing(&self) -> Standing {
        let inner = self.lock();
        let runs = inner.leases.values().filter_map(|lease| Some((lease.run_id.as_str(), lease.pipeline.get()?)));
        Standing::now(runs)
    }

    /// Records whose fetch is over, of all leases that there were.
    pub(crate) fn fetched(&self) -> u64 {
        self.changes.fetched()
    }

    /// Waits for the next change of what is held, also one since the last wait. That a record is fetched is one only if all
    /// that are fetched are so many then. For one waiter.
    pub(crate) async fn changed(&self, fetched: Option<u64>) {
        self.changes.wait(fetched).await;
    }

    fn raise_one(&self, token: &str, stop: Stop) -> Option<Arc<HeldLease>> {
        let lease = self.lock().leases.get(token).cloned()?;
        let news = lease.stop() < stop && !lease.ending.load(Ordering::Relaxed);
        lease.raise(stop);
        news.then_some(lease)
    }
}

/// A duration off the wire; nothing, or less than nothing, is zero.
pub(crate) fn ttl(duration: Option<prost_types::Duration>) -> Duration {
    duration.and_then(|given| Duration::try_from(given).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
