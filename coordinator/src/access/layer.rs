//! In front of all calls: each is judged by what it brings, and a stream again whenever that may have changed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::doors::Guest;
use super::judge::{Credentials, Identity, Refused};
use super::list::{AccessList, Grant};
use super::roles::{Admits, of_path};

/// How far ahead an end is waited for at once: a clock that is set must not be waited for until for ever.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Puts a judge in front of services. Without a list nobody is asked.
#[derive(Clone)]
pub(crate) struct AccessLayer {
    pub(super) list: Option<watch::Receiver<Arc<AccessList>>>,
}

impl<S> Layer<S> for AccessLayer {
    type Service = Judged<S>;

    fn layer(&self, inner: S) -> Judged<S> {
        Judged { inner, list: self.list.clone() }
    }
}

/// Services behind a judge.
#[derive(Clone)]
pub(crate) struct Judged<S> {
    inner: S,
    list: Option<watch::Receiver<Arc<AccessList>>>,
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S> Service<Request<Body>> for Judged<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Answer<S::Error> {
        let Some(list) = &self.list else { return Box::pin(self.inner.call(request)) };
        let admits = match of_path(request.uri().path()) {
            Some(Admits::Anyone) => return Box::pin(self.inner.call(request)),
            Some(admits) => admits,
            None => {
                let unknown = Status::new(Code::Unimplemented, "there is no such call here");
                return Box::pin(async move { Ok(unknown.into_http()) });
            }
        };
        let certificate = request.extensions().get::<Guest>().and_then(|guest| guest.certificate.clone());
        let credentials = Credentials::of(request.headers(), certificate);
        // What is behind has no use for a secret.
        request.headers_mut().remove(http::header::AUTHORIZATION);
        let judged = credentials.judge(&list.borrow(), admits, SystemTime::now());
        match judged {
            Ok(grant) => {
                request.extensions_mut().insert(Identity(Arc::clone(&grant.name)));
                let until = refusal(list.clone(), credentials, admits, grant);
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let admitted = |inner| Body::new(Admitted { inner, refusal: Some(Box::pin(until)) });
                    answer.await.map(|answer| answer.map(admitted))
                })
            }
            Err(refused) => {
                tracing::debug!(reason = refused.words(), "a call was refused");
                Box::pin(async move { Ok(refused.status().into_http()) })
            }
        }
    }
}

/// Waits until the caller may not make this call any more: the file has changed, or its time has come.
async fn refusal(
    mut list: watch::Receiver<Arc<AccessList>>,
    credentials: Credentials,
    admits: Admits,
    mut grant: Grant,
) -> Refused {
    loop {
        let left = grant.expires.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
        let pause = left.unwrap_or(LOOK_AT_LEAST_EVERY).min(LOOK_AT_LEAST_EVERY);
        // A sender that is gone is one whose server ends.
        if let Ok(Err(_)) = tokio::time::timeout(pause, list.changed()).await {
            std::future::pending::<()>().await;
        }
        // In a statement of its own: what is borrowed must not be held while waiting.
        let judged = credentials.judge(&list.borrow_and_update(), admits, SystemTime::now());
        match judged {
            Ok(again) => grant = again,
            Err(refused) => return refused,
        }
    }
}

/// An answer that ends when its caller is not admitted any more.
struct Admitted {
    inner: Body,
    refusal: Option<Pin<Box<dyn Future<Output = Refused> + Send>>>,
}

impl HttpBody for Admitted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(refusal) = &mut self.refusal
            && let Poll::Ready(refused) = refusal.as_mut().poll(cx)
        {
            (self.refusal, self.inner) = (None, Body::empty());
            let mut trailers = HeaderMap::new();
            let written = refused.status().add_header(&mut trailers);
            return Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if frame.as_ref().is_none_or(|frame| frame.as_ref().is_ok_and(Frame::is_trailers)) {
            self.refusal = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
