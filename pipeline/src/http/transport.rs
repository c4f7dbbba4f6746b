//! One exchange on the wire, behind a [`tower::Service`], so that another transport can take its place.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use tower::util::BoxCloneSyncService;
use url::Url;

use super::{RequesterError, roots};

/// How much of an answer that refuses or fails is read: enough for what it says.
pub(crate) const MAX_REASON: usize = 2 << 10;

/// How long an unused connection is kept: less than the 5 s after which common servers close theirs, so that hardly a
/// request meets a connection that is being closed under it.
const IDLE: Duration = Duration::from_secs(4);

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

/// HTTP by reqwest, with everything off that acts behind the caller's back.
pub(crate) fn over_reqwest(config: &TransportConfig<'_>) -> Result<Transport, RequesterError> {
    let tls = roots::tls().map_err(|error| RequesterError(error.to_string()))?;
    let mut builder = reqwest::Client::builder()
        .user_agent(config.user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .tcp_nodelay(true)
        .tls_backend_preconfigured(tls)
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(config.connections);
    if let Some(proxy) = config.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(RequesterError::from_reqwest)?);
    }
    let client = builder.build().map_err(RequesterError::from_reqwest)?;
    Ok(BoxCloneSyncService::new(OverReqwest { client }))
}

#[derive(Clone)]
struct OverReqwest {
    client: reqwest::Client,
}

impl tower::Service<Exchange> for OverReqwest {
    type Response = Answer;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        let mut request = reqwest::Request::new(exchange.method, exchange.url);
        *request.headers_mut() = exchange.headers;
        if !exchange.body.is_empty() {
            *request.body_mut() = Some(exchange.body.into());
        }
        let answering = self.client.execute(request);
        Box::pin(async move {
            let response = answering.await.map_err(|error| {
                // Only what failed before there was a connection is certain not to have been sent. A reset of a
                // connection that was used before says nothing.
                let unsent = error.is_connect() || error.is_builder();
                let reason = reason_of(&error);
                if unsent { TransportError::NotSent(reason) } else { TransportError::Broken(reason) }
            })?;
            Ok(read(response, exchange.limit).await)
        })
    }
}

async fn read(mut response: reqwest::Response, limit: usize) -> Answer {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let limit = if status.is_success() { limit } else { limit.min(MAX_REASON) };
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let end = loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break BodyEnd::Whole,
            Err(error) => break BodyEnd::Broken(reason_of(&error)),
        };
        let room = limit - first.len() - rest.len();
        let end = (chunk.len() > room).then_some(BodyEnd::TooLarge);
        let chunk = chunk.slice(..chunk.len().min(room));
        // Most answers are one chunk: it is passed on as it came, without a copy.
        if first.is_empty() {
            first = chunk;
        } else {
            rest.extend_from_slice(&chunk);
        }
        if let Some(end) = end {
            break end;
        }
    };
    let body = if rest.is_empty() {
        first
    } else {
        let mut whole = BytesMut::with_capacity(first.len() + rest.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&rest);
        whole.freeze()
    };
    Answer { status, headers, body, end }
}

/// How hyper says that what came back is no HTTP/1.
const NO_HTTP: [&str; 2] = ["invalid HTTP version parsed", "received unexpected message from connection"];

/// An error with its causes, without the URL (which the caller names, without what is secret in it).
fn reason_of(error: &reqwest::Error) -> String {
    let mut reason = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
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
    if reason.is_empty() { if error.is_timeout() { "timed out" } else { "failed" }.to_owned() } else { reason }
}
