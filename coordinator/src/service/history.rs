//! How a run went over time.

use std::time::Duration;

use muster_proto::v1;

use super::render;
use crate::store::History;

/// How many spans there are, of so many that are asked for; 0: any number.
pub(super) fn spans(asked: i32) -> u32 {
    match u32::try_from(asked) {
        Err(_) | Ok(0) => 60,
        Ok(asked) => asked.min(500),
    }
}

/// All spans up to the last of those found, those without anything too.
pub(super) fn response(found: &History) -> v1::GetHistoryResponse {
    let millis = |number: i64| render::duration(Duration::from_millis(u64::try_from(number).unwrap_or_default()));
    let mut spans = Vec::new();
    for one in &found.spans {
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
    v1::GetHistoryResponse { span: Some(millis(found.span_ms)), spans }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::HistorySpan;

    #[test]
    fn spans_cover_the_time_and_are_no_more_than_asked_for() {
        for millis in [0, 1, 59, 60, 61, 999, 1_000, 3_600_000] {
            for asked in [0, 1, 60, 500, 9_999] {
                let most = spans(asked);
                let span = History::span_ms(Duration::from_millis(millis), most);
                let last = i64::try_from(millis).unwrap() / span;
                assert!((0..i64::from(most)).contains(&last), "{millis} ms in {asked}: {last}");
            }
        }
    }

    #[test]
    fn spans_without_anything_are_there() {
        let one = HistorySpan { number: 2, records: 100, deliveries: 2, prompt: 2, taken_ms: 60, longest_ms: 50 };
        let spans = vec![one, HistorySpan { number: 3, prompt: 0, ..one }];
        let found = response(&History { span_ms: 1_000, spans });
        assert_eq!(found.spans.iter().map(|span| span.records).collect::<Vec<_>>(), [0, 0, 100, 100]);
        assert_eq!(found.spans[2].mean.unwrap().nanos, 30_000_000);
        assert_eq!((found.spans[0].mean, found.spans[3].mean), (None, None));
    }
}
