//! All runs, newest first.

use askama::Template;
use axum::extract::{Query, State};
use muster_proto::v1::{ListRunsRequest, Run};
use serde::Deserialize;

use super::super::inside::Caller;
use super::super::site::Site;
use super::form::{of_run, with_query};
use super::frame::Frame;
use super::run::{Bar, Tone, state_tone, took, verdict_tone};
use super::{Shown, page};
use crate::words::numbers::{count, moment};
use crate::words::progress::{settled, share, total};
use crate::words::{run_state, verdict};

/// Runs on one page.
const AT_ONCE: i32 = 25;

/// Which page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    page: String,
}

#[derive(Template)]
#[template(path = "runs.html")]
struct Runs {
    frame: Frame,
    rows: Vec<Row>,
    /// Whether one of them goes on.
    is_live: bool,
    first: bool,
    next: Option<String>,
}

struct Row {
    id: String,
    address: String,
    state: &'static str,
    tone: Tone,
    round: i32,
    percent: String,
    bar: Bar,
    listed: String,
    loaded: String,
    dead: String,
    has_dead: bool,
    doubt: String,
    has_doubt: bool,
    started: String,
    took: String,
    verdict: Option<(&'static str, Tone)>,
}

impl Row {
    fn of(run: &Run) -> Self {
        let progress = run.progress.unwrap_or_default();
        // Of a run that is over, the verdict's numbers: progress is for display on the way.
        let counts = run.overall.or_else(|| run.verdict.as_ref().and_then(|verdict| verdict.counts));
        let [listed, loaded, dead, doubt] = counts
            .map_or([progress.listed, progress.loaded, progress.dead_letter, progress.in_doubt], |counts| {
                [counts.listed, counts.loaded, counts.dead_letter, counts.in_doubt]
            });
        let percent = total(&progress).map(|total| share(settled(&progress) + progress.unchanged, total));
        Self {
            id: run.run_id.clone(),
            address: of_run(&run.run_id, ""),
            state: run_state(run.state()),
            tone: state_tone(run.state()),
            round: run.round,
            percent: percent.map_or_else(|| "?".to_owned(), |percent| percent.to_string()),
            bar: Bar::of(&progress),
            listed: count(listed),
            loaded: count(loaded),
            dead: count(dead),
            has_dead: dead > 0,
            doubt: count(doubt),
            has_doubt: doubt > 0,
            started: moment(run.created_at.as_ref()),
            took: took(run),
            verdict: run.verdict.as_ref().map(|of_run| (verdict::headline(of_run), verdict_tone(of_run))),
        }
    }
}

/// `/runs`.
pub(super) async fn list(State(site): State<Site>, caller: Caller, Query(which): Query<Which>) -> Shown {
    let request = ListRunsRequest { page_size: AT_ONCE, page_token: which.page.clone() };
    let found = site.inside.runs().list_runs(caller.asks(request)).await?.into_inner();
    page(&Runs {
        frame: Frame::of(&site, &caller, "runs", "Runs"),
        is_live: found.runs.iter().any(|run| run.finished_at.is_none()),
        rows: found.runs.iter().map(Row::of).collect(),
        first: which.page.is_empty(),
        next: Some(found.next_page_token)
            .filter(|token| !token.is_empty())
            .map(|t| with_query("/runs", &[("page", &t)])),
    })
}
