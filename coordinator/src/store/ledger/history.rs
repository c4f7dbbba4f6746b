//! What the target acknowledged over time.

use std::time::Duration;

use super::{Connection, Row, SqlResult, params, sql};
use crate::domain::{Run, Timestamp};
use crate::store::{History, HistorySpan};

/// A run's history, in so many spans at most as `wanted` says for the time that it covers.
pub(super) fn of(view: &dyn Connection, run: &Run, wanted: impl FnOnce(Duration) -> u32) -> SqlResult<History> {
    let end = |row: &Row| Ok(row.get::<Option<i64>>(0)?.map(Timestamp::from_millis));
    let end = view.query_row(sql!("history_end"), params![run.key], end)?.unwrap_or(run.created_at);
    let time = end.since(run.created_at);
    let spans = wanted(time).max(1);
    let span_ms = History::span_ms(time, spans);
    let values = params![run.key, run.created_at.as_millis(), span_ms, i64::from(spans) - 1];
    Ok(History { span_ms, spans: view.query_map(sql!("history_spans"), values, span)? })
}

fn span(row: &Row) -> SqlResult<HistorySpan> {
    Ok(HistorySpan {
        number: row.get(0)?,
        records: row.get(1)?,
        deliveries: row.get(2)?,
        prompt: row.get(3)?,
        taken_ms: row.get(4)?,
        longest_ms: row.get(5)?,
    })
}
