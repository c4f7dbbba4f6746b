//! What is not kept, such as deleted runs: out of sight at once, out of the file bit by bit, so that nobody waits for
//! it.

use std::time::Duration;

use super::runs::by_id_alone;
use super::{OptionalRow, SqlResult, Tx, params, sql};
use crate::domain::RunId;
use crate::store::{Deleted, Event, Swept};

/// Rows that one sweep takes out at most.
const ROWS: usize = 5_000;
/// What is known of a host says nothing any more after so long.
const IDLE: Duration = Duration::from_secs(3600);

/// Takes a run that is over out of sight.
pub(super) fn delete(tx: &Tx<'_>, id: &RunId) -> SqlResult<Option<Deleted>> {
    let Some(run) = by_id_alone(tx, id)? else { return Ok(None) };
    let row = params![run.key, tx.now.as_millis()];
    let deleted = tx.connection.execute(sql!("run_delete"), row)? > 0;
    if deleted {
        // Nobody is told any more of what nobody may know any more.
        tx.connection.execute(sql!("notices_forget"), params![run.key])?;
        tx.push(Event::RunDeleted);
    }
    Ok(Some(if deleted { Deleted::Done } else { Deleted::NotOver }))
}

/// Forgets hosts that nobody asks any more; takes out some rows of the oldest deleted run, what refers to others first,
/// or else of what closed listings have seen; when neither is left, gives free pages back.
pub(super) fn sweep(tx: &Tx<'_>) -> SqlResult<Swept> {
    let idle_since = tx.now.as_millis().saturating_sub(i64::try_from(IDLE.as_millis()).unwrap_or(i64::MAX));
    tx.connection.execute(sql!("sweep_hosts"), params![idle_since.saturating_mul(1_000_000)])?;
    let run: Option<i64> = tx.connection.query_row(sql!("run_deleted"), params![], |row| row.get(0)).optional()?;
    let Some(run) = run else { return sweep_seen(tx) };
    let mut rows = 0;
    for table in [
        sql!("sweep_unknown_fields"),
        sql!("sweep_exceptions"),
        sql!("sweep_deliveries"),
        sql!("sweep_leases"),
        sql!("sweep_batches"),
        sql!("sweep_items"),
        sql!("sweep_records"),
        sql!("sweep_unchanged"),
        sql!("sweep_pages"),
        sql!("sweep_cursors"),
        sql!("sweep_seen"),
    ] {
        rows += tx.connection.execute(table, params![run, i64::try_from(ROWS - rows).unwrap_or(0)])?;
        if rows >= ROWS {
            return Ok(Swept { rows: rows as u64, more: true });
        }
    }
    tx.connection.execute(sql!("sweep_run"), params![run])?;
    tx.connection.execute(sql!("sweep_pipelines"), params![])?;
    Ok(Swept { rows: rows as u64 + 1, more: true })
}

/// What the second pass of a listing has seen says nothing any more once it is closed.
fn sweep_seen(tx: &Tx<'_>) -> SqlResult<Swept> {
    let run: Option<i64> = tx.connection.query_row(sql!("listing_seen"), params![], |row| row.get(0)).optional()?;
    let Some(run) = run else { return tx.connection.give_space_back() };
    let rows = tx.connection.execute(sql!("sweep_seen"), params![run, i64::try_from(ROWS).unwrap_or(0)])?;
    Ok(Swept { rows: rows as u64, more: true })
}
