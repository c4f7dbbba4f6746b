//! The dashboard: pages that are made here, whole, and work without scripts. A handler asks the services, and fills in a
//! template of `coordinator/templates`; scripts only keep what is shown up to date.

mod dead_letters;
mod form;
mod frame;
mod in_doubt;
mod operate;
mod pipelines;
mod record;
mod report;
mod run;
mod runs;
mod sign_in;
mod start;
mod verdict;
mod workers;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};

pub(super) use self::sign_in::{ask_in, refused, sign_in, sign_out};

use askama::Template;
use muster_proto::v1::{GetRunRequest, Run};

use self::frame::Frame;
use super::inside::Caller;
use super::problem::Problem;
use super::site::Site;

/// All pages that have to be judged.
pub(super) fn router() -> Router<Site> {
    Router::new()
        .route("/", get(|| async { Redirect::to("/runs") }))
        .route("/runs", get(runs::list))
        .route("/runs/new", get(start::form).post(start::start))
        .route("/runs/{run_id}", get(run::show))
        .route("/runs/{run_id}/live", get(run::live))
        .route("/runs/{run_id}/pause", post(operate::pause))
        .route("/runs/{run_id}/resume", post(operate::resume))
        .route("/runs/{run_id}/cancel", post(operate::cancel))
        .route("/runs/{run_id}/share", post(operate::share))
        .route("/runs/{run_id}/delete", post(operate::delete))
        .route("/runs/{run_id}/verdict", get(verdict::show))
        .route("/runs/{run_id}/record", get(record::show))
        .route("/runs/{run_id}/report.html", get(report::page))
        .route("/runs/{run_id}/report.csv", get(report::values))
        .route("/runs/{run_id}/dead-letters", get(dead_letters::list).post(dead_letters::redrive))
        .route("/runs/{run_id}/in-doubt", get(in_doubt::list).post(in_doubt::settle))
        .route("/pipelines", get(pipelines::list))
        .route("/pipelines/{name}", get(pipelines::show))
        .route("/revisions/{revision}", get(pipelines::show_revision))
        .route("/workers", get(workers::list))
        .fallback(nowhere)
}

/// What a handler gives.
type Shown = Result<Response, Trouble>;

/// A page.
fn page(template: &impl Template) -> Shown {
    Ok(Html(text(template)?).into_response())
}

/// A template, filled in.
fn text(template: &impl Template) -> Result<String, Trouble> {
    template.render().map_err(|error| {
        Trouble(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "", format!("the page cannot be made: {error}")))
    })
}

/// The run that a page is about.
async fn run_of(site: &Site, caller: &Caller, run_id: &str) -> Result<Run, Trouble> {
    let request = GetRunRequest { run_id: run_id.to_owned() };
    Ok(site.inside.runs().get_run(caller.asks(request)).await?.into_inner().run.unwrap_or_default())
}

/// What went wrong, as a page.
#[derive(Debug)]
pub(in crate::web) struct Trouble(Problem);

impl From<tonic::Status> for Trouble {
    fn from(status: tonic::Status) -> Self {
        Self(status.into())
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage {
    frame: Frame,
    title: String,
    detail: String,
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let title = self.0.json()["title"].as_str().unwrap_or_default().to_owned();
        let page = TroublePage {
            frame: Frame { part: "elsewhere", ..Frame::bare(&title) },
            title,
            detail: self.0.detail.clone(),
        };
        match page.render() {
            Ok(text) => (self.0.status, Html(text)).into_response(),
            Err(_) => self.0.into_response(),
        }
    }
}

async fn nowhere() -> Trouble {
    Trouble(Problem::new(StatusCode::NOT_FOUND, "", "there is no such page"))
}
