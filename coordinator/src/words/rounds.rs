//! What a run comes to, over all of its rounds.

use std::time::{Duration, SystemTime};

use muster_proto::v1::{Run, Verdict};
use prost_types::Timestamp;

use super::numbers::from_wire;

/// Verdicts of all rounds.
pub fn verdicts(run: &Run) -> Vec<&Verdict> {
    let of_rounds: Vec<_> = run.rounds.iter().filter_map(|round| round.verdict.as_ref()).collect();
    if of_rounds.is_empty() { run.verdict.iter().collect() } else { of_rounds }
}

/// The newest verdict, of every record once, by its newest round; complete and balanced only where all rounds are. `None`
/// before there is one.
pub fn verdict(run: &Run) -> Option<Verdict> {
    let newest = run.verdict.clone()?;
    let all = verdicts(run);
    Some(Verdict {
        complete: newest.complete && all.iter().all(|verdict| verdict.complete),
        balanced: newest.balanced && all.iter().all(|verdict| verdict.balanced),
        counts: run.overall.or(newest.counts),
        ..newest
    })
}

/// How long the rounds worked, all together; the newest perhaps until now. What lies between two of them is no part of it.
pub fn worked(run: &Run) -> Duration {
    let time = |time: Option<&Timestamp>| time.and_then(|time| SystemTime::try_from(*time).ok());
    let span = |(from, to): (Option<&Timestamp>, Option<&Timestamp>)| time(to)?.duration_since(time(from)?).ok();
    let older = run.rounds.iter().filter(|round| round.round != run.round);
    let older = older.filter_map(|round| span((round.opened_at.as_ref(), round.finished_at.as_ref())));
    older.sum::<Duration>() + from_wire(run.elapsed.as_ref())
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::{Counts, Round};

    use super::*;

    #[test]
    fn a_run_is_what_the_worst_of_its_rounds_is() {
        let of = |round, balanced| {
            let verdict = Verdict { round, complete: true, balanced, ..Verdict::default() };
            Round { round, verdict: Some(verdict), ..Round::default() }
        };
        let rounds = vec![of(1, false), of(2, true)];
        let overall = Some(Counts { listed: 7, ..Counts::default() });
        let run = Run { verdict: rounds[1].verdict.clone(), rounds, overall, ..Run::default() };
        let told = verdict(&run).expect("a verdict");
        assert_eq!((told.round, told.complete, told.balanced, told.counts), (2, true, false, overall));
        assert_eq!(verdict(&Run::default()), None);
    }

    #[test]
    fn time_is_that_of_all_rounds_without_what_is_between() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let elapsed = Duration::from_secs(5).try_into().ok();
        let run = Run { round: 1, elapsed, ..Run::default() };
        assert_eq!(worked(&run), Duration::from_secs(5));
        let round =
            |round, opened, finished_at| Round { round, opened_at: at(opened), finished_at, ..Round::default() };
        let rounds = vec![round(1, 100, at(110)), round(2, 1_000, None)];
        assert_eq!(worked(&Run { round: 2, rounds, ..run }), Duration::from_secs(15));
    }
}
