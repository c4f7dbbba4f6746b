//! A worker from its start to its end.

use std::sync::Arc;
use std::time::Duration;

use muster_telemetry::names;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::connect::Endpoints;
use crate::coordinator::is_final;
use crate::lease_loop::{Granted, acquire};
use crate::open_files;
use crate::session::Session;
use crate::{WorkerConfig, WorkerError, attend, batch, measures};

/// Pauses before leases are asked to be renewed again, when they could not be.
const RENEWAL_RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How long saying goodbye may take: leases of a worker that could not say it expire by themselves.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerSummary {
    /// Batches reported to the coordinator and taken by it.
    pub batches_completed: u64,
    /// Batches given back untouched.
    pub batches_released: u64,
    /// Leases that were lost before their batch was over.
    pub leases_lost: u64,
    /// Records in deliveries that the target acknowledged.
    pub records_applied: u64,
    /// Deliveries of which nobody knows whether they were applied.
    pub deliveries_in_doubt: u64,
    /// Batches still under way when the drain timeout passed; 0 after a clean end.
    pub batches_abandoned: u64,
}

/// A worker: leases batches of a coordinator, fetches, delivers and reports them.
#[derive(Debug)]
pub struct Worker {
    config: WorkerConfig,
    endpoints: Endpoints,
}

impl Worker {
    /// A worker of the coordinators at `endpoints` (see [`crate::connect`]), or of the one behind a channel. Nothing happens
    /// before [`Worker::run`].
    #[must_use]
    pub fn new(config: WorkerConfig, endpoints: impl Into<Endpoints>) -> Self {
        Self { config, endpoints: endpoints.into() }
    }

    /// Works until `shutdown` is cancelled, then drains: nothing new is leased, what is not fetched is given back, what
    /// is fetched is delivered, POSTs in flight are awaited and reported, for at most the configured drain timeout.
    ///
    /// A coordinator that is away is waited for.
    ///
    /// # Errors
    ///
    /// [`WorkerError`] when a setting is unusable, the coordinator refuses the worker, or a bug ended the work on a
    /// batch; in the latter cases after draining.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends all work at once: POSTs in flight become doubts, leases expire.
    pub async fn run(self, shutdown: CancellationToken) -> Result<WorkerSummary, WorkerError> {
        let session = Arc::new(Session::new(self.config, &self.endpoints)?);
        open_files::raise_limit();
        measures::show(&session);
        info!({ names::WORKER } = session.config.name, concurrency = session.config.slots(), "worker started");
        let listeners = listen(&session);
        let mut batches = JoinSet::new();
        let fault = work(&session, &shutdown, &mut batches).await;
        let summary = drain(&session, batches).await;
        drop(listeners);
        info!(
            batches_completed = summary.batches_completed,
            batches_released = summary.batches_released,
            batches_abandoned = summary.batches_abandoned,
            leases_lost = summary.leases_lost,
            records_applied = summary.records_applied,
            deliveries_in_doubt = summary.deliveries_in_doubt,
            "worker ended"
        );
        fault.map_or(Ok(summary), Err)
    }
}

/// Listens to the coordinator and renews leases until the result is dropped.
fn listen(session: &Arc<Session>) -> JoinSet<()> {
    let (renew_every, renewals) = watch::channel(attend::RENEW_EVERY);
    let mut listeners = JoinSet::new();
    let attending = Arc::clone(session);
    listeners.spawn(async move {
        let backoff = attending.call_backoff();
        attend::attend(&attending, &renew_every, backoff).await;
    });
    let renewing = Arc::clone(session);
    listeners.spawn(async move {
        let backoff = renewing.backoff(RENEWAL_RETRY.0, RENEWAL_RETRY.1);
        attend::renew(&renewing.coordinator, &renewing.leases, renewals, backoff).await;
    });
    listeners
}

/// Leases batches and works on them until `shutdown` or a fault.
async fn work(session: &Arc<Session>, shutdown: &CancellationToken, batches: &mut JoinSet<()>) -> Option<WorkerError> {
    let (sender, mut granted) = mpsc::unbounded_channel::<Granted>();
    let fault = {
        let mut acquiring = std::pin::pin!(acquire(session, &sender));
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break None,
                Some(done) = batches.join_next() => if done.is_err() { break Some(WorkerError::Bug) },
                Some(new) = granted.recv() => { batches.spawn(batch::work(Arc::clone(session), new)); }
                fault = &mut acquiring => break Some(fault),
            }
        }
    };
    session.leases.drain(Instant::now() + session.config.drain_timeout);
    // What was granted at the last moment gives itself back.
    while let Ok(new) = granted.try_recv() {
        batches.spawn(batch::work(Arc::clone(session), new));
    }
    fault
}

async fn drain(session: &Session, mut batches: JoinSet<()>) -> WorkerSummary {
    let limit = session.config.drain_timeout;
    info!(leases = batches.len(), timeout_s = limit.as_secs(), "draining");
    let all = async { while batches.join_next().await.is_some() {} };
    let abandoned = match tokio::time::timeout(limit, all).await {
        Ok(()) => 0,
        Err(_) => batches.len(),
    };
    if abandoned > 0 {
        warn!(
            leases = abandoned,
            { names::NEXT } =
                "their leases expire; announced deliveries become doubts and are settled by the coordinator",
            "drain timeout passed"
        );
        batches.shutdown().await;
    }
    say_goodbye(session).await;
    session.tally.summary(abandoned as u64)
}

/// Ends the session, so that leases which the worker could not give back, or never heard of, are free at once.
async fn say_goodbye(session: &Session) {
    let mut backoff = session.call_backoff();
    // Without those that are lost already.
    let mut tokens = session.leases.renewable();
    let said = async {
        while let Err(status) = session.coordinator.release(tokens.clone(), true).await {
            if tokens.is_empty() {
                return false;
            }
            if is_final(&status) {
                // One of them is unknown there: the session ends all the same, and the leases expire.
                tokens.clear();
            }
            tokio::time::sleep(backoff.next()).await;
        }
        true
    };
    if !tokio::time::timeout(GOODBYE, said).await.unwrap_or(false) {
        warn!(
            { names::NEXT } = "leases still held expire by themselves",
            "could not tell the coordinator that this worker ends"
        );
    }
}
