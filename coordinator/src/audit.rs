//! The audit: reads the ledger's rows, in one consistent view, to a verdict.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::{Audit, BatchEvidence, Counts, ListingEvidence, Run, RunId, Timestamp, Verdict};
use crate::store::{EvidenceSink, Store, StoreError, StoreResult};

/// Audits a round of a run; `None` is the current one. `None` is given when there is no such run, or no such round.
pub async fn audit(store: &dyn Store, id: &RunId, round: Option<u32>) -> StoreResult<Option<(Run, Verdict)>> {
    let result = Arc::new(Mutex::new(None));
    let sink = Reading { run: None, audit: None, result: Arc::clone(&result) };
    if store.evidence(id, round, Box::new(sink)).await?.is_none() {
        return Ok(None);
    }
    let read = result.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (run, mut verdict) = read.ok_or_else(|| StoreError::Damaged("the evidence ended early".to_owned()))?;
    // A view of its own: once a round can be ended, nobody can announce anything in it.
    verdict.unknown_fields = store.unknown_fields(&run, verdict.round).await?;
    Ok(Some((run, verdict)))
}

/// Every listed record once, as the newest round up to that of `verdict` left it.
pub async fn overall(store: &dyn Store, run: &Run, verdict: &Verdict) -> StoreResult<Counts> {
    let (mut all, mut taken_over) = (verdict.counts, Counts::default());
    for round in store.rounds(run).await?.iter().filter(|round| round.round <= verdict.round) {
        taken_over = taken_over.with(&round.taken_over);
        if round.round < verdict.round
            && let Some((_, older)) = audit(store, &run.id, Some(round.round)).await?
        {
            all = all.with(&older.counts);
        }
    }
    Ok(all.without(&taken_over))
}

/// An audit that is being read.
struct Reading {
    run: Option<Run>,
    audit: Option<Audit>,
    result: Arc<Mutex<Option<(Run, Verdict)>>>,
}

impl EvidenceSink for Reading {
    fn round(&mut self, run: &Run, round: u32, cancelled: bool) {
        self.audit = Some(Audit::new(round, cancelled));
        self.run = Some(run.clone());
    }

    fn batch(&mut self, evidence: &BatchEvidence) {
        if let Some(audit) = &mut self.audit {
            audit.batch(evidence);
        }
    }

    fn listing(&mut self, evidence: &ListingEvidence, at: Timestamp) {
        let read = self.run.take().zip(self.audit.take().map(|audit| audit.verdict(evidence, at)));
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = read;
    }
}
