//! How a command ends: one number, and what it means.

use std::process::ExitCode;

use muster_proto::v1::{Counts, Run, RunState, Verdict};

/// The exit codes, documented in every `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Complete and balanced; every record was loaded, is unchanged or is gone. Or, of a command without a verdict: done.
    Fine = 0,
    /// Anything without a number of its own: paused, cancelled, interrupted, no coordinator, ...
    Other = 1,
    /// The command cannot be right as it was typed.
    Usage = 2,
    /// Over, but with dead letters or doubts.
    Exceptions = 3,
    /// The ledger, or a folder of audit files, does not add up.
    Unbalanced = 4,
    /// The listing did not come to its end, or something suggests that IDs were missed.
    Incomplete = 5,
}

/// Of a process that a second Ctrl-C ended at once, after the shells' custom: 128 + SIGINT.
pub const KILLED: i32 = 130;

/// The table of exit codes for `--help`.
pub const HELP: &str = "\
Exit codes:
  0  complete and balanced, and every record loaded, unchanged or gone
  1  anything else: paused, cancelled, interrupted, no coordinator, ...
  2  the command is wrong as typed
  3  finished with dead letters or doubts
  4  not balanced: the records' states do not add up to what was listed
  5  the listing is incomplete or suspect
  Of several rounds: by what all of them come to, every record once.
  When several hold: 4 before 5 before 3. A second Ctrl-C ends at once: 130.";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// How a command ends that saw a run to its end, or saw it stop before.
pub fn of_run(run: &Run) -> Exit {
    let Some(newest) = &run.verdict else { return Exit::Other };
    let mut rounds: Vec<&Verdict> = run.rounds.iter().filter_map(|round| round.verdict.as_ref()).collect();
    if rounds.is_empty() {
        rounds.push(newest);
    }
    let overall = run.overall.or(newest.counts).unwrap_or_default();
    match of_rounds(&rounds, &overall, true) {
        // A ledger that contradicts itself is worth more than the way in which the run ended.
        Exit::Unbalanced => Exit::Unbalanced,
        exit if run.state() == RunState::Finished => exit,
        _ => Exit::Other,
    }
}

/// How a command ends that asked for the verdict of one round, at whatever moment of the run. `is_over`: the round is.
pub fn of_verdict(verdict: &Verdict, is_over: bool) -> Exit {
    of_rounds(&[verdict], &verdict.counts.unwrap_or_default(), is_over)
}

/// How a command ends that asked for the verdicts of all rounds; `overall` has every record once. `is_over`: the run is.
/// Of one that is not, no more is certain than what contradicts itself by now.
pub fn of_rounds(rounds: &[&Verdict], overall: &Counts, is_over: bool) -> Exit {
    let unfinished = overall.pending + overall.leased + overall.delivering + overall.cancelled;
    if rounds.iter().any(|verdict| !verdict.balanced) {
        Exit::Unbalanced
    } else if !is_over {
        Exit::Other
    } else if rounds.iter().any(|verdict| !verdict.complete) {
        Exit::Incomplete
    } else if unfinished > 0 {
        Exit::Other
    } else if overall.dead_letter + overall.in_doubt > 0 {
        Exit::Exceptions
    } else {
        Exit::Fine
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::Round;

    use super::*;

    #[test]
    fn the_readme_has_the_same_codes() {
        const README: &str = include_str!("../../README.md");
        let rows = HELP.lines().filter_map(|line| line.strip_prefix("  ")?.split_once("  "));
        let missing: Vec<_> =
            rows.filter(|(code, meaning)| !README.contains(&format!("| {code} | {meaning}"))).collect();
        assert!(missing.is_empty(), "README.md says otherwise of {missing:?}");
        assert!(README.contains(&format!("| {KILLED} | a second Ctrl-C")), "README.md lacks {KILLED}");
        assert!(HELP.contains("4 before 5 before 3") && README.contains("4 before 5 before 3"));
    }

    fn verdict(complete: bool, balanced: bool, counts: Counts) -> Verdict {
        Verdict { complete, balanced, counts: Some(counts), ..Verdict::default() }
    }

    #[test]
    fn every_verdict_has_its_code() {
        let loaded = Counts { listed: 3, loaded: 1, gone: 1, unchanged: 1, ..Counts::default() };
        let dead = Counts { dead_letter: 1, ..loaded };
        let doubt = Counts { in_doubt: 1, ..loaded };
        let table = [
            (verdict(true, true, loaded), Exit::Fine),
            (verdict(true, true, Counts::default()), Exit::Fine),
            (verdict(true, true, dead), Exit::Exceptions),
            (verdict(true, true, doubt), Exit::Exceptions),
            (verdict(false, true, loaded), Exit::Incomplete),
            (verdict(false, true, dead), Exit::Incomplete),
            (verdict(true, false, dead), Exit::Unbalanced),
            (verdict(false, false, loaded), Exit::Unbalanced),
            (verdict(true, true, Counts { pending: 1, ..dead }), Exit::Other),
            (verdict(true, true, Counts { leased: 1, ..loaded }), Exit::Other),
            (verdict(true, true, Counts { delivering: 1, ..loaded }), Exit::Other),
            (verdict(true, true, Counts { cancelled: 1, ..loaded }), Exit::Other),
        ];
        for (verdict, exit) in table {
            assert_eq!(of_verdict(&verdict, true), exit, "{verdict:?}");
        }
    }

    #[test]
    fn the_verdict_of_a_run_that_is_not_over_is_none_yet() {
        let loaded = Counts { listed: 3, loaded: 3, ..Counts::default() };
        let dead = Counts { listed: 3, loaded: 2, dead_letter: 1, ..Counts::default() };
        let table = [
            (verdict(true, true, loaded), Exit::Other),
            (verdict(true, true, dead), Exit::Other),
            (verdict(false, true, dead), Exit::Other),
            (verdict(true, false, dead), Exit::Unbalanced),
            (verdict(false, false, loaded), Exit::Unbalanced),
        ];
        for (verdict, exit) in table {
            assert_eq!(of_verdict(&verdict, false), exit, "{verdict:?}");
        }
    }

    #[test]
    fn what_a_later_round_loaded_is_no_exception_any_more() {
        let of = |listed, loaded| {
            verdict(true, true, Counts { listed, loaded, dead_letter: listed - loaded, ..Counts::default() })
        };
        let (first, second) = (of(10, 9), of(1, 1));
        let round = |verdict: &Verdict| Round { verdict: Some(verdict.clone()), ..Round::default() };
        let run = Run {
            state: RunState::Finished.into(),
            rounds: vec![round(&first), round(&second)],
            verdict: Some(second.clone()),
            overall: Some(Counts { listed: 10, loaded: 10, ..Counts::default() }),
            ..Run::default()
        };
        assert_eq!(of_run(&run), Exit::Fine);
        assert_eq!(of_verdict(&first, true), Exit::Exceptions);
        let left = Counts { listed: 10, loaded: 9, dead_letter: 1, ..Counts::default() };
        assert_eq!(of_run(&Run { overall: Some(left), ..run.clone() }), Exit::Exceptions);
        let bad = Run { rounds: vec![round(&verdict(false, true, Counts::default())), round(&second)], ..run };
        assert_eq!(of_run(&bad), Exit::Incomplete, "what the first round did not list, no later one can");
    }

    #[test]
    fn a_run_that_is_not_finished_is_something_else() {
        let run = |state: RunState, verdict| Run { state: state.into(), verdict, ..Run::default() };
        let good = verdict(true, true, Counts::default());
        let table = [
            (run(RunState::Finished, Some(good.clone())), Exit::Fine),
            (run(RunState::Finished, Some(verdict(false, true, Counts::default()))), Exit::Incomplete),
            (run(RunState::Finished, None), Exit::Other),
            (run(RunState::Running, None), Exit::Other),
            (run(RunState::Paused, None), Exit::Other),
            (run(RunState::Cancelling, None), Exit::Other),
            (run(RunState::Cancelled, Some(good)), Exit::Other),
            (run(RunState::Cancelled, Some(verdict(false, true, Counts::default()))), Exit::Other),
            (run(RunState::Cancelled, Some(verdict(false, false, Counts::default()))), Exit::Unbalanced),
        ];
        for (run, exit) in table {
            assert_eq!(of_run(&run), exit, "{run:?}");
        }
    }
}
