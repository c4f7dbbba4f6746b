//! What stands in the sections of a report's page.

use muster_proto::v1::{
    Costs, Counts, DeadLetterGroup, DeliveryInDoubt, Discrepancy, DiscrepancyKind, Durability, Report, Round, Run,
    Verdict,
};

use super::figures::{Amount, Figure, deliveries, pace, per_thousand, possible_copies, source, worked};
use crate::words::numbers::{count, counted, duration, moment};
use crate::words::rounds::verdicts;
use crate::words::verdict::{headline, states};
use crate::words::{clean, doubts, rounds};

/// So many IDs of a delivery are shown.
const IDS: usize = 6;
/// How something stands out, as a class.
pub(super) type Tone = &'static str;
pub(super) const PLAIN: Tone = "plain";
pub(super) const GOOD: Tone = "good";
pub(super) const ATTENTION: Tone = "attention";
pub(super) const BAD: Tone = "bad";

/// What a run came to, in words.
pub(super) struct Conclusion {
    pub tone: Tone,
    pub headline: String,
    pub sentence: String,
}

/// What a run comes to, of the records as the report counted them; `None` before there is a verdict.
#[must_use]
pub fn verdict(report: &Report) -> Option<Verdict> {
    let worst = rounds::verdict(report.run.as_ref()?)?;
    Some(Verdict { counts: report.counts.or(worst.counts), ..worst })
}

/// A run that is over: every round of it counts.
pub(super) fn conclusion(report: &Report, run: &Run) -> Conclusion {
    let counts = report.counts.unwrap_or_default();
    let Some(worst) = verdict(report).filter(|_| run.finished_at.is_some()) else {
        let done = counts.listed - counts.pending - counts.leased - counts.delivering;
        let sentence = format!(
            "As of {}, {} of {} listed so far have an outcome: {}.",
            moment(report.as_of.as_ref()),
            count(done),
            counted(counts.listed, "record", "records"),
            outcomes(&counts)
        );
        return Conclusion { tone: PLAIN, headline: "Not over yet".to_owned(), sentence };
    };
    let tone = match (worst.balanced, worst.complete) {
        (false, _) => BAD,
        (true, true) if counts.dead_letter + counts.in_doubt + counts.cancelled == 0 => GOOD,
        (true, _) => ATTENTION,
    };
    let mut words = headline(&worst).to_owned();
    words[..1].make_ascii_uppercase();
    let sum: i64 = states(&counts).iter().map(|(_, number, _)| number).sum();
    let listed = counted(counts.listed, "listed record", "listed records");
    let sentence = format!("{} of {listed} accounted for: {}.", count(sum), outcomes(&counts));
    Conclusion { tone, headline: words, sentence }
}

/// `5,497 loaded, 8 dead letters`.
fn outcomes(counts: &Counts) -> String {
    let told = states(counts).into_iter().filter(|(name, number, _)| *name == "loaded" || *number > 0);
    told.map(|(name, number, _)| format!("{} {}", count(number), named(number, name))).collect::<Vec<_>>().join(", ")
}

fn named(number: i64, name: &'static str) -> &'static str {
    if number == 1 && name == "dead letters" { "dead letter" } else { name }
}

/// The parts of the records in thousandths: where each begins and how long it is. However small, each can be seen: what it
/// needs more for that, the largest has less.
pub(super) fn bar(counts: &Counts) -> Vec<(Tone, i64, i64)> {
    const LEAST: i64 = 5;
    let parts = [
        ("loaded", counts.loaded),
        ("unchanged", counts.unchanged),
        ("gone", counts.gone),
        ("dead", counts.dead_letter),
        ("doubt", counts.in_doubt),
    ];
    let whole = i128::from(counts.listed.max(1));
    let length = |number: i64| i64::try_from(i128::from(number) * 1000 / whole).unwrap_or(1000).clamp(LEAST, 1000);
    let parts = parts.into_iter().filter(|(_, number)| *number > 0);
    let mut lengths: Vec<(Tone, i64)> = parts.map(|(name, number)| (name, length(number))).collect();
    let over = lengths.iter().map(|(_, length)| length).sum::<i64>() - 1000;
    if let Some((_, largest)) = lengths.iter_mut().max_by_key(|(_, length)| *length) {
        *largest = (*largest - over.max(0)).max(LEAST);
    }
    let begin = |start: &mut i64, (name, length): (Tone, i64)| {
        let part = (name, *start, length);
        *start += length;
        Some(part)
    };
    lengths.into_iter().scan(0, begin).collect()
}

/// The figures that are to be seen first.
pub(super) fn tiles(report: &Report, run: &Run) -> Vec<(&'static str, String, Tone)> {
    let counts = report.counts.unwrap_or_default();
    let costs = report.costs.unwrap_or_default();
    let odd = |number: i64| if number > 0 { ATTENTION } else { PLAIN };
    let mut tiles = vec![
        ("listed", count(counts.listed), PLAIN),
        ("loaded", count(counts.loaded), PLAIN),
        ("dead letters", count(counts.dead_letter), odd(counts.dead_letter)),
        ("in doubt", count(counts.in_doubt), odd(counts.in_doubt)),
    ];
    for (name, number) in [("gone", counts.gone), ("unchanged", counts.unchanged), ("cancelled", counts.cancelled)] {
        if number > 0 {
            tiles.push((name, count(number), PLAIN));
        }
    }
    let copies = possible_copies(run);
    if copies > 0 {
        tiles.push(("possible copies", count(copies), ATTENTION));
    }
    let text = |figure: &Figure| (figure.name, figure.amount.text(), PLAIN);
    tiles.extend(pace(report).iter().map(text));
    let ([requests, ..], [sent, ..]) = (source(&costs), deliveries(&costs));
    tiles.extend([text(&requests), text(&sent)]);
    tiles
}

/// What the verdict has beside its sum.
pub(super) fn notes(run: &Run) -> Vec<String> {
    let verdicts = verdicts(run);
    let mut notes = Vec::new();
    let copies = possible_copies(run);
    if copies > 0 {
        let may = counted(copies, "possible copy", "possible copies");
        notes.push(format!("{may}: so many times the target may hold a record beyond the first."));
    }
    let changed: i64 = verdicts.iter().map(|verdict| verdict.changed).sum();
    if changed > 0 {
        let records = counted(changed, "record was", "records were");
        notes.push(format!("{records} sent again with another body, because the source had changed meanwhile."));
    }
    if verdicts.iter().any(|verdict| verdict.durability() == Durability::Degraded) {
        notes.push(
            "durability=degraded: the database ran without fsync or synchronous_commit, and may have lost what the \
             ledger had acknowledged."
                .to_owned(),
        );
    }
    notes
}

/// Something that stands against a verdict.
pub(super) struct Against {
    pub tone: Tone,
    pub kind: &'static str,
    pub code: String,
    pub detail: String,
}

/// All that stands against the verdicts; the round is said where there are several.
pub(super) fn against(run: &Run) -> Vec<Against> {
    let is_one = run.rounds.len() < 2;
    let of = |round: i32, found: &Discrepancy| {
        let (kind, tone) = match found.kind() {
            DiscrepancyKind::Incomplete => ("not complete", ATTENTION),
            DiscrepancyKind::Unbalanced => ("not balanced", BAD),
            DiscrepancyKind::Unspecified => ("", PLAIN),
        };
        let detail = clean(&found.detail);
        let detail = if is_one { detail } else { format!("round {round}: {detail}") };
        Against { tone, kind, code: clean(&found.code), detail }
    };
    let verdicts = verdicts(run).into_iter();
    verdicts.flat_map(|verdict| verdict.discrepancies.iter().map(move |found| of(verdict.round, found))).collect()
}

/// Dead letters of one reason.
pub(super) struct Failure {
    pub stage: String,
    pub status: String,
    pub reason: String,
    pub number: String,
    pub redriven: String,
    pub samples: String,
}

pub(super) fn failure(group: &DeadLetterGroup) -> Failure {
    Failure {
        stage: clean(&group.stage),
        status: if group.http_status == 0 { String::new() } else { group.http_status.to_string() },
        reason: clean(&group.reason),
        number: count(group.count),
        redriven: if group.redriven == 0 { String::new() } else { count(group.redriven) },
        samples: clean(&group.sample_record_ids.join(", ")),
    }
}

/// A delivery in doubt.
pub(super) struct Doubt {
    pub number: i64,
    pub place: String,
    pub why: String,
    pub next: String,
    pub records: i32,
    pub ids: String,
}

pub(super) fn doubt(delivery: &DeliveryInDoubt) -> Doubt {
    Doubt {
        number: delivery.number,
        place: format!("round {}, batch {}", delivery.round, delivery.batch),
        why: clean(&doubts::why(delivery)),
        next: doubts::next(delivery),
        records: delivery.records,
        ids: clean(&some(&delivery.record_ids)),
    }
}

/// The first of them. The report has not all.
fn some(ids: &[String]) -> String {
    let first: Vec<&str> = ids.iter().take(IDS).map(String::as_str).collect();
    format!("{}{}", first.join(", "), if ids.len() > IDS { ", \u{2026}" } else { "" })
}

/// What one side was asked for or sent.
pub(super) struct Side {
    pub title: &'static str,
    pub caption: &'static str,
    /// Name, all, for a thousand records.
    pub lines: Vec<(&'static str, String, String)>,
    /// What the lines do not say.
    pub note: Option<&'static str>,
}

/// Both sides.
pub(super) fn costs(costs: &Costs) -> [Side; 2] {
    let thousand = per_thousand(costs);
    let line = |figure: &Figure| {
        let of = thousand.iter().find(|(key, _)| *key == figure.key).map(|(_, amount)| for_thousand(figure, *amount));
        (figure.name, figure.amount.text(), of.unwrap_or_default())
    };
    let sent = deliveries(costs);
    let told =
        sent.iter().filter(|figure| ["announced", "applied"].contains(&figure.key) || figure.amount.number() > 0.0);
    [
        Side {
            title: "Source",
            caption: "What was asked of the source",
            lines: source(costs).iter().map(line).collect(),
            note: (costs.leases > 0 && costs.source.unwrap_or_default().requests == 0).then_some(
                "No worker reported a request for a record. Where a list brings whole records there are none: its pages are \
                 read by the coordinator, and neither they nor their bytes are counted here.",
            ),
        },
        Side {
            title: "Target",
            caption: "What was sent to the target",
            lines: told.map(line).collect(),
            note: None,
        },
    ]
}

fn for_thousand(figure: &Figure, amount: Amount) -> String {
    match figure.amount {
        Amount::Count(_) if amount.number() >= 100.0 => Amount::Count(0).like(amount.number()).text(),
        Amount::Count(_) => format!("{:.1}", amount.number()),
        like => like.like(amount.number()).text(),
    }
}

/// What the figures of costs do not have.
pub(super) fn costs_lack(costs: &Costs) -> Option<String> {
    let unreported = costs.leases_unreported;
    (unreported > 0).then(|| {
        format!(
            "{} of {} ended without a report (a worker that died, or gave it back): what these asked of the source is not \
             in the figures, so that it was asked at least as often as they say.",
            count(unreported),
            counted(costs.leases, "lease", "leases")
        )
    })
}

/// One round of several.
pub(super) struct RoundLine {
    pub round: i32,
    pub opened_by: String,
    pub records: String,
    pub loaded: String,
    pub dead: String,
    pub doubt: String,
    pub requests: String,
    pub deliveries: String,
    pub took: String,
    pub verdict: String,
}

pub(super) fn round(report: &Report, round: &Round) -> RoundLine {
    let costs = report.round_costs.iter().find(|costs| costs.round == round.round).copied().unwrap_or_default();
    let counts = round.verdict.as_ref().and_then(|verdict| verdict.counts);
    let told = |number: fn(&Counts) -> i64| counts.map_or_else(|| "-".to_owned(), |counts| count(number(&counts)));
    let ([requests, ..], [sent, ..]) = (source(&costs), deliveries(&costs));
    let took = worked(std::slice::from_ref(round), report.as_of.as_ref());
    RoundLine {
        round: round.round,
        opened_by: if round.opened_by.is_empty() { "the first pass".to_owned() } else { clean(&round.opened_by) },
        records: count(costs.records),
        loaded: told(|counts| counts.loaded),
        dead: told(|counts| counts.dead_letter),
        doubt: told(|counts| counts.in_doubt),
        requests: requests.amount.text(),
        deliveries: sent.amount.text(),
        took: duration(took),
        verdict: round.verdict.as_ref().map_or_else(|| "goes on".to_owned(), |verdict| headline(verdict).to_owned()),
    }
}

/// How long it was from the start to the first and to the last acknowledgement.
pub(super) fn acknowledged(report: &Report, run: &Run) -> Option<String> {
    let costs = report.costs?;
    let time = |time: Option<prost_types::Timestamp>| std::time::SystemTime::try_from(time?).ok();
    let started = time(run.created_at)?;
    let since = |at| time(at).and_then(|at| at.duration_since(started).ok()).map(duration);
    let (first, last) = (since(costs.first_applied_at)?, since(costs.last_applied_at)?);
    Some(format!("the first after {first}, the last after {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_bar_can_be_seen() {
        let of = |loaded, dead_letter, in_doubt| {
            let listed = loaded + dead_letter + in_doubt;
            bar(&Counts { listed, loaded, dead_letter, in_doubt, ..Counts::default() })
        };
        assert_eq!(of(9_999_000, 1_000, 0), [("loaded", 0, 995), ("dead", 995, 5)]);
        assert_eq!(of(1, 9_999_998, 1), [("loaded", 0, 5), ("dead", 5, 990), ("doubt", 995, 5)]);
        assert_eq!(of(3, 1, 0), [("loaded", 0, 750), ("dead", 750, 250)]);
        assert_eq!(of(0, 0, 0), []);
    }

    #[test]
    fn a_run_is_what_the_worst_of_its_rounds_is() {
        let of = |round, balanced| {
            let verdict = Verdict { round, complete: true, balanced, ..Verdict::default() };
            Round { round, verdict: Some(verdict), ..Round::default() }
        };
        let rounds = vec![of(1, false), of(2, true)];
        let run = Run { verdict: rounds[1].verdict.clone(), rounds, ..Run::default() };
        let counts = Some(Counts { listed: 7, ..Counts::default() });
        let told = verdict(&Report { run: Some(run), counts, ..Report::default() }).expect("a verdict");
        assert_eq!((told.round, told.complete, told.balanced, told.counts), (2, true, false, counts));
        assert_eq!(verdict(&Report { run: Some(Run::default()), ..Report::default() }), None);
    }
}
