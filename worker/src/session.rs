//! What all parts of one worker session share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_proto::v1::WorkerInfo;

use crate::backoff::Backoff;
use crate::config::{WorkerConfig, random_session_id};
use crate::connect::Endpoints;
use crate::coordinator::Coordinator;
use crate::held::HeldLeases;
use crate::pipelines::Pipelines;
use crate::slots::Slots;
use crate::{WorkerError, WorkerSummary};

/// One session: from the start of a worker to its end.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) config: WorkerConfig,
    pub(crate) coordinator: Arc<Coordinator>,
    pub(crate) leases: HeldLeases,
    pub(crate) pipelines: Pipelines,
    /// Records fetched at the same time, across all batches.
    pub(crate) slots: Slots,
    pub(crate) tally: Tally,
    all_slots: AtomicUsize,
    /// Slots that the pipelines at work can use at all.
    useful_slots: AtomicUsize,
    rng: Mutex<fastrand::Rng>,
}

impl Session {
    pub(crate) fn new(config: WorkerConfig, endpoints: &Endpoints) -> Result<Self, WorkerError> {
        config.check()?;
        let session_id = match &config.session_id {
            Some(id) => id.clone(),
            None => random_session_id()?,
        };
        let info = WorkerInfo {
            name: config.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: muster_proto::PROTOCOL,
        };
        Ok(Self {
            coordinator: Arc::new(Coordinator::new(endpoints, config.seed, &session_id, info)),
            leases: HeldLeases::default(),
            pipelines: Pipelines::new(config.concurrency, config.proxy.clone(), config.seed),
            slots: Slots::new(config.slots()),
            tally: Tally::default(),
            all_slots: AtomicUsize::new(config.slots()),
            useful_slots: AtomicUsize::new(config.slots()),
            rng: Mutex::new(fastrand::Rng::with_seed(config.seed)),
            config,
        })
    }

    /// A batch is worked on whose pipeline allows so many requests at once: so many slots are of use for now.
    pub(crate) fn saw_limit(&self, concurrency: usize) {
        self.useful_slots.store(concurrency, Ordering::Relaxed);
        let before = self.all_slots.fetch_max(concurrency, Ordering::Relaxed);
        self.slots.add(concurrency.saturating_sub(before));
    }

    /// How many slots are to be kept busy.
    pub(crate) fn useful_slots(&self) -> usize {
        self.useful_slots.load(Ordering::Relaxed)
    }

    /// Pauses for calls to a coordinator that does not answer.
    pub(crate) fn call_backoff(&self) -> Backoff {
        self.backoff(Duration::from_millis(100), Duration::from_secs(3))
    }

    /// Pauses with a chance of their own.
    pub(crate) fn backoff(&self, base: Duration, cap: Duration) -> Backoff {
        Backoff::new(base, cap, self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork())
    }
}

/// Counts what the session did, for its closing line.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) batches_completed: AtomicU64,
    pub(crate) batches_released: AtomicU64,
    pub(crate) leases_lost: AtomicU64,
    pub(crate) records_applied: AtomicU64,
    pub(crate) deliveries_in_doubt: AtomicU64,
}

impl Tally {
    pub(crate) fn summary(&self, abandoned: u64) -> WorkerSummary {
        WorkerSummary {
            batches_completed: self.batches_completed.load(Ordering::Relaxed),
            batches_released: self.batches_released.load(Ordering::Relaxed),
            leases_lost: self.leases_lost.load(Ordering::Relaxed),
            records_applied: self.records_applied.load(Ordering::Relaxed),
            deliveries_in_doubt: self.deliveries_in_doubt.load(Ordering::Relaxed),
            batches_abandoned: abandoned,
        }
    }
}

/// Adds to one of the tally's counts.
pub(crate) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}
