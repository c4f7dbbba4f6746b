//! KEDA's ExternalScaler: whether and how many workers are wanted.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use muster_proto::keda::{self, external_scaler_server::ExternalScaler};
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status};

use super::error::{invalid, status, unusable};
use crate::catalog::Catalog;
use crate::store::{Demand, Store};

/// What is measured: batches that are leased, or could be.
const METRIC: &str = "muster-batches";
/// One worker's share of them where the trigger says nothing: enough that another worker is worth its start.
const SHARE: f64 = 10.0;
/// The largest share that makes sense.
const MAX_SHARE: f64 = 1e6;
/// A stream looks again at most this often, ...
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// ... and at least this often.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// Answers KEDA.
#[derive(Clone)]
pub(crate) struct Scaler {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<Catalog>,
}

/// What a trigger's metadata says.
struct Trigger {
    pipeline: Option<String>,
    share: f64,
}

impl Trigger {
    fn of(scaled: Option<keda::ScaledObjectRef>) -> Result<Trigger, Status> {
        let mut metadata = scaled.unwrap_or_default().scaler_metadata;
        let pipeline = metadata.remove("pipeline").filter(|name| !name.is_empty());
        let Some(text) = metadata.remove("batchesPerWorker") else { return Ok(Trigger { pipeline, share: SHARE }) };
        match text.parse() {
            Ok(share) if share > 0.0 && share <= MAX_SHARE => Ok(Trigger { pipeline, share }),
            _ => {
                let what = format!("batchesPerWorker must be a number above 0 and up to {MAX_SHARE}, not {text:?}");
                Err(invalid("TRIGGER_INVALID", what))
            }
        }
    }
}

impl Scaler {
    /// The trigger, if it names a pipeline that is known here, or none.
    async fn trigger(&self, scaled: Option<keda::ScaledObjectRef>) -> Result<Trigger, Status> {
        let trigger = Trigger::of(scaled)?;
        if let Some(name) = &trigger.pipeline {
            let catalog = self.catalog.now().await.map_err(|error| unusable(&error))?;
            if !catalog.names().any(|known| known == name) {
                let known = catalog.names().collect::<Vec<_>>().join(", ");
                let text = format!("this coordinator knows no pipeline {name:?}; it knows: {known}");
                return Err(status(Code::NotFound, "PIPELINE_UNKNOWN", text));
            }
        }
        Ok(trigger)
    }

    async fn demand(&self, trigger: &Trigger) -> Result<Demand, Status> {
        Ok(self.store.demand(trigger.pipeline.as_deref()).await?)
    }

    /// Whether any worker is wanted: now, and whenever that changes.
    fn watch(self, trigger: Trigger) -> impl Stream<Item = Result<keda::IsActiveResponse, Status>> {
        let changed = self.store.events().changed();
        futures::stream::unfold(Some((self, trigger, changed, None)), |state| async move {
            let (scaler, trigger, mut changed, last) = state?;
            loop {
                if last.is_some() {
                    tokio::time::sleep(LOOK_EVERY).await;
                    // The sender lives as long as the store, and time that goes by is no error.
                    let _ = timeout(LOOK_AT_LEAST_EVERY, changed.changed()).await;
                }
                changed.mark_unchanged();
                match scaler.demand(&trigger).await {
                    Err(error) => return Some((Err(error), None)),
                    Ok(demand) if last == Some(demand.is_active()) => {}
                    Ok(demand) => {
                        let result = demand.is_active();
                        let answer = keda::IsActiveResponse { result };
                        return Some((Ok(answer), Some((scaler, trigger, changed, Some(result)))));
                    }
                }
            }
        })
    }
}

#[tonic::async_trait]
impl ExternalScaler for Scaler {
    async fn is_active(
        &self,
        request: Request<keda::ScaledObjectRef>,
    ) -> Result<Response<keda::IsActiveResponse>, Status> {
        let trigger = self.trigger(Some(request.into_inner())).await?;
        let result = self.demand(&trigger).await?.is_active();
        Ok(Response::new(keda::IsActiveResponse { result }))
    }

    type StreamIsActiveStream = Pin<Box<dyn Stream<Item = Result<keda::IsActiveResponse, Status>> + Send>>;

    async fn stream_is_active(
        &self,
        request: Request<keda::ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let trigger = self.trigger(Some(request.into_inner())).await?;
        Ok(Response::new(Box::pin(self.clone().watch(trigger))))
    }

    async fn get_metric_spec(
        &self,
        request: Request<keda::ScaledObjectRef>,
    ) -> Result<Response<keda::GetMetricSpecResponse>, Status> {
        let share = self.trigger(Some(request.into_inner())).await?.share;
        // Whoever knows no fractions gets the next whole number: one worker less rather than one that has nothing to do.
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_SHARE")]
        let whole = share.ceil() as i64;
        let spec = keda::MetricSpec { metric_name: METRIC.to_owned(), target_size: whole, target_size_float: share };
        Ok(Response::new(keda::GetMetricSpecResponse { metric_specs: vec![spec] }))
    }

    async fn get_metrics(
        &self,
        request: Request<keda::GetMetricsRequest>,
    ) -> Result<Response<keda::GetMetricsResponse>, Status> {
        let trigger = self.trigger(request.into_inner().scaled_object_ref).await?;
        let batches = self.demand(&trigger).await?.batches(trigger.share);
        #[expect(clippy::cast_possible_truncation, reason = "no ledger has so many")]
        let whole = batches.ceil() as i64;
        let value =
            keda::MetricValue { metric_name: METRIC.to_owned(), metric_value: whole, metric_value_float: batches };
        Ok(Response::new(keda::GetMetricsResponse { metric_values: vec![value] }))
    }
}
