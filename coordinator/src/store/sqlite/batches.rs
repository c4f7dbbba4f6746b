//! How a batch leaves a lease: finished, or back in the queue with what is left of it.

use rusqlite::{Connection, params};

use super::rows::{RunFacts, batch_ledger};
use super::{sql, writer::Tx};
use crate::domain::{BatchLedger, BatchRef, Timestamp};

const READY: i64 = 0;
/// A batch's state while somebody works on it.
pub(super) const LEASED: i64 = 1;
const DONE: i64 = 2;

/// How a lease ended, as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum LeaseEnd {
    Completed = 0,
    Released = 1,
    Expired = 2,
}

/// Marks the grant of `epoch` as ended, unless it has ended before.
pub(super) fn end_lease(
    connection: &Connection,
    batch: BatchRef,
    epoch: u32,
    end: LeaseEnd,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let row = params![batch.run, batch.round, batch.batch, epoch, now.as_millis(), end as i64];
    connection.prepare_cached(sql!("lease_end"))?.execute(row).map(drop)
}

/// Puts a batch without an open delivery where its facts say: finished or ready, not before `earliest`. Gives whether
/// it is finished.
pub(super) fn settle_batch(
    connection: &Connection,
    batch: BatchRef,
    size: u32,
    attempt: u32,
    facts: &RunFacts,
    earliest: Timestamp,
) -> rusqlite::Result<bool> {
    let ledger = batch_ledger(connection, batch, size)?;
    let remaining = ledger.remaining(&facts.rules);
    let done = remaining.parts.is_empty();
    let available_at = remaining.not_before.map_or(earliest, |not_before| earliest.max(not_before));
    let tally = ledger.tally();
    connection.prepare_cached(sql!("batch_finish"))?.execute(params![
        batch.run,
        batch.round,
        batch.batch,
        if done { DONE } else { READY },
        available_at.as_millis(),
        attempt,
        tally.loaded,
        tally.dead_letter,
        tally.gone,
        tally.in_doubt
    ])?;
    connection.prepare_cached(sql!("run_changed"))?.execute([batch.run])?;
    Ok(done)
}

/// Writes what a batch's facts amount to, without moving it: for display while it is leased.
pub(super) fn write_tally(tx: &Tx<'_>, batch: BatchRef, ledger: &BatchLedger) -> rusqlite::Result<()> {
    let tally = ledger.tally();
    let key = params![batch.run, batch.round, batch.batch, tally.loaded, tally.dead_letter, tally.gone, tally.in_doubt];
    tx.connection.prepare_cached(sql!("batch_tally"))?.execute(key)?;
    tx.connection.prepare_cached(sql!("run_changed"))?.execute([batch.run]).map(drop)
}
