//! A report as a page: one file, without scripts, that asks nobody for anything.

use askama::Template;
use muster_proto::v1::{Report, Run};

use super::figures::worked;
use super::parts;
use super::parts::{Against, Conclusion, Doubt, Failure, RoundLine, Side, Tone};
use super::plot::{Plot, all as plots};
use crate::words::numbers::{count, duration, moment};
use crate::words::share::{DEFAULT_SHARE, share_in_words};
use crate::words::verdict::states;
use crate::words::{clean, run_state, unknown};

/// Fields that the schema does not know which a page tells of; JSON has all.
const MAX_FIELDS: usize = 20;
/// The newest rounds of which a page tells, each, and what stands against verdicts; JSON has all.
const MAX_ROUNDS: usize = 50;
const MAX_AGAINST: usize = 200;

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    css: &'static str,
    id: String,
    pipeline: String,
    state: &'static str,
    state_reason: String,
    round: i32,
    started: String,
    ended: Option<String>,
    took: String,
    acknowledged: Option<String>,
    conclusion: Conclusion,
    bar: Vec<(Tone, i64, i64)>,
    tiles: Vec<(&'static str, String, Tone)>,
    notes: Vec<String>,
    against: Vec<Against>,
    more_against: usize,
    sum: Vec<(&'static str, String)>,
    listed: String,
    plots: Vec<Plot>,
    failures: Vec<Failure>,
    more_failures: bool,
    is_redriven: bool,
    doubts: Vec<Doubt>,
    more_doubts: bool,
    fields: Vec<String>,
    more_fields: usize,
    sides: [Side; 2],
    costs_lack: Option<String>,
    pages: String,
    rounds: Vec<RoundLine>,
    more_rounds: usize,
    about: Vec<(String, String)>,
    made_of: String,
    version: String,
}

/// The page. Whatever sources, targets and operators said is escaped.
///
/// # Errors
/// None that a report could cause; the template engine's own.
pub fn html(report: &Report) -> Result<String, std::fmt::Error> {
    let nothing = Run::default();
    let run = report.run.as_ref().unwrap_or(&nothing);
    let costs = report.costs.unwrap_or_default();
    let counts = report.counts.unwrap_or_default();
    let several = run.rounds.len() > 1;
    let more_rounds = run.rounds.len().saturating_sub(MAX_ROUNDS);
    let mut against = parts::against(run);
    let more_against = against.len().saturating_sub(MAX_AGAINST);
    against.truncate(MAX_AGAINST);
    let page = Page {
        css: include_str!("../../assets/report.css"),
        id: clean(&run.run_id),
        pipeline: clean(&run.pipeline),
        state: run_state(run.state()),
        state_reason: clean(&run.state_reason),
        round: run.round,
        started: moment(run.created_at.as_ref()),
        ended: run.finished_at.as_ref().map(|time| moment(Some(time))),
        took: duration(worked(&run.rounds, report.as_of.as_ref())),
        acknowledged: parts::acknowledged(report, run),
        conclusion: parts::conclusion(report, run),
        bar: parts::bar(&counts),
        tiles: parts::tiles(report, run),
        notes: parts::notes(run),
        against,
        more_against,
        sum: states(&counts)
            .into_iter()
            .filter(|(_, number, always)| *always || *number > 0)
            .map(|(name, number, _)| (name, count(number)))
            .collect(),
        listed: count(counts.listed),
        plots: plots(report),
        is_redriven: report.failures.iter().any(|group| group.redriven > 0),
        failures: report.failures.iter().map(parts::failure).collect(),
        more_failures: report.more_failures,
        doubts: report.in_doubt.iter().map(parts::doubt).collect(),
        more_doubts: report.more_in_doubt,
        fields: run.unknown_fields.iter().take(MAX_FIELDS).map(unknown::in_words).collect(),
        more_fields: run.unknown_fields.len().saturating_sub(MAX_FIELDS),
        sides: parts::costs(&costs),
        costs_lack: parts::costs_lack(&costs),
        pages: count(run.progress.unwrap_or_default().pages_committed),
        rounds: run.rounds[more_rounds..].iter().filter(|_| several).map(|round| parts::round(report, round)).collect(),
        more_rounds,
        about: about(run),
        made_of: moment(report.as_of.as_ref()),
        version: clean(&report.muster_version),
    };
    page.render().map_err(|_| std::fmt::Error)
}

/// What the run was asked to do.
fn about(run: &Run) -> Vec<(String, String)> {
    let mut about =
        vec![("pipeline".to_owned(), clean(&run.pipeline)), ("revision".to_owned(), clean(&run.pipeline_revision))];
    let mut parameters: Vec<_> = run.parameters.iter().map(|(name, value)| (clean(name), clean(value))).collect();
    parameters.sort();
    about.extend(parameters.into_iter().map(|(name, value)| (format!("set {name}"), value)));
    if !run.since_run.is_empty() {
        about.push(("since".to_owned(), clean(&run.since_run)));
    }
    if run.audit_mode {
        about.push(("audit".to_owned(), "acknowledged IDs are written as files too".to_owned()));
    }
    if let Some(share) = run.share.filter(|share| *share != DEFAULT_SHARE) {
        about.push(("share".to_owned(), share_in_words(&share)));
    }
    about
}

#[cfg(test)]
mod tests;
