//! Two runs side by side.

use std::collections::BTreeMap;

use muster_coordinator::report::{self, Amount, Figure, compared};
use muster_proto::v1::{Report, Run};
use serde_json::{Value, json};

use super::paint::Tone;
use super::table::{Align, Table, toned_fields};
use super::verdict::headline;
use super::{clean, run_state, short_revision, verdict};

const FIGURE: &str = "figure";
const CHANGE: &str = "change";
const DIFFERENCE: &str = "difference";

/// What one figure is in both, and by how much it differs.
struct Pair {
    figure: Figure,
    second: Amount,
}

impl Pair {
    fn difference(&self) -> Amount {
        self.figure.amount.like(self.second.number() - self.figure.amount.number())
    }

    /// By how many percent of the first the second is more; nothing where the first is none and the second is some.
    fn percent(&self) -> Option<f64> {
        let (first, second) = (self.figure.amount.number(), self.second.number());
        if first == second {
            return Some(0.0);
        }
        (first != 0.0).then(|| ((second - first) / first * 1000.0).round() / 10.0)
    }
}

fn pairs(first: &Report, second: &Report) -> Vec<Pair> {
    let seconds = compared(second);
    let of = |figure: Figure| {
        let second = seconds.iter().find(|other| other.key == figure.key)?.amount;
        Some(Pair { figure, second })
    };
    compared(first).into_iter().filter_map(of).collect()
}

fn run(report: &Report) -> Run {
    report.run.clone().unwrap_or_default()
}

/// Both runs, how what they were asked to do differs, then a line for each figure.
pub fn text(first: &Report, second: &Report, width: Option<usize>) -> String {
    let (a, b) = (run(first), run(second));
    let mut lines = vec![("first", stands(first), tone(first)), ("second", stands(second), tone(second))];
    let differ = differences(&a, &b);
    if !differ.is_empty() {
        lines.push(("differ in", differ.join("\n"), Some(Tone::Attention)));
    }
    let mut text = toned_fields("", lines);
    let mut table = Table::new(&[
        (FIGURE, Align::Left),
        ("first", Align::Right),
        ("second", Align::Right),
        (DIFFERENCE, Align::Right),
        (CHANGE, Align::Right),
    ])
    .narrowed_by(&[CHANGE, DIFFERENCE]);
    for pair in pairs(first, second) {
        let difference = pair.difference();
        let is_same = pair.second.number() == pair.figure.amount.number();
        let sign = if difference.number() > 0.0 { "+" } else { "" };
        table.row([
            pair.figure.name.to_owned(),
            pair.figure.amount.text(),
            pair.second.text(),
            if is_same { "=".to_owned() } else { format!("{sign}{}", difference.text()) },
            match pair.percent() {
                _ if is_same => String::new(),
                Some(percent) => format!("{percent:+.1}%"),
                None => "new".to_owned(),
            },
        ]);
    }
    text.push('\n');
    text.push_str(&table.render(width));
    text
}

/// `animals-1: finished, complete and balanced`.
fn stands(report: &Report) -> String {
    let run = run(report);
    let verdict = report::verdict(report).map_or_else(String::new, |verdict| format!(", {}", headline(&verdict)));
    format!("{}: {}{verdict}", run.run_id, run_state(run.state()))
}

fn tone(report: &Report) -> Option<Tone> {
    report::verdict(report).as_ref().map(verdict::tone)
}

/// What both were asked to do that is not the same.
fn differences(first: &Run, second: &Run) -> Vec<String> {
    let mut differ = Vec::new();
    if first.pipeline != second.pipeline {
        differ.push(format!("pipeline: {}, {}", clean(&first.pipeline), clean(&second.pipeline)));
    }
    if first.pipeline_revision != second.pipeline_revision {
        let revisions = [first, second].map(|run| short_revision(&run.pipeline_revision));
        differ.push(format!("revision: {}", revisions.join(", ")));
    }
    let unset = || "not set".to_owned();
    for (name, [a, b]) in parameters(first, second) {
        differ.push(format!("{}: {}, {}", clean(name), a.map_or_else(unset, clean), b.map_or_else(unset, clean)));
    }
    if first.since_run != second.since_run {
        let since = |run: &Run| if run.since_run.is_empty() { "none".to_owned() } else { clean(&run.since_run) };
        differ.push(format!("goes on from: {}, {}", since(first), since(second)));
    }
    if first.round != second.round {
        differ.push(format!("rounds: {}, {}", first.round, second.round));
    }
    differ
}

/// Parameters that are not the same, with both values.
fn parameters<'a>(first: &'a Run, second: &'a Run) -> BTreeMap<&'a str, [Option<&'a str>; 2]> {
    let names = first.parameters.keys().chain(second.parameters.keys());
    let value = |run: &'a Run, name: &str| run.parameters.get(name).map(String::as_str);
    let both = names.map(|name| (name.as_str(), [value(first, name), value(second, name)]));
    both.filter(|(_, [a, b])| a != b).collect()
}

/// The same for scripts. `percent` is null where the first is nothing and the second is something.
pub fn json(first: &Report, second: &Report) -> Value {
    let (a, b) = (run(first), run(second));
    let figures: Vec<Value> = pairs(first, second)
        .iter()
        .map(|pair| {
            json!({
                "name": pair.figure.key,
                "first": number(pair.figure.amount),
                "second": number(pair.second),
                "difference": number(pair.difference()),
                "percent": pair.percent(),
            })
        })
        .collect();
    json!({
        "first": one(first),
        "second": one(second),
        "same_pipeline": a.pipeline == b.pipeline,
        "same_revision": a.pipeline_revision == b.pipeline_revision,
        "same_parameters": parameters(&a, &b).is_empty(),
        "figures": figures,
    })
}

/// Whole numbers as such.
fn number(amount: Amount) -> Value {
    match amount {
        Amount::Count(number) | Amount::Bytes(number) => number.into(),
        Amount::Seconds(number) | Amount::Rate(number) => ((number * 1000.0).round() / 1000.0).into(),
    }
}

fn one(report: &Report) -> Value {
    let (run, verdict) = (run(report), report::verdict(report));
    json!({
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "pipeline_revision": run.pipeline_revision,
        "parameters": run.parameters.iter().collect::<BTreeMap<_, _>>(),
        "since_run": run.since_run,
        "round": run.round,
        "state": run_state(run.state()),
        "complete": verdict.as_ref().map(|verdict| verdict.complete),
        "balanced": verdict.as_ref().map(|verdict| verdict.balanced),
    })
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::{Costs, Counts, Round, RunState, Verdict, WorkStats};

    use super::*;

    fn report(id: &str, loaded: i64, requests: i64) -> Report {
        let counts = Counts { listed: 200, loaded, dead_letter: 200 - loaded, ..Counts::default() };
        let verdict = Verdict { complete: true, balanced: true, counts: Some(counts), ..Verdict::default() };
        let run = Run {
            run_id: id.into(),
            pipeline: "animals".into(),
            pipeline_revision: "0123456789abcdef".into(),
            parameters: [("base_url".to_owned(), "http://a".to_owned())].into(),
            state: RunState::Finished.into(),
            round: 1,
            verdict: Some(verdict),
            ..Run::default()
        };
        let source = Some(WorkStats { requests, ..WorkStats::default() });
        let costs = Some(Costs { source, ..Costs::default() });
        Report { run: Some(run), counts: Some(counts), costs, ..Report::default() }
    }

    #[test]
    fn figures_stand_side_by_side() {
        let (first, second) = (report("animals-1", 200, 1_000), report("animals-2", 190, 1_250));
        let shown = text(&first, &second, None);
        assert!(
            shown.starts_with("first   animals-1: finished, complete and balanced\nsecond  animals-2: "),
            "{shown}"
        );
        assert!(!shown.contains("differ in"), "{shown}");
        let row = |name: &str| {
            let line = shown.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("listed"), ["listed", "200", "200", "="]);
        assert_eq!(row("loaded"), ["loaded", "200", "190", "-10", "-5.0%"]);
        assert_eq!(row("dead"), ["dead", "letters", "0", "10", "+10", "new"]);
        assert_eq!(row("requests"), ["requests", "1,000", "1,250", "+250", "+25.0%"]);
        let narrow = text(&first, &second, Some(40));
        assert!(narrow.lines().all(|line| line.chars().count() <= 60) && !narrow.contains("CHANGE"), "{narrow}");
    }

    #[test]
    fn a_run_stands_as_the_worst_of_its_rounds_does() {
        let (mut first, second) = (report("animals-1", 200, 1), report("animals-2", 200, 1));
        let run = first.run.as_mut().expect("a run");
        let newest = run.verdict.clone();
        let bad = newest.clone().map(|verdict| Verdict { balanced: false, ..verdict });
        run.rounds = [bad, newest].map(|verdict| Round { verdict, ..Round::default() }).into();
        let shown = text(&first, &second, None);
        assert!(shown.starts_with("first   animals-1: finished, complete, but NOT BALANCED\n"), "{shown}");
        assert!(shown.contains("animals-2: finished, complete and balanced\n"), "{shown}");
        let told = json(&first, &second);
        assert_eq!((&told["first"]["balanced"], &told["second"]["balanced"]), (&json!(false), &json!(true)));
    }

    #[test]
    fn what_was_asked_of_them_may_differ() {
        let (first, mut second) = (report("animals-1", 200, 1), report("animals-2", 200, 1));
        let run = second.run.as_mut().expect("a run");
        run.pipeline_revision = "ffff456789abcdef".into();
        run.parameters = [("base_url".to_owned(), "http://\u{1b}b".to_owned())].into();
        let shown = text(&first, &second, None);
        assert!(shown.contains("differ in  revision: 0123456789ab, ffff456789ab\n"), "{shown}");
        assert!(shown.contains("base_url: http://a, http://\\u{1b}b\n"), "{shown}");
        let told = json(&first, &second);
        let same = ["same_pipeline", "same_revision", "same_parameters"].map(|name| told[name].clone());
        assert_eq!(same, [json!(true), json!(false), json!(false)]);
        let loaded = told["figures"].as_array().expect("figures").iter().find(|one| one["name"] == "loaded");
        assert_eq!(
            *loaded.expect("loaded"),
            json!({ "name": "loaded", "first": 200, "second": 200, "difference": 0, "percent": 0.0 })
        );
    }
}
