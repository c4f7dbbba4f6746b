//! The coordinator's HTTP side: the dashboard (`pages`), the API beside it (`api`), and whether it is alive and ready.
//! Whatever people ask for goes through `security` first, and is done by the services of gRPC (`inside`).

mod api;
mod assets;
mod inside;
mod metrics;
mod pages;
mod patience;
mod problem;
mod router;
mod security;
mod site;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::inside::Inside;
pub use self::site::HttpOptions;
use self::site::Site;
pub(crate) use self::site::TRACE_ID;
use crate::access::{Access, Connection, Speaks};
use crate::coordinator::Services;

pub(crate) use self::api::as_json;
pub(crate) use metrics::Page as MetricsPage;

/// How long a client may take to say what it wants; also how long a connection is kept for the next request.
const HEADERS: Duration = Duration::from_secs(30);

/// Serves on a listener, to whom `access` lets in, until `stop`. What is followed ends by itself or with `break_off`.
pub(crate) async fn serve(
    services: &Services,
    metrics: Option<Arc<MetricsPage>>,
    listener: TcpListener,
    access: Arc<Access>,
    options: HttpOptions,
    stop: CancellationToken,
    break_off: CancellationToken,
) {
    let mut connections = access.door(listener, Speaks::Http1).open();
    let inside = Inside::new(services, &access);
    let site = Site { inside, access, options: Arc::new(options), break_off };
    let router = router::router(&services.store, metrics, site);
    let mut served = JoinSet::new();
    while let Some(Some(Ok(connection))) = stop.run_until_cancelled(connections.recv()).await {
        while served.try_join_next().is_some() {}
        served.spawn(serve_connection(connection, router.clone(), stop.clone()));
    }
    // A graceful end alone waits for ever for a request that is half sent.
    let _ = tokio::time::timeout(crate::grpc::SHUTDOWN, served.join_all()).await;
}

async fn serve_connection(connection: Connection, router: Router, stop: CancellationToken) {
    let router = router.layer(Extension(connection.guest().clone()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    let serving = http.serve_connection(TokioIo::new(connection), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    // What a client does to its connection is its own affair.
    tokio::select! {
        _ = &mut serving => {}
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}
