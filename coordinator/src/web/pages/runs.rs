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
use crate::words::verdict::headline;
use crate::words::{rounds, run_state};

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
    /// Where the list begins, unless that is here.
    first: Option<String>,
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
        let verdict = rounds::verdict(run);
        let counts = verdict.as_ref().and_then(|verdict| verdict.counts);
        let [listed, loaded, dead, doubt] = counts
            .map_or([progress.listed, progress.loaded, progress.dead_letter, progress.in_doubt], |counts| {
                [counts.listed, counts.loaded, counts.dead_letter, counts.in_doubt]
            });
        let percent = match &counts {
            Some(of) => Some(share(of.loaded + of.dead_letter + of.gone + of.unchanged, of.listed)),
            None => total(&progress).map(|total| share(settled(&progress) + progress.unchanged, total)),
        };
        Self {
            id: run.run_id.clone(),
            address: of_run(&run.run_id, ""),
            state: run_state(run.state()),
            tone: state_tone(run.state()),
            round: run.round,
            percent: percent.map_or_else(|| "?".to_owned(), |percent| percent.to_string()),
            bar: counts.as_ref().map_or_else(|| Bar::of(&progress), Bar::over),
            listed: count(listed),
            loaded: count(loaded),
            dead: count(dead),
            has_dead: dead > 0,
            doubt: count(doubt),
            has_doubt: doubt > 0,
            started: moment(run.created_at.as_ref()),
            took: took(run),
            verdict: verdict.as_ref().map(|worst| (headline(worst), verdict_tone(worst))),
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
        first: (!which.page.is_empty()).then(|| "/runs".to_owned()),
        next: Some(found.next_page_token)
            .filter(|token| !token.is_empty())
            .map(|t| with_query("/runs", &[("page", &t)])),
    })
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::{Counts, Progress, Round, Verdict};

    use super::super::run::ATTENTION;
    use super::*;

    #[test]
    fn a_row_is_that_of_all_rounds() {
        let verdict = |complete| {
            let counts = Some(Counts { listed: 1, loaded: 1, ..Counts::default() });
            Some(Verdict { complete, balanced: true, counts, ..Verdict::default() })
        };
        let round = |round, complete| Round { round, verdict: verdict(complete), ..Round::default() };
        let overall = Counts { listed: 100, loaded: 97, dead_letter: 2, in_doubt: 1, ..Counts::default() };
        let run = Run {
            round: 2,
            finished_at: Some(prost_types::Timestamp::default()),
            progress: Some(Progress { listing_closed: true, listed: 1, loaded: 1, ..Progress::default() }),
            verdict: verdict(true),
            overall: Some(overall),
            rounds: vec![round(1, true), round(2, true)],
            ..Run::default()
        };
        let row = Row::of(&run);
        let told = (row.dead.as_str(), row.percent.as_str(), row.verdict);
        assert_eq!(told, ("2", "99", Some(("complete and balanced", ATTENTION))));
        assert_eq!(row.bar.segments.len(), 3, "what is dead and in doubt is seen beside what is loaded");
        let row = Row::of(&Run { rounds: vec![round(1, false), round(2, true)], ..run });
        assert_eq!(row.verdict, Some(("balanced, but NOT COMPLETE", ATTENTION)));
    }
}
