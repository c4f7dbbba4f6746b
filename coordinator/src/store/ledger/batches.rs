//! How a batch leaves a lease: finished, or back in the queue with what is left of it.

use super::rows::{RunFacts, batch_ledger};
use super::{Connection, Row, SqlResult, Tx, params, sql};
use crate::domain::{BatchLedger, BatchRef, LeaseRef, Timestamp};

const READY: i64 = 0;
/// A batch's state while somebody works on it.
pub(super) const LEASED: i64 = 1;
/// A batch's state once nothing is left of it.
pub(super) const DONE: i64 = 2;

/// How a lease ended, as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum LeaseEnd {
    Completed = 0,
    Released = 1,
    Expired = 2,
}

/// Marks the grant of `epoch` as ended, unless it has ended before.
pub(super) fn end_lease(
    connection: &dyn Connection,
    batch: BatchRef,
    epoch: u32,
    end: LeaseEnd,
    now: Timestamp,
) -> SqlResult<()> {
    let row = params![batch.run, batch.round, batch.batch, epoch, now.as_millis(), end as i64];
    connection.execute(sql!("lease_end"), row).map(drop)
}

/// A batch row, as far as transitions go.
#[derive(Debug, Clone)]
pub(super) struct BatchRow {
    pub batch: BatchRef,
    pub first_seq: i64,
    pub size: u32,
    pub epoch: u32,
    pub attempt: u32,
    /// Leases in a row that ran out.
    pub lost: u32,
    /// It goes on record by record.
    pub singles: bool,
}

impl BatchRow {
    /// How many columns it has.
    pub const COLUMNS: usize = 9;

    /// The first columns of the statements about batches.
    pub fn read(row: &Row) -> SqlResult<Self> {
        Ok(Self {
            batch: BatchRef { run: row.get(0)?, round: row.get(1)?, batch: row.get(2)? },
            first_seq: row.get(3)?,
            size: row.get(4)?,
            epoch: row.get(5)?,
            attempt: row.get(6)?,
            lost: row.get(7)?,
            singles: row.get(8)?,
        })
    }

    /// The grant of its current epoch.
    pub fn lease(&self) -> LeaseRef {
        LeaseRef { batch: self.batch, epoch: self.epoch }
    }

    /// All facts about it.
    pub fn ledger(&self, connection: &dyn Connection) -> SqlResult<BatchLedger> {
        batch_ledger(connection, self.batch, self.size)
    }

    /// IDs of its records, in their order.
    pub fn ids(&self, connection: &dyn Connection) -> SqlResult<Vec<String>> {
        ids_of(connection, std::slice::from_ref(self)).map(|mut ids| ids.pop().unwrap_or_default())
    }
}

/// IDs of the records of each of these batches, in their order. A batch is one row, not one for each of its records: a row
/// costs more than the ID in it. IDs are JSON in its canonical form, which has no line breaks.
pub(super) fn ids_of(connection: &dyn Connection, batches: &[BatchRow]) -> SqlResult<Vec<Vec<String>>> {
    let each = (0i64..).zip(batches).map(|(at, of)| {
        params![at, of.batch.run, of.batch.round, of.first_seq, of.first_seq + i64::from(of.size)].to_vec()
    });
    let mut ids = vec![Vec::new(); batches.len()];
    for row in connection.query_each(sql!("batch_ids"), &[], &each.collect::<Vec<_>>())? {
        let (at, lines): (u32, Option<String>) = (row.get(0)?, row.get(1)?);
        if let (Some(ids), Some(lines)) = (ids.get_mut(at as usize), lines) {
            *ids = lines.split('\n').map(str::to_owned).collect();
        }
    }
    Ok(ids)
}

/// One batch, with its state.
pub(super) fn batch_row(connection: &dyn Connection, batch: BatchRef) -> SqlResult<(BatchRow, i64)> {
    connection.query_row(sql!("batch_row"), params![batch.run, batch.round, batch.batch], |row| {
        Ok((BatchRow::read(row)?, row.get(BatchRow::COLUMNS)?))
    })
}

/// Puts a batch without an open delivery where its facts say: finished or ready, not before `earliest`. Gives whether
/// it is finished.
pub(super) fn settle_batch(
    connection: &dyn Connection,
    row: &BatchRow,
    facts: &RunFacts,
    earliest: Timestamp,
) -> SqlResult<bool> {
    let ledger = row.ledger(connection)?;
    let remaining = ledger.remaining(&facts.rules, row.singles);
    let done = remaining.parts.is_empty();
    let available_at = remaining.not_before.map_or(earliest, |not_before| earliest.max(not_before));
    let tally = ledger.tally();
    connection.execute(
        sql!("batch_finish"),
        params![
            row.batch.run,
            row.batch.round,
            row.batch.batch,
            if done { DONE } else { READY },
            available_at.as_millis(),
            row.attempt,
            row.lost,
            row.singles,
            tally.loaded,
            tally.dead_letter,
            tally.gone,
            tally.in_doubt
        ],
    )?;
    connection.execute(sql!("run_changed"), params![row.batch.run])?;
    Ok(done)
}

/// Writes what a batch's facts amount to, without moving it: for display while it is leased.
pub(super) fn write_tally(connection: &dyn Connection, batch: BatchRef, ledger: &BatchLedger) -> SqlResult<()> {
    let tally = ledger.tally();
    let key = params![batch.run, batch.round, batch.batch, tally.loaded, tally.dead_letter, tally.gone, tally.in_doubt];
    connection.execute(sql!("batch_tally"), key)?;
    connection.execute(sql!("run_changed"), params![batch.run]).map(drop)
}

/// Facts were added to a batch, whoever has it now. A leased batch moves when its lease ends; one that is not is put
/// where its facts say. A verdict that says otherwise is to be written anew.
pub(super) fn facts_changed(tx: &Tx<'_>, batch: BatchRef, facts: &RunFacts) -> SqlResult<()> {
    let (row, state) = batch_row(tx.connection, batch)?;
    tx.connection.execute(sql!("round_stale"), params![batch.run, batch.round])?;
    tx.tell_work();
    if state == LEASED {
        return write_tally(tx.connection, batch, &row.ledger(tx.connection)?);
    }
    // What it waited for may have been the doubt that is settled now.
    settle_batch(tx.connection, &row, facts, tx.now).map(drop)
}
