//! The audit: reads the ledger's rows, in one consistent view, to a verdict.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::{Audit, BatchEvidence, ListingEvidence, Run, RunId, Timestamp, Verdict};
use crate::store::{EvidenceSink, Store, StoreError, StoreResult};

/// Audits the current round of a run. `None`: no such run.
pub async fn audit(store: &dyn Store, id: &RunId) -> StoreResult<Option<(Run, Verdict)>> {
    let result = Arc::new(Mutex::new(None));
    let sink = Reading { run: None, audit: None, result: Arc::clone(&result) };
    if store.evidence(id, Box::new(sink)).await?.is_none() {
        return Ok(None);
    }
    let read = result.lock().unwrap_or_else(PoisonError::into_inner).take();
    read.map(Some).ok_or_else(|| StoreError::Damaged("the evidence ended early".to_owned()))
}

/// An audit that is being read.
struct Reading {
    run: Option<Run>,
    audit: Option<Audit>,
    result: Arc<Mutex<Option<(Run, Verdict)>>>,
}

impl EvidenceSink for Reading {
    fn run(&mut self, run: &Run) {
        self.audit = Some(Audit::new(run.round, run.state.is_cancelled()));
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
