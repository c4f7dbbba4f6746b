//! One run: what it is, how far it is, what came of it. Its parts are templates of their own, so that each can be shown anew
//! by itself.

mod bar;
mod follow;
mod news;
mod parts;
mod plight;
mod sum;
mod told;

use std::time::{Duration, SystemTime};

use askama::Template;
use axum::extract::{Path, Query, State};
use muster_proto::v1::{Run, RunShare, RunState, Verdict, WatchRunRequest};
use prost_types::Timestamp;
use serde::Deserialize;

pub(in crate::web) use self::bar::Bar;
use self::news::News;
pub(in crate::web) use self::plight::Group;
pub(in crate::web) use self::sum::VerdictPart;
use super::super::inside::Caller;
use super::super::site::{Site, Trace};
use super::form::{encoded, of_run};
use super::frame::Frame;
use super::{Shown, page, run_of};
use crate::words::numbers::{duration, from_wire};
use crate::words::share::{DEFAULT_SHARE, share_in_words};
use crate::words::{rounds, run_state, short_revision};

/// How something stands out, as a class of the style sheet.
pub(super) type Tone = &'static str;
pub(super) const PLAIN: Tone = "plain";
pub(super) const GOOD: Tone = "good";
pub(super) const LIVE: Tone = "live";
pub(super) const ATTENTION: Tone = "attention";
pub(super) const BAD: Tone = "bad";

/// How a run's state stands out.
pub(super) fn state_tone(state: RunState) -> Tone {
    match state {
        RunState::Running => LIVE,
        RunState::Paused | RunState::Cancelling | RunState::Cancelled => ATTENTION,
        RunState::Finished | RunState::Unspecified => PLAIN,
    }
}

/// How a verdict stands out: good only when nobody has to look at anything.
pub(super) fn verdict_tone(verdict: &Verdict) -> Tone {
    let counts = verdict.counts.unwrap_or_default();
    match (verdict.balanced, verdict.complete) {
        (false, _) => BAD,
        (true, true) if counts.dead_letter + counts.in_doubt + counts.cancelled == 0 => GOOD,
        (true, _) => ATTENTION,
    }
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    id: String,
    pipeline: String,
    pipeline_address: String,
    revision: String,
    revision_address: String,
    since: Option<(String, String)>,
    parameters: Vec<(String, String)>,
    trace: Option<Trace>,
    audit_mode: bool,
    share: String,
    shares: RunShare,
    is_default_share: bool,
    below: String,
    /// Something of it may still change by itself.
    is_live: bool,
    state: &'static str,
    /// Since it was started, over all rounds.
    seconds: u64,
    parts: News,
}

/// `/runs/{run_id}`.
pub(super) async fn show(State(site): State<Site>, caller: Caller, Path(run_id): Path<String>) -> Shown {
    let run = run_of(&site, &caller, &run_id).await?;
    let parts = News::whole(&site, &caller, &run).await?;
    let frame = Frame::of(&site, &caller, "runs", &run.run_id);
    let mut parameters: Vec<_> = run.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    parameters.sort();
    let shares = run.share.unwrap_or(DEFAULT_SHARE);
    page(&RunPage {
        pipeline: run.pipeline.clone(),
        pipeline_address: format!("/pipelines/{}", encoded(&run.pipeline)),
        revision: short_revision(&run.pipeline_revision).to_owned(),
        revision_address: format!("/revisions/{}", encoded(&run.pipeline_revision)),
        since: Some(run.since_run.clone()).filter(|since| !since.is_empty()).map(|since| (of_run(&since, ""), since)),
        parameters,
        trace: site.trace(&run.trace_id),
        audit_mode: run.audit_mode,
        share: share_in_words(&shares),
        shares,
        is_default_share: shares == DEFAULT_SHARE,
        below: of_run(&run.run_id, ""),
        is_live: !is_over(&run) || told::are_under_way(&run),
        state: run_state(run.state()),
        seconds: age(&run).as_secs(),
        parts,
        frame,
        id: run.run_id,
    })
}

/// What a page knows that asks for news.
#[derive(Debug, Deserialize)]
pub(super) struct Known {
    #[serde(default)]
    state: String,
}

/// `/runs/{run_id}/live`: news of the run's parts as server-sent events.
pub(super) async fn live(
    State(site): State<Site>,
    caller: Caller,
    Path(run_id): Path<String>,
    Query(known): Query<Known>,
) -> Shown {
    let changes = site.inside.runs().watch_run(caller.asks(WatchRunRequest { run_id })).await?.into_inner();
    Ok(follow::stream(site, caller, changes, known.state))
}

/// How long ago a run was started, or had been when it was over: its history is that of all rounds.
fn age(run: &Run) -> Duration {
    let since = |time: Option<&Timestamp>| time.and_then(|time| SystemTime::try_from(*time).ok());
    let opened = run.rounds.iter().filter_map(|round| since(round.opened_at.as_ref())).max();
    let before = opened.zip(since(run.created_at.as_ref()));
    let before = before.and_then(|(opened, created)| opened.duration_since(created).ok()).unwrap_or_default();
    before + from_wire(run.elapsed.as_ref())
}

/// How long all rounds of a run took, or have gone on for.
pub(super) fn took(run: &Run) -> String {
    let time = duration(rounds::worked(run));
    if is_over(run) { format!("took {time}") } else { format!("for {time}") }
}

/// Whether a run has come to its end.
pub(super) fn is_over(run: &Run) -> bool {
    run.finished_at.is_some()
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::Round;

    use super::*;

    #[test]
    fn a_run_is_as_old_as_all_of_its_rounds() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let elapsed = Duration::from_secs(7).try_into().ok();
        let run = Run { created_at: at(100), elapsed, ..Run::default() };
        assert_eq!(age(&run), Duration::from_secs(7));
        let rounds = [100, 1_100].map(|opened| Round { opened_at: at(opened), ..Round::default() });
        assert_eq!(age(&Run { rounds: rounds.to_vec(), ..run }), Duration::from_secs(1_007));
    }
}
