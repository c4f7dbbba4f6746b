//! AuditService.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use muster_pipeline::RecordId;
use muster_proto::v1::{self, audit_service_server::AuditService};
use tokio::sync::Semaphore;
use tonic::{Code, Request, Response, Status};

use super::error::{invalid, run_unknown, status};
use super::{failures, history, page, parse, render, run_report};
use crate::audit::{audit, overall};
use crate::domain::{Run, RunId};
use crate::store::{DeadLetterFilter, ExportFrom, Store};

/// Groups of dead letters that one answer tells apart.
pub(super) const MAX_GROUPS: u32 = 50;

/// Answers questions to the ledger.
pub(crate) struct Audits {
    pub store: Arc<dyn Store>,
    /// Reports are read one at a time: each reads a whole run.
    pub reports: Arc<Semaphore>,
}

impl Audits {
    async fn run(&self, id: &str) -> Result<Run, Status> {
        self.store.run(&RunId::from_text(id)).await?.ok_or_else(|| run_unknown(id))
    }
}

#[tonic::async_trait]
impl AuditService for Audits {
    async fn verify_run(
        &self,
        request: Request<v1::VerifyRunRequest>,
    ) -> Result<Response<v1::VerifyRunResponse>, Status> {
        let v1::VerifyRunRequest { run_id, round } = request.into_inner();
        let id = RunId::from_text(&run_id);
        let round = u32::try_from(round).ok().filter(|round| *round > 0);
        let Some((run, verdict)) = audit(self.store.as_ref(), &id, round).await? else {
            self.run(&run_id).await?;
            let text = format!("run {run_id} has no round {}", round.unwrap_or_default());
            return Err(status(Code::NotFound, "ROUND_UNKNOWN", text));
        };
        let overall = overall(self.store.as_ref(), &run, &verdict).await?;
        Ok(Response::new(v1::VerifyRunResponse {
            verdict: Some(render::verdict(&run, &verdict)),
            overall: Some(render::counts(&overall)),
        }))
    }

    async fn get_record(
        &self,
        request: Request<v1::GetRecordRequest>,
    ) -> Result<Response<v1::GetRecordResponse>, Status> {
        let v1::GetRecordRequest { run_id, record_id } = request.into_inner();
        let id = RecordId::from_text(&record_id)
            .map_err(|error| invalid("RECORD_ID_INVALID", format!("record_id {record_id:?}: {error}")))?;
        let run = self.run(&run_id).await?;
        let stories = self.store.stories(&run, id.as_text()).await?;
        if stories.is_empty() {
            let text = format!("the source of run {run_id} did not list the ID {id}");
            return Err(status(Code::NotFound, "RECORD_UNKNOWN", text));
        }
        let stories = stories.iter().map(|story| render::story(id.as_text(), story)).collect();
        Ok(Response::new(v1::GetRecordResponse { stories }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let request = request.into_inner();
        let run = self.run(&request.run_id).await?;
        let (size, after) = (page::size(request.page_size)?, page::place(&request.page_token)?);
        let filter = DeadLetterFilter {
            stage: request.stage,
            reason: parse::bounded(&request.reason),
            include_redriven: request.include_redriven,
        };
        let groups = match after {
            None => self.store.dead_letter_groups(&run, &filter, MAX_GROUPS).await?,
            Some(_) => Vec::new(),
        };
        let found = self.store.dead_letters(&run, &filter, after, size).await?;
        Ok(Response::new(v1::ListDeadLettersResponse {
            next_page_token: page::next_token(&found, size, |letter| page::place_token(letter.place)),
            dead_letters: found.into_iter().map(failures::dead_letter).collect(),
            groups: groups.into_iter().map(failures::group).collect(),
        }))
    }

    async fn list_in_doubt(
        &self,
        request: Request<v1::ListInDoubtRequest>,
    ) -> Result<Response<v1::ListInDoubtResponse>, Status> {
        let request = request.into_inner();
        let run = self.run(&request.run_id).await?;
        let size = page::size(request.page_size)?;
        let after = page::before(&request.page_token)?.unwrap_or(0);
        let found = self.store.doubts(&run, after, size).await?;
        Ok(Response::new(v1::ListInDoubtResponse {
            next_page_token: page::next_token(&found, size, |doubt| doubt.number.to_string()),
            deliveries: found.into_iter().map(failures::doubt).collect(),
        }))
    }

    async fn get_history(
        &self,
        request: Request<v1::GetHistoryRequest>,
    ) -> Result<Response<v1::GetHistoryResponse>, Status> {
        let v1::GetHistoryRequest { run_id, spans } = request.into_inner();
        let run = self.run(&run_id).await?;
        let found = self.store.history(&run, history::spans(spans)).await?;
        Ok(Response::new(history::response(&found)))
    }

    async fn get_report(
        &self,
        request: Request<v1::GetReportRequest>,
    ) -> Result<Response<v1::GetReportResponse>, Status> {
        let v1::GetReportRequest { run_id } = request.into_inner();
        let (store, id) = (Arc::clone(&self.store), RunId::from_text(&run_id));
        let turn = Arc::clone(&self.reports).acquire_owned().await;
        // It goes on when nobody waits for it any more, and counts until it has ended.
        let read = tokio::spawn(async move {
            let _turn = turn;
            store.run_report(&id, run_report::BOUNDS).await
        });
        let found = read.await.map_err(|_| Status::internal("the report failed: the log says where"))??;
        let report = run_report::render(found.ok_or_else(|| run_unknown(&run_id))?);
        Ok(Response::new(v1::GetReportResponse { report: Some(report) }))
    }

    type ExportLedgerStream = Pin<Box<dyn Stream<Item = Result<v1::ExportLedgerResponse, Status>> + Send>>;

    async fn export_ledger(
        &self,
        request: Request<v1::ExportLedgerRequest>,
    ) -> Result<Response<Self::ExportLedgerStream>, Status> {
        let run = self.run(&request.into_inner().run_id).await?;
        Ok(Response::new(Box::pin(export(Arc::clone(&self.store), run))))
    }
}

/// The rows of a run, a batch a message; the next is read when this one was taken.
fn export(store: Arc<dyn Store>, run: Run) -> impl Stream<Item = Result<v1::ExportLedgerResponse, Status>> {
    let start = Some((store, run, ExportFrom::default()));
    futures::stream::unfold(start, |at| async move {
        let (store, run, mut from) = at?;
        loop {
            match store.export(&run, from).await {
                Err(error) => return Some((Err(error.into()), None)),
                Ok((_, None)) => return None,
                // The end of a round.
                Ok((rows, Some(next))) if rows.is_empty() => from = next,
                Ok((rows, Some(next))) => {
                    let rows = rows.into_iter().map(failures::ledger_row).collect();
                    return Some((Ok(v1::ExportLedgerResponse { rows }), Some((store, run, next))));
                }
            }
        }
    })
}
