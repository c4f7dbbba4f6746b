//! Leases that sessions hold in stock, at the end of a run: others may have nothing to do meanwhile.

use super::{SqlResult, View, params, sql};
use crate::domain::{Holder, whom_to_ask};
use crate::store::{LEASE_TTL, Want};

/// The session that is asked to give leases back, and how many are wanted of it.
pub(super) fn largest(view: &View<'_>, want: &Want) -> SqlResult<Option<(String, u32)>> {
    let ttl = i64::try_from(LEASE_TTL.as_millis()).unwrap_or(i64::MAX);
    let heard_since = view.now()?.as_millis().saturating_sub(ttl);
    let holders = view.query_map(sql!("leases_in_stock"), params![heard_since, want.protocol], |row| {
        let (leases, shared): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(Holder { session: row.get(0)?, leases: leases.unsigned_abs(), shared: shared.unsigned_abs() })
    })?;
    let asked = whom_to_ask(&holders, &want.session, want.capacity, &want.passing_over);
    Ok(asked.map(|(holder, leases)| (holder.session.clone(), leases)))
}
