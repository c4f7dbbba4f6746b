//! A run's rounds, one after the other, and what they come to.

use muster_proto::v1::{Counts, Verdict};

use super::{clean, verdict};

/// The verdict of each round, under what opened it, and every record once, if there is more than one round.
pub fn all<'a>(rounds: impl IntoIterator<Item = (&'a Verdict, &'a str)>, overall: &Counts) -> String {
    let rounds: Vec<_> = rounds.into_iter().collect();
    if let [(only, _)] = rounds[..] {
        return verdict::verdict(only);
    }
    let mut text = String::new();
    for (of_round, opened_by) in &rounds {
        let opened_by = if opened_by.is_empty() { String::new() } else { format!(": {}", clean(opened_by)) };
        text.push_str(&format!("round {}{opened_by}\n{}\n", of_round.round, verdict::verdict(of_round)));
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
        let text = all([(&first, ""), (&second, "dead letters redriven")], &overall);
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
        assert_eq!(all([(&first, "")], &overall), verdict::verdict(&first));
    }
}
