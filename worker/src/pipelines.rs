//! The pipelines of the runs at work, each fetched once: a revision never changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_pipeline::{Fleet, Pipeline, RequesterConfig, sha256};
use muster_proto::v1::LeasedRun;
use muster_telemetry::names;
use tokio::sync::{Mutex, OnceCell};
use tonic::Status;
use tracing::info;
use url::Url;

use crate::coordinator::{Coordinator, is_final};
use crate::rates::{self, FleetRates};
use crate::ready::ReadyPipeline;

/// Pipelines kept ready: more than a worker is likely to work on at the same time.
const KEPT: usize = 16;

/// Why there is no pipeline to work with.
#[derive(Debug)]
pub(crate) enum NoPipeline {
    /// The coordinator does not answer: again.
    Later(Status),
    /// It cannot work here: the reason in words.
    Unusable(String),
}

/// Revision, parameters, and whether the fleet shares its rate.
type Key = (String, BTreeMap<String, String>, bool);
type Slot = Arc<OnceCell<Arc<ReadyPipeline>>>;

/// Pipelines ready to run, by revision and parameters; the last used are kept.
#[derive(Debug)]
pub(crate) struct Pipelines {
    /// Takes the place of the pipelines' own limits.
    concurrency: Option<usize>,
    proxy: Option<Url>,
    seed: u64,
    /// Last used last.
    slots: Mutex<Vec<(Key, Slot)>>,
}

impl Pipelines {
    pub(crate) fn new(concurrency: Option<usize>, proxy: Option<Url>, seed: u64) -> Self {
        Self { concurrency, proxy, seed, slots: Mutex::default() }
    }

    /// The pipeline of `run`, ready to run. Batches that ask for the same one share it, with its connections and limits.
    pub(crate) async fn get(
        &self,
        coordinator: &Arc<Coordinator>,
        run: &LeasedRun,
    ) -> Result<Arc<ReadyPipeline>, NoPipeline> {
        // A coordinator of the version before keeps no timetable: this process keeps to the rate by itself then.
        let shares = coordinator.protocol() >= rates::SINCE;
        let key = (run.pipeline_revision.clone(), run.parameters.clone().into_iter().collect(), shares);
        let slot = self.slot(key.clone()).await;
        slot.get_or_try_init(|| self.prepare(coordinator, &key)).await.cloned()
    }

    async fn slot(&self, key: Key) -> Slot {
        let mut slots = self.slots.lock().await;
        let known = slots.iter().position(|(other, _)| *other == key).map(|place| slots.remove(place));
        let (key, slot) = known.unwrap_or_else(|| (key, Slot::default()));
        if slots.len() >= KEPT {
            slots.remove(0);
        }
        slots.push((key, Arc::clone(&slot)));
        slot
    }

    async fn prepare(
        &self,
        coordinator: &Arc<Coordinator>,
        (revision, parameters, shares): &Key,
    ) -> Result<Arc<ReadyPipeline>, NoPipeline> {
        let answer = coordinator.pipeline(revision).await.map_err(|status| match is_final(&status) {
            true => NoPipeline::Unusable(format!("the coordinator has no pipeline {revision}: {}", status.message())),
            false => NoPipeline::Later(status),
        })?;
        let text = answer.pipeline.unwrap_or_default().canonical;
        let fleet = shares.then(|| Arc::new(FleetRates::new(coordinator, revision, self.seed)) as Arc<dyn Fleet>);
        let ready = self.compile(&text, revision, parameters, fleet).map_err(NoPipeline::Unusable)?;
        info!({ names::PIPELINE } = &**ready.name(), { names::PIPELINE_REVISION } = revision, "pipeline ready");
        Ok(Arc::new(ready))
    }

    fn compile(
        &self,
        text: &str,
        revision: &str,
        parameters: &BTreeMap<String, String>,
        fleet: Option<Arc<dyn Fleet>>,
    ) -> Result<ReadyPipeline, String> {
        let found = hex::encode(sha256(text.as_bytes()));
        if found != revision {
            return Err(format!(
                "the coordinator's text of pipeline {revision} is another one: its SHA-256 is {found}"
            ));
        }
        let unusable = |error: &dyn std::fmt::Display| format!("worker cannot run the pipeline: {error}");
        let pipeline = Pipeline::from_canonical(text).map_err(|error| unusable(&error))?;
        let config = RequesterConfig {
            concurrency: self.concurrency,
            proxy: self.proxy.clone(),
            seed: self.seed,
            // What was listed is there: a source that serves nothing is down, not wrong.
            wait_for_first: true,
            fleet,
            ..RequesterConfig::default()
        };
        ReadyPipeline::new(&pipeline, parameters, &config).map_err(|error| unusable(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_used_are_kept() {
        let pipelines = Pipelines::new(None, None, 1);
        let key = |number: usize| (number.to_string(), BTreeMap::new(), true);
        let first = pipelines.slot(key(0)).await;
        for number in 1..KEPT {
            pipelines.slot(key(number)).await;
        }
        assert!(Arc::ptr_eq(&first, &pipelines.slot(key(0)).await), "kept, and now the last used");
        let second = pipelines.slot(key(1)).await;
        for number in KEPT..2 * KEPT - 2 {
            pipelines.slot(key(number)).await;
        }
        assert!(Arc::ptr_eq(&first, &pipelines.slot(key(0)).await));
        assert!(Arc::ptr_eq(&second, &pipelines.slot(key(1)).await));
        pipelines.slot(key(100)).await;
        pipelines.slot(key(101)).await;
        assert_eq!(pipelines.slots.lock().await.len(), KEPT);
    }

    #[test]
    fn another_text_than_the_revision_says_is_refused() {
        let error = Pipelines::new(None, None, 1).compile("{}", &"0".repeat(64), &BTreeMap::new(), None).unwrap_err();
        assert!(error.contains("is another one"), "{error}");
    }
}
