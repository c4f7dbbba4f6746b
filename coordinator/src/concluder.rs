//! The concluder: ends rounds. When listing is closed and no batch is unfinished, the audit reads the ledger, the audit
//! folder is made whole, and only then is the run over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_telemetry::crash::{self, Point};
use muster_telemetry::names;
use tokio_util::sync::CancellationToken;

use crate::audit::audit;
use crate::audit_files::AuditFiles;
use crate::domain::{Run, RunId, Verdict};
use crate::measures;
use crate::store::{Destination, Fenced, StaleRound, Store, StoreError, StoreResult};
use crate::traces;

/// Changes that come in quick succession are looked at together.
const SETTLE: Duration = Duration::from_millis(20);
/// Also without a change, e.g. after a failure.
const AT_LEAST_EVERY: Duration = Duration::from_secs(2);

/// Runs at their end whose audit files are not whole, and when each was last looked at.
type Waiting = HashMap<RunId, Instant>;

/// Concludes runs until it is told to stop; of each there is a notice to those in `tell`.
pub(crate) async fn start(
    store: Arc<dyn Store>,
    files: Option<Arc<AuditFiles>>,
    tell: Vec<Destination>,
    stop: CancellationToken,
) {
    let mut changed = store.events().changed();
    let mut waiting = Waiting::new();
    loop {
        match look(store.as_ref(), files.as_deref(), &tell, &mut waiting).await {
            Ok(failed) => failed.iter().for_each(|(run, error)| log_failed(store.as_ref(), Some(run), error)),
            Err(error) => log_failed(store.as_ref(), None, &error),
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

/// Ends what can be ended now, and writes verdicts anew. The error is the first one; it keeps no other run from being ended.
pub(crate) async fn run_once(store: &dyn Store, files: Option<&AuditFiles>, tell: &[Destination]) -> StoreResult<()> {
    let failed = look(store, files, tell, &mut Waiting::new()).await?;
    failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

/// Looks at each run once; gives those that could not be ended, or whose verdict could not be written anew.
async fn look(
    store: &dyn Store,
    files: Option<&AuditFiles>,
    tell: &[Destination],
    waiting: &mut Waiting,
) -> StoreResult<Vec<(RunId, StoreError)>> {
    let mut failed = Vec::new();
    let runs = store.concludable().await?;
    waiting.retain(|id, _| runs.iter().any(|run| run.id == *id));
    for run in runs {
        if let Err(error) = end(store, files, tell, &run, waiting).await {
            failed.push((run.id, error));
        }
    }
    for stale in store.stale_rounds().await? {
        if let Err(error) = restate(store, &stale).await {
            failed.push((stale.run, error));
        }
    }
    Ok(failed)
}

/// Ends a run's round, unless something was learnt while it was read.
async fn end(
    store: &dyn Store,
    files: Option<&AuditFiles>,
    tell: &[Destination],
    run: &Run,
    waiting: &mut Waiting,
) -> StoreResult<()> {
    let now = Instant::now();
    if run.audit_mode && !is_due(files, run, waiting, now) {
        return Ok(());
    }
    let Some((run, verdict)) = audit(store, &run.id, None).await? else { return Ok(()) };
    // It is not over before its audit folder says what the ledger says.
    if let Some(files) = files.filter(|_| run.audit_mode)
        && !files.make_whole(store, &run).await
    {
        waiting.insert(run.id, now);
        return Ok(());
    }
    crash::pass(Point::BeforeVerdict);
    if store.conclude(&run, &verdict, tell).await? == Fenced::Committed(()) {
        measures::concluded(&run, &verdict);
        log(&run, &verdict);
        traces::concluded(&run, &verdict);
    }
    Ok(())
}

/// Writes a round's verdict anew. What is learnt meanwhile leaves the round stale: it is read again.
async fn restate(store: &dyn Store, stale: &StaleRound) -> StoreResult<()> {
    if let Some((run, verdict)) = audit(store, &stale.run, Some(stale.round)).await?
        && store.restate(stale, &verdict).await? == Fenced::Committed(())
    {
        tracing::info!({ names::RUN } = %run.id, round = verdict.round, "a verdict says what was learnt since");
    }
    Ok(())
}

fn log_failed(store: &dyn Store, run: Option<&RunId>, error: &StoreError) {
    let run = run.map(tracing::field::display);
    // What is wrong with the whole ledger is said once, by its writer.
    if store.writable().is_err() {
        tracing::debug!({ names::RUN } = run, error = %error, "runs cannot be concluded");
    } else {
        tracing::error!({ names::RUN } = run, error = %error, { names::NEXT } = "tried again", "runs cannot be concluded");
    }
}

/// Whether a run in audit mode is worth an audit, which reads all of its round: not where its files have nowhere to go, and
/// not where they could not be written a moment ago, however often something else changes.
fn is_due(files: Option<&AuditFiles>, run: &Run, waiting: &mut Waiting, now: Instant) -> bool {
    if files.is_some() {
        return waiting.get(&run.id).is_none_or(|last| now.duration_since(*last) >= AT_LEAST_EVERY);
    }
    // Said once.
    if waiting.insert(run.id.clone(), now).is_none() {
        tracing::error!({ names::RUN } = %run.id,
            { names::NEXT } = "start a coordinator on this ledger with --audit-dir: it ends the run",
            "the run is in audit mode and this coordinator has no audit folder");
    }
    false
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DeliveryState, NewRun, RunState};
    use crate::planted::Planted;
    use crate::store::conformance::Bench;
    use crate::store::conformance::bench::{A, new_run};
    use crate::store::sqlite::SqliteBackend;

    #[tokio::test]
    async fn a_run_that_cannot_be_read_holds_up_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::new(&SqliteBackend::new(folder.path().to_owned(), Planted::default())).await;
        let (broken, whole) = (bench.one_batch(new_run("one"), 2).await, bench.one_batch(new_run("two"), 2).await);
        for lease in bench.acquire(A, &[], 2).await.leases {
            bench.deliver(A, &lease, DeliveryState::Applied).await;
        }
        let ledger = rusqlite::Connection::open(folder.path().join("ledger-0.db")).unwrap();
        ledger.execute("UPDATE deliveries SET state = 99 WHERE run = ?1", [broken.key]).unwrap();
        let failed = look(bench.store().as_ref(), None, &[], &mut Waiting::new()).await.unwrap();
        let named: Vec<_> = failed.iter().map(|(run, _)| run).collect();
        assert_eq!(named, [&broken.id]);
        assert_eq!(bench.run(&whole.id).await.state, RunState::Finished);
        assert_eq!(bench.run(&broken.id).await.state, RunState::Running);
        assert!(run_once(bench.store().as_ref(), None, &[]).await.is_err(), "and it is said");
    }

    #[tokio::test]
    async fn a_run_that_waits_for_its_audit_files_is_not_read_at_every_change() {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::new(&SqliteBackend::new(folder.path().to_owned(), Planted::default())).await;
        let run = bench.one_batch(NewRun { audit_mode: true, ..new_run("one") }, 2).await;
        let lease = bench.lease(A).await;
        bench.deliver(A, &lease, DeliveryState::Applied).await;
        // A file stands where the folder should be.
        let place = folder.path().join("audit");
        std::fs::write(&place, "").unwrap();
        let files = AuditFiles::new(place.clone());
        let (store, mut waiting) = (bench.store(), Waiting::new());
        assert!(look(store.as_ref(), Some(&files), &[], &mut waiting).await.unwrap().is_empty());
        assert_eq!((bench.run(&run.id).await.state, waiting.len()), (RunState::Running, 1));

        // Whoever reads it now fails.
        let ledger = rusqlite::Connection::open(folder.path().join("ledger-0.db")).unwrap();
        let set = |state: i64| ledger.execute("UPDATE deliveries SET state = ?2 WHERE run = ?1", [run.key, state]);
        let applied: i64 = ledger.query_row("SELECT state FROM deliveries", [], |row| row.get(0)).unwrap();
        set(99).unwrap();
        assert!(look(store.as_ref(), Some(&files), &[], &mut waiting).await.unwrap().is_empty(), "tried just now");
        for _ in 0..2 {
            assert!(look(store.as_ref(), None, &[], &mut waiting).await.unwrap().is_empty(), "it has nowhere to go");
        }
        let long_ago = Instant::now().checked_sub(AT_LEAST_EVERY).unwrap();
        waiting.insert(run.id.clone(), long_ago);
        assert_eq!(look(store.as_ref(), Some(&files), &[], &mut waiting).await.unwrap().len(), 1, "it is tried again");

        set(applied).unwrap();
        std::fs::remove_file(&place).unwrap();
        assert!(look(store.as_ref(), Some(&files), &[], &mut waiting).await.unwrap().is_empty());
        assert_eq!(bench.run(&run.id).await.state, RunState::Finished);
        look(store.as_ref(), Some(&files), &[], &mut waiting).await.unwrap();
        assert!(waiting.is_empty(), "nobody waits any more");
    }
}
