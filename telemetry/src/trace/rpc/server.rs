//! The side that is called.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::Either;
use http::{Request, Response};
use opentelemetry::Context as TraceContext;
use opentelemetry::trace::{FutureExt, SpanKind, TraceContextExt};
use tower::{Layer, Service};

use super::call::{Call, Way};
use super::wire::{parent, status_of};
use super::{Answer, OTHER, method};
use crate::trace::of_this_process;
use crate::trace::traces::Traces;

/// Makes a span of each call to what is behind it, where this process exports any.
#[derive(Clone, Copy, Debug)]
pub struct ServerLayer {
    methods: &'static [&'static str],
}

impl ServerLayer {
    /// In front of services with these methods, each as in `muster.v1.WorkerService/CompleteBatch`: a span is named after
    /// one of them, never after what a caller made up.
    #[must_use]
    pub fn new(methods: &'static [&'static str]) -> Self {
        Self { methods }
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = TracedServer<S>;

    fn layer(&self, inner: S) -> TracedServer<S> {
        TracedServer { inner, methods: self.methods }
    }
}

/// Services whose calls are spans.
#[derive(Clone, Debug)]
pub struct TracedServer<S> {
    inner: S,
    methods: &'static [&'static str],
}

impl<S, B, R> Service<Request<B>> for TracedServer<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answer<S::Future, Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let begun = of_this_process().and_then(|traces| begin(traces, self.methods, &request));
        let Some(call) = begun else { return Either::Left(self.inner.call(request)) };
        let context = TraceContext::new().with_remote_span_context(call.context());
        let answer = {
            let _current = context.clone().attach();
            self.inner.call(request)
        };
        let served = async move {
            let answer = answer.await;
            call.end(answer.as_ref().map(status_of).map_err(|_| "connection"));
            answer
        };
        Either::Right(Box::pin(served.with_context(context)))
    }
}

/// The method that is asked for, if it is of a service of ours.
fn known(methods: &[&'static str], path: &str) -> Option<&'static str> {
    let asked = method(path)?;
    Some(methods.iter().copied().find(|method| *method == asked).unwrap_or(OTHER))
}

/// The span of a call; none of one that is in no trace that may be exported. What came with it has decided already, by the
/// same rule.
fn begin<B>(traces: &Arc<Traces>, methods: &[&'static str], request: &Request<B>) -> Option<Call> {
    let method = Cow::Borrowed(known(methods, request.uri().path())?);
    match parent(request.headers()) {
        Some((parent, _)) if parent.is_sampled() => {
            traces.release(parent.trace_id());
            Some(Call::begin(traces, Way::Export, SpanKind::Server, method, Some(&parent)))
        }
        Some((parent, true)) => Some(Call::begin(traces, Way::Hold, SpanKind::Server, method, Some(&parent))),
        Some(_) => None,
        None => {
            let call = Call::begin(traces, Way::Export, SpanKind::Server, method, None);
            match traces.samples(call.context().trace_id()) {
                true => Some(call),
                false => {
                    call.pass_over();
                    None
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_named_after_what_is_served() {
        const METHODS: &[&str] = &["muster.v1.RunService/GetRun", "grpc.health.v1.Health/Check"];
        assert_eq!(known(METHODS, "/muster.v1.RunService/GetRun"), Some("muster.v1.RunService/GetRun"));
        assert_eq!(known(METHODS, "/grpc.health.v1.Health/Check"), None);
        let made_up = format!("/muster.{}", "x".repeat(16_000));
        assert_eq!(known(METHODS, &made_up), Some("_OTHER"));
    }
}
