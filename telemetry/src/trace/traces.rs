//! The traces of this process, on their way out.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Link, SpanId, SpanKind, Status, TraceId};
use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample,
    SpanData, SpanEvents, SpanLinks, SpanProcessor,
};

use super::export::{Told, exporter};
use super::held::Held;
use super::place::Place;
use super::queue::{self, Bounded, Queue};
use super::settings::{SIGNAL, Settings};
use crate::otlp::{BadSetting, ENDPOINT};
use crate::spans;

/// How long the last spans may take to go out when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Spans that wait to be exported, unless the environment says otherwise: those of some dozen whole batches.
const QUEUE: usize = 8_192;

static OF_THIS_PROCESS: OnceLock<Arc<Traces>> = OnceLock::new();

/// What takes the spans of this process, when it exports any.
#[must_use]
pub fn of_this_process() -> Option<&'static Arc<Traces>> {
    OF_THIS_PROCESS.get()
}

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// The exporter.
    #[error(
        "{own} or {ENDPOINT} is no use: {0}; say where a collector listens, as in http://127.0.0.1:4318",
        own = SIGNAL.endpoint
    )]
    Exporter(String),
}

/// Begins to export the traces of this process, once, as the environment says; by default not. In a tokio runtime.
///
/// # Errors
/// [`StartError`] when a variable of OpenTelemetry's is no use.
pub fn start(service: &'static str) -> Result<(), StartError> {
    let Some(settings) = Settings::of(|name| std::env::var(name).ok())? else { return Ok(()) };
    // The first one installed stays, which is all that is wanted here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = exporter(&settings).map_err(|error| match settings.has_secret {
        true => StartError::Exporter("it is no URL of a collector".to_owned()),
        false => StartError::Exporter(error),
    })?;
    let size = queue::size(|name| std::env::var(name).ok(), QUEUE);
    let queue = Queue::of(size);
    let exporter = Told::new(exporter, &settings, Arc::clone(&queue));
    let config = BatchConfigBuilder::default().with_max_queue_size(size).build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    let mut processor = Bounded::new(processor, queue);
    processor.set_resource(&resource(service));
    let _ = OF_THIS_PROCESS.set(Arc::new(Traces::new(Box::new(processor), settings.sampler)));
    Ok(())
}

/// Exports what is left, for at most some seconds. Nothing is exported after that.
pub async fn flush() {
    let Some(traces) = of_this_process() else { return };
    let last = tokio::task::spawn_blocking(|| traces.processor.shutdown_with_timeout(LAST_WORDS));
    // Whether it worked, the exporter has told.
    let _ = tokio::time::timeout(LAST_WORDS, last).await;
}

/// Who this process is. What the environment says of it wins.
fn resource(service: &'static str) -> Resource {
    let ours = [
        KeyValue::new(spans::SERVICE_NAME, service),
        KeyValue::new(spans::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new(spans::SERVICE_INSTANCE, RandomIdGenerator::default().new_trace_id().to_string()),
    ];
    let theirs = Resource::builder().build();
    let is_theirs = |name: &str| match name {
        // The SDK always has one, `unknown_service` if nothing else.
        spans::SERVICE_NAME => {
            std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty())
                || std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|all| all.contains("service.name="))
        }
        name => theirs.get(&Key::new(name.to_owned())).is_some(),
    };
    let ours: Vec<_> = ours.into_iter().filter(|attribute| !is_theirs(attribute.key.as_str())).collect();
    Resource::builder().with_attributes(ours).build()
}

/// What takes the spans of a process.
#[derive(Debug)]
pub struct Traces {
    processor: Box<dyn SpanProcessor>,
    sampler: Sampler,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
    held: Mutex<Held>,
}

impl Traces {
    pub(super) fn new(processor: Box<dyn SpanProcessor>, sampler: Sampler) -> Self {
        let scope = InstrumentationScope::builder("muster").with_version(env!("CARGO_PKG_VERSION")).build();
        Self { processor, sampler, ids: RandomIdGenerator::default(), scope, held: Mutex::default() }
    }

    /// Whether the sampling ratio has a trace of this ID exported.
    #[must_use]
    pub fn samples(&self, trace: TraceId) -> bool {
        let result = self.sampler.should_sample(None, trace, "", &SpanKind::Internal, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    pub(super) fn new_span_id(&self) -> SpanId {
        self.ids.new_span_id()
    }

    pub(super) fn new_trace_id(&self) -> TraceId {
        self.ids.new_trace_id()
    }

    /// A span at this place, without a parent, as it is when it is exported.
    pub(super) fn span(
        &self,
        place: Place,
        name: Cow<'static, str>,
        kind: SpanKind,
        from: SystemTime,
        until: SystemTime,
    ) -> SpanData {
        SpanData {
            span_context: place.context(true),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: kind,
            name,
            start_time: from,
            end_time: until.max(from),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// Exports the root span of a round that is over.
    pub fn export_round(&self, run_id: &str, round: i32, from: SystemTime, until: SystemTime, about: Vec<KeyValue>) {
        let mut span = self.span(Place::of_round(run_id, round), spans::RUN.into(), SpanKind::Internal, from, until);
        if round > 1 {
            span.parent_span_id = Place::of_round(run_id, round - 1).span;
        }
        span.attributes = about;
        self.export(span);
    }

    /// Hands a span to the exporter.
    pub(super) fn export(&self, span: SpanData) {
        self.processor.on_end(span);
    }

    /// Keeps a span until another process has decided about its trace.
    pub(super) fn hold(&self, span: SpanData) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).hold(span);
    }

    /// The trace is exported: so is what was held of it.
    pub(super) fn release(&self, trace: TraceId) {
        let spans = self.held.lock().unwrap_or_else(PoisonError::into_inner).release(trace);
        for span in spans {
            self.export(span);
        }
    }
}

/// A link to the span at a place, saying what it points to.
#[must_use]
pub fn link(place: Place, what: &'static str) -> Link {
    Link::new(place.context(true), vec![KeyValue::new(spans::LINK, what)], 0)
}
