//! A PostgreSQL table that takes records.
//!
//! The rows of a delivery and a mark for each of its records come into the database in one transaction, and only records
//! without a mark become rows: exactly once per record and run, however deliveries are repeated, split or leased again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout_at};

use self::catalog::Table;
use self::connections::Connections;
use self::outcome::{Failure, Progress, Stage};
use self::rows::Rows;
use super::Delivery;
use crate::http::{PostOutcome, Turn};
use crate::spec::types::PostgresTarget;

pub use self::connections::connect_options;

mod catalog;
mod connections;
mod outcome;
mod rows;

/// Deliveries that one worker has under way at the same time, each on a connection of its own: servers have few.
const CONNECTIONS: usize = 8;

/// A table as a target. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct PostgresTable {
    shared: Arc<Shared>,
}

struct Shared {
    /// As the pipeline has it: `table` or `schema.table`.
    name: String,
    update_by: Vec<String>,
    timeout: Duration,
    places: Arc<Semaphore>,
    connections: Connections,
    /// What the database says of the table, once it was asked.
    table: Mutex<Option<Arc<Table>>>,
}

impl PostgresTable {
    pub(crate) fn new(target: &PostgresTarget, timeout: Duration) -> Self {
        let shared = Shared {
            name: target.table.clone(),
            update_by: target.update_by.clone(),
            timeout,
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            connections: Connections::new(target.url.clone()),
            table: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How long one delivery may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// Its name as the pipeline has it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Waits until a connection is free for a delivery.
    pub(crate) async fn turn(&self) -> Turn {
        // Never closed; were it, a delivery without a place of its own is better than none.
        Turn::with_place(Arc::clone(&self.shared.places).acquire_owned().await.ok())
    }

    /// Whether a delivery would get an answer, if only a refusal.
    pub(crate) async fn reachable(&self) -> bool {
        match tokio::time::timeout(self.shared.timeout, self.shared.connections.open()).await {
            Ok(Ok(connection)) => {
                self.shared.connections.give_back(connection);
                true
            }
            Ok(Err(failure)) => !matches!(failure.outcome(Stage::Connecting), PostOutcome::NotSent { .. }),
            Err(_) => false,
        }
    }

    /// Brings the delivery's records into the table.
    pub(crate) async fn deliver(&self, delivery: &Delivery<'_>, deadline: Instant) -> PostOutcome {
        let rows = match Rows::group(delivery, &self.shared.update_by) {
            Ok(rows) => rows,
            Err(detail) => return PostOutcome::Rejected { status: 0, detail },
        };
        let progress = Progress::default();
        let until = deadline.min(Instant::now() + self.shared.timeout);
        let result = match timeout_at(until, self.load(delivery, &rows, &progress)).await {
            Ok(result) => result,
            // What was under way is dropped with its connection: without a COMMIT the server takes everything back.
            Err(_) => Err(Failure::TimedOut(self.shared.timeout)),
        };
        let outcome = match result {
            Ok(()) => PostOutcome::Applied { status: 0 },
            Err(failure) => failure.outcome(progress.stage()),
        };
        if matches!(outcome, PostOutcome::PipelineWrong { .. }) {
            // Whoever mends it may change the table.
            *self.shared.table.lock().await = None;
        }
        outcome
    }

    async fn load(&self, delivery: &Delivery<'_>, rows: &Rows<'_>, progress: &Progress) -> Result<(), Failure> {
        let mut connection = self.begun().await?;
        progress.reached(Stage::Working);
        let table = self.table(&mut connection, rows).await?;
        let new = mark(&mut connection, &table, delivery).await?;
        for (columns, array) in rows.only(&new) {
            let statement = table.insert(&columns, &self.shared.update_by);
            sqlx::query(AssertSqlSafe(statement)).bind(array).execute(&mut connection).await?;
        }
        progress.reached(Stage::Committing);
        sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
        self.shared.connections.give_back(connection);
        Ok(())
    }

    /// A connection with a transaction begun. One that was kept may have died meanwhile: then another is taken.
    async fn begun(&self) -> Result<PgConnection, Failure> {
        let begin = begin(self.shared.timeout);
        while let Some(mut kept) = self.shared.connections.take() {
            if sqlx::raw_sql(AssertSqlSafe(begin.clone())).execute(&mut kept).await.is_ok() {
                return Ok(kept);
            }
        }
        let mut connection = self.shared.connections.open().await?;
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut connection).await?;
        Ok(connection)
    }

    /// What the database says of the table: asked once, and again when records have keys that it had no columns for.
    async fn table(&self, connection: &mut PgConnection, rows: &Rows<'_>) -> Result<Arc<Table>, Failure> {
        let mut known = self.shared.table.lock().await;
        if let Some(table) = known.as_ref().filter(|table| rows.unknown(table).is_none()) {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(Table::describe(connection, &self.shared.name, &begin(self.shared.timeout)).await?);
        if let Some((column, record)) = rows.unknown(&table) {
            return Err(Failure::Wrong(table.has_no_column(column, record)));
        }
        *known = Some(Arc::clone(&table));
        Ok(table)
    }
}

/// Begins a transaction that does not outlive what it is for: neither does a statement, nor one that was abandoned. What
/// is acknowledged is on the disk, also where the server is set to take that more lightly.
fn begin(timeout: Duration) -> String {
    let ms = timeout.as_millis();
    format!(
        "BEGIN; SET LOCAL statement_timeout = {ms}; SET LOCAL idle_in_transaction_session_timeout = {ms}; \
         SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
    )
}

/// Marks the delivery's records as loaded, and gives those that were not marked before. A transaction that marked the same
/// ones and is not over is waited for.
async fn mark(
    connection: &mut PgConnection,
    table: &Table,
    delivery: &Delivery<'_>,
) -> Result<Vec<String>, sqlx::Error> {
    let ids: Vec<&str> = delivery.ids.iter().map(|id| id.as_text()).collect();
    let marked = sqlx::query(AssertSqlSafe(table.mark()))
        .bind(delivery.run)
        .bind(ids)
        .bind(delivery.key)
        .fetch_all(connection)
        .await?;
    marked.iter().map(|row| row.try_get(0)).collect()
}

impl fmt::Debug for PostgresTable {
    /// Without the URL, though it is a reference only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTable").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
