//! Instruments, made of what [`super::names`] says of them.

use std::sync::OnceLock;

use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::names::Metric;

/// What tells the series of a metric apart.
pub type Label = KeyValue;
/// Counts.
pub type Counter = opentelemetry::metrics::Counter<u64>;
/// Adds seconds up.
pub type SecondsCounter = opentelemetry::metrics::Counter<f64>;
/// Counts values by their size.
pub type Histogram = opentelemetry::metrics::Histogram<f64>;

/// Under which all instruments are made.
const SCOPE: &str = "muster";

/// A label with a text; one that is shared is not copied.
#[must_use]
pub fn label(name: &'static str, value: impl Into<opentelemetry::StringValue>) -> Label {
    KeyValue::new(name, value.into())
}

/// A label with a number.
#[must_use]
pub fn number(name: &'static str, value: i64) -> Label {
    KeyValue::new(name, value)
}

/// Where an observation goes.
pub struct Observed<'a>(&'a dyn AsyncInstrument<f64>);

impl Observed<'_> {
    /// How it is now, for one series.
    pub fn is(&self, value: f64, labels: &[Label]) {
        self.0.observe(value, labels);
    }
}

impl std::fmt::Debug for Observed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observed").finish_non_exhaustive()
    }
}

impl Metric {
    /// An instrument that counts.
    #[must_use]
    pub fn counter(&self) -> Counter {
        meter().u64_counter(self.name).with_unit(self.unit).with_description(self.tells).build()
    }

    /// An instrument that adds seconds up.
    #[must_use]
    pub fn seconds(&self) -> SecondsCounter {
        meter().f64_counter(self.name).with_unit(self.unit).with_description(self.tells).build()
    }

    /// An instrument that counts values between these boundaries.
    #[must_use]
    pub fn histogram(&self, boundaries: &[f64]) -> Histogram {
        let meter = meter();
        let histogram = meter.f64_histogram(self.name).with_unit(self.unit).with_description(self.tells);
        histogram.with_boundaries(boundaries.to_vec()).build()
    }

    /// Asks `look` whenever somebody wants to know how it is now, for as long as metrics are kept.
    pub fn observe(&self, look: impl Fn(&Observed<'_>) + Send + Sync + 'static) {
        let meter = meter();
        let gauge = meter.f64_observable_gauge(self.name).with_unit(self.unit).with_description(self.tells);
        // The provider has the callback; the instrument itself is only a handle.
        let _ = gauge.with_callback(move |instrument| look(&Observed(instrument))).build();
    }
}

/// Not OpenTelemetry's global one: that one logs when it is set.
static PROVIDER: OnceLock<SdkMeterProvider> = OnceLock::new();

/// All instruments that are made from now on are this provider's. The first one stays.
pub(super) fn made_by(provider: SdkMeterProvider) {
    let _ = PROVIDER.set(provider);
}

/// Whose instruments forget, where there is no provider.
fn meter() -> Meter {
    PROVIDER.get().map_or_else(|| global::meter(SCOPE), |provider| provider.meter(SCOPE))
}
