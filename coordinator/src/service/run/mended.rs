//! Redrives, also under a pipeline that was mended meanwhile.

use muster_pipeline::Pipeline;
use muster_proto::v1;
use tonic::{Code, Status};

use super::super::error::{invalid, run_unknown, status};
use super::super::operate;
use super::{Runs, terms};
use crate::domain::{Run, RunId, Terms};
use crate::store::{Redrive, StoredPipeline};

impl Runs {
    /// Opens the next round; gives the run and how many records that round has.
    pub(super) async fn redrive(&self, request: &v1::RedriveRunRequest) -> Result<(Run, u64), Status> {
        let id = RunId::from_text(&request.run_id);
        let redrive = operate::redrive(request)?;
        let is_repeatable = redrive.request_id.is_some() && !redrive.dry_run;
        let before = if is_repeatable { self.store.redriven(&id, &redrive).await? } else { None };
        let redriven = match before {
            // Whatever the pipeline is like by now.
            Some(before) => Some(before),
            None => {
                let terms = if request.mended_pipeline { Some(self.mended(&id).await?) } else { None };
                self.store.redrive(&id, Redrive { terms, ..redrive }).await?
            }
        };
        operate::redriven(id.as_str(), redriven)
    }

    /// The terms of a run's pipeline as this coordinator has it now.
    async fn mended(&self, id: &RunId) -> Result<Terms, Status> {
        let run = self.store.run(id).await?.ok_or_else(|| run_unknown(id.as_str()))?;
        let pipeline = self.pipeline(&run.pipeline).await?;
        let wrong = |error: muster_pipeline::SpecError| invalid("PIPELINE_INVALID", error.to_string());
        pipeline.resolve_parameters(&run.parameters).and_then(|given| pipeline.compile(&given)).map_err(wrong)?;
        if pipeline.source().lists_whole_records() {
            self.has_items(&run).await?;
        }
        Ok(terms(&pipeline))
    }

    /// Items are kept when they are listed, or never.
    async fn has_items(&self, run: &Run) -> Result<(), Status> {
        let first = self.store.rounds(run).await?.into_iter().next().map(|round| round.revision);
        let listed_by = match first {
            Some(revision) => self.store.pipeline(&revision).await?,
            None => None,
        };
        let keeps = |stored: StoredPipeline| {
            Pipeline::from_canonical(&stored.canonical).is_ok_and(|pipeline| pipeline.source().lists_whole_records())
        };
        if listed_by.is_some_and(keeps) {
            return Ok(());
        }
        let what = format!(
            "the pipeline says source.detail: none now, but run {} was listed without keeping the items: start a new run, \
             or say where a record is read",
            run.id
        );
        Err(status(Code::FailedPrecondition, "ITEMS_NOT_KEPT", what))
    }
}
