//! A plot as numbers for an SVG: what stands beside its axes is text of the page, so that it is as legible at any width.

use std::fmt::Write;
use std::time::Duration;

use muster_proto::v1::{HistorySpan, Report};

use crate::words::numbers::{duration, from_wire, rate};

/// The drawing's own measures.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 150.0;

/// A drawing over time, from the run's start on.
pub(super) struct Plot {
    pub title: &'static str,
    /// What it comes to, in words.
    pub words: String,
    /// Name and path of each line.
    pub lines: Vec<(&'static str, String)>,
    /// The surface under the first line; empty where there is none.
    pub area: String,
    /// Beside the axis, from top to bottom.
    pub above: [String; 3],
    /// Under the axis, from the start to the end.
    pub below: [String; 5],
}

/// What is drawn of a report; nothing of a run that was acknowledged nothing.
pub(super) fn all(report: &Report) -> Vec<Plot> {
    let span = from_wire(report.history_span.as_ref());
    if report.history.iter().all(|one| one.deliveries == 0) || span.is_zero() {
        return Vec::new();
    }
    vec![loaded(&report.history, span), taken(&report.history, span)]
}

/// Records a second, as steps: within a span nothing is known.
fn loaded(history: &[HistorySpan], span: Duration) -> Plot {
    let rates: Vec<f64> = history.iter().map(|one| one.records as f64 / span.as_secs_f64()).collect();
    let most = rates.iter().copied().fold(0.0, f64::max);
    let axes = Axes::new(most, rates.len());
    let mut line = String::new();
    for (place, value) in rates.iter().enumerate() {
        let start = if place == 0 { 'M' } else { 'L' };
        let _ = write!(line, "{start}{} {}H{}", axes.x(place), axes.y(*value), axes.x(place + 1));
    }
    let all: i64 = history.iter().map(|one| one.records).sum();
    let mean = all as f64 / (span.as_secs_f64() * rates.len() as f64);
    Plot {
        title: "Records loaded per second",
        words: format!("{} on average, {} at most", rate(mean), rate(most)),
        area: format!("{line}V{HEIGHT}H0Z"),
        lines: vec![("records", line)],
        above: axes.above(rate),
        below: below(span, rates.len()),
    }
}

/// How long deliveries took, as points in the middle of their spans, joined where no span between has none.
fn taken(history: &[HistorySpan], span: Duration) -> Plot {
    let seconds = |time: Option<&prost_types::Duration>| time.map(|time| from_wire(Some(time)).as_secs_f64());
    let longest: Vec<_> = history.iter().map(|one| seconds(one.longest.as_ref())).collect();
    let means: Vec<_> = history.iter().map(|one| seconds(one.mean.as_ref())).collect();
    let most = longest.iter().copied().flatten().fold(0.0, f64::max);
    let axes = Axes::new(most, history.len());
    let weights = history.iter().zip(&means).filter_map(|(one, mean)| Some((one.deliveries as f64, (*mean)?)));
    let (number, sum) =
        weights.fold((0.0, 0.0), |(number, sum), (weight, mean)| (number + weight, sum + weight * mean));
    let mean = if number > 0.0 { sum / number } else { 0.0 };
    Plot {
        title: "Time of a delivery",
        words: format!("{} on average, {} at most", short(mean), short(most)),
        area: String::new(),
        lines: vec![("mean", axes.joined(&means)), ("longest", axes.joined(&longest))],
        above: axes.above(short),
        below: below(span, history.len()),
    }
}

/// `12 ms`, `1.5 s`.
fn short(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1000.0) } else { duration(Duration::from_secs_f64(seconds)) }
}

/// The start, the end and what is between them.
fn below(span: Duration, spans: usize) -> [String; 5] {
    let end = span.saturating_mul(u32::try_from(spans).unwrap_or(u32::MAX));
    [0, 1, 2, 3, 4].map(|quarter| if quarter == 0 { "0".to_owned() } else { duration(end * quarter / 4) })
}

struct Axes {
    top: f64,
    spans: usize,
}

impl Axes {
    fn new(most: f64, spans: usize) -> Self {
        Self { top: bound(most), spans }
    }

    /// Where a span begins.
    fn x(&self, place: usize) -> String {
        tenths(place as f64 / self.spans.max(1) as f64 * WIDTH)
    }

    fn y(&self, value: f64) -> String {
        tenths(HEIGHT - value / self.top * HEIGHT)
    }

    fn above(&self, text: fn(f64) -> String) -> [String; 3] {
        [text(self.top), text(self.top / 2.0), "0".to_owned()]
    }

    fn joined(&self, values: &[Option<f64>]) -> String {
        let mut path = String::new();
        let width = WIDTH / self.spans.max(1) as f64;
        let mut is_joined = false;
        for (place, value) in values.iter().enumerate() {
            if let Some(value) = value {
                let (x, y) = ((place as f64 + 0.5) * width, self.y(*value));
                let is_alone = !is_joined && values.get(place + 1).is_none_or(Option::is_none);
                // A point by itself is as wide as its span: a mere point would not be seen.
                let _ = match (is_alone, is_joined) {
                    (true, _) => write!(path, "M{} {y}H{}", tenths(x - width / 2.0), tenths(x + width / 2.0)),
                    (false, true) => write!(path, "L{} {y}", tenths(x)),
                    (false, false) => write!(path, "M{} {y}", tenths(x)),
                };
            }
            is_joined = value.is_some();
        }
        path
    }
}

fn tenths(number: f64) -> String {
    ((number * 10.0).round() / 10.0).to_string()
}

/// A number a little above that is easily read: 1, 2, 5, 10, 20, ...
fn bound(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(most.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|bound| *bound >= most).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(records: i64, millis: Option<i32>) -> HistorySpan {
        let time = millis.map(|millis| prost_types::Duration { seconds: 0, nanos: millis * 1_000_000 });
        HistorySpan { records, deliveries: i64::from(records > 0), mean: time, longest: time }
    }

    #[test]
    fn a_scale_ends_at_a_number_that_is_easily_read() {
        let bounds = [0.0, 0.03, 1.0, 1.1, 4.0, 9.0, 1_234.0].map(bound);
        assert_eq!(bounds, [1.0, 0.05, 1.0, 2.0, 5.0, 10.0, 2_000.0]);
    }

    #[test]
    fn steps_are_drawn_and_gaps_are_not_joined() {
        let history = [span(10, Some(20)), span(0, None), span(20, Some(10)), span(20, Some(20))];
        let report = Report {
            history: history.to_vec(),
            history_span: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..Report::default()
        };
        let plots = all(&report);
        assert_eq!(plots[0].lines[0].1, "M0 75H150L150 150H300L300 0H450L450 0H600");
        assert_eq!(
            (plots[0].words.as_str(), &plots[0].above[0]),
            ("13/s on average, 20/s at most", &"20/s".to_owned())
        );
        assert_eq!(plots[1].lines[0].1, "M0 0H150M375 75L525 0");
        assert_eq!(plots[1].words, "17 ms on average, 20 ms at most");
        assert_eq!(plots[1].below, ["0", "1.0 s", "2.0 s", "3.0 s", "4.0 s"]);
    }

    #[test]
    fn of_nothing_there_is_no_plot() {
        assert!(all(&Report::default()).is_empty());
        let span = Some(prost_types::Duration { seconds: 1, nanos: 0 });
        let nothing = Report { history: vec![HistorySpan::default(); 3], history_span: span, ..Report::default() };
        assert!(all(&nothing).is_empty());
    }
}
