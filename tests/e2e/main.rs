//! End to end: real processes against a stand-in, whose book is the judge.

mod access;
mod announced;
mod audit_files;
mod auth;
mod bad_input;
mod cancel;
mod commands;
#[cfg(feature = "planted-bugs")]
mod crash_points;
mod declined;
mod demo;
mod dependencies;
mod disk_full;
mod documents;
mod doubt;
mod drain;
mod examples;
mod fairness;
mod fleet_limits;
mod grpcurl;
mod incremental;
mod keda;
mod kills;
mod list_styles;
mod listing;
mod live;
mod load_forms;
mod manifests;
mod metrics;
mod notices;
mod operations;
mod outage;
mod over_https;
mod parts_and_drift;
mod pause;
mod pipeline_tools;
mod planted;
mod probe;
mod readme;
mod records;
mod reports;
mod resume;
mod rounds;
mod scale;
mod settle;
mod skipping;
mod stopped;
mod tail;
mod targets;
mod terminal;
mod together;
mod traces;
mod tutorial;
mod upgrade;
mod versions;
mod web;
mod whole_items;
mod wire;

use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use animals_api::{Config, Server};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;

/// A stall that no request is given up for.
const SHORT: std::ops::RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_millis(200);

/// A stand-in in this process, on a port of its own.
fn stand_in(config: Config) -> Server {
    Server::start(config, ([127, 0, 0, 1], 0).into()).expect("a stand-in")
}

/// A number that the environment may say.
fn from_env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A scripted server that fails as well: whatever is asked for the first time is answered with an error, unread.
fn unreliable(routes: Router) -> Router {
    let asked = Arc::new(Mutex::new(HashSet::new()));
    routes.layer(from_fn(move |request: Request, next: Next| {
        let first = asked.lock().expect("never poisoned").insert((request.method().clone(), request.uri().clone()));
        async move {
            match first {
                true => (StatusCode::SERVICE_UNAVAILABLE, "Sorry!").into_response(),
                false => next.run(request).await,
            }
        }
    }))
}

/// Says that a test cannot be done here: it must not look like one that passed. Not by a macro that prints: what a test
/// says by these is shown only when it fails.
fn skipped(why: &str) {
    // Nobody is left to be told where that fails.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}

/// What a run of it must be told.
fn base_url(server: &Server) -> String {
    format!("base_url={}", server.base_url())
}
