//! A call under way, as a span that is not over yet.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};

use crate::trace::place::Place;
use crate::trace::tail::Tail;
use crate::trace::traces::Traces;
use crate::{names, spans};

/// Where its span goes.
pub(super) enum Way {
    /// Out.
    Export,
    /// To the trace that it is part of.
    Note(Arc<Tail>),
    /// Kept until another process has decided.
    Hold,
}

/// Ends as one that was given up, unless it was ended otherwise before it is dropped.
pub(super) struct Call {
    traces: Arc<Traces>,
    way: Option<Way>,
    place: Place,
    parent: SpanId,
    is_remote: bool,
    kind: SpanKind,
    method: Cow<'static, str>,
    began: SystemTime,
    peer: Option<(Arc<str>, u16)>,
}

impl Call {
    /// A call that is made now, as part of `parent` or of nothing.
    pub(super) fn begin(
        traces: &Arc<Traces>,
        way: Way,
        kind: SpanKind,
        method: Cow<'static, str>,
        parent: Option<&SpanContext>,
    ) -> Self {
        let trace = parent.map_or_else(|| traces.new_trace_id(), SpanContext::trace_id);
        Self {
            traces: Arc::clone(traces),
            way: Some(way),
            place: Place { trace, span: traces.new_span_id() },
            parent: parent.map_or(SpanId::INVALID, SpanContext::span_id),
            is_remote: parent.is_some_and(SpanContext::is_remote),
            kind,
            method,
            began: SystemTime::now(),
            peer: None,
        }
    }

    pub(super) fn to(mut self, peer: Option<(Arc<str>, u16)>) -> Self {
        self.peer = peer;
        self
    }

    /// As it is passed on.
    pub(super) fn context(&self) -> SpanContext {
        let sampled = match &self.way {
            Some(Way::Note(tail)) => tail.is_kept(),
            Some(Way::Export) => true,
            Some(Way::Hold) | None => false,
        };
        self.place.context(sampled)
    }

    /// Whether it is decided later on what becomes of its trace.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.way, Some(Way::Note(_) | Way::Hold))
    }

    /// The call is over: with this status, or without an answer for this reason.
    pub(super) fn end(mut self, status: Result<&'static str, &'static str>) {
        self.finish(status);
    }

    /// Its trace is not exported: no span comes of it. Gives what it is passed on as.
    pub(super) fn pass_over(mut self) -> SpanContext {
        self.way = None;
        self.context()
    }

    fn finish(&mut self, status: Result<&'static str, &'static str>) {
        let Some(way) = self.way.take() else { return };
        let method = self.method.clone();
        let mut span = self.traces.span(self.place, method.clone(), self.kind.clone(), self.began, SystemTime::now());
        (span.parent_span_id, span.parent_span_is_remote) = (self.parent, self.is_remote);
        span.attributes.push(KeyValue::new(spans::RPC_SYSTEM, spans::GRPC));
        span.attributes.push(KeyValue::new(spans::RPC_METHOD, method));
        if let Some((host, port)) = self.peer.take() {
            span.attributes.push(KeyValue::new(spans::SERVER_ADDRESS, host));
            span.attributes.push(KeyValue::new(spans::SERVER_PORT, i64::from(port)));
        }
        if let Ok(status) = status {
            span.attributes.push(KeyValue::new(spans::RPC_STATUS, status));
        }
        if let Some(error) = status.err().or(status.ok().filter(|status| is_error(status, &self.kind))) {
            span.attributes.push(KeyValue::new(names::ERROR, error));
            span.status = Status::error("");
        }
        match way {
            Way::Export => self.traces.export(span),
            Way::Note(tail) => tail.note(span),
            Way::Hold => self.traces.hold(span),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.finish(Ok("CANCELLED"));
    }
}

/// For a client whatever is not OK; for a server what is its own fault (semantic conventions for gRPC).
fn is_error(status: &str, kind: &SpanKind) -> bool {
    const SERVERS_FAULT: [&str; 6] =
        ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
    match kind {
        SpanKind::Server => SERVERS_FAULT.contains(&status),
        _ => status != "OK",
    }
}
