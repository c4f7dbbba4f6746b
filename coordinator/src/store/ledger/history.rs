//! What the target acknowledged over time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rows::{positions, time};
use super::{Connection, Row, SqlResult, params, sql};
use crate::domain::{Positions, Run, Timestamp};
use crate::store::{History, HistorySpan, Round};

/// Deliveries that are applied in part which are read at once: they come with places.
const AT_ONCE: i64 = 2_000;

/// The time in which a round worked.
struct Worked {
    round: u32,
    opened_at: Timestamp,
    length: Duration,
    /// That of the rounds before it.
    before: Duration,
}

/// A run's history over the time in which its rounds worked, in so many spans at most as `wanted` says for this time: what
/// is between two rounds may be days, and is left out.
pub(super) fn of(
    view: &dyn Connection,
    run: &Run,
    rounds: &[Round],
    wanted: impl FnOnce(Duration) -> u32,
) -> SqlResult<History> {
    let worked = worked(view, run, rounds)?;
    let time = worked.last().map_or(Duration::ZERO, |last| last.before + last.length);
    let span_ms = History::span_ms(time, wanted(time).max(1));
    let mut spans = BTreeMap::new();
    for one in &worked {
        add(view, run, one, span_ms, &mut spans)?;
    }
    Ok(History { span_ms, spans: spans.into_values().collect() })
}

/// Each round until it was over; the newest until its newest acknowledgement.
fn worked(view: &dyn Connection, run: &Run, rounds: &[Round]) -> SqlResult<Vec<Worked>> {
    let mut worked = Vec::with_capacity(rounds.len());
    let mut before = Duration::ZERO;
    for round in rounds {
        let mut end = round.finished_at;
        if round.round == run.round {
            let newest = |row: &Row| Ok(row.get::<Option<i64>>(0)?.map(Timestamp::from_millis));
            let newest = view.query_row(sql!("history_end"), params![run.key, round.round], newest)?;
            end = newest.map(|newest| end.map_or(newest, |end| end.min(newest)));
        }
        let length = end.unwrap_or(round.opened_at).since(round.opened_at);
        worked.push(Worked { round: round.round, opened_at: round.opened_at, length, before });
        before += length;
    }
    Ok(worked)
}

/// Adds what a round has; two rounds may share a span.
fn add(
    view: &dyn Connection,
    run: &Run,
    of: &Worked,
    span_ms: i64,
    spans: &mut BTreeMap<i64, HistorySpan>,
) -> SqlResult<()> {
    let (before, length) = (millis(of.before), millis(of.length));
    let values = params![run.key, of.round, of.opened_at.as_millis(), length, before, span_ms];
    let found = view.query_map(sql!("history_spans"), values, |row| Ok((span(row)?, row.get::<i64>(6)?)))?;
    let mut partly = 0;
    for (found, in_part) in found {
        partly += in_part;
        let sum = spans.entry(found.number).or_insert(HistorySpan { number: found.number, ..HistorySpan::default() });
        sum.records += found.records;
        sum.deliveries += found.deliveries;
        sum.prompt += found.prompt;
        sum.taken_ms += found.taken_ms;
        sum.longest_ms = sum.longest_ms.max(found.longest_ms);
    }
    if partly == 0 {
        return Ok(());
    }
    let mut after = (-1, -1, -1);
    loop {
        let values = params![run.key, of.round, after.0, after.1, after.2, AT_ONCE];
        let rows = view.query(sql!("history_partly"), values)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = (last.get::<i64>(0)?, last.get::<i64>(1)?, last.get::<i64>(2)?);
        for row in &rows {
            let at = time(row, 3)?.as_millis() - of.opened_at.as_millis();
            if let Some(span) = spans.get_mut(&((before + at.clamp(0, length)) / span_ms)) {
                span.records += i64::from(positions(row, 4, Positions::default)?.len());
            }
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
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
