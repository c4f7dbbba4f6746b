//! A run's rounds, one after the other, and what they come to.

use muster_proto::v1::{Counts, Verdict};

use super::{clean, verdict};

/// The verdict of each round, under what opened it, and every record once, if there is more than one round. `stand` says
/// how a run stands that is not over: of its rounds, the newest is not.
pub fn all<'a>(
    rounds: impl IntoIterator<Item = (&'a Verdict, &'a str)>,
    overall: &Counts,
    stand: Option<&str>,
) -> String {
    let rounds: Vec<_> = rounds.into_iter().collect();
    if let [(only, _)] = rounds[..] {
        return verdict::verdict_at(only, stand);
    }
    let mut text = String::new();
    for (index, (of_round, opened_by)) in rounds.iter().enumerate() {
        let stand = stand.filter(|_| index + 1 == rounds.len());
        let opened_by = if opened_by.is_empty() { String::new() } else { format!(": {}", clean(opened_by)) };
        let of_it = verdict::verdict_at(of_round, stand);
        text.push_str(&format!("round {}{opened_by}\n{of_it}\n", of_round.round));
    }
    text.push_str(&format!("all rounds, every record once\n{}", verdict::sum(overall)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_rounds_end_with_what_they_come_to() {
        let of = |round, loaded, dead_letter| Verdict {
            round,
            complete: true,
            balanced: true,
            counts: Some(Counts { listed: loaded + dead_letter, loaded, dead_letter, ..Counts::default() }),
            ..Verdict::default()
        };
        let (first, second) = (of(1, 900, 100), of(2, 100, 0));
        let overall = Counts { listed: 1_000, loaded: 1_000, ..Counts::default() };
        let text = all([(&first, ""), (&second, "dead letters redriven")], &overall, None);
        assert!(
            text.starts_with("round 1\nverdict: complete and balanced\n  loaded                   900\n"),
            "{text}"
        );
        assert!(text.contains("\n\nround 2: dead letters redriven\nverdict: complete and balanced\n"), "{text}");
        assert!(
            text.ends_with(
                "\n\nall rounds, every record once\n\
                 \x20 loaded                 1,000\n\
                 \x20 dead letters               0\n\
                 \x20 in doubt                   0\n\
                 \x20 ----------------------------\n\
                 \x20 listed                 1,000\n"
            ),
            "{text}"
        );
        assert_eq!(all([(&first, "")], &overall, None), verdict::verdict(&first));
        let text = all([(&first, ""), (&second, "")], &overall, Some("the run is running, round 2"));
        assert!(text.starts_with("round 1\nverdict: complete and balanced\n"), "{text}");
        let newest = "\n\nround 2\nverdict so far (the run is running, round 2): complete and balanced\n";
        assert!(text.contains(newest), "{text}");
    }
}
