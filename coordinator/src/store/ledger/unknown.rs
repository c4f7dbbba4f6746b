//! Fields that a schema does not know: noted with the announcement of the records that have them.
//!
//! A row has the places of a batch's records, so that what is told again (a repeated call, the next try of the same
//! records) counts once.

use muster_pipeline::MAX_UNKNOWN_FIELDS;

use super::{Connection, Fault, OptionalRow, Row, SqlResult, Tx, params, sql};
use crate::domain::{BatchRef, Positions, UnknownField};
use crate::planted::Bug;

/// The path of all fields that are not told apart: no field has it.
const OTHERS: &str = "";

/// Notes which records of a batch have which unknown fields.
pub(super) fn note(tx: &Tx<'_>, at: BatchRef, fields: &[(String, Positions)]) -> SqlResult<()> {
    let connection = tx.connection;
    let BatchRef { run, round, batch } = at;
    for (path, places) in fields {
        let path = if is_told_apart(connection, at, path)? { path } else { OTHERS };
        let key = params![run, round, path, batch];
        let before = connection.query_row(sql!("unknown_field_of_batch"), key, |row| positions(row, 0)).optional()?;
        let before = before.unwrap_or_default();
        let all = before.with(places);
        let again = if tx.planted.has(Bug::CountsFieldsAgain) { before.within(places).len() } else { 0 };
        if all != before || again > 0 {
            let row = params![run, round, path, batch, all.encode(), all.len() + again];
            connection.execute(sql!("unknown_field_note"), row)?;
        }
    }
    Ok(())
}

/// Whether a path has rows of its own, or may have them.
fn is_told_apart(connection: &dyn Connection, at: BatchRef, path: &str) -> SqlResult<bool> {
    if path == OTHERS || !connection.query(sql!("unknown_field_known"), params![at.run, at.round, path])?.is_empty() {
        return Ok(true);
    }
    let paths: i64 =
        connection.query_row(sql!("unknown_fields_told_apart"), params![at.run, at.round], |row| row.get(0))?;
    Ok(usize::try_from(paths).is_ok_and(|paths| paths < MAX_UNKNOWN_FIELDS))
}

/// The unknown fields of a round, by path; those that are not told apart come last.
pub(super) fn of_round(connection: &dyn Connection, run: i64, round: u32) -> SqlResult<Vec<UnknownField>> {
    connection.query_map(sql!("unknown_fields_of_round"), params![run, round], |row| {
        let (first_seq, first): (i64, Positions) = (row.get(3)?, positions(row, 2)?);
        let seq = first_seq + i64::from(first.iter().next().unwrap_or(0));
        let sample = connection.query_row(sql!("record_ids"), params![run, round, seq, seq + 1], |row| row.get(0))?;
        Ok(UnknownField { path: row.get(0)?, records: row.get::<i64>(1)?.unsigned_abs(), sample })
    })
}

fn positions(row: &Row, column: usize) -> SqlResult<Positions> {
    Positions::decode(&row.get::<Vec<u8>>(column)?).ok_or_else(|| Fault::bad("no positions"))
}
