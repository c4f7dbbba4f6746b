//! The trace that the code at hand works for, if it works for one.

use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry::trace::{FutureExt, SpanContext, TraceContextExt};

use super::tail::Tail;

/// What a context carries of a trace of which is decided at its end.
struct Of(Arc<Tail>);

/// Does some work for a trace: what it logs carries the trace's ID, and its calls are noted there. Without one it costs
/// nothing.
pub async fn in_trace<F: Future>(tail: Option<&Arc<Tail>>, work: F) -> F::Output {
    match tail {
        None => work.await,
        Some(tail) => {
            let context = Context::new().with_value(Of(Arc::clone(tail)));
            work.with_context(context.with_remote_span_context(tail.context())).await
        }
    }
}

/// The trace at hand.
pub(super) fn tail() -> Option<Arc<Tail>> {
    Context::map_current(|context| context.get::<Of>().map(|of| Arc::clone(&of.0)))
}

/// The span at hand.
pub(super) fn span() -> Option<SpanContext> {
    Context::map_current(|context| context.has_active_span().then(|| context.span().span_context().clone()))
}

/// What a log line tells of the trace at hand.
#[derive(Debug)]
pub(crate) struct Ids {
    pub(crate) trace: String,
    pub(crate) span: String,
}

impl Ids {
    /// Those of the span at hand.
    pub(crate) fn current() -> Option<Ids> {
        let span = span()?;
        Some(Ids { trace: span.trace_id().to_string(), span: span.span_id().to_string() })
    }
}
