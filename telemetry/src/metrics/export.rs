//! Sending metrics by OTLP, where OpenTelemetry's own environment variables say so; with one word when it does not work, and
//! one when it does again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};
use tracing::{info, warn};

use super::MetricsError;
use crate::names;
use crate::otlp::{self, ENDPOINT, Signal};

/// Names of what is said of metrics alone. Prometheus is served where an address is given, whatever the first says.
const SIGNAL: Signal = Signal {
    exporter: "OTEL_METRICS_EXPORTER",
    off: &["none", "prometheus"],
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
};

/// What sends all metrics now and then (`OTEL_METRIC_EXPORT_INTERVAL`); nothing where nobody wants them.
pub(super) fn reader() -> Result<Option<PeriodicReader<impl PushMetricExporter>>, MetricsError> {
    let wanted = otlp::destination(&SIGNAL, &otlp::set(|name| std::env::var(name).ok()));
    if wanted.map_err(|wrong| MetricsError(wrong.to_string()))?.is_none() {
        return Ok(None);
    }
    // The first one installed stays, which is all that is wanted here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = opentelemetry_otlp::MetricExporter::builder().build();
    // Its words may hold the URL, and that a password.
    let exporter = exporter.map_err(|_| {
        let own = SIGNAL.endpoint;
        MetricsError(format!(
            "{own} or {ENDPOINT} is no use: say where a collector listens, as in http://127.0.0.1:4318"
        ))
    })?;
    Ok(Some(PeriodicReader::builder(Told { inner: exporter, fails: AtomicBool::new(false) }).build()))
}

/// An exporter of whose failures the log tells once.
struct Told<E> {
    inner: E,
    fails: AtomicBool,
}

impl<E: PushMetricExporter> PushMetricExporter for Told<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        match (&result, self.fails.swap(result.is_err(), Ordering::Relaxed)) {
            (Ok(()), true) => info!("metrics are sent again"),
            (Err(_), false) => warn!(
                { names::NEXT } = "the work goes on, and they are sent again with the next interval: does a collector listen \
                    where OTEL_EXPORTER_OTLP_ENDPOINT says, and does it speak what OTEL_EXPORTER_OTLP_PROTOCOL says \
                    (grpc, mostly on port 4317; http/protobuf, which is the default, on 4318)?",
                "metrics cannot be sent: the collector was not reached, or has refused them"
            ),
            _ => {}
        }
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
