//! A report as comma-separated values: a line for each figure.

use muster_proto::v1::{Costs, Report, Run};
use prost_types::Timestamp;

use super::figures::{Figure, deliveries, pace, per_thousand, possible_copies, records, source};
use crate::words::numbers::{from_wire, seconds};
use crate::words::{clean, run_state};

/// The columns. `round` is empty where all rounds are meant; `value` is of a figure the digits alone.
const HEADING: [&str; 5] = ["run_id", "round", "section", "name", "value"];

/// A heading, then a line for each figure, quoted as RFC 4180 says. Control characters are escaped, and what a spreadsheet
/// would take for a formula has a `'` before it.
#[must_use]
pub fn csv(report: &Report) -> String {
    let run = report.run.clone().unwrap_or_default();
    let mut lines = Lines { run_id: run.run_id.clone(), out: csv::Writer::from_writer(Vec::new()) };
    lines.write(HEADING.map(str::to_owned));
    of_run(&mut lines, report, &run);
    lines.figures("", "records", &records(report));
    lines.add("", "records", "possible_copies", &possible_copies(&run).to_string());
    lines.figures("", "time", &pace(report));
    if let Some(costs) = &report.costs {
        of_costs(&mut lines, "", costs);
    }
    // One round alone is all there is.
    for costs in report.round_costs.iter().filter(|_| report.round_costs.len() > 1) {
        of_costs(&mut lines, &costs.round.to_string(), costs);
    }
    of_verdicts(&mut lines, &run);
    for group in &report.failures {
        let status = if group.http_status == 0 { String::new() } else { format!(" {}", group.http_status) };
        let name = format!("{}{status}: {}", group.stage, group.reason);
        lines.add("", "failures", &name, &group.count.to_string());
    }
    for delivery in &report.in_doubt {
        lines.add(&delivery.round.to_string(), "in_doubt", &delivery.number.to_string(), &delivery.records.to_string());
    }
    let span = from_wire(report.history_span.as_ref());
    for (began, one) in (0..).map(|place| seconds(span * place)).zip(&report.history) {
        lines.add("", "history_records", &began.to_string(), &one.records.to_string());
        for (section, time) in [("history_mean_seconds", one.mean), ("history_longest_seconds", one.longest)] {
            let told = time.map(|time| seconds(from_wire(Some(&time))).to_string());
            lines.add("", section, &began.to_string(), &told.unwrap_or_default());
        }
    }
    lines.finish()
}

fn of_run(lines: &mut Lines, report: &Report, run: &Run) {
    let time = |time: Option<&Timestamp>| time.map(ToString::to_string).unwrap_or_default();
    let about = [
        ("pipeline", run.pipeline.clone()),
        ("pipeline_revision", run.pipeline_revision.clone()),
        ("since_run", run.since_run.clone()),
        ("state", run_state(run.state()).to_owned()),
        ("round", run.round.to_string()),
        ("created_at", time(run.created_at.as_ref())),
        ("finished_at", time(run.finished_at.as_ref())),
        ("as_of", time(report.as_of.as_ref())),
        ("muster_version", report.muster_version.clone()),
    ];
    for (name, value) in about {
        lines.add("", "run", name, &value);
    }
    let mut parameters: Vec<_> = run.parameters.iter().collect();
    parameters.sort();
    for (name, value) in parameters {
        lines.add("", "parameters", name, value);
    }
}

fn of_costs(lines: &mut Lines, round: &str, costs: &Costs) {
    lines.add(round, "costs", "records", &costs.records.to_string());
    for (name, number) in [
        ("leases", costs.leases),
        ("leases_expired", costs.leases_expired),
        ("leases_unreported", costs.leases_unreported),
    ] {
        lines.add(round, "costs", name, &number.to_string());
    }
    lines.figures(round, "costs", &source(costs));
    lines.figures(round, "deliveries", &deliveries(costs));
    for (name, amount) in per_thousand(costs) {
        let name = if name == "announced" { "deliveries" } else { name };
        lines.add(round, "per_thousand", name, &amount.digits());
    }
}

fn of_verdicts(lines: &mut Lines, run: &Run) {
    for verdict in run.rounds.iter().filter_map(|round| round.verdict.as_ref()) {
        let round = verdict.round.to_string();
        for (name, says) in [("complete", verdict.complete), ("balanced", verdict.balanced)] {
            lines.add(&round, "verdict", name, &says.to_string());
        }
        for against in &verdict.discrepancies {
            lines.add(&round, "discrepancies", &against.code, &against.detail);
        }
        for field in &verdict.unknown_fields {
            lines.add(&round, "unknown_fields", &field.path, &field.records.to_string());
        }
    }
}

struct Lines {
    run_id: String,
    out: csv::Writer<Vec<u8>>,
}

impl Lines {
    fn figures(&mut self, round: &str, section: &str, figures: &[Figure]) {
        for figure in figures {
            self.add(round, section, figure.key, &figure.amount.digits());
        }
    }

    fn add(&mut self, round: &str, section: &str, name: &str, value: &str) {
        let run_id = self.run_id.clone();
        self.write([run_id, round.to_owned(), section.to_owned(), name.to_owned(), value.to_owned()]);
    }

    /// Into memory, and as many columns each time: nothing can go wrong.
    fn write(&mut self, columns: [String; 5]) {
        let _ = self.out.write_record(columns.map(|text| cell(&text)));
    }

    fn finish(self) -> String {
        self.out.into_inner().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

/// A text as nobody's terminal or spreadsheet takes it for anything else.
fn cell(text: &str) -> String {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit()) && digits.parse::<f64>().is_ok();
    let is_formula = !is_number && text.starts_with(['=', '+', '-', '@']);
    format!("{}{}", if is_formula { "'" } else { "" }, clean(text))
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::{DeadLetterGroup, Discrepancy, HistorySpan, Round, UnknownField, Verdict, WorkStats};

    use super::super::HOSTILE;
    use super::*;

    #[test]
    fn each_figure_is_a_line_and_what_sources_say_is_quoted() {
        let verdict = Some(Verdict { round: 1, complete: true, ..Verdict::default() });
        let run = Run {
            run_id: "herd-1".into(),
            parameters: [("b".to_owned(), "x,y".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
            rounds: vec![Round { round: 1, verdict, ..Round::default() }],
            ..Run::default()
        };
        let source = Some(WorkStats { requests: 7, ..WorkStats::default() });
        let failure = DeadLetterGroup {
            stage: "load".into(),
            reason: "\"no\"\nage".into(),
            http_status: 422,
            ..DeadLetterGroup::default()
        };
        let report = Report {
            run: Some(run),
            costs: Some(Costs { source, ..Costs::default() }),
            history_span: Some(prost_types::Duration { seconds: 2, nanos: 500_000_000 }),
            history: vec![HistorySpan::default(), HistorySpan { records: 9, ..HistorySpan::default() }],
            failures: vec![DeadLetterGroup { count: 3, ..failure }],
            ..Report::default()
        };
        let text = csv(&report);
        assert!(text.starts_with("run_id,round,section,name,value\nherd-1,,run,pipeline,\n"), "{text}");
        for line in [
            "herd-1,,parameters,a,1\nherd-1,,parameters,b,\"x,y\"\n",
            "herd-1,,costs,requests,7\n",
            "herd-1,1,verdict,complete,true\nherd-1,1,verdict,balanced,false\n",
            "herd-1,,failures,\"load 422: \"\"no\"\"\\nage\",3\n",
            "herd-1,,history_records,2.5,9\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let mut read = csv::Reader::from_reader(text.as_bytes());
        assert!(read.records().all(|line| line.is_ok_and(|line| line.len() == HEADING.len())));
        assert_eq!(text, csv(&report));
    }

    #[test]
    fn whatever_sources_say_steers_no_terminal_and_is_no_formula() {
        let cells = ["=1+1", "+1", "-1+1", "@SUM(A1)", "-1.5", "7", "-inf", "a=b", "", "\t=1"].map(cell);
        assert_eq!(
            cells,
            ["'=1+1", "'+1", "'-1+1", "'@SUM(A1)", "-1.5", "7", "'-inf", "a=b", "", "\\t=1"].map(String::from)
        );
        let hostile = || format!("=cmd|' /C calc'!A0{HOSTILE}");
        let against = Discrepancy { code: hostile(), detail: hostile(), ..Discrepancy::default() };
        let field = UnknownField { path: hostile(), ..UnknownField::default() };
        let verdict = Verdict { discrepancies: vec![against], unknown_fields: vec![field], ..Verdict::default() };
        let run = Run {
            run_id: hostile(),
            pipeline: hostile(),
            since_run: hostile(),
            parameters: [(hostile(), hostile())].into(),
            rounds: vec![Round { verdict: Some(verdict), ..Round::default() }],
            ..Run::default()
        };
        let failures = vec![DeadLetterGroup { stage: hostile(), reason: hostile(), ..DeadLetterGroup::default() }];
        let text = csv(&Report { run: Some(run), failures, muster_version: hostile(), ..Report::default() });
        assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text}");
        let mut read = csv::Reader::from_reader(text.as_bytes());
        for line in read.records().map(Result::unwrap) {
            assert!(line.iter().all(|cell| !cell.starts_with(['=', '+', '@', '-'])), "{line:?}");
        }
        assert!(text.contains("'=cmd|"), "it is told all the same: {text}");
    }
}
