//! The concluder: ends rounds. When listing is closed and no batch is unfinished, the audit reads the ledger, the audit
//! folder is made whole, and only then is the run over.

use std::sync::Arc;
use std::time::Duration;

use muster_telemetry::names;
use tokio_util::sync::CancellationToken;

use crate::audit::audit;
use crate::audit_files::AuditFiles;
use crate::domain::{Run, Verdict};
use crate::measures;
use crate::store::{Destination, Fenced, Store, StoreResult};
use crate::traces;

/// Changes that come in quick succession are looked at together.
const SETTLE: Duration = Duration::from_millis(20);
/// Also without a change, e.g. after a failure.
const AT_LEAST_EVERY: Duration = Duration::from_secs(2);

/// Concludes runs until it is told to stop; of each there is a notice to those in `tell`.
pub(crate) async fn start(
    store: Arc<dyn Store>,
    files: Option<Arc<AuditFiles>>,
    tell: Vec<Destination>,
    stop: CancellationToken,
) {
    let mut changed = store.events().changed();
    loop {
        match run_once(store.as_ref(), files.as_deref(), &tell).await {
            Ok(()) => {}
            // Said once, by the writer.
            Err(error) if store.writable().is_err() => tracing::debug!(error = %error, "runs cannot be concluded"),
            Err(error) => {
                tracing::error!(error = %error, { names::NEXT } = "tried again", "runs cannot be concluded");
            }
        }
        let wait = async {
            let _ = tokio::time::timeout(AT_LEAST_EVERY, changed.changed()).await;
            tokio::time::sleep(SETTLE).await;
        };
        if stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
    }
}

/// Ends what can be ended now, and writes verdicts anew.
pub(crate) async fn run_once(store: &dyn Store, files: Option<&AuditFiles>, tell: &[Destination]) -> StoreResult<()> {
    for run in store.concludable().await? {
        let Some((run, verdict)) = audit(store, &run.id, None).await? else { continue };
        if run.audit_mode && !files_are_whole(store, files, &run).await {
            continue;
        }
        if store.conclude(&run, &verdict, tell).await? == Fenced::Committed(()) {
            measures::concluded(&run, &verdict);
            log(&run, &verdict);
            traces::concluded(&run, &verdict);
        }
    }
    for stale in store.stale_rounds().await? {
        // What is learnt meanwhile leaves the round stale: it is read again.
        if let Some((run, verdict)) = audit(store, &stale.run, Some(stale.round)).await?
            && store.restate(&stale, &verdict).await? == Fenced::Committed(())
        {
            tracing::info!({ names::RUN } = %run.id, round = verdict.round, "a verdict says what was learnt since");
        }
    }
    Ok(())
}

/// A run is not over before its audit folder says what the ledger says.
async fn files_are_whole(store: &dyn Store, files: Option<&AuditFiles>, run: &Run) -> bool {
    let Some(files) = files else {
        tracing::error!({ names::RUN } = %run.id, { names::NEXT } = "start the coordinator with --audit-dir",
            "the run is in audit mode and this coordinator has no audit folder");
        return false;
    };
    files.make_whole(store, run).await
}

fn log(run: &Run, verdict: &Verdict) {
    let (complete, balanced) = (verdict.is_complete(), verdict.is_balanced());
    let counts = &verdict.counts;
    let (listed, loaded, dead) = (counts.listed, counts.loaded, counts.dead_letter);
    let (gone, in_doubt, cancelled, unchanged) = (counts.gone, counts.in_doubt, counts.cancelled, counts.unchanged);
    tracing::info!({ names::RUN } = %run.id, complete, balanced, listed, loaded, dead, gone, in_doubt, cancelled, unchanged,
        "the run is over");
    for found in &verdict.discrepancies {
        tracing::warn!({ names::RUN } = %run.id, code = found.code, detail = found.detail,
            { names::NEXT } = "it stands in the verdict", "the audit found a discrepancy");
    }
}
