//! A verdict as a sum that can be checked by hand.

use muster_proto::v1::{Counts, Discrepancy, DiscrepancyKind, Durability, Verdict};

pub use muster_coordinator::words::verdict::headline;
use muster_coordinator::words::verdict::{DEAD_LETTERS, IN_DOUBT, states};

use super::clean;
use super::fold::hanging;
use super::numbers::count;
use super::paint::{Tone, out};
use super::unknown;

/// How a headline stands out in a list, where the numbers beside it speak for themselves.
pub fn headline_tone(headline: &str) -> Option<Tone> {
    match headline {
        "complete and balanced" => Some(Tone::Good),
        "balanced, but NOT COMPLETE" => Some(Tone::Attention),
        "complete, but NOT BALANCED" | "NEITHER COMPLETE NOR BALANCED" => Some(Tone::Bad),
        _ => None,
    }
}

/// How a verdict stands: good only when nobody has to look at anything.
pub fn tone(verdict: &Verdict) -> Tone {
    let counts = verdict.counts.unwrap_or_default();
    match (verdict.balanced, verdict.complete) {
        (false, _) => Tone::Bad,
        (true, true) if counts.dead_letter + counts.in_doubt + counts.cancelled == 0 => Tone::Good,
        (true, _) => Tone::Attention,
    }
}

/// The sum of the states, then whatever stands against the verdict. Fits into 40 columns but for discrepancies' words.
pub fn verdict(verdict: &Verdict) -> String {
    verdict_at(verdict, None)
}

/// The same of a run that may not be over: then `stand` says how it stands, such as `the run is running`.
pub fn verdict_at(verdict: &Verdict, stand: Option<&str>) -> String {
    let counts = verdict.counts.unwrap_or_default();
    let mut text = head(verdict, stand);
    text.push_str(&sum(&counts));
    if verdict.possible_copies > 0 || verdict.changed > 0 {
        text.push('\n');
    }
    if verdict.possible_copies > 0 {
        line(&mut text, "possible copies", verdict.possible_copies, Some(Tone::Attention));
    }
    if verdict.changed > 0 {
        line(&mut text, "sent anew, changed", verdict.changed, None);
    }
    if verdict.durability() == Durability::Degraded {
        let what = "durability=degraded: the database ran without fsync or synchronous_commit, and may have lost what the \
                    ledger had acknowledged";
        text.push_str(&format!("\n  {}\n", out(Tone::Attention, &hanging(2, what).join("\n    "))));
    }
    if !verdict.unknown_fields.is_empty() {
        text.push('\n');
        text.push_str(&unknown::warnings(&verdict.unknown_fields));
    }
    if !verdict.discrepancies.is_empty() {
        text.push_str("\nagainst it:\n");
    }
    for discrepancy in &verdict.discrepancies {
        text.push_str(&against(discrepancy));
    }
    text
}

/// What it comes to, by now or for good.
fn head(verdict: &Verdict, stand: Option<&str>) -> String {
    let counts = verdict.counts.unwrap_or_default();
    let (tone, headline) = (tone(verdict), headline(verdict));
    let Some(stand) = stand else {
        let unfinished = counts.pending + counts.leased + counts.delivering;
        let so_far = if unfinished > 0 { " so far" } else { "" };
        return format!("verdict{so_far}: {}\n", out(tone, headline));
    };
    // What is not over is not good yet.
    let tone = if tone == Tone::Good { Tone::Attention } else { tone };
    let text = hanging(2, &format!("verdict so far ({stand}): {headline}")).join("\n  ");
    match text.strip_suffix(headline) {
        Some(before) => format!("{before}{}\n", out(tone, headline)),
        None => format!("{text}\n"),
    }
}

/// The states, and what they add up to.
pub fn sum(counts: &Counts) -> String {
    let mut text = String::new();
    let parts: Vec<_> = states(counts).into_iter().filter(|(_, number, always)| *always || *number > 0).collect();
    for (name, number, _) in &parts {
        let is_exception = *number > 0 && (*name == DEAD_LETTERS || *name == IN_DOUBT);
        line(&mut text, name, *number, is_exception.then_some(Tone::Attention));
    }
    text.push_str(&format!("  {:-<28}\n", ""));
    let sum: i64 = parts.iter().map(|(_, number, _)| number).sum();
    if sum != counts.listed {
        line(&mut text, "these add up to", sum, Some(Tone::Bad));
    }
    line(&mut text, "listed", counts.listed, None);
    text
}

fn line(text: &mut String, name: &str, number: i64, tone: Option<Tone>) {
    let line = format!("{name:<18}{:>10}", count(number));
    text.push_str(&format!("  {}\n", tone.map_or(line.clone(), |tone| out(tone, &line))));
}

fn against(discrepancy: &Discrepancy) -> String {
    let kind = match discrepancy.kind() {
        DiscrepancyKind::Incomplete => out(Tone::Attention, "not complete: "),
        DiscrepancyKind::Unbalanced => out(Tone::Bad, "not balanced: "),
        DiscrepancyKind::Unspecified => String::new(),
    };
    let what = format!("{} {}", clean(&discrepancy.code), clean(&discrepancy.detail));
    format!("  {kind}{}\n", hanging(4, &what).join("\n    "))
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::UnknownField;

    use super::*;

    #[test]
    fn a_good_verdict_is_a_short_sum() {
        let counts = Counts { listed: 5497, loaded: 5495, gone: 2, ..Counts::default() };
        let good = Verdict { complete: true, balanced: true, counts: Some(counts), ..Verdict::default() };
        assert_eq!(
            verdict(&good),
            "verdict: complete and balanced\n\
             \x20 loaded                 5,495\n\
             \x20 dead letters               0\n\
             \x20 in doubt                   0\n\
             \x20 gone                       2\n\
             \x20 ----------------------------\n\
             \x20 listed                 5,497\n"
        );
    }

    #[test]
    fn a_verdict_is_good_when_nobody_has_to_look() {
        let of = |complete, balanced, dead_letter| {
            let counts = Counts { listed: 3, loaded: 3 - dead_letter, dead_letter, ..Counts::default() };
            tone(&Verdict { complete, balanced, counts: Some(counts), ..Verdict::default() })
        };
        assert_eq!(of(true, true, 0), Tone::Good);
        assert_eq!(of(true, true, 1), Tone::Attention);
        assert_eq!(of(false, true, 0), Tone::Attention);
        assert_eq!(of(true, false, 0), Tone::Bad);
    }

    #[test]
    fn unknown_fields_are_warned_of_and_stand_against_nothing() {
        let counts = Counts { listed: 3, loaded: 3, ..Counts::default() };
        let field = UnknownField { path: "/wings".into(), records: 2, sample_record_id: "7".into() };
        let good = Verdict {
            complete: true,
            balanced: true,
            counts: Some(counts),
            unknown_fields: vec![field],
            ..Verdict::default()
        };
        let text = verdict(&good);
        assert!(text.starts_with("verdict: complete and balanced\n"), "{text}");
        assert!(text.ends_with("  listed                     3\n\n  warning: 2 records have a field /wings that the schema does not know, such as record 7\n"), "{text}");
        assert_eq!(tone(&good), Tone::Good);
    }

    #[test]
    fn a_verdict_on_the_way_says_so() {
        let counts = Counts { listed: 3, loaded: 2, pending: 1, ..Counts::default() };
        let good = Verdict { complete: true, balanced: true, counts: Some(counts), ..Verdict::default() };
        assert!(verdict(&good).starts_with("verdict so far: complete and balanced\n"));
    }

    #[test]
    fn a_verdict_of_a_run_that_is_not_over_says_how_it_stands() {
        let counts = Counts { listed: 3, loaded: 2, dead_letter: 1, ..Counts::default() };
        let good = Verdict { complete: true, balanced: true, counts: Some(counts), ..Verdict::default() };
        let text = verdict_at(&good, Some("the run is paused: the source answers 404"));
        let head = "verdict so far (the run is paused: the source answers 404): complete and balanced\n";
        assert_eq!(text.strip_prefix(head), verdict(&good).strip_prefix("verdict: complete and balanced\n"));
        assert!(text.starts_with(head), "{text}");
    }

    #[test]
    fn a_bad_one_says_what_stands_against_it() {
        let bad = Verdict {
            counts: Some(Counts { listed: 10, loaded: 9, ..Counts::default() }),
            possible_copies: 3,
            discrepancies: vec![Discrepancy {
                code: "RECORD_WITHOUT_BATCH".into(),
                detail: "1 record is in no batch, e.g. 7".into(),
                kind: DiscrepancyKind::Unbalanced.into(),
            }],
            ..Verdict::default()
        };
        let text = verdict(&bad);
        assert!(text.starts_with("verdict: NEITHER COMPLETE NOR BALANCED\n"), "{text}");
        assert!(text.contains("  these add up to            9\n  listed                    10\n"), "{text}");
        assert!(text.contains("  possible copies            3\n"), "{text}");
        assert!(text.ends_with("  not balanced: RECORD_WITHOUT_BATCH 1 record is in no batch, e.g. 7\n"), "{text}");
    }
}
