//! What to do next about a run that is over but not all well.

use muster_coordinator::words::rounds;
use muster_proto::v1::Run;

use super::numbers::counted;

/// Lines for whoever reads the summary: each says what is not fine and which command says more. `flag` leads to the
/// ledger, such as ` --db my.db`.
pub fn advice(run: &Run, flag: &str) -> Vec<String> {
    let Some(verdict) = rounds::verdict(run) else { return Vec::new() };
    let (counts, id) = (verdict.counts.unwrap_or_default(), &run.run_id);
    let mut lines = Vec::new();
    if !verdict.balanced {
        lines.push("the ledger contradicts itself, which is a fault of this program: keep its file".to_owned());
    }
    if !verdict.complete {
        lines.push("IDs may be missing, as said above; a new run lists them anew".to_owned());
    }
    let exceptions = [
        (counts.dead_letter, "dead letter", "dead letters", "dead-letters"),
        (counts.in_doubt, "record in doubt", "records in doubt", "in-doubt"),
    ];
    for (number, one, many, command) in exceptions {
        if number > 0 {
            lines.push(format!("{}: muster {command} {id}{flag}", counted(number, one, many)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::{Counts, Verdict};

    use super::*;

    fn run(complete: bool, balanced: bool, dead_letter: i64, in_doubt: i64) -> Run {
        let counts =
            Counts { listed: 9, loaded: 9 - dead_letter - in_doubt, dead_letter, in_doubt, ..Counts::default() };
        let verdict = Verdict { complete, balanced, counts: Some(counts), ..Verdict::default() };
        Run { run_id: "a-1".into(), verdict: Some(verdict), ..Run::default() }
    }

    #[test]
    fn only_what_is_not_fine_is_advised_upon() {
        assert_eq!(advice(&Run::default(), ""), [] as [&str; 0]);
        assert_eq!(advice(&run(true, true, 0, 0), ""), [] as [&str; 0]);
        assert_eq!(
            advice(&run(true, true, 3, 1), " --db my.db"),
            ["3 dead letters: muster dead-letters a-1 --db my.db", "1 record in doubt: muster in-doubt a-1 --db my.db"]
        );
        let bad = advice(&run(false, false, 0, 0), "");
        assert!(bad[0].contains("contradicts itself") && bad[1].contains("may be missing"), "{bad:?}");
        assert!(!bad[1].contains("file"), "a coordinator's run is in none: {bad:?}");
    }
}
