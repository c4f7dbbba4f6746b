//! The sweeper: takes what nobody needs any more (deleted runs, what closed listings have seen, idle hosts) out of the
//! ledger, bit by bit, and gives free space back.

use std::sync::Arc;
use std::time::Duration;

use muster_telemetry::names;
use tokio_util::sync::CancellationToken;

use crate::store::{Event, Store, StoreResult};

/// Between two bits, so that others get their turn.
const PAUSE: Duration = Duration::from_millis(20);
/// Also without a change, e.g. after a failure.
const AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Sweeps until it is told to stop.
pub(crate) async fn start(store: Arc<dyn Store>, stop: CancellationToken) {
    let mut pushed = store.events().pushed();
    loop {
        let sweep = async {
            if let Err(error) = run_once(store.as_ref()).await {
                tracing::error!(error = %error, { names::NEXT } = "tried again",
                    "what nobody needs any more cannot be taken out of the ledger");
            }
            // A gap in what is pushed may have held it.
            let deleted = async { while pushed.recv().await.is_ok_and(|event| event != Event::RunDeleted) {} };
            let _ = tokio::time::timeout(AT_LEAST_EVERY, deleted).await;
        };
        if stop.run_until_cancelled(sweep).await.is_none() {
            return;
        }
    }
}

/// Sweeps until nothing is left to sweep.
pub(crate) async fn run_once(store: &dyn Store) -> StoreResult<()> {
    let mut rows = 0;
    loop {
        let swept = store.sweep().await?;
        rows += swept.rows;
        if !swept.more {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    if rows > 0 {
        tracing::info!(rows, "what nobody needs any more is out of the ledger");
    }
    Ok(())
}
