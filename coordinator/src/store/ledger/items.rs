//! Records that came whole with the list, as the holder of a lease reads them.

use super::{Connection, SqlResult, leases, params, sql};
use crate::domain::{BatchRef, LeaseToken, RunState};
use crate::store::{Item, ItemsRead, Misuse};

/// Items of a lease's batch from a place on: as many as `bytes` takes, at least one.
pub(super) fn read(
    connection: &dyn Connection,
    session: &str,
    token: &LeaseToken,
    from: u32,
    bytes: usize,
) -> SqlResult<Result<ItemsRead, Misuse>> {
    let held = match leases::find(connection, session, token)? {
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
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let items = connection.query_map(sql!("items_of_batch"), params![run, round, batch, from, bytes], |row| {
        Ok(Item { position: row.get(0)?, body: row.get::<Vec<u8>>(1)?.into() })
    })?;
    Ok(Ok(ItemsRead::Items(items)))
}
