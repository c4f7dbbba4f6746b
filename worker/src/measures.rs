//! What a worker counts where it happens, and how it is now. What its requests come to, the requester counts.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use muster_pipeline::RecordAnswer;
use muster_telemetry::metrics::{Counter, kept, label, names as metrics};
use muster_telemetry::names;

use crate::plan::PostEnd;
use crate::session::Session;
use crate::standing::Standing;

static LEASES_LOST: LazyLock<Counter> = LazyLock::new(|| metrics::WORKER_LEASES_LOST.counter());
static BATCHES: LazyLock<Counter> = LazyLock::new(|| metrics::WORKER_BATCHES.counter());
static LOADED: LazyLock<Counter> = LazyLock::new(|| metrics::WORKER_LOADED.counter());
static DELIVERIES: LazyLock<Counter> = LazyLock::new(|| metrics::DELIVERIES.counter());

/// How the work on a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchEnd {
    Completed,
    Late,
    Refused,
    Released,
}

impl BatchEnd {
    const ALL: [Self; 4] = [Self::Completed, Self::Late, Self::Refused, Self::Released];

    fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::Released => "released",
        }
    }
}

/// The sessions of this process: one, but for `muster run`.
static SESSIONS: LazyLock<Mutex<Vec<Weak<Session>>>> = LazyLock::new(|| {
    metrics::WORKER_LEASES.observe(|now| now.is(sum(|session| session.leases.load(&Standing::default()).leases), &[]));
    metrics::WORKER_UNFETCHED
        .observe(|now| now.is(sum(|session| session.leases.load(&Standing::default()).unfetched), &[]));
    metrics::WORKER_SLOTS.observe(|now| {
        now.is(sum(|session| session.slots.busy_and_free().0), &[label(metrics::SLOT_STATE, "busy")]);
        now.is(sum(|session| session.slots.busy_and_free().1), &[label(metrics::SLOT_STATE, "free")]);
    });
    // There from the beginning, so that a rate of them has one.
    LEASES_LOST.add(0, &[]);
    BatchEnd::ALL.into_iter().for_each(|end| ended(end, 0));
    Mutex::default()
});

/// Shows how a session is for as long as it lives.
pub(crate) fn show(session: &Arc<Session>) {
    if kept() {
        sessions().push(Arc::downgrade(session));
    }
}

fn sessions() -> MutexGuard<'static, Vec<Weak<Session>>> {
    // Only ever added to.
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sum(of: fn(&Session) -> usize) -> f64 {
    let live: Vec<_> = sessions().iter().filter_map(Weak::upgrade).collect();
    live.iter().map(|session| of(session)).sum::<usize>() as f64
}

/// A lease was lost before its batch was over.
pub(crate) fn lease_lost() {
    LEASES_LOST.add(1, &[]);
}

/// The work on a batch has ended.
pub(crate) fn batch_ended(end: BatchEnd) {
    ended(end, 1);
}

fn ended(end: BatchEnd, batches: u64) {
    BATCHES.add(batches, &[label(metrics::BATCH_END, end.word())]);
}

/// A POST with so many records has come to this.
pub(crate) fn delivered(pipeline: &Arc<str>, end: &PostEnd, records: usize) {
    if !kept() {
        return;
    }
    let pipeline = || label(names::PIPELINE, Arc::clone(pipeline));
    let (outcome, loaded) = match end {
        PostEnd::Applied => ("applied", records),
        PostEnd::PerRecord { answers, .. } => {
            let applied = answers.iter().filter(|answer| **answer == RecordAnswer::Applied);
            ("partly_applied", applied.count())
        }
        PostEnd::Rejected => ("rejected", 0),
        PostEnd::NotApplied { .. } => ("not_applied", 0),
        PostEnd::NotSent => ("not_sent", 0),
        PostEnd::InDoubt | PostEnd::WrongContent => ("in_doubt", 0),
        PostEnd::PipelineWrong => ("pipeline_wrong", 0),
    };
    DELIVERIES.add(1, &[pipeline(), label(metrics::DELIVERY_OUTCOME, outcome)]);
    LOADED.add(loaded as u64, &[pipeline()]);
}
