//! The coordinator's HTTP side: is it alive, is it ready?

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Connection, Guest, Refused, Speaks};
use crate::store::Store;

/// How long a client may take to say what it wants; also how long a connection is kept for the next request.
const HEADERS: Duration = Duration::from_secs(30);

/// Serves on a listener, to whom `access` lets in, until `stop`.
pub(crate) async fn serve(store: Arc<dyn Store>, listener: TcpListener, access: Arc<Access>, stop: CancellationToken) {
    let mut connections = access.door(listener, Speaks::Http1).open();
    let router = router(store, access);
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

/// The two that probes ask for are open; whatever else comes stands behind the judge.
fn router(store: Arc<dyn Store>, access: Arc<Access>) -> Router {
    let tells = !access.asks();
    let judged = Router::new().fallback(|| async { (StatusCode::NOT_FOUND, "there is no such page\n") });
    let judged = judged.layer(middleware::from_fn_with_state(access, judge));
    let open = Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).with_state((store, tells));
    open.merge(judged)
}

async fn judge(
    State(access): State<Arc<Access>>,
    Extension(guest): Extension<Guest>,
    request: Request,
    next: Next,
) -> Response {
    match access.may_read(request.headers(), &guest) {
        Ok(()) => next.run(request).await,
        Err(refused @ Refused::Role { .. }) => (StatusCode::FORBIDDEN, refused.words() + "\n").into_response(),
        Err(refused) => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            (StatusCode::UNAUTHORIZED, challenge, refused.words() + "\n").into_response()
        }
    }
}

/// The process answers.
async fn alive() -> &'static str {
    "ok\n"
}

/// The ledger can be written, by what its writer knows: whoever asks costs nothing. Why not is for those alone who may ask
/// anything.
async fn ready(State((store, tells)): State<(Arc<dyn Store>, bool)>) -> (StatusCode, String) {
    match store.writable() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(error) if tells => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be written: the log says why\n".to_owned()),
    }
}
