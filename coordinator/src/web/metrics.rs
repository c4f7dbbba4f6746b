//! `/metrics`, as Prometheus scrapes it: for viewers, like all that is not for probes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use muster_telemetry::metrics::{CONTENT_TYPE, Metrics};
use tokio_util::sync::CancellationToken;

use crate::domain::Clock;
use crate::measures::States;
use crate::store::Store;

/// How often what the ledger says is read where metrics are sent, since nobody asks for it then.
const READ_EVERY: Duration = Duration::from_secs(5);

/// What is on the page.
pub(crate) struct Page {
    metrics: Arc<Metrics>,
    states: States,
}

impl Page {
    pub fn new(metrics: Arc<Metrics>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { metrics, states: States::shown(store, clock) }
    }

    /// Keeps what is sent as the ledger has it, until `stop`.
    pub async fn keep_up(&self, stop: &CancellationToken) {
        let mut ticker = tokio::time::interval(READ_EVERY);
        ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.metrics.are_sent() && stop.run_until_cancelled(ticker.tick()).await.is_some() {
            self.states.read().await;
        }
    }
}

/// The page, if metrics are kept.
pub(super) fn router<S: Clone + Send + Sync + 'static>(page: Option<Arc<Page>>) -> Router<S> {
    match page {
        Some(page) => Router::new().route("/metrics", get(show)).with_state(page),
        None => Router::new(),
    }
}

async fn show(State(page): State<Arc<Page>>) -> Response {
    page.states.read().await;
    match page.metrics.page() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
