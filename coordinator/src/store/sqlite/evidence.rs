//! The audit's reading: batches, deliveries and exceptions of a round, merged in the order of their keys, so that
//! memory does not grow with their number.

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{Connection, OptionalExtension, Row, Rows, params};

use super::{rows, sql};
use crate::domain::{BatchEvidence, BatchLedger, ListingEvidence, Run, RunId, Timestamp};
use crate::store::EvidenceSink;

/// Reads a round of a run (`None`: the current one) into `sink`; `at` is the time of the view.
pub(super) fn read(
    view: &Connection,
    id: &RunId,
    round: Option<u32>,
    at: Timestamp,
    mut sink: Box<dyn EvidenceSink>,
) -> rusqlite::Result<Option<()>> {
    let run = view.prepare_cached(sql!("run_by_id"))?.query_row([id.as_str()], rows::run).optional()?;
    let Some(run) = run else { return Ok(None) };
    let round = round.unwrap_or(run.round);
    let Some(cancelled) = given_up(view, &run, round)? else { return Ok(None) };
    sink.round(&run, round, cancelled);
    let key = params![run.key, round];
    let mut deliveries = view.prepare_cached(sql!("evidence_deliveries"))?;
    let mut deliveries = Ahead::new(deliveries.query(key)?, rows::DELIVERY_COLUMNS)?;
    let mut exceptions = view.prepare_cached(sql!("evidence_exceptions"))?;
    let mut exceptions = Ahead::new(exceptions.query(key)?, 2)?;
    let mut batches = view.prepare_cached(sql!("evidence_batches"))?;
    let mut batches = batches.query(key)?;
    while let Some(row) = batches.next()? {
        let (batch, first, size, state): (i64, i64, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let mut ledger = BatchLedger { size, ..BatchLedger::default() };
        deliveries.take(batch, |row| rows::delivery(row, size).map(|delivery| ledger.deliveries.push(delivery)))?;
        exceptions.take(batch, |row| rows::exception(row).map(|exception| ledger.exceptions.push(exception)))?;
        let first = first.unsigned_abs();
        sink.batch(&BatchEvidence { batch, first, leased: state == 1, done: state == 2, ledger });
    }
    sink.listing(&listing(view, run.key, round)?, at);
    Ok(Some(()))
}

/// Are records of this round without an outcome given up? `None`: there is no such round.
pub(super) fn given_up(view: &Connection, run: &Run, round: u32) -> rusqlite::Result<Option<bool>> {
    if round == run.round {
        return Ok(Some(run.state.is_cancelled()));
    }
    view.prepare_cached(sql!("round_cancelled"))?.query_row(params![run.key, round], |row| row.get(0)).optional()
}

/// Rows in ascending order of their batch, taken batch by batch.
struct Ahead<'a> {
    rows: Rows<'a>,
    batch_column: usize,
}

impl<'a> Ahead<'a> {
    fn new(mut rows: Rows<'a>, batch_column: usize) -> rusqlite::Result<Self> {
        rows.advance()?;
        Ok(Self { rows, batch_column })
    }

    /// Hands over the rows of this batch.
    fn take(&mut self, batch: i64, mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        while let Some(row) = self.rows.get() {
            if row.get::<_, i64>(self.batch_column)? != batch {
                return Ok(());
            }
            each(row)?;
            self.rows.advance()?;
        }
        Ok(())
    }
}

fn listing(view: &Connection, run: i64, round: u32) -> rusqlite::Result<ListingEvidence> {
    let count = |row: &Row<'_>, column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    let mut statement = view.prepare_cached(sql!("evidence_listing"))?;
    let mut evidence = statement.query_row(params![run, round], |row| {
        Ok(ListingEvidence {
            closed: row.get(0)?,
            pages_total: count(row, 1)?,
            pages_committed: count(row, 2)?,
            pages_fresh: count(row, 3)?,
            records: count(row, 4)?,
            records_end: count(row, 5)?,
            unchanged: count(row, 6)?,
            unchanged_and_not: count(row, 7)?,
            problems: Vec::new(),
        })
    })?;
    let mut statement = view.prepare_cached(sql!("evidence_problems"))?;
    let problems = statement.query_map([run], |row| {
        let (code, detail, times): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((code, if times > 1 { format!("{detail} (and {} more)", times - 1) } else { detail }))
    })?;
    evidence.problems = problems.collect::<Result<_, _>>()?;
    Ok(evidence)
}
