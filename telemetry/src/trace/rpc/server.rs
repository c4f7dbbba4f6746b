//! The side that is called.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::Either;
use http::{Request, Response};
use opentelemetry::Context as TraceContext;
use opentelemetry::trace::{FutureExt, SpanKind, TraceContextExt};
use tower::{Layer, Service};

use super::call::{Call, Way};
use super::wire::{parent, status_of};
use super::{Answer, method};
use crate::trace::of_this_process;
use crate::trace::traces::Traces;

/// Makes a span of each call to what is behind it, where this process exports any.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerLayer;

impl<S> Layer<S> for ServerLayer {
    type Service = TracedServer<S>;

    fn layer(&self, inner: S) -> TracedServer<S> {
        TracedServer { inner }
    }
}

/// Services whose calls are spans.
#[derive(Clone, Debug)]
pub struct TracedServer<S> {
    inner: S,
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
        let begun = of_this_process().and_then(|traces| begin(traces, &request));
        let Some(call) = begun else { return Either::Left(self.inner.call(request)) };
        let context = TraceContext::new().with_remote_span_context(call.context());
        let answer = {
            let _current = context.clone().attach();
            self.inner.call(request)
        };
        let served = async move {
            let answer = answer.await;
            call.end(answer.as_ref().map(|answer| status_of(answer.headers())).map_err(|_| "connection"));
            answer
        };
        Either::Right(Box::pin(served.with_context(context)))
    }
}

/// The span of a call; none of one that is in no trace that may be exported. What came with it has decided already, by the
/// same rule.
fn begin<B>(traces: &Arc<Traces>, request: &Request<B>) -> Option<Call> {
    let method = method(request.uri().path())?;
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
