//! Batches that take their workers down: three leases in a row that ran out, and a batch goes on record by record; five
//! with the same record alone, and that record is given up on. Workers are also killed by chance, so a batch that was
//! only near pays with time, and a record with its outcome only when chance is no explanation any more.

use super::batches::BatchRow;
use super::rows::{RunFacts, exception_code};
use super::{Connection, SqlResult, params, sql};
use crate::domain::{ExceptionKind, Timestamp};

/// Leases in a row that run out before a batch is suspected.
const LOST_TOGETHER: u32 = 3;
/// The same of a record that is leased alone.
const LOST_ALONE: u32 = 5;
/// Stage of a record that was given up on because of it.
const STAGE: &str = "worker";

/// The batch after one more lease ran out. A lease that left a delivery in doubt says nothing against the record alone:
/// doubts have bounds of their own.
pub(super) fn after_loss(
    connection: &dyn Connection,
    row: &BatchRow,
    facts: &RunFacts,
    in_doubt: bool,
    now: Timestamp,
) -> SqlResult<BatchRow> {
    let lost = row.lost + 1;
    if lost < if row.singles { LOST_ALONE } else { LOST_TOGETHER } {
        return Ok(BatchRow { lost, ..row.clone() });
    }
    if row.singles && !in_doubt && !facts.state.is_cancelled() {
        give_up_first(connection, row, facts, now)?;
    }
    Ok(BatchRow { lost: 0, singles: true, ..row.clone() })
}

/// The record that was leased alone. One in doubt stays in doubt, but is not sent again.
fn give_up_first(connection: &dyn Connection, row: &BatchRow, facts: &RunFacts, now: Timestamp) -> SqlResult<()> {
    let ledger = row.ledger(connection)?;
    if ledger.deliveries.iter().any(|delivery| delivery.epoch == row.epoch) {
        // Its worker got as far as sending it: the next record may be another one.
        return Ok(());
    }
    let remaining = ledger.remaining(&facts.rules, true);
    let Some(position) = remaining.parts.first().and_then(|part| part.positions.iter().next()) else { return Ok(()) };
    let reason = format!("{LOST_ALONE} workers in a row were not heard of again while they worked on it alone");
    let key = params![row.batch.run, row.batch.round, row.batch.batch, now.as_millis()];
    let kind = exception_code(ExceptionKind::DeadLetter);
    let exception = params![position, kind, STAGE, reason, 0_i64, "", false].to_vec();
    connection.execute_each(sql!("exception_insert"), key, &[exception]).map(drop)
}
