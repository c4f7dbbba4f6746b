//! The form that starts a run.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect};
use muster_proto::v1::{ListPipelinesRequest, PipelineSummary, StartRunRequest};
use serde::Deserialize;

use super::super::inside::Caller;
use super::super::problem::Problem;
use super::super::site::Site;
use super::form::{Fields, Values, encoded, of_run, request_id};
use super::frame::Frame;
use super::operate::share_of;
use super::{Shown, Trouble, text};

/// What the names of fields for parameters begin with.
const SET: &str = "set.";
/// Pipelines to choose among.
const MOST: i32 = 500;

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    pipeline: String,
}

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    frame: Frame,
    names: Vec<String>,
    chosen: Option<Chosen>,
    trouble: Option<String>,
    /// The trouble is that a first try has started a run: where that is, is a link.
    is_reused: bool,
    request_id: String,
    audit_mode: bool,
    since: String,
    priority: String,
    weight: String,
    max_workers: String,
}

struct Chosen {
    name: String,
    address: String,
    description: String,
    parameters: Vec<Parameter>,
}

struct Parameter {
    name: String,
    description: String,
    default_value: Option<String>,
    value: String,
}

impl Chosen {
    fn of(summary: &PipelineSummary, given: &Vec<(String, String)>) -> Self {
        let parameters = summary.parameters.iter().map(|parameter| Parameter {
            name: parameter.name.clone(),
            description: parameter.description.trim().to_owned(),
            default_value: parameter.default_value.clone(),
            value: given.value(&format!("{SET}{}", parameter.name)).to_owned(),
        });
        Self {
            name: summary.name.clone(),
            address: format!("/pipelines/{}", encoded(&summary.name)),
            description: summary.description.trim().to_owned(),
            parameters: parameters.collect(),
        }
    }
}

async fn filled_in(
    site: &Site,
    caller: &Caller,
    name: &str,
    given: &Vec<(String, String)>,
    trouble: Option<Problem>,
) -> Result<String, Trouble> {
    let request = ListPipelinesRequest { page_size: MOST, page_token: String::new() };
    let known = site.inside.pipelines().list_pipelines(caller.asks(request)).await?.into_inner().pipelines;
    let chosen = match known.as_slice() {
        [only] => Some(only),
        _ => known.iter().find(|pipeline| pipeline.name == name),
    };
    let is_reused = trouble.as_ref().is_some_and(|problem| problem.reason == "REQUEST_ID_REUSED");
    let trouble = trouble.map(|problem| match is_reused {
        true => "your first try has started a run, with other values; this form starts another. It is among".to_owned(),
        false => problem.detail,
    });
    let request_id = match given.value("request_id") {
        "" => request_id(),
        // That name is another run's: another will do.
        _ if is_reused => request_id(),
        // What was refused was not begun: the same name will do, and a second try that crosses the first is the same.
        before => before.to_owned(),
    };
    text(&StartPage {
        frame: Frame::of(site, caller, "start", "Start a run"),
        chosen: chosen.map(|summary| Chosen::of(summary, given)),
        names: known.into_iter().map(|pipeline| pipeline.name).collect(),
        trouble,
        is_reused,
        request_id,
        audit_mode: given.is_ticked("audit_mode"),
        since: given.value("since").to_owned(),
        priority: given.value("priority").to_owned(),
        weight: given.value("weight").to_owned(),
        max_workers: given.value("max_workers").to_owned(),
    })
}

/// `/runs/new`.
pub(super) async fn form(State(site): State<Site>, caller: Caller, Query(which): Query<Which>) -> Shown {
    Ok(Html(filled_in(&site, &caller, &which.pipeline, &Vec::new(), None).await?).into_response())
}

/// Starts the run, or shows the form again with what is wrong.
pub(super) async fn start(State(site): State<Site>, caller: Caller, Fields(fields): Fields) -> Shown {
    let wrong = match begin(&site, &caller, &fields).await {
        Ok(run_id) => return Ok(Redirect::to(&of_run(&run_id, "")).into_response()),
        Err(problem) => problem,
    };
    let status = wrong.status;
    // Who may not, may not by filling it in otherwise.
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(wrong.into());
    }
    let shown = filled_in(&site, &caller, fields.value("pipeline"), &fields, Some(wrong)).await?;
    Ok((status, Html(shown)).into_response())
}

async fn begin(site: &Site, caller: &Caller, fields: &Vec<(String, String)>) -> Result<String, Problem> {
    let parameters: HashMap<String, String> = fields
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(SET)?.to_owned(), value.trim().to_owned())))
        // Left empty: the default.
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let request = StartRunRequest {
        pipeline: fields.value("pipeline").to_owned(),
        parameters,
        request_id: fields.value("request_id").to_owned(),
        audit_mode: fields.is_ticked("audit_mode"),
        since_run: fields.value("since").to_owned(),
        share: Some(share_of(fields)?),
    };
    let answer = site.inside.runs().start_run(caller.asks(request)).await?.into_inner();
    Ok(answer.run.unwrap_or_default().run_id)
}
