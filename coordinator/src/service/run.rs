//! RunService.

mod mended;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use muster_pipeline::{OnDoubt as SpecOnDoubt, Pipeline};
use muster_proto::v1::{self, run_service_server::RunService};
use muster_telemetry::names;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tonic::{Code, Request, Response, Status};

use super::error::{invalid, run_unknown, status, unusable};
use super::since::{self, Since};
use super::{operate, page, parse, render, share};
use crate::audit_files::AuditFiles;
use crate::catalog::Catalog;
use crate::domain::{Clock, NewRun, OnDoubt, Rules, Run, RunId, Share, ShareChange, Terms, Timestamp};
use crate::store::{Event, Round, Started, Store, StoreResult};

/// A stream sends a run at most this often.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// So many notices of a run are shown.
const NOTICES: u32 = 20;

/// Starts runs, shows them, stops them.
#[derive(Clone)]
pub(crate) struct Runs {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<Catalog>,
    pub files: Option<Arc<AuditFiles>>,
    pub clock: Arc<dyn Clock>,
    /// The machine's: sources are asked by it for what has changed.
    pub wall: Arc<dyn Clock>,
}

impl Runs {
    async fn render(&self, run: &Run) -> Result<v1::Run, Status> {
        let rounds = self.store.rounds(run).await?;
        Ok(shown(self.store.as_ref(), run, &rounds, self.clock.now()).await?)
    }

    async fn show(&self, id: &str, run: StoreResult<Option<Run>>) -> Result<Option<v1::Run>, Status> {
        let run = run?.ok_or_else(|| run_unknown(id))?;
        self.render(&run).await.map(Some)
    }

    /// A pipeline as it is now.
    async fn pipeline(&self, name: &str) -> Result<Pipeline, Status> {
        let catalog = self.catalog.now().await.map_err(|error| unusable(&error))?;
        let found = catalog.get(name).map_err(unusable)?.cloned();
        found.ok_or_else(|| {
            let known = catalog.names().collect::<Vec<_>>().join(", ");
            let text = format!("this coordinator knows no pipeline {name:?}; it knows: {known}");
            status(Code::NotFound, "PIPELINE_UNKNOWN", text)
        })
    }

    async fn begin(&self, request: v1::StartRunRequest) -> Result<Started, Status> {
        if request.request_id.len() > 128 {
            return Err(invalid("REQUEST_ID_INVALID", "request_id has at most 128 characters"));
        }
        let share = share::change(request.share)?.of(Share::default());
        let digest = digest(&request, share);
        if !request.request_id.is_empty()
            && let Some((run, before)) = self.store.run_of_request(&request.request_id).await?
        {
            // Whatever the pipeline, the audit folder and the latest run are like by now.
            return Ok(if before == digest { Started::Same(run) } else { Started::Conflict });
        }
        let pipeline = self.pipeline(&request.pipeline).await?;
        let given = request.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let meant = &request.since_run;
        let since = since::find(self.store.as_ref(), &pipeline, &given, meant, self.wall.now()).await?;
        let new = self.new_run(&request, &pipeline, &given, since.as_ref())?;
        Ok(self.store.start_run(NewRun { request_digest: digest, share, ..new }).await?)
    }

    fn new_run(
        &self,
        request: &v1::StartRunRequest,
        pipeline: &Pipeline,
        given: &BTreeMap<String, String>,
        since: Option<&Since>,
    ) -> Result<NewRun, Status> {
        let parameters = pipeline
            .resolve_parameters_since(given, since.map(Since::started))
            .map_err(|error| invalid("PARAMETER_INVALID", error.to_string()))?;
        pipeline.compile(&parameters).map_err(|error| invalid("PIPELINE_INVALID", error.to_string()))?;
        if request.audit_mode {
            let absent = "this coordinator has no audit folder: start it with --audit-dir";
            let files = self.files.as_ref().ok_or_else(|| invalid("AUDIT_UNAVAILABLE", absent))?;
            files.prepare().map_err(|error| status(Code::FailedPrecondition, "AUDIT_UNWRITABLE", error))?;
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| Status::internal(format!("no randomness: {error}")))?;
        Ok(NewRun {
            id: RunId::new(pipeline.name(), random),
            request_id: Some(request.request_id.clone()).filter(|id| !id.is_empty()),
            request_digest: [0; 32],
            pipeline: pipeline.name().to_owned(),
            terms: terms(pipeline),
            parameters,
            audit_mode: request.audit_mode,
            since: since.map(|since| since.run.id.clone()),
            alike: since.map(|since| since.alike.clone()).unwrap_or_default(),
            wall_at: self.wall.now(),
            share: Share::default(),
        })
    }

    /// The run now and whenever it has changed, until it is over.
    fn watch(self, id: RunId) -> impl Stream<Item = Result<v1::WatchRunResponse, Status>> {
        let changed = self.store.events().changed();
        let pushed = self.store.events().pushed();
        let start = (self, id, changed, pushed, Some(None));
        futures::stream::unfold(start, |(runs, id, mut changed, mut pushed, last)| async move {
            let mut last: Option<v1::Run> = last?;
            loop {
                if last.is_some() {
                    // Whether it goes on at all is news that does not wait.
                    let _ = tokio::time::timeout(WATCH_EVERY, another_state(&mut pushed, &id)).await;
                    // The sender lives as long as the store.
                    let _ = changed.changed().await;
                }
                changed.mark_unchanged();
                let shown = match runs.store.run(&id).await {
                    Ok(run) => runs.show(id.as_str(), Ok(run)).await,
                    Err(error) => Err(error.into()),
                };
                let run = match shown {
                    Ok(Some(run)) => run,
                    Ok(None) => return None,
                    Err(error) => return Some((Err(error), (runs, id, changed, pushed, None))),
                };
                if last.as_ref().is_some_and(|last| same(last, &run)) {
                    continue;
                }
                let over = run.finished_at.is_some();
                last = Some(run.clone());
                let response = v1::WatchRunResponse { run: Some(run) };
                return Some((Ok(response), (runs, id, changed, pushed, (!over).then_some(last))));
            }
        })
    }
}

/// A run with how far it is, as of its round.
pub(crate) async fn shown(store: &dyn Store, run: &Run, rounds: &[Round], now: Timestamp) -> StoreResult<v1::Run> {
    let progress = store.progress(run).await?;
    let unknown = match &run.verdict {
        Some(verdict) => verdict.unknown_fields.clone(),
        None => store.unknown_fields(run, run.round).await?,
    };
    Ok(render::run(run, &progress, rounds, &unknown, now))
}

/// Waits until the run was stopped or is over.
async fn another_state(pushed: &mut broadcast::Receiver<Event>, id: &RunId) {
    loop {
        match pushed.recv().await {
            Ok(Event::RunStopped { run_id, .. } | Event::RunOver { run_id }) if run_id == *id => return,
            // What was missed may have been it.
            Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            // The sender lives as long as the store.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Of what a run is started with, as the caller gave it: after an upgrade the same call must still be the same.
fn digest(request: &v1::StartRunRequest, share: Share) -> [u8; 32] {
    let given: BTreeMap<&String, &String> = request.parameters.iter().collect();
    let mut arguments = vec![json!(request.pipeline), json!(given), json!(request.audit_mode)];
    // Older calls know of none.
    if !request.since_run.is_empty() {
        arguments.push(json!(request.since_run));
    }
    if share != Share::default() {
        let Share { priority, weight, max_workers } = share;
        arguments.push(json!({ "priority": priority, "weight": weight, "max_workers": max_workers }));
    }
    Sha256::digest(Value::from(arguments).to_string()).into()
}

/// What transitions need of a pipeline.
fn terms(pipeline: &Pipeline) -> Terms {
    let load = pipeline.load();
    Terms {
        revision: pipeline.revision().to_owned(),
        canonical: pipeline.canonical().to_owned(),
        max_batch: load.max_batch,
        post_timeout: load.post_timeout,
        rules: Rules {
            on_doubt: match load.on_doubt {
                SpecOnDoubt::Retry => OnDoubt::Retry,
                SpecOnDoubt::Hold => OnDoubt::Hold,
                SpecOnDoubt::Probe => OnDoubt::Probe,
            },
            settle_after: load.settle_after,
            max_attempts: load.max_attempts,
        },
        max_gone: pipeline.source().max_gone,
        max_rejected: load.max_rejected_in_a_row,
        // An older worker cannot read what the format has learnt since, nor report what comes of it.
        protocol: match (pipeline.limits().rate, pipeline.is_of_first_format()) {
            // One that asks nobody before it sends would break the rate for all.
            (Some(_), _) => 4,
            (None, false) => 3,
            (None, true) => 1,
        },
    }
}

/// Has nothing happened but the time going by?
fn same(before: &v1::Run, after: &v1::Run) -> bool {
    before.state == after.state
        && before.progress == after.progress
        && before.share == after.share
        && before.finished_at == after.finished_at
}

#[tonic::async_trait]
impl RunService for Runs {
    async fn start_run(&self, request: Request<v1::StartRunRequest>) -> Result<Response<v1::StartRunResponse>, Status> {
        match self.begin(request.into_inner()).await? {
            Started::New(run) => {
                let since = run.since.as_ref().map(RunId::as_str);
                tracing::info!({ names::RUN } = %run.id, { names::PIPELINE } = run.pipeline, since, "a run was started");
                Ok(Response::new(v1::StartRunResponse { run: Some(self.render(&run).await?) }))
            }
            Started::Same(run) => Ok(Response::new(v1::StartRunResponse { run: Some(self.render(&run).await?) })),
            Started::Conflict => Err(status(
                Code::AlreadyExists,
                "REQUEST_ID_REUSED",
                "a run was started with this request_id and other arguments; use a new request_id",
            )),
        }
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        let id = request.into_inner().run_id;
        let found = self.store.run(&RunId::from_text(&id)).await?.ok_or_else(|| run_unknown(&id))?;
        let notices = self.store.notices(&found, NOTICES).await?;
        let run = v1::Run { notices: notices.iter().map(render::notice).collect(), ..self.render(&found).await? };
        Ok(Response::new(v1::GetRunResponse { run: Some(run) }))
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let found = self.store.runs(page::before(&request.page_token)?, size).await?;
        let next_page_token = page::next_token(&found, size, |run| run.key.to_string());
        let mut runs = Vec::with_capacity(found.len());
        for run in &found {
            runs.push(self.render(run).await?);
        }
        Ok(Response::new(v1::ListRunsResponse { runs, next_page_token }))
    }

    type WatchRunStream = Pin<Box<dyn Stream<Item = Result<v1::WatchRunResponse, Status>> + Send>>;

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Result<Response<Self::WatchRunStream>, Status> {
        let id = request.into_inner().run_id;
        self.store.run(&RunId::from_text(&id)).await?.ok_or_else(|| run_unknown(&id))?;
        Ok(Response::new(Box::pin(self.clone().watch(RunId::from_text(id)))))
    }

    async fn cancel_run(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunResponse>, Status> {
        let id = request.into_inner().run_id;
        let run = self.show(&id, self.store.cancel_run(&RunId::from_text(&id)).await).await?;
        Ok(Response::new(v1::CancelRunResponse { run }))
    }

    async fn pause_run(&self, request: Request<v1::PauseRunRequest>) -> Result<Response<v1::PauseRunResponse>, Status> {
        let v1::PauseRunRequest { run_id: id, reason } = request.into_inner();
        let reason = if reason.is_empty() { "paused by an operator".to_owned() } else { parse::bounded(&reason) };
        let paused = self.store.pause_run(&RunId::from_text(&id), &reason).await;
        let run = self.show(&id, paused).await?.map(not_over).transpose()?;
        Ok(Response::new(v1::PauseRunResponse { run }))
    }

    async fn resume_run(
        &self,
        request: Request<v1::ResumeRunRequest>,
    ) -> Result<Response<v1::ResumeRunResponse>, Status> {
        let id = request.into_inner().run_id;
        let run = self.show(&id, self.store.resume_run(&RunId::from_text(&id)).await).await?;
        let run = run.map(not_over).transpose()?;
        Ok(Response::new(v1::ResumeRunResponse { run }))
    }

    async fn set_run_share(
        &self,
        request: Request<v1::SetRunShareRequest>,
    ) -> Result<Response<v1::SetRunShareResponse>, Status> {
        let v1::SetRunShareRequest { run_id: id, share } = request.into_inner();
        let change = share::change(share)?;
        if change == ShareChange::default() {
            return Err(invalid("SHARE_INVALID", "set priority, weight or max_workers"));
        }
        let run = self.show(&id, self.store.set_share(&RunId::from_text(&id), change).await).await?;
        Ok(Response::new(v1::SetRunShareResponse { run }))
    }

    async fn redrive_run(
        &self,
        request: Request<v1::RedriveRunRequest>,
    ) -> Result<Response<v1::RedriveRunResponse>, Status> {
        let (run, records) = self.redrive(&request.into_inner()).await?;
        let run = self.render(&run).await?;
        Ok(Response::new(v1::RedriveRunResponse { run: Some(run), records: render::count(records) }))
    }

    async fn settle_delivery(
        &self,
        request: Request<v1::SettleDeliveryRequest>,
    ) -> Result<Response<v1::SettleDeliveryResponse>, Status> {
        let request = request.into_inner();
        let id = RunId::from_text(&request.run_id);
        let settled = self.store.settle(&id, operate::settle(request)?).await?;
        let (run, loaded, to_send) = operate::settled(id.as_str(), settled)?;
        let run = Some(self.render(&run).await?);
        let (loaded, to_send) = (render::count(loaded), render::count(to_send));
        Ok(Response::new(v1::SettleDeliveryResponse { run, loaded, to_send }))
    }

    async fn delete_run(
        &self,
        request: Request<v1::DeleteRunRequest>,
    ) -> Result<Response<v1::DeleteRunResponse>, Status> {
        let id = RunId::from_text(request.into_inner().run_id);
        operate::deleted(id.as_str(), self.store.delete_run(&id).await?)?;
        tracing::info!({ names::RUN } = %id, "a run was deleted");
        Ok(Response::new(v1::DeleteRunResponse {}))
    }
}

fn not_over(run: v1::Run) -> Result<v1::Run, Status> {
    use v1::RunState::{Cancelled, Cancelling, Finished};
    if matches!(run.state(), Cancelling | Cancelled | Finished) {
        let text = format!("run {} is over or cancelled: it can neither be paused nor resumed", run.run_id);
        return Err(status(Code::FailedPrecondition, "RUN_OVER", text));
    }
    Ok(run)
}

#[cfg(test)]
mod tests;
