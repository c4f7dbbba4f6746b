//! Trace contexts in headers (W3C Trace Context), and the statuses of gRPC.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// Key and value in `tracestate` of a trace that is not sampled yet, and may be in the end: whoever has spans of it holds
/// them for a while.
const KEY: &str = "muster";
const HELD: &str = "held";

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

struct Came<'a>(&'a HeaderMap);

impl Extractor for Came<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// Passes a span on as the parent of what is done on the other side. `held`: its trace may be sampled later on.
pub(super) fn pass_on(span: &SpanContext, held: bool, headers: &mut HeaderMap) {
    let state = match held && !span.is_sampled() {
        true => TraceState::from_key_value([(KEY, HELD)]).unwrap_or(TraceState::NONE),
        false => TraceState::NONE,
    };
    let span =
        SpanContext::new(span.trace_id(), span.span_id(), span.trace_flags() & TraceFlags::SAMPLED, false, state);
    let context = Context::new().with_remote_span_context(span);
    TraceContextPropagator::new().inject_context(&context, &mut Headers(headers));
}

/// The parent that came with a call, and whether its trace is held.
pub(super) fn parent(headers: &HeaderMap) -> Option<(SpanContext, bool)> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Came(headers));
    let span = context.span().span_context().clone();
    let held = span.trace_state().get(KEY) == Some(HELD);
    span.is_valid().then_some((span, held))
}

/// The name of a status by its number, as the conventions have it.
pub(super) fn status(code: &str) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    code.parse::<usize>().ok().and_then(|code| NAMES.get(code).copied()).unwrap_or("UNKNOWN")
}

/// The status in the head of an answer. A good one stands behind the message, so none in the head is good.
pub(super) fn status_of(headers: &HeaderMap) -> &'static str {
    headers.get("grpc-status").map_or("OK", |code| status(code.to_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Place;

    #[test]
    fn what_is_passed_on_arrives_and_only_what_is_not_sampled_can_be_held() {
        for (sampled, held, arrives_held) in [(true, true, false), (false, true, true), (false, false, false)] {
            let mut headers = HeaderMap::new();
            let span = Place::of_batch("run", 1, 2, 3).context(sampled);
            pass_on(&span, held, &mut headers);
            let (came, is_held) = parent(&headers).unwrap();
            assert_eq!((came.trace_id(), came.span_id()), (span.trace_id(), span.span_id()));
            assert_eq!((came.is_sampled(), is_held, came.is_remote()), (sampled, arrives_held, true));
        }
        assert!(parent(&HeaderMap::new()).is_none());
    }

    #[test]
    fn statuses_have_their_names() {
        assert_eq!((status("0"), status("9"), status("16")), ("OK", "FAILED_PRECONDITION", "UNAUTHENTICATED"));
        assert_eq!((status("17"), status("x")), ("UNKNOWN", "UNKNOWN"));
        assert_eq!(status_of(&HeaderMap::new()), "OK");
    }
}
