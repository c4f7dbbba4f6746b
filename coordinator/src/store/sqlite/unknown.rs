//! Fields that a schema does not know: noted with the announcement of the records that have them.
//!
//! A row has the places of a batch's records, so that what is told again (a repeated call, the next try of the same
//! records) counts once.

use muster_pipeline::MAX_UNKNOWN_FIELDS;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::sql;
use super::writer::Tx;
use crate::domain::{BatchRef, Positions, UnknownField};
use crate::planted::Bug;

/// The path of all fields that are not told apart: no field has it.
const OTHERS: &str = "";

/// Notes which records of a batch have which unknown fields.
pub(super) fn note(tx: &Tx<'_>, at: BatchRef, fields: &[(String, Positions)]) -> rusqlite::Result<()> {
    let connection = tx.connection;
    let BatchRef { run, round, batch } = at;
    for (path, places) in fields {
        let path = if is_told_apart(connection, at, path)? { path } else { OTHERS };
        let mut statement = connection.prepare_cached(sql!("unknown_field_of_batch"))?;
        let key = params![run, round, path, batch];
        let before = statement.query_row(key, |row| positions(row, 0)).optional()?.unwrap_or_default();
        let all = before.with(places);
        let again = if tx.planted.has(Bug::CountsFieldsAgain) { before.within(places).len() } else { 0 };
        if all != before || again > 0 {
            let row = params![run, round, path, batch, all.encode(), all.len() + again];
            connection.prepare_cached(sql!("unknown_field_note"))?.execute(row)?;
        }
    }
    Ok(())
}

/// Whether a path has rows of its own, or may have them.
fn is_told_apart(connection: &Connection, at: BatchRef, path: &str) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(sql!("unknown_field_known"))?;
    if path == OTHERS || statement.exists(params![at.run, at.round, path])? {
        return Ok(true);
    }
    let mut statement = connection.prepare_cached(sql!("unknown_fields_told_apart"))?;
    let paths: i64 = statement.query_row(params![at.run, at.round], |row| row.get(0))?;
    Ok(usize::try_from(paths).is_ok_and(|paths| paths < MAX_UNKNOWN_FIELDS))
}

/// The unknown fields of a round, by path; those that are not told apart come last.
pub(super) fn of_round(view: &Connection, run: i64, round: u32) -> rusqlite::Result<Vec<UnknownField>> {
    let mut statement = view.prepare_cached(sql!("unknown_fields_of_round"))?;
    let mut record = view.prepare_cached(sql!("record_ids"))?;
    let fields = statement.query_map(params![run, round], |row| {
        let (first_seq, first): (i64, Positions) = (row.get(3)?, positions(row, 2)?);
        let seq = first_seq + i64::from(first.iter().next().unwrap_or(0));
        Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs(), seq))
    })?;
    let mut found = Vec::new();
    for field in fields {
        let (path, records, seq) = field?;
        let sample = record.query_row(params![run, round, seq, seq + 1], |row| row.get(0))?;
        found.push(UnknownField { path, records, sample });
    }
    Ok(found)
}

fn positions(row: &Row<'_>, column: usize) -> rusqlite::Result<Positions> {
    let bad = || FromSqlError::Other("no positions".into());
    let read = Positions::decode(row.get_ref(column)?.as_blob()?).ok_or_else(bad);
    read.map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error)))
}
