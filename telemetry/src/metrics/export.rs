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

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_METRICS_EXPORTER";
/// Where a collector listens: for metrics alone, or for all.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// What it speaks.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

/// Whether metrics are to be sent, by an environment. As the specification wants it, an empty variable is an unset one.
fn wanted(variable: impl Fn(&str) -> Option<String>) -> Result<bool, MetricsError> {
    let variable = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let wrong = |name: &str, value: &str, right: &str| Err(MetricsError(format!("{name} is {value:?}: say {right}")));
    if variable(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    match variable(EXPORTER).as_deref() {
        None | Some("otlp") => {}
        // Prometheus is served where an address is given, whatever this says.
        Some("none" | "prometheus") => return Ok(false),
        Some(other) => return wrong(EXPORTER, other, "otlp or none, or leave it out"),
    }
    for name in PROTOCOLS {
        if let Some(value) = variable(name).filter(|value| !matches!(value.as_str(), "grpc" | "http/protobuf")) {
            return wrong(name, &value, "grpc or http/protobuf");
        }
    }
    Ok(ENDPOINTS.into_iter().any(|name| variable(name).is_some()))
}

/// What sends all metrics now and then (`OTEL_METRIC_EXPORT_INTERVAL`); nothing where nobody wants them.
pub(super) fn reader() -> Result<Option<PeriodicReader<impl PushMetricExporter>>, MetricsError> {
    if !wanted(|name| std::env::var(name).ok())? {
        return Ok(None);
    }
    // The first one installed stays, which is all that is wanted here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = opentelemetry_otlp::MetricExporter::builder().build();
    let [own, common] = ENDPOINTS;
    // Its words may hold the URL, and that a password.
    let exporter = exporter.map_err(|_| {
        MetricsError(format!("{own} or {common} is no use: say where a collector listens, as in http://127.0.0.1:4318"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<bool, String> {
        let found =
            |name: &str| variables.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
        wanted(found).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_set() {
        let there = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert_eq!(with(&[]), Ok(false));
        assert_eq!(with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), Ok(false));
        assert_eq!(with(&[there]), Ok(true));
        assert_eq!(with(&[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics:4318")]), Ok(true));
        assert_eq!(with(&[there, (EXPORTER, "none")]), Ok(false));
        assert_eq!(with(&[there, (DISABLED, "TRUE")]), Ok(false));
    }

    #[test]
    fn words_that_nobody_knows_are_refused_with_those_that_are() {
        let there = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for (wrong, right) in [((EXPORTER, "statsd"), "otlp"), (("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), "grpc")] {
            let error = with(&[there, wrong]).unwrap_err();
            assert!(error.contains(wrong.0) && error.contains(right), "{error}");
        }
    }
}
