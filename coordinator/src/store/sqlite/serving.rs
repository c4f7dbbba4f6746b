//! The row `serving`, kept in step with every transaction of the one process that has the file.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::Timestamp;
use crate::store::ledger::Serving;

/// The row as it is, and as it was written last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kept {
    serving: Serving,
    written: Option<Serving>,
}

impl Kept {
    /// As the last coordinator left it.
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let row = connection.query_row(include_str!("sql/serving_read.sql"), [], |row| Ok((row.get(0)?, row.get(1)?)));
        let serving = row.optional()?.map(|(since, seen_at)| Serving {
            since: Timestamp::from_millis(since),
            seen_at: Some(Timestamp::from_millis(seen_at)),
        });
        Ok(Self { serving: serving.unwrap_or_default(), written: None })
    }

    /// When a coordinator was last seen serving.
    pub fn last_seen(&self) -> Timestamp {
        self.serving.seen_at.unwrap_or_default()
    }

    /// A coordinator serves now, within a transaction. Gives since when it has been so without a gap.
    pub fn seen(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<Timestamp> {
        self.serving = self.serving.seen(now);
        if self.written.is_none_or(|written| self.serving.is_news(written)) {
            let row = params![self.serving.since.as_millis(), now.as_millis()];
            connection.prepare_cached(include_str!("sql/serving_write.sql"))?.execute(row)?;
            self.written = Some(self.serving);
        }
        Ok(self.serving.since)
    }
}
