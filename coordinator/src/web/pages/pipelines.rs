//! Pipelines, and each in words.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use muster_pipeline::Pipeline;
use muster_proto::v1::{GetPipelineRequest, ListPipelinesRequest, PipelineSummary};
use serde::Deserialize;

use super::super::inside::Caller;
use super::super::problem::Problem;
use super::super::site::Site;
use super::form::{encoded, with_query};
use super::frame::Frame;
use super::{Shown, Trouble, page};
use crate::words::{clean, short_revision};

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    page: String,
}

#[derive(Template)]
#[template(path = "pipelines.html")]
struct Pipelines {
    frame: Frame,
    pipelines: Vec<Known>,
    /// Where the list begins, unless that is here.
    first: Option<String>,
    next: Option<String>,
}

struct Known {
    name: String,
    address: String,
    start: String,
    revision: String,
    description: String,
    parameters: Vec<(String, String, Option<String>)>,
}

impl Known {
    fn of(summary: &PipelineSummary) -> Self {
        let parameters = summary.parameters.iter().map(|parameter| {
            (clean(&parameter.name), clean(parameter.description.trim()), parameter.default_value.as_deref().map(clean))
        });
        Self {
            name: clean(&summary.name),
            address: format!("/pipelines/{}", encoded(&summary.name)),
            start: with_query("/runs/new", &[("pipeline", &summary.name)]),
            revision: short_revision(&summary.revision).to_owned(),
            description: summary.description.trim().to_owned(),
            parameters: parameters.collect(),
        }
    }
}

/// `/pipelines`.
pub(super) async fn list(State(site): State<Site>, caller: Caller, Query(which): Query<Which>) -> Shown {
    let request = ListPipelinesRequest { page_size: 50, page_token: which.page.clone() };
    let found = site.inside.pipelines().list_pipelines(caller.asks(request)).await?.into_inner();
    let next = Some(found.next_page_token).filter(|token| !token.is_empty());
    page(&Pipelines {
        frame: Frame::of(&site, &caller, "pipelines", "Pipelines"),
        pipelines: found.pipelines.iter().map(Known::of).collect(),
        first: (!which.page.is_empty()).then(|| "/pipelines".to_owned()),
        next: next.map(|token| with_query("/pipelines", &[("page", &token)])),
    })
}

#[derive(Template)]
#[template(path = "pipeline.html")]
struct PipelinePage {
    frame: Frame,
    name: String,
    revision: String,
    /// Whether it is the one that a run is started of now.
    is_current: bool,
    current_address: String,
    start: String,
    description: String,
    steps: Vec<(&'static str, String)>,
    filled_in: String,
}

/// `/pipelines/{name}`.
pub(super) async fn show(State(site): State<Site>, caller: Caller, Path(name): Path<String>) -> Shown {
    explained(&site, &caller, GetPipelineRequest { name, ..GetPipelineRequest::default() }, true).await
}

/// `/revisions/{revision}`.
pub(super) async fn show_revision(State(site): State<Site>, caller: Caller, Path(revision): Path<String>) -> Shown {
    explained(&site, &caller, GetPipelineRequest { revision, ..GetPipelineRequest::default() }, false).await
}

async fn explained(site: &Site, caller: &Caller, request: GetPipelineRequest, is_current: bool) -> Shown {
    let found = site.inside.pipelines().get_pipeline(caller.asks(request)).await?.into_inner();
    let found = found.pipeline.unwrap_or_default();
    let pipeline = Pipeline::from_canonical(&found.canonical).map_err(|error| {
        let detail = format!("pipeline {} of that revision cannot be read by this version: {error}", found.name);
        Trouble(Problem::new(StatusCode::CONFLICT, "PIPELINE_INVALID", detail))
    })?;
    page(&PipelinePage {
        frame: Frame::of(site, caller, "pipelines", &format!("Pipeline {}", found.name)),
        is_current,
        current_address: format!("/pipelines/{}", encoded(&found.name)),
        start: with_query("/runs/new", &[("pipeline", &found.name)]),
        description: pipeline.description().trim().to_owned(),
        steps: pipeline.steps(),
        filled_in: pipeline.filled_in(),
        name: found.name,
        revision: found.revision,
    })
}
