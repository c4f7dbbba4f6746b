//! Dead letters: by their reasons and one by one, and another try for them.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect};
use muster_proto::v1::{DeadLetter, ListDeadLettersRequest, ListDeadLettersResponse, RedriveRunRequest};
use serde::Deserialize;

use super::super::inside::Caller;
use super::super::site::{Site, Trace};
use super::form::{Fields, Values, of_record, of_run, request_id, with_query};
use super::frame::Frame;
use super::run::{Group, is_over};
use super::{Shown, page, run_of};
use crate::words::clean;
use crate::words::numbers::moment;

/// What can go wrong where.
const STAGES: [&str; 5] = ["fetch", "validate", "transform", "load", "worker"];

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    stage: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    redriven: String,
    #[serde(default)]
    page: String,
}

#[derive(Template)]
#[template(path = "dead_letters.html")]
struct DeadLetters {
    frame: Frame,
    id: String,
    run_address: String,
    below: String,
    stages: [&'static str; 5],
    stage: String,
    reason: String,
    with_redriven: bool,
    is_over: bool,
    /// Whether some of those that are shown may have another try. How many there are, the redrive tells: to count them is
    /// a transition of the ledger, which a page that is merely looked at must not ask for.
    can_redrive: bool,
    request_id: String,
    groups: Vec<Group>,
    letters: Vec<Letter>,
    /// Where the list begins, unless that is here.
    first: Option<String>,
    next: Option<String>,
}

struct Letter {
    id: String,
    address: String,
    round: i32,
    redriven: i32,
    stage: String,
    status: String,
    reason: String,
    body: String,
    at: String,
    trace: Option<Trace>,
}

impl Letter {
    fn of(site: &Site, run_id: &str, letter: &DeadLetter) -> Self {
        Self {
            id: clean(&letter.record_id),
            address: of_record(run_id, &letter.record_id),
            round: letter.round,
            redriven: letter.redriven_in_round,
            stage: clean(&letter.stage),
            status: if letter.http_status == 0 { "-".to_owned() } else { letter.http_status.to_string() },
            reason: clean(&letter.reason),
            body: letter.body.clone(),
            at: moment(letter.at.as_ref()),
            trace: site.trace(&letter.trace_id),
        }
    }
}

/// `/runs/{run_id}/dead-letters`.
pub(super) async fn list(
    State(site): State<Site>,
    caller: Caller,
    Path(run_id): Path<String>,
    Query(which): Query<Which>,
) -> Shown {
    let run = run_of(&site, &caller, &run_id).await?;
    let request = ListDeadLettersRequest {
        run_id: run_id.clone(),
        stage: which.stage.clone(),
        reason: which.reason.clone(),
        include_redriven: !which.redriven.is_empty(),
        page_size: 50,
        page_token: which.page.clone(),
    };
    let found = site.inside.audits().list_dead_letters(caller.asks(request)).await?.into_inner();
    let frame = Frame::of(&site, &caller, "runs", &format!("Dead letters of {run_id}"));
    let over = is_over(&run);
    let ListDeadLettersResponse { dead_letters, next_page_token, groups } = found;
    let below = of_run(&run_id, "/dead-letters");
    let Which { stage, reason, redriven, .. } = &which;
    let at = |token: &str| {
        with_query(&below, &[("stage", stage), ("reason", reason), ("redriven", redriven), ("page", token)])
    };
    let first = (!which.page.is_empty()).then(|| at(""));
    let next = Some(next_page_token).filter(|token| !token.is_empty()).map(|token| at(&token));
    page(&DeadLetters {
        frame,
        run_address: of_run(&run_id, ""),
        below,
        stages: STAGES,
        with_redriven: !which.redriven.is_empty(),
        is_over: over,
        can_redrive: over && dead_letters.iter().any(|letter| letter.redriven_in_round == 0),
        request_id: request_id(),
        groups: groups.iter().map(|group| Group::of(&site, &run_id, group)).collect(),
        letters: dead_letters.iter().map(|letter| Letter::of(&site, &run_id, letter)).collect(),
        first,
        next,
        stage: which.stage,
        reason: which.reason,
        id: run_id,
    })
}

/// Opens the next round with them.
pub(super) async fn redrive(
    State(site): State<Site>,
    caller: Caller,
    Path(run_id): Path<String>,
    Fields(fields): Fields,
) -> Shown {
    let request = RedriveRunRequest {
        run_id: run_id.clone(),
        request_id: fields.value("request_id").to_owned(),
        stage: fields.value("stage").to_owned(),
        reason: fields.value("reason").to_owned(),
        mended_pipeline: fields.is_ticked("mended"),
        ..RedriveRunRequest::default()
    };
    site.inside.runs().redrive_run(caller.asks(request)).await?;
    Ok(Redirect::to(&of_run(&run_id, "")).into_response())
}
