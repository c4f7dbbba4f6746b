//! The audit's reading: batches, deliveries and exceptions of a round, some batches at a time, so that
//! memory does not grow with their number.

use super::{Connection, OptionalRow, Row, SqlResult, params, rows, sql};
use crate::domain::{BatchEvidence, BatchLedger, ListingEvidence, Run, RunId, Timestamp};
use crate::store::EvidenceSink;

/// Batches read at once.
const AT_ONCE: i64 = 500;

/// Reads a round of a run (`None`: the current one) into `sink`; `at` is the time of the view.
pub(super) fn read(
    view: &dyn Connection,
    id: &RunId,
    round: Option<u32>,
    at: Timestamp,
    mut sink: Box<dyn EvidenceSink>,
) -> SqlResult<Option<()>> {
    let run = view.query_row(sql!("run_by_id"), params![id.as_str()], rows::run).optional()?;
    let Some(run) = run else { return Ok(None) };
    let round = round.unwrap_or(run.round);
    let Some(cancelled) = given_up(view, &run, round)? else { return Ok(None) };
    sink.round(&run, round, cancelled);
    let mut next = 0;
    while let Some(last) = window(view, run.key, round, next, sink.as_mut())? {
        next = last + 1;
    }
    sink.listing(&listing(view, run.key, round)?, at);
    Ok(Some(()))
}

/// Are records of this round without an outcome given up? `None`: there is no such round.
pub(super) fn given_up(view: &dyn Connection, run: &Run, round: u32) -> SqlResult<Option<bool>> {
    if round == run.round {
        return Ok(Some(run.state.is_cancelled()));
    }
    view.query_row(sql!("round_cancelled"), params![run.key, round], |row| row.get(0)).optional()
}

/// Hands over some batches from this number on; gives the number of the last.
fn window(
    view: &dyn Connection,
    run: i64,
    round: u32,
    from: i64,
    sink: &mut dyn EvidenceSink,
) -> SqlResult<Option<i64>> {
    let batches = view.query(sql!("evidence_batches"), params![run, round, from, AT_ONCE])?;
    let Some(last) = batches.last() else { return Ok(None) };
    let last: i64 = last.get(0)?;
    let key = params![run, round, from, last];
    let mut deliveries = Ahead::new(view.query(sql!("evidence_deliveries"), key)?, rows::DELIVERY_COLUMNS);
    let mut exceptions = Ahead::new(view.query(sql!("evidence_exceptions"), key)?, 2);
    for row in &batches {
        let (batch, first, size, state): (i64, i64, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let mut ledger = BatchLedger { size, ..BatchLedger::default() };
        deliveries.take(batch, |row| rows::delivery(row, size).map(|delivery| ledger.deliveries.push(delivery)))?;
        exceptions.take(batch, |row| rows::exception(row).map(|exception| ledger.exceptions.push(exception)))?;
        let first = first.unsigned_abs();
        sink.batch(&BatchEvidence { batch, first, leased: state == 1, done: state == 2, ledger });
    }
    Ok(Some(last))
}

/// Rows in ascending order of their batch, taken batch by batch.
struct Ahead {
    rows: std::iter::Peekable<std::vec::IntoIter<Row>>,
    batch_column: usize,
}

impl Ahead {
    fn new(rows: Vec<Row>, batch_column: usize) -> Self {
        Self { rows: rows.into_iter().peekable(), batch_column }
    }

    /// Hands over the rows of this batch.
    fn take(&mut self, batch: i64, mut each: impl FnMut(&Row) -> SqlResult<()>) -> SqlResult<()> {
        while let Some(row) = self.rows.peek() {
            if row.get::<i64>(self.batch_column)? != batch {
                return Ok(());
            }
            each(row)?;
            self.rows.next();
        }
        Ok(())
    }
}

fn listing(view: &dyn Connection, run: i64, round: u32) -> SqlResult<ListingEvidence> {
    let count = |row: &Row, column| row.get::<i64>(column).map(i64::unsigned_abs);
    let mut evidence = view.query_row(sql!("evidence_listing"), params![run, round], |row| {
        Ok(ListingEvidence {
            closed: row.get(0)?,
            pages_total: count(row, 1)?,
            pages_committed: count(row, 2)?,
            pages_fresh: count(row, 3)?,
            records: count(row, 4)?,
            records_end: count(row, 5)?,
            unchanged: count(row, 6)?,
            unchanged_and_not: count(row, 7)?,
            degraded: row.get(8)?,
            problems: Vec::new(),
        })
    })?;
    evidence.problems = view.query_map(sql!("evidence_problems"), params![run], |row| {
        let (code, detail, times): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((code, if times > 1 { format!("{detail} (and {} more)", times - 1) } else { detail }))
    })?;
    Ok(evidence)
}
