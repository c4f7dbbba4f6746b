//! The worker's HTTP side: its metrics, and whether it lives.
//!
//! It is off unless an address is given, and that is of this machine's loopback unless somebody says aloud that nothing
//! protects it elsewhere: a worker has neither a certificate nor a list of who may come in.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use muster_telemetry::metrics::{CONTENT_TYPE, Metrics};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::WorkerError;

/// How long a client may take to say what it wants; also how long a connection is kept for the next request.
const HEADERS: Duration = Duration::from_secs(30);
/// Connections at once: one asks, now and then.
const CONNECTIONS: usize = 16;
/// What is said in words.
const PLAIN: &str = "text/plain; charset=utf-8";
/// A pause when the system gives no connection.
const NO_MORE: Duration = Duration::from_millis(100);

/// Where metrics are shown.
pub(crate) struct Page {
    listener: TcpListener,
    metrics: Arc<Metrics>,
}

impl Page {
    /// Listens there.
    pub(crate) async fn open(address: SocketAddr, insecure: bool, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        if !address.ip().is_loopback() && !insecure {
            let why = "it is reachable from other machines and nothing protects it there: listen on 127.0.0.1, or say \
                       --insecure";
            bail!(WorkerError::BadSetting { setting: "--http-listen", value: address.to_string(), why });
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("--http-listen {address} cannot be listened on"))?;
        Ok(Self { listener, metrics })
    }

    /// Serves whoever comes; dropped, it serves nobody any more.
    pub(crate) async fn serve(self) {
        let mut served = JoinSet::new();
        loop {
            while served.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, _)) if served.len() < CONNECTIONS => {
                    served.spawn(serve_connection(stream, Arc::clone(&self.metrics)));
                }
                // One too many goes at once.
                Ok(_) => {}
                Err(_) => tokio::time::sleep(NO_MORE).await,
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, metrics: Arc<Metrics>) {
    let answering = service_fn(move |request| {
        let answer = answer(&request, &metrics);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    // What a client does to its connection is its own affair.
    let _ = http.serve_connection(TokioIo::new(stream), answering).await;
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, media_type, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => match metrics.page() {
            Ok(text) => (StatusCode::OK, CONTENT_TYPE, text),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
        },
        (&Method::GET, "/healthz") => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
        (&Method::GET, _) => (StatusCode::NOT_FOUND, PLAIN, "there is no such page\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "this is only read\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
