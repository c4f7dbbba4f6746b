//! Runs: one in full, or a row of a list.

use muster_proto::v1::{Run, RunState, Verdict};

use muster_coordinator::words::notices;
use muster_coordinator::words::rounds::{verdict as of_all_rounds, worked};
use muster_coordinator::words::share::DEFAULT_SHARE;
pub use muster_coordinator::words::share::share_in_words;

use super::numbers::{count, counted, duration, moment};
use super::paint::Tone;
use super::table::{Align, Table, toned_fields};
use super::{clean, rounds, run_state, short_revision, unknown, verdict};

const STATE: &str = "state";
const UNCHANGED: &str = "unchanged";

/// One run: what it is, where it stands, and its verdict if it is over.
pub fn show(run: &Run) -> String {
    let mut lines = vec![
        ("run", run.run_id.clone()),
        ("pipeline", run.pipeline.clone()),
        ("revision", short_revision(&run.pipeline_revision).to_owned()),
        (STATE, state(run)),
        ("started", moment(run.created_at.as_ref())),
    ];
    if run.finished_at.is_some() {
        lines.push(("ended", moment(run.finished_at.as_ref())));
    }
    let took = if run.finished_at.is_some() { "took" } else { "so far" };
    lines.push((took, duration(worked(run))));
    let mut parameters: Vec<String> = run.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parameters.sort();
    if !parameters.is_empty() {
        lines.push(("set", parameters.join("\n")));
    }
    if !run.since_run.is_empty() {
        lines.push(("since", run.since_run.clone()));
    }
    if run.audit_mode {
        lines.push(("audit", "acknowledged IDs are written as files too".to_owned()));
    }
    if !run.trace_id.is_empty() {
        lines.push(("trace", clean(&run.trace_id)));
    }
    if let Some(share) = run.share.filter(|share| *share != DEFAULT_SHARE) {
        lines.push(("share", share_in_words(&share)));
    }
    if run.verdict.is_none() {
        lines.extend(progress(run));
    }
    if !run.notices.is_empty() {
        lines.push(("told", run.notices.iter().map(notices::in_words).collect::<Vec<_>>().join("\n")));
    }
    let tone = state_tone(run_state(run.state()));
    let toned = lines.into_iter().map(|(name, value)| (name, value, tone.filter(|_| name == STATE)));
    let mut text = toned_fields("", toned);
    if let Some(of_round) = &run.verdict {
        text.push('\n');
        text.push_str(&verdicts(run, of_round));
    } else if !run.unknown_fields.is_empty() {
        text.push('\n');
        text.push_str(&unknown::warnings(&run.unknown_fields));
    }
    text
}

/// The verdicts of all rounds, and what they come to.
fn verdicts(run: &Run, newest: &Verdict) -> String {
    match &run.overall {
        Some(overall) if run.rounds.len() > 1 => {
            let each = run.rounds.iter().filter_map(|round| Some((round.verdict.as_ref()?, round.opened_by.as_str())));
            rounds::all(each, overall, None)
        }
        _ => verdict::verdict(newest),
    }
}

/// How a state stands out: a run that goes on or is over by itself does not.
fn state_tone(word: &str) -> Option<Tone> {
    matches!(word, "paused" | "cancelling" | "cancelled").then_some(Tone::Attention)
}

/// How a run ended or stands, in a line.
pub fn in_a_line(run: &Run) -> String {
    let mut text = format!("run {} is {}", run.run_id, state(run));
    let Some(of_run) = of_all_rounds(run) else { return text };
    text.push_str(&format!(", {}", verdict::headline(&of_run)));
    let counts = of_run.counts.unwrap_or_default();
    let exceptions =
        [(counts.dead_letter, "dead letter", "dead letters"), (counts.in_doubt, "record in doubt", "records in doubt")];
    for (number, one, many) in exceptions {
        if number > 0 {
            text.push_str(&format!(", {}", counted(number, one, many)));
        }
    }
    text
}

/// How a run stands that is not over, such as `the run is paused: the target answers 401`; nothing of one that is.
pub fn not_over(run: &Run) -> Option<String> {
    match run.state() {
        RunState::Finished | RunState::Cancelled => None,
        _ => Some(clean(&format!("the run is {}", state(run)))),
    }
}

/// The state in words, with the reason of a pause.
fn state(run: &Run) -> String {
    let mut text = run_state(run.state()).to_owned();
    if run.round > 1 {
        text.push_str(&format!(", round {}", run.round));
    }
    if run.state() == RunState::Paused && !run.state_reason.is_empty() {
        text.push_str(&format!(": {}", run.state_reason));
    }
    text
}

fn progress(run: &Run) -> Vec<(&'static str, String)> {
    let progress = run.progress.unwrap_or_default();
    let pages = match (progress.listing_closed, progress.pages_total) {
        (true, _) => " (all)".to_owned(),
        (false, 0) => format!(" ({} pages so far)", count(progress.pages_committed)),
        (false, total) => format!(" ({} of {} pages)", count(progress.pages_committed), count(total)),
    };
    let mut lines = vec![("listed", format!("{}{pages}", count(progress.listed)))];
    if progress.unchanged > 0 {
        lines.push(("unchanged", count(progress.unchanged)));
    }
    lines.extend([
        ("fetched", count(progress.fetched)),
        ("loaded", count(progress.loaded)),
        ("dead letters", count(progress.dead_letter)),
        ("in doubt", count(progress.in_doubt)),
        ("gone", count(progress.gone)),
        ("workers", progress.workers.to_string()),
    ]);
    lines
}

/// From which run one goes on, as was asked for.
pub fn goes_on_from(run: &Run) -> String {
    match run.since_run.as_str() {
        "" => format!(
            "run {} goes on from none: there is no earlier run that will do, so everything is loaded",
            run.run_id
        ),
        since => format!("run {} goes on from run {since}", run.run_id),
    }
}

/// Many runs, a row each.
pub fn list(runs: &[Run], width: Option<usize>) -> String {
    let mut columns = vec![
        ("run", Align::Left),
        ("pipeline", Align::Left),
        ("state", Align::Left),
        ("started", Align::Left),
        ("took", Align::Right),
        ("listed", Align::Right),
        (UNCHANGED, Align::Right),
        ("loaded", Align::Right),
        ("dead", Align::Right),
        ("doubt", Align::Right),
        ("verdict", Align::Left),
    ];
    // Most ledgers have no run that goes on from another.
    let goes_on = runs.iter().any(|run| !run.since_run.is_empty());
    columns.retain(|(name, _)| goes_on || *name != UNCHANGED);
    let mut table = Table::new(&columns)
        .toned("state", state_tone)
        .toned("dead", exception_tone)
        .toned("doubt", exception_tone)
        .toned("verdict", verdict::headline_tone)
        .narrowed_by(&["pipeline", "took", "started"]);
    for run in runs {
        let progress = run.progress.unwrap_or_default();
        // Of a run that is over, the verdict's numbers: progress is for display on the way.
        let verdict = of_all_rounds(run);
        let counts = run.overall.or(verdict.as_ref().and_then(|verdict| verdict.counts));
        let [listed, unchanged, loaded, dead, doubt] = counts.map_or(
            [progress.listed, progress.unchanged, progress.loaded, progress.dead_letter, progress.in_doubt],
            |counts| [counts.listed, counts.unchanged, counts.loaded, counts.dead_letter, counts.in_doubt],
        );
        let mut row = vec![
            run.run_id.clone(),
            run.pipeline.clone(),
            run_state(run.state()).to_owned(),
            moment(run.created_at.as_ref()),
            duration(worked(run)),
            count(listed),
        ];
        row.extend(goes_on.then(|| count(unchanged)));
        row.extend([
            count(loaded),
            count(dead),
            count(doubt),
            verdict.as_ref().map_or("-", verdict::headline).to_owned(),
        ]);
        table.row(row);
    }
    table.render(width)
}

fn exception_tone(number: &str) -> Option<Tone> {
    (number != "0").then_some(Tone::Attention)
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::{Counts, Progress, RunShare};

    use super::*;

    fn run() -> Run {
        Run {
            run_id: "animals-1x2y3z4w".into(),
            pipeline: "animals".into(),
            pipeline_revision: "0123456789abcdef".into(),
            parameters: [("base_url".to_owned(), "http://127.0.0.1:3123".to_owned())].into(),
            state: RunState::Paused.into(),
            state_reason: "the target answers 401".into(),
            round: 1,
            created_at: Some(prost_types::Timestamp { seconds: 1_444_102_907, nanos: 0 }),
            elapsed: Some(prost_types::Duration { seconds: 12, nanos: 300_000_000 }),
            progress: Some(Progress { pages_committed: 3, pages_total: 575, listed: 30, ..Progress::default() }),
            ..Run::default()
        }
    }

    #[test]
    fn a_paused_run_says_why() {
        assert_eq!(in_a_line(&run()), "run animals-1x2y3z4w is paused: the target answers 401");
        assert_eq!(
            show(&run()),
            "run           animals-1x2y3z4w\n\
             pipeline      animals\n\
             revision      0123456789ab\n\
             state         paused: the target answers 401\n\
             started       2015-10-06 03:41:47Z\n\
             so far        12.3 s\n\
             set           base_url=http://127.0.0.1:3123\n\
             listed        30 (3 of 575 pages)\n\
             fetched       0\nloaded        0\ndead letters  0\nin doubt      0\ngone          0\nworkers       0\n"
        );
    }

    #[test]
    fn a_run_that_is_not_over_says_how_it_stands() {
        let of = |state: RunState| not_over(&Run { state: state.into(), ..run() });
        assert_eq!(of(RunState::Paused).as_deref(), Some("the run is paused: the target answers 401"));
        assert_eq!(of(RunState::Running).as_deref(), Some("the run is running"));
        assert_eq!(of(RunState::Cancelling).as_deref(), Some("the run is cancelling"));
        assert_eq!((of(RunState::Finished), of(RunState::Cancelled)), (None, None));
    }

    #[test]
    fn a_finished_run_ends_with_its_verdict() {
        let verdict = Verdict {
            complete: true,
            balanced: true,
            counts: Some(Counts { listed: 5497, loaded: 5497, ..Counts::default() }),
            ..Verdict::default()
        };
        let finished_at = run().created_at;
        let over = Run { state: RunState::Finished.into(), verdict: Some(verdict), finished_at, ..run() };
        assert!(show(&over).contains("took      12.3 s\n"), "{}", show(&over));
        assert!(show(&over).contains("\n\nverdict: complete and balanced\n"), "{}", show(&over));
        assert_eq!(in_a_line(&over), "run animals-1x2y3z4w is finished, complete and balanced");
        let list = list(&[over], None);
        assert!(
            list.lines().nth(1).expect("a row").ends_with("5,497   5,497     0      0  complete and balanced"),
            "{list}"
        );
    }

    #[test]
    fn a_run_of_several_rounds_is_all_of_them() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let verdict = |complete| Some(Verdict { complete, balanced: true, ..Verdict::default() });
        let round = |round, from, to, complete| muster_proto::v1::Round {
            round,
            opened_at: at(from),
            finished_at: at(to),
            verdict: verdict(complete),
            ..Default::default()
        };
        let over = Run {
            state: RunState::Finished.into(),
            round: 2,
            elapsed: Some(prost_types::Duration::default()),
            finished_at: at(9_000),
            verdict: verdict(true),
            rounds: vec![round(1, 100, 112, false), round(2, 9_000, 9_000, true)],
            overall: Some(Counts { listed: 9, loaded: 7, dead_letter: 2, ..Counts::default() }),
            ..run()
        };
        assert!(show(&over).contains("took      12.0 s\n"), "{}", show(&over));
        assert!(in_a_line(&over).ends_with(", balanced, but NOT COMPLETE, 2 dead letters"), "{}", in_a_line(&over));
        let list = list(&[over], None);
        assert!(list.contains("12.0 s") && list.contains("balanced, but NOT COMPLETE"), "{list}");
    }

    #[test]
    fn a_share_is_shown_when_it_is_not_the_default() {
        let of = |share| show(&Run { share: Some(share), ..run() });
        let share = RunShare { priority: Some(-3), weight: Some(300), max_workers: Some(1) };
        assert!(of(share).contains("\nshare         priority -3, weight 300, at most 1 worker\n"), "{}", of(share));
        assert!(!of(DEFAULT_SHARE).contains("share"));
    }

    #[test]
    fn a_run_that_goes_on_from_another_says_so() {
        let since = |since: &str| Run { since_run: since.into(), ..run() };
        assert!(show(&since("animals-0")).contains("\nsince         animals-0\n"));
        assert!(goes_on_from(&since("animals-0")).ends_with("goes on from run animals-0"));
        assert!(goes_on_from(&since("")).contains("everything is loaded"));
        let counts = Counts { listed: 10, unchanged: 7, loaded: 3, ..Counts::default() };
        let over = Run { overall: Some(counts), ..since("animals-0") };
        let list = self::list(&[over, since("")], None);
        let row = list.lines().nth(1).expect("a row");
        assert!(list.contains("LISTED  UNCHANGED  LOADED") && row.contains(" 10          7       3 "), "{list}");
    }
}
