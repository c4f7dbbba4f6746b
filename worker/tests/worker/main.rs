//! A worker against a coordinator that plays a script and a tiny HTTP API: what it sends, and above all what it does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod coordinator;
mod deliveries;
mod endings;
mod herd;
mod items;
mod outage;
mod per_record;
mod probes;
mod rates;
mod records;
mod stock;

use std::sync::Arc;
use std::time::Duration;

use api::Api;
use coordinator::Script;
use muster_pipeline::Pipeline;
use muster_worker::{Worker, WorkerConfig, WorkerError, WorkerSummary, connect};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A worker at work.
struct Stage {
    script: Arc<Script>,
    api: Arc<Api>,
    /// Where the API is.
    base_url: String,
    shutdown: CancellationToken,
    running: JoinHandle<Result<WorkerSummary, WorkerError>>,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|config| config).await
    }

    async fn with(configure: impl FnOnce(WorkerConfig) -> WorkerConfig) -> Self {
        Self::of(&pipeline(), configure).await
    }

    async fn of(pipeline: &Pipeline, configure: impl FnOnce(WorkerConfig) -> WorkerConfig) -> Self {
        let (api, base_url) = Api::start().await;
        let (script, url) = Script::start(pipeline, &base_url).await;
        let config = configure(WorkerConfig {
            // Short, so that a test soon sees what the worker holds.
            acquire_wait: Duration::from_millis(50),
            seed: 1,
            ..WorkerConfig::default()
        });
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(Worker::new(config, connect(&url).unwrap()).run(shutdown.clone()));
        // Pushes are for those who attend.
        script
            .until("attending", |told| told.iter().find(|told| matches!(told, coordinator::Told::Attend)).map(|_| ()))
            .await;
        Self { script, api, base_url, shutdown, running }
    }

    /// Ends the worker and gives its summary.
    async fn end(self) -> WorkerSummary {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap()
    }
}

/// The pipeline `animals`, with a short POST timeout and no patience with its source.
fn pipeline() -> Pipeline {
    let text = include_str!("animals.yaml");
    Pipeline::from_yaml(text, "animals.yaml").unwrap()
}
