//! Trace contexts in headers (W3C Trace Context), and the statuses of gRPC.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
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

/// The status in the head of an answer. A good one stands behind the message, so none in the head is good, unless something
/// answered that speaks no gRPC: then it is what gRPC's own table makes of the HTTP status.
pub(super) fn status_of<B>(answer: &Response<B>) -> &'static str {
    if let Some(code) = answer.headers().get("grpc-status") {
        return status(code.to_str().unwrap_or_default());
    }
    match answer.status() {
        StatusCode::OK => "OK",
        StatusCode::BAD_REQUEST => "INTERNAL",
        StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
        StatusCode::FORBIDDEN => "PERMISSION_DENIED",
        StatusCode::NOT_FOUND => "UNIMPLEMENTED",
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => "UNAVAILABLE",
        _ => "UNKNOWN",
    }
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
    }

    #[test]
    fn an_answer_that_is_no_grpc_is_not_good() {
        let answer = |http: u16, grpc: Option<&'static str>| {
            let answer = Response::builder().status(http);
            grpc.into_iter().fold(answer, |answer, code| answer.header("grpc-status", code)).body(()).unwrap()
        };
        assert_eq!(status_of(&answer(200, None)), "OK");
        assert_eq!(status_of(&answer(200, Some("14"))), "UNAVAILABLE");
        assert_eq!(status_of(&answer(503, None)), "UNAVAILABLE");
        assert_eq!(status_of(&answer(500, None)), "UNKNOWN");
    }

    #[test]
    fn what_is_no_trace_context_is_no_parent() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for wrong in [
            "".to_owned(),
            "canary".to_owned(),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{trace}-b7ad6b7169203331"),
            format!("00-{trace}x-b7ad6b7169203331-01"),
            format!("ff-{trace}-b7ad6b7169203331-01"),
        ] {
            let headers = HeaderMap::from_iter([(HeaderName::from_static("traceparent"), wrong.parse().unwrap())]);
            assert!(parent(&headers).is_none(), "{wrong:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", format!("00-{trace}-b7ad6b7169203331-00").parse().unwrap());
        headers.insert("tracestate", HeaderValue::from_static("muster=held,=,,;"));
        let (span, held) = parent(&headers).unwrap();
        assert!(span.is_valid() && !held, "a state that is no use says nothing");
    }
}
