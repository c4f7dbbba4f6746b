//! The reaper: ends leases that have run out, and shows that a coordinator serves.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How often it looks. A dead worker's batch is leased again within TTL + 1 s.
const EVERY: Duration = Duration::from_millis(500);

/// Looks until it is told to stop.
pub(crate) async fn start(store: Arc<dyn Store>, stop: CancellationToken) {
    let mut ticker = tokio::time::interval(EVERY);
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticker.tick()).await.is_some() {
        run_once(store.as_ref()).await;
    }
}

async fn run_once(store: &dyn Store) {
    match store.expire().await {
        Ok(expired) => expired.log(),
        // Said once, by the writer.
        Err(error) if store.writable().is_err() => tracing::debug!(error = %error, "leases cannot be looked through"),
        Err(error) => {
            tracing::error!(error = %error, { muster_telemetry::names::NEXT } = "tried again in 0.5 s", "leases cannot be looked through")
        }
    }
}
