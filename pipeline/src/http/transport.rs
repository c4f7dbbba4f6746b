//! One exchange on the wire, behind a [`tower::Service`], so that another transport can take its place.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::TrySendError;
use tower::util::BoxCloneSyncService;
use url::Url;

use super::RequesterError;
use super::connect::{Connector, Proxy};
use super::connections::{Connection, Connections, Sending};
use super::hosts::Hosts;
use super::reading::read;

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

/// HTTP by hyper, over connections that are kept: each exchange is one request, and an answer is handed on as it came. What was
/// not sent at all, because its connection had been closed meanwhile, goes over another one.
pub(crate) fn over_hyper(config: &TransportConfig<'_>) -> Result<Transport, RequesterError> {
    let proxy = config.proxy.map(Proxy::at).transpose().map_err(RequesterError)?;
    let user_agent = HeaderValue::from_str(config.user_agent)
        .map_err(|_| RequesterError(format!("{:?} cannot be sent as a User-Agent", config.user_agent)))?;
    let proxy_authorization = proxy.as_ref().and_then(Proxy::authorization);
    let connector = Connector::new(proxy, config.connect_timeout)?;
    let hosts = Hosts::default();
    let inner = Inner { hosts, connector, connections: config.connections, user_agent, proxy_authorization };
    Ok(BoxCloneSyncService::new(OverHyper(Arc::new(inner))))
}

#[derive(Clone)]
struct OverHyper(Arc<Inner>);

struct Inner {
    hosts: Hosts<Connections>,
    connector: Connector,
    /// The most unused connections to a host.
    connections: usize,
    user_agent: HeaderValue,
    /// For requests that a proxy reads; where it only passes on what is encrypted, the connector tells it.
    proxy_authorization: Option<HeaderValue>,
}

impl Inner {
    fn host(&self, url: &Url) -> Result<&Arc<Connections>, http::Error> {
        if let Some(known) = self.hosts.find(|host| host.serves(url)) {
            return Ok(known);
        }
        let new = Arc::new(Connections::to(url, self.connector.clone(), self.connections)?);
        Ok(self.hosts.find_or_make(|host| host.serves(url), || Arc::clone(&new)))
    }

    /// The request, without where it goes.
    fn request(&self, method: Method, url: &Url, mut headers: HeaderMap, body: Bytes) -> Sending {
        for (name, value) in [
            (USER_AGENT, &self.user_agent),
            (ACCEPT, &HeaderValue::from_static("*/*")),
            (ACCEPT_ENCODING, &HeaderValue::from_static("gzip")),
        ] {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        if let Some(authorization) = &self.proxy_authorization
            && url.scheme() == "http"
        {
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        request
    }

    async fn carry(&self, exchange: Exchange) -> Result<Answer, TransportError> {
        let Exchange { method, url, headers, body, limit } = exchange;
        let unasked = |error: http::Error| TransportError::NotSent(format!("the URL cannot be asked for: {error}"));
        let host = self.host(&url).map_err(unasked)?;
        let mut request = self.request(method, &url, headers, body);
        let names_host = request.headers().contains_key(HOST);
        loop {
            let connection = host.connection().await.map_err(|error| TransportError::NotSent(reason_of(&*error)))?;
            let (sent, was_kept) = match connection {
                Connection::Own(mut own) => {
                    *request.uri_mut() = host.uri(&url, own.is_proxied).map_err(unasked)?;
                    request.headers_mut().entry(HOST).or_insert_with(|| host.header.clone());
                    let sent = match own.send(request).await {
                        Ok(response) => {
                            let answer = own.drive(read(response, limit)).await;
                            host.give_back(own);
                            return Ok(answer);
                        }
                        Err(error) => error,
                    };
                    (sent, own.was_kept)
                }
                Connection::Shared(mut sender, was_kept) => {
                    *request.uri_mut() = host.uri(&url, true).map_err(unasked)?;
                    if !names_host {
                        // It is a part of the URL there.
                        request.headers_mut().remove(HOST);
                    }
                    match sender.try_send_request(request).await {
                        Ok(response) => return Ok(read(response, limit).await),
                        Err(error) => (error, was_kept),
                    }
                }
            };
            request = unsent(sent, was_kept)?;
        }
    }
}

/// A request that did not go out because its connection, which was kept, had been closed meanwhile: it goes over another.
/// Only what had not begun is certain not to have been sent: a reset of a connection that was used before says nothing.
fn unsent(mut error: TrySendError<Sending>, was_kept: bool) -> Result<Sending, TransportError> {
    let request = error.take_message();
    let reason = || reason_of(error.error());
    match request {
        Some(request) if was_kept => Ok(request),
        Some(_) => Err(TransportError::NotSent(reason())),
        None => Err(TransportError::Broken(reason())),
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
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.carry(exchange).await })
    }
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
        if !reason.ends_with(&text) {
            if !reason.is_empty() {
                reason.push_str(": ");
            }
            reason.push_str(&text);
        }
        cause = error.source();
    }
    reason
}
