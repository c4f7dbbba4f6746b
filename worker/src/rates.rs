//! What the worker's requests share with those of all other processes: rates of hosts, and when these want to be left
//! alone. The coordinator keeps the timetable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use muster_pipeline::{ClosedHosts, Fleet};
use muster_proto::v1::{HostClosed, ReserveRequestsRequest};
use muster_telemetry::names;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Status;
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::coordinator::{Coordinator, is_final};
use crate::held::ttl;

/// Version of the worker protocol that brought them.
pub(crate) const SINCE: i32 = 4;

/// Pauses before the coordinator is asked again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The pause after an answer that asking again does not change.
const FINAL: Duration = Duration::from_secs(10);

/// The fleet, as requests of one pipeline see it.
#[derive(Debug)]
pub(crate) struct FleetRates {
    coordinator: Arc<Coordinator>,
    closed: Arc<ClosedHosts>,
    revision: String,
    seed: u64,
    waits: Arc<AtomicBool>,
}

impl FleetRates {
    pub(crate) fn new(coordinator: &Arc<Coordinator>, revision: &str, seed: u64) -> Self {
        Self {
            coordinator: Arc::clone(coordinator),
            closed: Arc::clone(coordinator.closed_hosts()),
            revision: revision.to_owned(),
            seed,
            waits: Arc::default(),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(AGAIN.0, AGAIN.1, fastrand::Rng::with_seed(self.seed))
    }
}

impl Fleet for FleetRates {
    fn reserve(&self, host: &str, count: u32, lead: Duration) -> BoxFuture<'static, Vec<Instant>> {
        let (coordinator, waits, mut backoff) =
            (Arc::clone(&self.coordinator), Arc::clone(&self.waits), self.backoff());
        let question = ReserveRequestsRequest {
            session_id: coordinator.session_id().to_owned(),
            pipeline_revision: self.revision.clone(),
            host: host.to_owned(),
            count,
            lead: lead.try_into().ok(),
        };
        let asking = async move {
            loop {
                let sent = Instant::now();
                match coordinator.reserve(question.clone()).await {
                    // A place is given to everybody who asks; if not, asking at once does not help.
                    Ok(answer) if answer.after_us.is_empty() => {}
                    Ok(answer) => {
                        note(&waits, &question.host, None);
                        return answer.after_us.into_iter().map(|after| sent + Duration::from_micros(after)).collect();
                    }
                    Err(status) => {
                        note(&waits, &question.host, Some(&status));
                        // Its run was deleted, say: then nobody needs an answer.
                        if is_final(&status) {
                            sleep(FINAL).await;
                        }
                    }
                }
                sleep(backoff.next()).await;
            }
        };
        // On a task, so that its answer is taken in whether or not anybody waits just then; it ends with the set.
        let mut task = JoinSet::new();
        task.spawn(asking);
        async move { task.join_next().await.and_then(Result::ok).unwrap_or_default() }.boxed()
    }

    fn pressed(&self, host: &str, time: Duration) {
        let until = Instant::now() + time;
        // Of the many requests that meet the same wish, one tells.
        if !self.closed.close(host, until) {
            return;
        }
        info!(
            url.full = host,
            muster.seconds = time.as_secs_f64(),
            "a host asked to be left alone: all workers are told"
        );
        let (coordinator, mut backoff) = (Arc::clone(&self.coordinator), self.backoff());
        let (revision, host) = (self.revision.clone(), host.to_owned());
        tokio::spawn(async move {
            loop {
                // What is over need not be told.
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return;
                }
                match coordinator.report_pressure(&revision, &host, left).await {
                    Ok(()) => return,
                    Err(status) => debug!({ names::REASON } = status.message(), "could not tell of a host's wish"),
                }
                sleep(backoff.next()).await;
            }
        });
    }

    fn closed_until(&self, host: &str) -> Option<Instant> {
        self.closed.until(host)
    }
}

/// Says once that requests wait for the coordinator, and once that they do no more.
fn note(waits: &AtomicBool, host: &str, error: Option<&Status>) {
    let before = waits.swap(error.is_some(), Ordering::Relaxed);
    match error {
        Some(status) if !before => warn!(
            url.full = host,
            { names::ERROR } = ?status.code(),
            { names::REASON } = status.message(),
            { names::NEXT } = "requests to this host wait until a coordinator answers; no record is given up for that",
            "nobody says when a host with a rate may be asked"
        ),
        None if before => info!(url.full = host, "a coordinator says again when the host may be asked"),
        _ => {}
    }
}

/// Takes in what the coordinator says of a host.
pub(crate) fn heed(closed: &ClosedHosts, told: &HostClosed) {
    let time = ttl(told.time);
    if closed.close(&told.host, Instant::now() + time) {
        debug!(url.full = told.host, muster.seconds = time.as_secs_f64(), "a host wants to be left alone");
    }
}
