//! Traces, exported by OTLP when the environment names a collector.
//!
//! Where none is named, [`of_this_process`] is nothing, and whoever would make a span looks there first: no span, no ID and
//! no clock is read. Which traces are exported follows from the sampling ratio, and for those of batches
//! ([`Tail`]) also from what happened in them.

mod current;
mod export;
mod held;
mod place;
mod queue;
mod rpc;
mod settings;
mod tail;
mod traces;

#[cfg(test)]
mod tests;

pub use opentelemetry::KeyValue;
pub use opentelemetry::trace::{Link, SpanKind, Status};
pub use opentelemetry_sdk::trace::SpanData;

pub use crate::otlp::BadSetting;
pub(crate) use current::Ids;
pub use current::in_trace;
pub use place::Place;
pub use rpc::{ServerLayer, Traced, TracedServer};
pub use tail::{MOST_SPANS, Tail};
pub use traces::{StartError, Traces, flush, link, of_this_process, start};
