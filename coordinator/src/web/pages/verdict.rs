//! The ledger's rows of a run, read now to a verdict: `muster verify`.

use askama::Template;
use axum::extract::{Path, Query, State};
use muster_proto::v1::VerifyRunRequest;
use serde::Deserialize;

use super::super::inside::Caller;
use super::super::site::Site;
use super::form::of_run;
use super::frame::Frame;
use super::run::VerdictPart;
use super::{Shown, page, text};

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    /// 0: the current one.
    #[serde(default)]
    round: i32,
}

#[derive(Template)]
#[template(path = "verdict.html")]
struct VerdictPage {
    frame: Frame,
    id: String,
    address: String,
    round: i32,
    /// Rounds before it.
    before: Vec<i32>,
    verdict: String,
}

/// `/runs/{run_id}/verdict`.
pub(super) async fn show(
    State(site): State<Site>,
    caller: Caller,
    Path(run_id): Path<String>,
    Query(which): Query<Which>,
) -> Shown {
    let request = VerifyRunRequest { run_id: run_id.clone(), round: which.round };
    let found = site.inside.audits().verify_run(caller.asks(request)).await?.into_inner();
    let verdict = found.verdict.unwrap_or_default();
    let overall = found.overall.filter(|_| verdict.round > 1);
    page(&VerdictPage {
        frame: Frame::of(&site, &caller, "runs", &format!("Verdict of {run_id}")),
        address: of_run(&run_id, ""),
        round: verdict.round,
        before: (1..verdict.round).collect(),
        verdict: text(&VerdictPart::of(&verdict, overall.as_ref()))?,
        id: run_id,
    })
}
