//! Verdicts: sums that can be checked by hand, and whatever stands against them.

use askama::Template;
use muster_proto::v1::{Counts, DiscrepancyKind, Durability, Run, Verdict};

use super::super::form::of_record;
use super::{ATTENTION, BAD, PLAIN, Tone, verdict_tone};
use crate::words::numbers::{count, moment};
use crate::words::verdict::{DEAD_LETTERS, IN_DOUBT, headline, states};
use crate::words::{clean, unknown};

/// So many fields that the schema does not know are told in words; the API has all.
const MAX_TOLD: usize = 10;

/// The verdicts of all rounds, and what they come to.
#[derive(Template)]
#[template(path = "run/verdict.html")]
pub(in crate::web) struct VerdictPart {
    rounds: Vec<Round>,
    overall: Option<Sum>,
}

struct Round {
    /// `round 2: dead letters redriven`; empty where there is only one.
    title: String,
    headline: &'static str,
    tone: Tone,
    so_far: bool,
    audited: String,
    sum: Sum,
    beside: Vec<(&'static str, String, Tone)>,
    is_degraded: bool,
    unknown: Vec<(String, String)>,
    more_unknown: usize,
    against: Vec<Against>,
}

/// The states and what they add up to.
struct Sum {
    lines: Vec<(&'static str, String, Tone)>,
    wrong: Option<String>,
    listed: String,
}

struct Against {
    kind: &'static str,
    tone: Tone,
    code: String,
    detail: String,
}

impl VerdictPart {
    /// Of a run, once a round of it is over.
    pub fn of_run(run: &Run) -> Option<Self> {
        if run.rounds.len() < 2 {
            return Some(Self::of(run.verdict.as_ref()?, None));
        }
        let each = run.rounds.iter().filter_map(|round| Some((round.verdict.as_ref()?, round.opened_by.as_str())));
        let rounds = each.map(|(verdict, opened_by)| {
            let opened_by = if opened_by.is_empty() { String::new() } else { format!(": {}", clean(opened_by)) };
            Round::of(verdict, format!("round {}{opened_by}", verdict.round))
        });
        let rounds: Vec<_> = rounds.collect();
        if rounds.is_empty() {
            return None;
        }
        Some(Self { rounds, overall: run.overall.as_ref().map(Sum::of) })
    }

    /// Of one round.
    pub fn of(verdict: &Verdict, overall: Option<&Counts>) -> Self {
        Self { rounds: vec![Round::of(verdict, String::new())], overall: overall.map(Sum::of) }
    }
}

impl Round {
    fn of(verdict: &Verdict, title: String) -> Self {
        let counts = verdict.counts.unwrap_or_default();
        let mut beside = Vec::new();
        if verdict.possible_copies > 0 {
            beside.push(("possible copies", count(verdict.possible_copies), ATTENTION));
        }
        if verdict.changed > 0 {
            beside.push(("sent anew, changed", count(verdict.changed), PLAIN));
        }
        let mut fields: Vec<_> = verdict.unknown_fields.iter().collect();
        // What is not told apart stays last.
        fields.sort_by_key(|field| (field.path.is_empty(), -field.records));
        let unknown = fields.iter().take(MAX_TOLD);
        Self {
            title,
            headline: headline(verdict),
            tone: verdict_tone(verdict),
            so_far: counts.pending + counts.leased + counts.delivering > 0,
            audited: moment(verdict.audited_at.as_ref()),
            sum: Sum::of(&counts),
            beside,
            is_degraded: verdict.durability() == Durability::Degraded,
            unknown: unknown
                .map(|field| (unknown::in_words(field), of_record(&verdict.run_id, &field.sample_record_id)))
                .collect(),
            more_unknown: fields.len().saturating_sub(MAX_TOLD),
            against: verdict.discrepancies.iter().map(Against::of).collect(),
        }
    }
}

impl Sum {
    fn of(counts: &Counts) -> Self {
        let parts: Vec<_> = states(counts).into_iter().filter(|(_, number, always)| *always || *number > 0).collect();
        let sum: i64 = parts.iter().map(|(_, number, _)| number).sum();
        let line = |(name, number, _): (&'static str, i64, bool)| {
            let is_exception = number > 0 && (name == DEAD_LETTERS || name == IN_DOUBT);
            (name, count(number), if is_exception { ATTENTION } else { PLAIN })
        };
        Self {
            lines: parts.into_iter().map(line).collect(),
            wrong: (sum != counts.listed).then(|| count(sum)),
            listed: count(counts.listed),
        }
    }
}

impl Against {
    fn of(discrepancy: &muster_proto::v1::Discrepancy) -> Self {
        let (kind, tone) = match discrepancy.kind() {
            DiscrepancyKind::Incomplete => ("not complete", ATTENTION),
            DiscrepancyKind::Unbalanced => ("not balanced", BAD),
            DiscrepancyKind::Unspecified => ("", PLAIN),
        };
        Self { kind, tone, code: clean(&discrepancy.code), detail: clean(&discrepancy.detail) }
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::v1 as wire;

    use super::*;

    #[test]
    fn a_round_that_goes_on_hides_none_that_is_over() {
        let over = |round| Some(Verdict { round, complete: true, balanced: true, ..Verdict::default() });
        let round = |number, verdict| wire::Round { round: number, verdict, ..wire::Round::default() };
        let mut run = Run { round: 2, rounds: vec![round(1, over(1)), round(2, None)], ..Run::default() };
        let titles = |run: &Run| {
            VerdictPart::of_run(run).unwrap().rounds.into_iter().map(|round| round.title).collect::<Vec<_>>()
        };
        assert_eq!(titles(&run), ["round 1"]);
        (run.verdict, run.rounds[1].verdict) = (over(2), over(2));
        assert_eq!(titles(&run), ["round 1", "round 2"]);
        assert!(VerdictPart::of_run(&Run::default()).is_none());
    }
}
