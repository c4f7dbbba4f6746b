//! What is where, and what stands in front of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};

use super::problem::Problem;
use super::site::Site;
use super::{MetricsPage, api, assets, metrics, pages, security};
use crate::access::{Access, Guest};
use crate::store::Store;

/// The largest form of somebody who is not known yet.
const SIGN_IN: usize = 4 << 10;

/// The two that probes ask for are open. What people ask for is guarded against other sites; whether they may is asked at
/// each call that it makes, or, where it makes none, by the judge here.
pub(super) fn router(store: &Arc<dyn Store>, page: Option<Arc<MetricsPage>>, site: Site) -> Router {
    let tells = !site.access.asks();
    let probes = Router::new().route("/healthz", get(alive)).route("/readyz", get(ready));
    let probes = probes.with_state((Arc::clone(store), tells));

    let judged = pages::router()
        .layer(DefaultBodyLimit::max(api::MAX_BODY))
        .route("/api/v1/openapi.json", get(api::document))
        .merge(metrics::router(page))
        .layer(middleware::from_fn_with_state(Arc::clone(&site.access), judge));
    // Anybody may send that: a token and a page are not long.
    let sign_in = get(pages::ask_in).post(pages::sign_in).layer(DefaultBodyLimit::max(SIGN_IN));
    let people = Router::new()
        .route("/api/v1", any(api::serve))
        .route("/api/v1/{*rest}", any(api::serve))
        .route("/assets/{name}", get(assets::serve))
        .route("/sign-in", sign_in)
        .route("/sign-out", post(pages::sign_out))
        .merge(judged)
        .with_state(site.clone())
        .layer(middleware::from_fn_with_state(site, security::guard));
    probes.merge(people)
}

async fn judge(
    State(access): State<Arc<Access>>,
    Extension(guest): Extension<Guest>,
    request: Request,
    next: Next,
) -> Response {
    match access.may_read(request.headers(), &guest) {
        Ok(()) => next.run(request).await,
        // The API's document is asked for by programs.
        Err(refused) if request.uri().path().starts_with(api::BELOW) => Problem::from(refused.status()).into_response(),
        Err(refused) => pages::refused(refused, &request),
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
