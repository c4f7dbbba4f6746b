//! Exporting, with one word about it when it does not work, and one when it does again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tracing::{info, warn};

use super::settings::Settings;
use crate::names;

/// An exporter of whose failures the log tells once.
#[derive(Debug)]
pub(super) struct Told<E> {
    inner: E,
    endpoint: String,
    has_secret: bool,
    fails: AtomicBool,
}

impl<E> Told<E> {
    pub(super) fn new(inner: E, settings: &Settings) -> Self {
        let Settings { endpoint, has_secret, .. } = settings;
        Self { inner, endpoint: endpoint.clone(), has_secret: *has_secret, fails: AtomicBool::new(false) }
    }

    fn tell(&self, result: &OTelSdkResult) {
        match result {
            Ok(()) if self.fails.swap(false, Ordering::Relaxed) => {
                info!({ names::URL } = self.endpoint, "traces are exported again");
            }
            Ok(()) => {}
            Err(_) if self.fails.swap(true, Ordering::Relaxed) => {}
            Err(error) => warn!(
                { names::URL } = self.endpoint,
                { names::REASON } = self.reason(error),
                { names::NEXT } = "the work goes on, and traces are lost until it answers: does a collector listen there, \
                    and does it speak what OTEL_EXPORTER_OTLP_PROTOCOL says (grpc, mostly on port 4317; http/protobuf, \
                    which is the default, on 4318)?",
                "traces cannot be exported"
            ),
        }
    }

    /// What went wrong; its words may hold the URL, and that a password.
    fn reason(&self, error: &OTelSdkError) -> String {
        match self.has_secret {
            true => "the collector was not reached, or has refused them".to_owned(),
            false => error.to_string(),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.inner.export(batch).await;
        self.tell(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
