//! Connections: to a host itself or by way of a proxy, in clear or with TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tower::{BoxError, Service};
use url::Url;

use super::{RequesterError, roots};

/// After so long without a word a connection is asked whether it is still there, and given up after as long again: whoever
/// waits for an answer over it learns that none will come.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TRIES: u32 = 3;
/// Bytes that nobody confirms for so long are lost.
const UNCONFIRMED: Duration = Duration::from_secs(30);

/// A proxy that speaks HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    uri: Uri,
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The one at `http://[NAME:PASSWORD@]HOST[:PORT]`.
    ///
    /// # Errors
    /// What is wrong with the URL, without what is secret in it.
    pub(crate) fn at(url: &Url) -> Result<Self, String> {
        let shown = || url.host_str().unwrap_or("the proxy").to_owned();
        if url.scheme() != "http" {
            return Err(format!("a proxy is spoken to by http://, not {}:// ({})", url.scheme(), shown()));
        }
        let mut bare = url.clone();
        // Neither can fail: the scheme has an authority.
        let _ = (bare.set_username(""), bare.set_password(None));
        let uri = bare.as_str().parse().map_err(|error| format!("the URL of {} is wrong: {error}", shown()))?;
        let authorization = match (url.username(), url.password()) {
            ("", None) => None,
            (name, password) => {
                Some(basic(name, password.unwrap_or_default()).map_err(|why| format!("{why} ({})", shown()))?)
            }
        };
        Ok(Self { uri, authorization })
    }

    /// What it wants to know of whoever asks.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        self.authorization.clone()
    }
}

/// A proxy's URL as it was typed.
///
/// # Errors
/// What is wrong with it, without what is secret in it.
pub fn proxy_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("expected http://[NAME:PASSWORD@]HOST[:PORT]: {error}"))?;
    Proxy::at(&url)?;
    Ok(url)
}

/// Basic credentials (RFC 7617) of a URL's name and password.
fn basic(name: &str, password: &str) -> Result<HeaderValue, String> {
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [&decoded(name)[..], b":", &decoded(password)[..]].concat();
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
        .map_err(|_| "the proxy's name and password cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Connects to whatever a request's URI names, within a time.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    inner: HttpsConnector<Dialer>,
    timeout: Duration,
}

impl Connector {
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(proxy: Option<Proxy>, timeout: Duration) -> Result<Self, RequesterError> {
        let tls = roots::tls().map_err(|error| RequesterError(format!("TLS cannot be set up: {error}")))?;
        let mut tcp = HttpConnector::new();
        // Divided among the addresses of a name, so that one which is silent leaves time for the next.
        tcp.set_connect_timeout(Some(timeout));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(KEEP_ALIVE_TRIES));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNCONFIRMED));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_all_versions();
        Ok(Self { inner: https.wrap_connector(Dialer { tcp, proxy }), timeout })
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Line>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, within) = (self.inner.call(to), self.timeout);
        Box::pin(async move {
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {within:?}"));
            tokio::time::timeout(within, connecting).await.map_err(late)?
        })
    }
}

/// Plain connections: to the host, or by way of the proxy.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    tcp: HttpConnector,
    proxy: Option<Proxy>,
}

impl Service<Uri> for Dialer {
    type Response = Line;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Line, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Some(proxy) = &self.proxy else {
            let connecting = self.tcp.call(to);
            return Box::pin(async { Ok(Line { stream: connecting.await?, reads_requests: false }) });
        };
        if to.scheme_str() == Some("http") {
            let connecting = self.tcp.call(proxy.uri.clone());
            return Box::pin(async { Ok(Line { stream: connecting.await?, reads_requests: true }) });
        }
        // What is encrypted it passes on without reading it.
        let mut tunnel = Tunnel::new(proxy.uri.clone(), self.tcp.clone());
        if let Some(authorization) = proxy.authorization() {
            tunnel = tunnel.with_auth(authorization);
        }
        let connecting = tunnel.call(to);
        Box::pin(async { Ok(Line { stream: connecting.await?, reads_requests: false }) })
    }
}

/// A connection, and whether a proxy at its other end reads the requests and wants whole URLs in them.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TokioIo<TcpStream>,
    reads_requests: bool,
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.reads_requests)
    }
}

impl Read for Line {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl Write for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A request without a body is one piece, for which the plain call is the cheaper one.
        match bytes {
            [one] => Pin::new(&mut self.stream).poll_write(context, one),
            many => Pin::new(&mut self.stream).poll_write_vectored(context, many),
        }
    }
}
