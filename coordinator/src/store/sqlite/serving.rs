//! Since when coordinators serve. A lease cannot be renewed while none does, so none is taken away until its holder
//! has had a whole TTL to be heard again.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::sql;
use crate::domain::Timestamp;

/// A silence longer than this is a gap.
const GAP: Duration = Duration::from_secs(5);
/// How often the row is written at most.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// The row `serving`, kept in step with every transaction.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Serving {
    since: Timestamp,
    seen_at: Option<Timestamp>,
    written_at: Option<Timestamp>,
}

impl Serving {
    /// As the last coordinator left it.
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let row = connection
            .query_row(sql!("serving_read"), [], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?
            .map(|(since, seen_at)| (Timestamp::from_millis(since), Timestamp::from_millis(seen_at)));
        let (since, seen_at) = row.map_or((Timestamp::default(), None), |(since, seen_at)| (since, Some(seen_at)));
        Ok(Self { since, seen_at, written_at: None })
    }

    /// When a coordinator was last seen serving.
    pub fn last_seen(&self) -> Timestamp {
        self.seen_at.unwrap_or_default()
    }

    /// A coordinator serves now, within a transaction. Gives since when it has been so without a gap.
    pub fn seen(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<Timestamp> {
        let gap = self.seen_at.is_none_or(|seen_at| now.since(seen_at) > GAP);
        if gap {
            self.since = now;
        }
        self.seen_at = Some(now);
        if gap || self.written_at.is_none_or(|written_at| now.since(written_at) >= WRITE_EVERY) {
            connection
                .prepare_cached(sql!("serving_write"))?
                .execute(params![self.since.as_millis(), now.as_millis()])?;
            self.written_at = Some(now);
        }
        Ok(self.since)
    }
}
