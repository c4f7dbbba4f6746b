//! How fast the pipelines of runs may ask, by what the ledger has of them: what a worker says of that does not count.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_pipeline::Pipeline;
use tonic::{Code, Status};

use super::error::status;
use crate::domain::Pace;
use crate::store::Store;

/// Revisions that are kept: more than are likely to be at work at the same time.
const KEPT: usize = 256;

/// What a revision says of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// None: as fast as they can.
    pub pace: Option<Pace>,
    /// A host that wants to be left alone for longer is asked all the same.
    pub longest_closed: Duration,
}

/// What revisions say, each read once: a revision never changes.
pub(crate) struct Paces {
    store: Arc<dyn Store>,
    known: Mutex<HashMap<String, Terms>>,
}

impl Paces {
    /// Of the pipelines in this ledger.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, known: Mutex::default() }
    }

    pub(super) async fn of(&self, revision: &str) -> Result<Terms, Status> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(terms) = known().get(revision) {
            return Ok(*terms);
        }
        let stored = self.store.pipeline(revision).await?;
        let stored = stored.ok_or_else(|| unknown("no run has a pipeline of this revision"))?;
        let pipeline = Pipeline::from_canonical(&stored.canonical)
            .map_err(|error| unknown(&format!("it cannot be read: {error}")))?;
        let limits = pipeline.limits();
        let terms = Terms { pace: limits.rate.map(Pace::of), longest_closed: limits.retry_after_max };
        let mut known = known();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(revision.to_owned(), terms);
        Ok(terms)
    }
}

fn unknown(why: &str) -> Status {
    status(Code::NotFound, "PIPELINE_UNKNOWN", why)
}

/// Nobody limits the requests of this pipeline.
pub(super) fn without_rate() -> Status {
    unknown("the pipeline has no rate, so no place is needed")
}
