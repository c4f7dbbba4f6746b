//! Metrics: counted once, shown as Prometheus' text and sent by OTLP.
//!
//! A process that nobody asks keeps none: unless [`Metrics::start`] says otherwise every instrument is one that forgets, and
//! [`kept`] says that there is no need to read a clock. Instruments are made by [`names::Metric`]'s methods, once; what tells
//! series apart is made beforehand too, or of texts that are shared, so that an event allocates nothing.

mod export;
mod instruments;
pub mod names;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

pub use instruments::{Counter, Histogram, Label, Observed, SecondsCounter, label, number};

/// The media type of Prometheus' text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// How long the last figures may take to go out when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(3);

static KEPT: AtomicBool = AtomicBool::new(false);

/// Whether this process keeps metrics.
#[must_use]
pub fn kept() -> bool {
    KEPT.load(Ordering::Relaxed)
}

/// Why metrics cannot be kept, and what to do about it.
#[derive(Debug)]
pub struct MetricsError(String);

impl std::fmt::Display for MetricsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MetricsError {}

/// The metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    provider: SdkMeterProvider,
    registry: Registry,
    are_sent: bool,
}

impl Metrics {
    /// Keeps metrics from now on, once in a process, before the first instrument is made: where they are `shown`, and where
    /// the environment names a collector to send them to. In a tokio runtime. `service` is what the process is, unless the
    /// environment (`OTEL_SERVICE_NAME`) knows better.
    ///
    /// # Errors
    /// A variable is no use: [`MetricsError`] says which.
    pub fn start(service: &'static str, shown: bool) -> Result<Option<Arc<Metrics>>, MetricsError> {
        let sending = export::reader()?;
        let are_sent = sending.is_some();
        if !shown && !are_sent {
            return Ok(None);
        }
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
        let exporter = exporter.build().map_err(|error| MetricsError(format!("metrics cannot be kept: {error}")))?;
        let provider = SdkMeterProvider::builder().with_resource(resource(service)).with_reader(exporter);
        let provider = match sending {
            Some(reader) => provider.with_reader(reader).build(),
            None => provider.build(),
        };
        instruments::made_by(provider.clone());
        KEPT.store(true, Ordering::Relaxed);
        Ok(Some(Arc::new(Metrics { provider, registry, are_sent })))
    }

    /// Whether they are sent, so that whoever knows how something is has to look at it unasked.
    #[must_use]
    pub fn are_sent(&self) -> bool {
        self.are_sent
    }

    /// All metrics as they are now, as Prometheus' text.
    ///
    /// # Errors
    /// When two of them contradict each other, which would be a bug.
    pub fn page(&self) -> Result<String, MetricsError> {
        let families = self.registry.gather();
        TextEncoder::new().encode_to_string(&families).map_err(|error| MetricsError(error.to_string()))
    }

    /// Sends what is left, for at most some seconds. Nothing is kept after that.
    pub async fn end(&self) {
        KEPT.store(false, Ordering::Relaxed);
        let provider = self.provider.clone();
        let last = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_WORDS));
        // Whether it worked, the exporter has told.
        let _ = tokio::time::timeout(LAST_WORDS, last).await;
    }
}

fn resource(service: &'static str) -> Resource {
    let is_named = std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty());
    let resource = Resource::builder();
    if is_named { resource.build() } else { resource.with_service_name(service).build() }
}
