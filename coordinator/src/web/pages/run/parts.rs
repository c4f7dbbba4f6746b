//! The parts of a run's page that tell where it stands.

use askama::Template;
use muster_proto::v1::{Progress, Run, RunState};

use super::super::form::of_run;
use super::{ATTENTION, Bar, PLAIN, Tone, is_over, state_tone, took};
use crate::words::numbers::{count, counted, from_wire, moment, rate, whole_seconds};
use crate::words::progress::{eta, settled, share, total};
use crate::words::{clean, run_state};

/// Where the run stands.
#[derive(Template)]
#[template(path = "run/state.html")]
pub(super) struct StatePart {
    state: &'static str,
    tone: Tone,
    round: i32,
    started: String,
    ended: Option<String>,
    took: String,
    note: Option<String>,
}

impl StatePart {
    pub fn of(run: &Run) -> Self {
        let progress = run.progress.unwrap_or_default();
        let note = match run.state() {
            RunState::Paused => Some(format!("paused: {}", clean(&run.state_reason))),
            RunState::Cancelling => {
                let open = counted(progress.deliveries_open, "delivery on its way is", "deliveries on their way are");
                Some(format!("cancelling: {open} awaited"))
            }
            _ => None,
        };
        Self {
            state: run_state(run.state()),
            tone: state_tone(run.state()),
            round: run.round,
            started: moment(run.created_at.as_ref()),
            ended: run.finished_at.as_ref().map(|time| moment(Some(time))),
            took: took(run),
            note,
        }
    }
}

/// How far it is.
#[derive(Template)]
#[template(path = "run/progress.html")]
pub(super) struct ProgressPart {
    percent: Option<u8>,
    /// How much of what.
    words: String,
    bar: Bar,
    stages: Vec<Stage>,
    figures: Vec<Figure>,
}

struct Stage {
    name: &'static str,
    words: String,
    bar: Bar,
}

struct Figure {
    name: &'static str,
    value: String,
    tone: Tone,
}

impl ProgressPart {
    /// `per_second`: of late, where somebody has watched.
    pub fn of(run: &Run, per_second: Option<f64>) -> Self {
        let progress = run.progress.unwrap_or_default();
        let whole = total(&progress);
        let done = settled(&progress) + progress.unchanged;
        let about = if progress.listing_closed { "" } else { "about " };
        let words = match whole {
            Some(whole) => format!("{} of {about}{}", count(done), counted(whole, "record", "records")),
            None => {
                format!("{} so far: the source does not say how many there are", counted(done, "record", "records"))
            }
        };
        Self {
            percent: whole.map(|whole| share(done, whole)),
            words,
            bar: Bar::of(&progress),
            stages: stages(&progress, whole),
            figures: figures(run, &progress, per_second),
        }
    }
}

fn stages(progress: &Progress, whole: Option<i64>) -> Vec<Stage> {
    let pages = match (progress.listing_closed, progress.pages_total) {
        (true, _) => "all".to_owned(),
        (false, 0) => format!("{} pages so far", count(progress.pages_committed)),
        (false, total) => format!("{} of {} pages", count(progress.pages_committed), count(total)),
    };
    let whole = whole.unwrap_or(progress.listed).max(progress.listed);
    // What is unchanged is neither fetched nor loaded: it is done by being listed.
    let work = whole - progress.unchanged;
    let stage = |name, number: i64, of: i64, words: String| Stage { name, words, bar: Bar::part(name, number, of) };
    vec![
        stage("listed", progress.listed, whole, format!("{} ({pages})", count(progress.listed))),
        stage("fetched", progress.fetched, work, count(progress.fetched)),
        stage("loaded", progress.loaded, work, count(progress.loaded)),
    ]
}

fn figures(run: &Run, progress: &Progress, per_second: Option<f64>) -> Vec<Figure> {
    let plain = |name, value| Figure { name, value, tone: PLAIN };
    let exception = |name, number: i64| {
        let tone = if number > 0 { ATTENTION } else { PLAIN };
        Figure { name, value: count(number), tone }
    };
    let mut figures = vec![
        exception("dead letters", progress.dead_letter),
        exception("in doubt", progress.in_doubt),
        plain("gone", count(progress.gone)),
    ];
    if !run.since_run.is_empty() {
        figures.push(plain("unchanged", count(progress.unchanged)));
    }
    if is_over(run) {
        let elapsed = from_wire(run.elapsed.as_ref()).as_secs_f64();
        if elapsed > 0.0 {
            figures.push(plain("rate", rate(settled(progress) as f64 / elapsed)));
        }
        return figures;
    }
    let left = per_second.and_then(|per_second| eta(progress, per_second));
    figures.extend([
        plain("rate", per_second.map_or_else(|| "-".to_owned(), rate)),
        plain("ETA", left.map_or_else(|| "-".to_owned(), whole_seconds)),
        plain("workers", progress.workers.to_string()),
        plain("batches leased", count(progress.batches_leased)),
        plain("batches ready", count(progress.batches_ready)),
    ]);
    figures
}

/// What an operator can do now.
#[derive(Template)]
#[template(path = "run/controls.html")]
pub(super) struct Controls {
    id: String,
    below: String,
    operates: bool,
    can_pause: bool,
    can_resume: bool,
    can_cancel: bool,
    is_over: bool,
}

impl Controls {
    pub fn of(run: &Run, operates: bool) -> Self {
        let state = run.state();
        Self {
            id: run.run_id.clone(),
            below: of_run(&run.run_id, ""),
            operates,
            can_pause: state == RunState::Running,
            can_resume: state == RunState::Paused,
            can_cancel: matches!(state, RunState::Running | RunState::Paused),
            is_over: is_over(run),
        }
    }
}
