//! How a run went over time.

use std::time::Duration;

use muster_proto::v1;

use super::render;
use crate::store::HistorySpan;

/// How long each of so many spans is at least, in whole milliseconds, that they cover this time.
pub(super) fn span(time: Duration, asked: i32) -> i64 {
    let spans = match asked {
        ..=0 => 60,
        asked => i64::from(asked.min(500)),
    };
    // The moment of the end itself is within the last.
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX) / spans + 1
}

/// All spans up to the last of those found, those without anything too.
pub(super) fn response(span_ms: i64, found: &[HistorySpan]) -> v1::GetHistoryResponse {
    let millis = |number: i64| render::duration(Duration::from_millis(u64::try_from(number).unwrap_or_default()));
    let mut spans = Vec::new();
    for one in found {
        let place = usize::try_from(one.number).unwrap_or_default();
        spans.resize(place.max(spans.len()), v1::HistorySpan::default());
        let is_told = one.prompt > 0;
        spans.push(v1::HistorySpan {
            records: one.records,
            deliveries: one.deliveries,
            mean: is_told.then(|| millis(one.taken_ms / one.prompt.max(1))),
            longest: is_told.then(|| millis(one.longest_ms)),
        });
    }
    v1::GetHistoryResponse { span: Some(millis(span_ms)), spans }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_the_time_and_are_no_more_than_asked_for() {
        for millis in [0, 1, 59, 60, 61, 999, 1_000, 3_600_000] {
            for asked in [0, 1, 60, 500, 9_999] {
                let most = if asked == 0 { 60 } else { i64::from(asked.min(500)) };
                let span = span(Duration::from_millis(millis), asked);
                let last = i64::try_from(millis).unwrap() / span;
                assert!((0..most).contains(&last), "{millis} ms in {asked}: {last}");
            }
        }
    }

    #[test]
    fn spans_without_anything_are_there() {
        let one = HistorySpan { number: 2, records: 100, deliveries: 2, prompt: 2, taken_ms: 60, longest_ms: 50 };
        let found = response(1_000, &[one, HistorySpan { number: 3, prompt: 0, ..one }]);
        assert_eq!(found.spans.iter().map(|span| span.records).collect::<Vec<_>>(), [0, 0, 100, 100]);
        assert_eq!(found.spans[2].mean.unwrap().nanos, 30_000_000);
        assert_eq!((found.spans[0].mean, found.spans[3].mean), (None, None));
    }
}
