//! The figures of a report, each with the name that machines know it by, and the one for people.

use std::time::Duration;

use muster_proto::v1::{Costs, Report, Round, Run};
use prost_types::Timestamp;

use crate::words::numbers::{bytes, count, duration, from_wire, rate, seconds};
use crate::words::verdict::states;

/// How much of something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// So many.
    Count(i64),
    /// So many bytes.
    Bytes(i64),
    /// So many seconds.
    Seconds(f64),
    /// So many a second.
    Rate(f64),
}

/// One figure of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The name in JSON and in tables of values.
    pub key: &'static str,
    /// The name for people.
    pub name: &'static str,
    /// How much.
    pub amount: Amount,
}

impl Amount {
    /// As a number.
    #[must_use]
    pub fn number(self) -> f64 {
        match self {
            Amount::Count(number) | Amount::Bytes(number) => number as f64,
            Amount::Seconds(number) | Amount::Rate(number) => number,
        }
    }

    /// The same kind of amount.
    #[must_use]
    pub fn like(self, number: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "rounded, and `as` saturates")]
        match self {
            Amount::Count(_) => Amount::Count(number.round() as i64),
            Amount::Bytes(_) => Amount::Bytes(number.round() as i64),
            Amount::Seconds(_) => Amount::Seconds(number),
            Amount::Rate(_) => Amount::Rate(number),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Amount::Count(number) => count(number),
            Amount::Bytes(number) => signed(number < 0, &bytes(number.unsigned_abs())),
            Amount::Seconds(number) => {
                signed(number < 0.0, &duration(Duration::try_from_secs_f64(number.abs()).unwrap_or(Duration::MAX)))
            }
            Amount::Rate(number) => signed(number < 0.0, &rate(number.abs())),
        }
    }

    /// For machines: digits alone, at most three of them decimals.
    #[must_use]
    pub fn digits(self) -> String {
        match self {
            Amount::Count(number) | Amount::Bytes(number) => number.to_string(),
            Amount::Seconds(number) | Amount::Rate(number) => ((number * 1000.0).round() / 1000.0).to_string(),
        }
    }
}

fn signed(is_negative: bool, text: &str) -> String {
    if is_negative { format!("-{text}") } else { text.to_owned() }
}

/// How long rounds worked: from the start to the end of each, all together; one that goes on until `as_of`.
pub(super) fn worked(rounds: &[Round], as_of: Option<&Timestamp>) -> Duration {
    let span = |from: Option<&Timestamp>, to: Option<&Timestamp>| {
        let time = |time: Option<&Timestamp>| time.and_then(|time| std::time::SystemTime::try_from(*time).ok());
        time(from).zip(time(to)).and_then(|(from, to)| to.duration_since(from).ok()).unwrap_or_default()
    };
    rounds.iter().map(|round| span(round.opened_at.as_ref(), round.finished_at.as_ref().or(as_of))).sum()
}

/// Copies that the target may hold beyond the first, of all rounds.
#[must_use]
pub fn possible_copies(run: &Run) -> i64 {
    run.rounds.iter().filter_map(|round| round.verdict.as_ref()).map(|verdict| verdict.possible_copies).sum()
}

fn figure(key: &'static str, name: &'static str, amount: Amount) -> Figure {
    Figure { key, name, amount }
}

/// What became of the records.
pub(super) fn records(report: &Report) -> Vec<Figure> {
    let counts = report.counts.unwrap_or_default();
    let key = |name| match name {
        "dead letters" => "dead_letter",
        "in doubt" => "in_doubt",
        name => name,
    };
    let mut figures = vec![figure("listed", "listed", Amount::Count(counts.listed))];
    figures.extend(states(&counts).map(|(name, number, _)| figure(key(name), name, Amount::Count(number))));
    figures
}

/// How fast it went.
pub(super) fn pace(report: &Report) -> Vec<Figure> {
    let rounds = report.run.as_ref().map(|run| run.rounds.as_slice()).unwrap_or_default();
    let worked = worked(rounds, report.as_of.as_ref());
    let loaded = report.counts.unwrap_or_default().loaded;
    let per_second = if worked.is_zero() { 0.0 } else { loaded as f64 / worked.as_secs_f64() };
    vec![
        figure("worked_seconds", "time", Amount::Seconds(seconds(worked))),
        figure("records_per_second", "records/s", Amount::Rate(per_second)),
    ]
}

/// What was asked of the source.
pub(super) fn source(costs: &Costs) -> [Figure; 5] {
    let work = costs.source.unwrap_or_default();
    [
        figure("requests", "requests", Amount::Count(work.requests)),
        figure("retries", "retries", Amount::Count(work.retries)),
        figure("hedges", "hedges", Amount::Count(work.hedges)),
        figure("bytes_received", "bytes received", Amount::Bytes(work.bytes_received)),
        figure("waited_seconds", "held back", Amount::Seconds(seconds(from_wire(work.waited.as_ref())))),
    ]
}

/// Deliveries to the target by how they ended.
pub(super) fn deliveries(costs: &Costs) -> [Figure; 10] {
    let of = costs.deliveries.unwrap_or_default();
    let counted = |key, name, number| figure(key, name, Amount::Count(number));
    [
        counted("announced", "deliveries", of.announced),
        counted("applied", "applied", of.applied),
        counted("partly_applied", "partly applied", of.partly_applied),
        counted("not_applied", "not applied", of.not_applied),
        counted("rejected", "rejected", of.rejected),
        counted("in_doubt", "in doubt", of.in_doubt),
        counted("open", "open", of.open),
        counted("repeats", "repeats of a doubt", of.repeats),
        counted("records", "records sent", of.records),
        counted("most_tries", "most tries of one", of.most_tries.into()),
    ]
}

/// What it would have cost for a thousand records, under the keys of what it is of.
pub(super) fn per_thousand(costs: &Costs) -> Vec<(&'static str, Amount)> {
    let Some(of) = costs.per_thousand else { return Vec::new() };
    // Numbers of things are no whole numbers here.
    vec![
        ("requests", Amount::Rate(of.requests)),
        ("retries", Amount::Rate(of.retries)),
        ("hedges", Amount::Rate(of.hedges)),
        ("bytes_received", Amount::Rate(of.bytes_received)),
        ("waited_seconds", Amount::Seconds(of.waited_seconds)),
        ("announced", Amount::Rate(of.deliveries)),
    ]
}

/// The figures by which two runs are compared.
#[must_use]
pub fn compared(report: &Report) -> Vec<Figure> {
    let costs = report.costs.unwrap_or_default();
    let wanted = ["listed", "loaded", "dead_letter", "gone", "unchanged", "in_doubt", "cancelled"];
    let mut figures: Vec<_> = records(report).into_iter().filter(|figure| wanted.contains(&figure.key)).collect();
    let copies = report.run.as_ref().map_or(0, possible_copies);
    figures.push(figure("possible_copies", "possible copies", Amount::Count(copies)));
    figures.extend(pace(report));
    figures.extend(source(&costs));
    let [announced, .., repeats, _, _] = deliveries(&costs);
    figures.push(Figure { key: "deliveries", ..announced });
    figures.push(repeats);
    figures
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::{CostsPerThousand, Counts};

    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn amounts_are_for_people_and_for_machines() {
        let all = [
            (Amount::Count(-1234), "-1,234", "-1234"),
            (Amount::Bytes(1536), "1.5 KiB", "1536"),
            (Amount::Bytes(-1536), "-1.5 KiB", "-1536"),
            (Amount::Seconds(-65.25), "-1 m 05 s", "-65.25"),
            (Amount::Rate(1_234.567_89), "1,235/s", "1234.568"),
        ];
        for (amount, text, digits) in all {
            assert_eq!((amount.text().as_str(), amount.digits().as_str()), (text, digits));
        }
        assert_eq!(Amount::Count(7).like(3.0), Amount::Count(3));
    }

    #[test]
    fn time_is_that_of_all_rounds_and_goes_on_until_the_report() {
        let round = |opened, finished| Round { opened_at: at(opened), finished_at: finished, ..Round::default() };
        let rounds = vec![round(0, at(10)), round(1_000, None)];
        assert_eq!(worked(&rounds, at(1_005).as_ref()), Duration::from_secs(15));
        let counts = Some(Counts { loaded: 30, ..Counts::default() });
        let run = Some(Run { rounds, ..Run::default() });
        let figures = pace(&Report { run, counts, as_of: at(1_005), ..Report::default() });
        assert_eq!(figures[1].amount, Amount::Rate(2.0));
    }

    #[test]
    fn whatever_is_told_for_a_thousand_records_is_told_in_all_too() {
        let costs = Costs { per_thousand: Some(CostsPerThousand::default()), ..Costs::default() };
        let all: Vec<_> = source(&costs).iter().chain(&deliveries(&costs)).map(|figure| figure.key).collect();
        assert_eq!(per_thousand(&costs).len(), 6);
        for (key, _) in per_thousand(&costs) {
            assert!(all.contains(&key), "{key}");
        }
        assert!(per_thousand(&Costs::default()).is_empty());
    }
}
