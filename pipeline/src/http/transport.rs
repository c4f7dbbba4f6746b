//! One exchange on the wire, behind a [`tower::Service`], so that another transport can take its place.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::util::BoxCloneSyncService;
use url::Url;

use super::RequesterError;
use super::connect::{Connector, Proxy};
use super::reading::read;

/// How long an unused connection is kept: less than the 5 s after which common servers close theirs, so that hardly a
/// request meets a connection that is being closed under it.
const IDLE: Duration = Duration::from_secs(4);

/// A connection of HTTP/2 that was quiet for so long is asked whether it is there, and given up when it does not say so within as
/// long again: everything goes over it.
const QUIET: Duration = Duration::from_secs(5);

/// A request and how much of its answer is wanted.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The most bytes of a 2xx body, after decompression.
    pub(crate) limit: usize,
}

/// An answer whose head came; its body perhaps not whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) end: BodyEnd,
}

/// How the body of an answer ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// As it should.
    Whole,
    /// Beyond what was wanted; what came until then is kept.
    TooLarge,
    /// With an error of the connection or of the encoding.
    Broken(String),
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum TransportError {
    /// No byte of the request was sent: the name, the connection or TLS failed.
    NotSent(String),
    /// The connection failed at some point after that; the request may have arrived.
    Broken(String),
}

impl TransportError {
    pub(crate) fn reason(&self) -> &str {
        match self {
            TransportError::NotSent(reason) | TransportError::Broken(reason) => reason,
        }
    }
}

/// The seam: anything that carries an [`Exchange`].
pub(crate) type Transport = BoxCloneSyncService<Exchange, Answer, TransportError>;

/// What the transport of a process needs to know.
pub(crate) struct TransportConfig<'a> {
    pub(crate) user_agent: &'a str,
    pub(crate) proxy: Option<&'a Url>,
    pub(crate) connections: usize,
    pub(crate) connect_timeout: Duration,
}

/// HTTP by hyper and its pool of connections: each exchange is one request, and an answer is handed on as it came. What was
/// not sent at all, because its connection had been closed meanwhile, goes over another one.
pub(crate) fn over_hyper(config: &TransportConfig<'_>) -> Result<Transport, RequesterError> {
    let proxy = config.proxy.map(Proxy::at).transpose().map_err(RequesterError)?;
    let user_agent = HeaderValue::from_str(config.user_agent)
        .map_err(|_| RequesterError(format!("{:?} cannot be sent as a User-Agent", config.user_agent)))?;
    let proxy_authorization = proxy.as_ref().and_then(Proxy::authorization);
    let connector = Connector::new(proxy, config.connect_timeout)?;
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(QUIET)
        .http2_keep_alive_timeout(QUIET)
        // What had not begun when its connection was found closed: it has left nothing anywhere.
        .retry_canceled_requests(true)
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(config.connections)
        .build(connector);
    Ok(BoxCloneSyncService::new(OverHyper { client, user_agent, proxy_authorization }))
}

#[derive(Clone)]
struct OverHyper {
    client: Client<Connector, Full<Bytes>>,
    user_agent: HeaderValue,
    /// For requests that a proxy reads; where it only passes on what is encrypted, the connector tells it.
    proxy_authorization: Option<HeaderValue>,
}

impl OverHyper {
    fn request(&self, exchange: Exchange) -> Result<Request<Full<Bytes>>, TransportError> {
        let is_plain = exchange.url.scheme() == "http";
        let uri = Uri::from_maybe_shared(Bytes::from(String::from(exchange.url)))
            .map_err(|error| TransportError::NotSent(format!("the URL cannot be asked for: {error}")))?;
        let mut headers = exchange.headers;
        for (name, value) in [
            (USER_AGENT, &self.user_agent),
            (ACCEPT, &HeaderValue::from_static("*/*")),
            (ACCEPT_ENCODING, &HeaderValue::from_static("gzip")),
        ] {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        if let Some(authorization) = &self.proxy_authorization
            && is_plain
        {
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let mut request = Request::new(Full::new(exchange.body));
        *request.method_mut() = exchange.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl tower::Service<Exchange> for OverHyper {
    type Response = Answer;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        let limit = exchange.limit;
        let answering = self.request(exchange).map(|request| self.client.request(request));
        Box::pin(async move {
            let response = answering?.await.map_err(|error| failure(&error))?;
            Ok(read(response, limit).await)
        })
    }
}

/// Only what failed before there was a connection, or what the connection gave back unbegun, is certain not to have been sent. A
/// reset of a connection that was used before says nothing.
fn failure(error: &Error) -> TransportError {
    let reason = reason_of(error);
    let is_unsent = error.is_connect() || std::error::Error::source(error).is_some_and(is_unbegun);
    if is_unsent { TransportError::NotSent(reason) } else { TransportError::Broken(reason) }
}

/// Whether hyper says that it had not begun to send: its dispatcher cancels only what it gives back.
fn is_unbegun(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(hyper::Error::is_canceled)
}

/// How hyper says that what came back is no HTTP/1.
const NO_HTTP: [&str; 2] = ["invalid HTTP version parsed", "received unexpected message from connection"];

/// An error with its causes.
pub(crate) fn reason_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut reason = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = match error.to_string() {
            text if NO_HTTP.contains(&text.as_str()) => format!("what answers there does not speak HTTP ({text})"),
            text => text,
        };
        // Which of its steps failed, hyper's client says for programmers; the cause below it is for everybody.
        let internal = text.starts_with("client error (") && error.source().is_some();
        if !internal && !reason.ends_with(&text) {
            if !reason.is_empty() {
                reason.push_str(": ");
            }
            reason.push_str(&text);
        }
        cause = error.source();
    }
    reason
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;

    use super::*;

    #[tokio::test]
    async fn what_a_closed_connection_gives_back_was_not_sent_and_what_it_began_may_have_been() {
        for begins in [false, true] {
            let (near, far) = tokio::io::duplex(64);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
            let serving = begins.then(|| tokio::spawn(connection));
            let request = Request::new(Full::new(Bytes::from(vec![b'x'; 1_000])));
            let answering = sender.send_request(request);
            if begins {
                let mut far = far;
                tokio::io::AsyncReadExt::read_u8(&mut far).await.unwrap();
            }
            let error = answering.await.unwrap_err();
            assert_eq!(is_unbegun(&error), !begins, "{error:?}");
            drop(serving);
        }
    }
}
