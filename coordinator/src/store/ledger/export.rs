//! Every record of a run with its state, batch by batch, for whoever keeps the ledger elsewhere.

use std::collections::HashMap;

use super::batches::{BatchRow, LEASED, batch_row};
use super::evidence::given_up;
use super::{Connection, OptionalRow, SqlResult, params, sql};
use crate::domain::{BatchRef, RecordState, Run};
use crate::store::{ExportFrom, LedgerRow};

/// Rows of records that are in no batch, read at once.
const WAITING_AT_ONCE: i64 = 1_000;

/// The rows of the next batch, or of records in none, and where to go on.
pub(super) fn next(
    view: &dyn Connection,
    run: &Run,
    from: ExportFrom,
) -> SqlResult<(Vec<LedgerRow>, Option<ExportFrom>)> {
    let ExportFrom { round, batch, seq, unchanged } = from;
    if let Some(after) = unchanged {
        return self::unchanged(view, run.key, &after);
    }
    let found: Option<i64> =
        view.query_row(sql!("export_batch"), params![run.key, round, batch], |row| row.get(0)).optional()?;
    let Some(given_up) = given_up(view, run, round)? else { return Ok((Vec::new(), None)) };
    if let Some(number) = found {
        let (row, state) = batch_row(view, BatchRef { run: run.key, round, batch: number })?;
        let mut rows = of_batch(view, &row, state, given_up)?;
        // What waited for a full batch when it was read, and has one by now.
        let told = usize::try_from(seq - row.first_seq).unwrap_or(0).min(rows.len());
        rows.drain(..told);
        let seq = row.first_seq + i64::from(row.size);
        return Ok((rows, Some(ExportFrom { round, batch: number + 1, seq, unchanged: None })));
    }
    let (rows, next) = waiting(view, run.key, round, seq, given_up)?;
    Ok(match (rows.is_empty(), round < run.round) {
        (false, _) => (rows, Some(ExportFrom { round, batch, seq: next, unchanged: None })),
        (true, true) => (rows, Some(ExportFrom { round: round + 1, ..ExportFrom::default() })),
        (true, false) => (rows, Some(ExportFrom { unchanged: Some(String::new()), ..ExportFrom::default() })),
    })
}

fn of_batch(view: &dyn Connection, batch: &BatchRow, state: i64, given_up: bool) -> SqlResult<Vec<LedgerRow>> {
    let unresolved = match (given_up, state) {
        (true, _) => RecordState::Cancelled,
        (false, LEASED) => RecordState::Leased,
        (false, _) => RecordState::Pending,
    };
    let ledger = batch.ledger(view)?;
    let BatchRef { run, round, batch: number } = batch.batch;
    let words = view.query_map(sql!("exception_words"), params![run, round, number], |row| {
        Ok((row.get::<u32>(0)?, (row.get(1)?, row.get(2)?, row.get(3)?)))
    })?;
    let mut words: HashMap<u32, (String, String, u16)> = words.into_iter().collect();
    let key = params![run, round, batch.first_seq, batch.first_seq + i64::from(batch.size)];
    let records =
        view.query_map(sql!("records_of_batch"), key, |row| Ok((row.get::<String>(0)?, row.get::<i64>(1)?)))?;
    let mut rows = Vec::with_capacity(batch.size as usize);
    for ((place, record), state) in (0u32..).zip(records).zip(ledger.states(unresolved)) {
        let (record_id, page): (String, i64) = record;
        let carried = ledger.deliveries.iter().filter(|delivery| delivery.positions.contains(place));
        let given_up = matches!(state, RecordState::DeadLetter | RecordState::Gone);
        rows.push(LedgerRow {
            record_id,
            round,
            state,
            page: page.unsigned_abs(),
            place: Some((number, place)),
            delivery: carried.clone().map(|delivery| delivery.number).max().unwrap_or(0),
            deliveries: u32::try_from(carried.count()).unwrap_or(u32::MAX),
            possible_copies: ledger.copies_of(place),
            exception: words.remove(&place).filter(|_| given_up),
        });
    }
    Ok(rows)
}

/// Records that need not be loaded again, behind all others.
fn unchanged(view: &dyn Connection, run: i64, after: &str) -> SqlResult<(Vec<LedgerRow>, Option<ExportFrom>)> {
    let rows = view.query_map(sql!("unchanged_ids"), params![run, after, WAITING_AT_ONCE], |row| {
        Ok(LedgerRow {
            record_id: row.get(0)?,
            round: 1,
            state: RecordState::Unchanged,
            page: row.get::<i64>(1)?.unsigned_abs(),
            place: None,
            delivery: 0,
            deliveries: 0,
            possible_copies: 0,
            exception: None,
        })
    })?;
    let last = rows.last().map(|row| row.record_id.clone());
    Ok((rows, last.map(|last| ExportFrom { unchanged: Some(last), ..ExportFrom::default() })))
}

/// Records that wait for a full batch.
fn waiting(view: &dyn Connection, run: i64, round: u32, seq: i64, given_up: bool) -> SqlResult<(Vec<LedgerRow>, i64)> {
    let mut next = seq;
    let rows = view.query_map(sql!("records_from"), params![run, round, seq, WAITING_AT_ONCE], |row| {
        next = row.get::<i64>(0)? + 1;
        Ok(LedgerRow {
            record_id: row.get(1)?,
            round,
            state: if given_up { RecordState::Cancelled } else { RecordState::Pending },
            page: row.get::<i64>(2)?.unsigned_abs(),
            place: None,
            delivery: 0,
            deliveries: 0,
            possible_copies: 0,
            exception: None,
        })
    })?;
    Ok((rows, next))
}
