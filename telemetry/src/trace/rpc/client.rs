//! The caller's side.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::Either;
use http::{Request, Response};
use opentelemetry::trace::SpanKind;
use tower::Service;

use super::call::{Call, Way};
use super::wire::{pass_on, status_of};
use super::{Answer, method};
use crate::trace::traces::Traces;
use crate::trace::{current, of_this_process};

/// A way to a server whose calls are spans, where this process exports any.
#[derive(Clone, Debug)]
pub struct Traced<S> {
    inner: S,
    peer: Option<(Arc<str>, u16)>,
}

impl<S> Traced<S> {
    /// By the way `inner`, to the server with this name and port; none is in this process.
    pub fn new(inner: S, peer: Option<(Arc<str>, u16)>) -> Self {
        Self { inner, peer }
    }
}

impl<S, B, R> Service<Request<B>> for Traced<S>
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

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let begun = of_this_process().and_then(|traces| begin(traces, &mut request));
        let Some(call) = begun else { return Either::Left(self.inner.call(request)) };
        let call = call.to(self.peer.clone());
        let answer = self.inner.call(request);
        Either::Right(Box::pin(async move {
            let answer = answer.await;
            call.end(answer.as_ref().map(status_of).map_err(|_| "connection"));
            answer
        }))
    }
}

/// The span of a call; none of one that is in no trace that may be exported.
fn begin<B>(traces: &Arc<Traces>, request: &mut Request<B>) -> Option<Call> {
    let method = Cow::Owned(method(request.uri().path())?.to_owned());
    let call = match (current::tail(), current::span()) {
        (Some(tail), parent) => Call::begin(traces, Way::Note(tail), SpanKind::Client, method, parent.as_ref()),
        (None, Some(parent)) if parent.is_sampled() => {
            Call::begin(traces, Way::Export, SpanKind::Client, method, Some(&parent))
        }
        (None, Some(_)) => return None,
        (None, None) => {
            let call = Call::begin(traces, Way::Export, SpanKind::Client, method, None);
            if !traces.samples(call.context().trace_id()) {
                let context = call.pass_over();
                // The server must not decide anew.
                pass_on(&context, false, request.headers_mut());
                return None;
            }
            call
        }
    };
    pass_on(&call.context(), call.is_held(), request.headers_mut());
    Some(call)
}
