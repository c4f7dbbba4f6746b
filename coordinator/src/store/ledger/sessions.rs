//! Whose a session is.

use super::{OptionalRow, SqlResult, Tx, params, sql};
use crate::store::Session;

/// Opens a session for an identity, or gives it one that was opened when nobody was asked. Gives whose it is.
pub(super) fn bind(tx: &Tx<'_>, session: &str, identity: &str, worker: Option<&Session>) -> SqlResult<Option<String>> {
    if let Some(whose) = identity_of(tx, session)?.filter(|whose| !whose.is_empty()) {
        return Ok(Some(whose));
    }
    if let Some(Session { name, version, embedded, .. }) = worker {
        let row = params![session, name, version, embedded, tx.now.as_millis(), identity];
        tx.connection.execute(sql!("session_open"), row)?;
    }
    // Whether or not it was there before, and whoever opened it at the same time: one of us has it after this.
    tx.connection.execute(sql!("session_bind"), params![session, identity])?;
    identity_of(tx, session)
}

fn identity_of(tx: &Tx<'_>, session: &str) -> SqlResult<Option<String>> {
    tx.connection.query_row(sql!("session_identity"), params![session], |row| row.get(0)).optional()
}
