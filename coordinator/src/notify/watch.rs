//! Whether runs stall: by the ledger's rows, looked at now and then.

use std::sync::Arc;
use std::time::Duration;

use muster_telemetry::names;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::store::{Destination, Event, Fenced, NoticeEvent, Store, StoreResult};

/// Looks at least and at most so often; between, ten times in the time after which a run has stalled.
const LOOK_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(30);

/// Writes notices of stalls until it is told to stop.
pub(super) async fn start(store: Arc<dyn Store>, after: Duration, to: Vec<Destination>, stop: CancellationToken) {
    let mut pushed = store.events().pushed();
    let wait = (after / 10).clamp(*LOOK_EVERY.start(), *LOOK_EVERY.end());
    loop {
        if let Err(error) = run_once(store.as_ref(), after, &to).await {
            // What is wrong with the ledger is said once, by its writer.
            tracing::debug!(error = %error, "stalled runs cannot be looked for");
        }
        let stopped =
            async { while !matches!(pushed.recv().await, Ok(Event::RunStopped { .. }) | Err(RecvError::Lagged(_))) {} };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tokio::time::timeout(wait, stopped) => {}
        }
    }
}

/// Writes notices of the stalls that there are.
pub(super) async fn run_once(store: &dyn Store, after: Duration, to: &[Destination]) -> StoreResult<()> {
    for stall in store.stalls(after).await? {
        if store.tell_stall(&stall, after, to).await? == Fenced::Committed(()) && stall.event == NoticeEvent::Stalled {
            tracing::warn!({ names::RUN } = %stall.run.id, { names::NEXT } = "those who are to be told of it are",
                "the run makes no progress");
        }
    }
    Ok(())
}
