//! Records that came whole with the list, as the holder of a lease reads them.

use rusqlite::{Connection, params};

use super::{leases, sql};
use crate::domain::{BatchRef, LeaseToken, RunState};
use crate::store::{Item, ItemsRead, Misuse};

/// Items of a lease's batch from a place on: as many as `bytes` takes, at least one.
pub(super) fn read(
    view: &Connection,
    session: &str,
    token: &LeaseToken,
    from: u32,
    bytes: usize,
) -> rusqlite::Result<Result<ItemsRead, Misuse>> {
    let held = match leases::find(view, session, token)? {
        Ok(held) => held,
        Err(misuse) => return Ok(Err(misuse)),
    };
    if !held.current {
        return Ok(Ok(ItemsRead::Lost));
    }
    if held.facts.state != RunState::Running {
        return Ok(Ok(ItemsRead::RunStopped));
    }
    let BatchRef { run, round, batch } = held.lease.batch;
    let mut statement = view.prepare_cached(sql!("items_of_batch"))?;
    let mut rows = statement.query(params![run, round, batch, from])?;
    let (mut items, mut taken): (Vec<Item>, usize) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let body = row.get_ref(1)?.as_blob()?;
        taken += body.len();
        if taken > bytes && !items.is_empty() {
            break;
        }
        items.push(Item { position: row.get(0)?, body: body.to_vec().into() });
    }
    Ok(Ok(ItemsRead::Items(items)))
}
