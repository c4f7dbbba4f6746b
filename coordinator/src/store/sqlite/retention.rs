//! Runs that are not kept: out of sight at once, out of the file bit by bit, so that nobody waits for it.

use rusqlite::{OptionalExtension, params};

use super::runs::by_id;
use super::sql;
use super::writer::Tx;
use crate::domain::RunId;
use crate::store::{Deleted, Event, Swept};

/// Rows that one sweep takes out at most.
const ROWS: usize = 5_000;
/// Free pages that one sweep gives back at most.
const PAGES: u32 = 2_000;

/// Takes a run that is over out of sight.
pub(super) fn delete(tx: &Tx<'_>, id: &RunId) -> rusqlite::Result<Option<Deleted>> {
    let Some(run) = by_id(tx, id)? else { return Ok(None) };
    let row = params![run.key, tx.now.as_millis()];
    let deleted = tx.connection.prepare_cached(sql!("run_delete"))?.execute(row)? > 0;
    if deleted {
        tx.push(Event::RunDeleted);
    }
    Ok(Some(if deleted { Deleted::Done } else { Deleted::NotOver }))
}

/// Takes out some rows of the oldest deleted run, what refers to others first; then gives free pages back.
pub(super) fn sweep(tx: &Tx<'_>) -> rusqlite::Result<Swept> {
    let mut statement = tx.connection.prepare_cached(sql!("run_deleted"))?;
    let run: Option<i64> = statement.query_row([], |row| row.get(0)).optional()?;
    let Some(run) = run else { return vacuum(tx) };
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
        rows += tx.connection.prepare_cached(table)?.execute(params![run, i64::try_from(ROWS - rows).unwrap_or(0)])?;
        if rows >= ROWS {
            return Ok(Swept { rows: rows as u64, more: true });
        }
    }
    tx.connection.prepare_cached(sql!("sweep_run"))?.execute([run])?;
    tx.connection.prepare_cached(sql!("sweep_pipelines"))?.execute([])?;
    Ok(Swept { rows: rows as u64 + 1, more: true })
}

/// The file gets shorter with the next checkpoint.
fn vacuum(tx: &Tx<'_>) -> rusqlite::Result<Swept> {
    let free = |name: &str| tx.connection.query_row(name, [], |row| row.get::<_, u32>(0));
    let before = free("PRAGMA freelist_count")?;
    if before == 0 {
        return Ok(Swept::default());
    }
    // Each step gives one page back.
    let mut statement = tx.connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    let after = free("PRAGMA freelist_count")?;
    // A file that cannot give pages back (made before this was possible) is not asked again and again.
    Ok(Swept { rows: 0, more: after > 0 && after < before })
}
