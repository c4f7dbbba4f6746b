//! The coordinator's HTTP side: is it alive, is it ready?

use std::future::IntoFuture;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// Serves on a listener until `stop`.
pub(crate) async fn serve(
    store: Arc<dyn Store>,
    listener: TcpListener,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).with_state(store);
    let server = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future();
    // A graceful end alone waits for ever for a request that is half sent.
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(crate::grpc::SHUTDOWN).await;
    };
    tokio::select! {
        served = server => served,
        () = overdue => Ok(()),
    }
}

/// The process answers.
async fn alive() -> &'static str {
    "ok\n"
}

/// The ledger can be written and answers.
async fn ready(State(store): State<Arc<dyn Store>>) -> (StatusCode, String) {
    let read = store.runs(None, 1).await.map(drop);
    match store.writable().and(read) {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}
