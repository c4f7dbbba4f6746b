//! AuditService.

use std::sync::Arc;

use muster_pipeline::RecordId;
use muster_proto::v1::{self, audit_service_server::AuditService};
use tonic::{Code, Request, Response, Status};

use super::error::{invalid, run_unknown, status};
use super::render;
use crate::audit::audit;
use crate::domain::RunId;
use crate::store::Store;

/// Answers questions to the ledger.
pub(crate) struct Audits {
    pub store: Arc<dyn Store>,
}

#[tonic::async_trait]
impl AuditService for Audits {
    async fn verify_run(
        &self,
        request: Request<v1::VerifyRunRequest>,
    ) -> Result<Response<v1::VerifyRunResponse>, Status> {
        let id = request.into_inner().run_id;
        let audited = audit(self.store.as_ref(), &RunId::from_text(&id)).await?;
        let (run, verdict) = audited.ok_or_else(|| run_unknown(&id))?;
        Ok(Response::new(v1::VerifyRunResponse { verdict: Some(render::verdict(&run, &verdict)) }))
    }

    async fn get_record(
        &self,
        request: Request<v1::GetRecordRequest>,
    ) -> Result<Response<v1::GetRecordResponse>, Status> {
        let v1::GetRecordRequest { run_id, record_id } = request.into_inner();
        let id = RecordId::from_text(&record_id)
            .map_err(|error| invalid("RECORD_ID_INVALID", format!("record_id {record_id:?}: {error}")))?;
        let run = self.store.run(&RunId::from_text(&run_id)).await?.ok_or_else(|| run_unknown(&run_id))?;
        let stories = self.store.stories(&run, id.as_text()).await?;
        if stories.is_empty() {
            let text = format!("the source of run {run_id} did not list the ID {id}");
            return Err(status(Code::NotFound, "RECORD_UNKNOWN", text));
        }
        let stories = stories.iter().map(|story| render::story(id.as_text(), story)).collect();
        Ok(Response::new(v1::GetRecordResponse { stories }))
    }
}
