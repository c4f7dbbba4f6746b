//! The workers' sessions.

use std::time::Duration;

use async_trait::async_trait;

use super::{Database, SqlResult, View, params, rows, sql};
use crate::store::{Fleet, Session, StoreResult, WorkerRow};

/// A session not heard of for longer has gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Whoever was heard of since then has not gone.
fn heard_since(view: &View<'_>) -> SqlResult<i64> {
    let silence = i64::try_from(SILENCE.as_millis()).unwrap_or(i64::MAX);
    Ok(view.now()?.as_millis().saturating_sub(silence))
}

#[async_trait]
impl<D: Database> Fleet for D {
    async fn workers(&self, before: Option<i64>, limit: u32, include_gone: bool) -> StoreResult<Vec<WorkerRow>> {
        let before = before.unwrap_or(i64::MAX);
        self.read(move |view| {
            let since = heard_since(view)?;
            view.query_map(sql!("sessions_page"), params![before, limit, include_gone, since], |row| {
                Ok(WorkerRow {
                    row: row.get(0)?,
                    session: Session {
                        id: row.get(1)?,
                        name: row.get(2)?,
                        version: row.get(3)?,
                        embedded: row.get(4)?,
                    },
                    started_at: rows::time(row, 5)?,
                    seen_at: rows::time(row, 6)?,
                    ended_at: rows::time_opt(row, 7)?,
                    leases_held: row.get(8)?,
                    batches_completed: row.get(9)?,
                })
            })
        })
        .await
    }

    async fn workers_heard(&self) -> StoreResult<i64> {
        self.read(|view| view.query_row(sql!("sessions_heard"), params![heard_since(view)?], |row| row.get(0))).await
    }
}
