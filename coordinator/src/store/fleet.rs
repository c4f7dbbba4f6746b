//! What is known of the workers.

use async_trait::async_trait;

use super::{Session, StoreResult};
use crate::domain::Timestamp;

/// A worker's session as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// Who.
    pub session: Session,
    /// First heard of.
    pub started_at: Timestamp,
    /// Last heard of.
    pub seen_at: Timestamp,
    /// Said goodbye.
    pub ended_at: Option<Timestamp>,
    /// Leases it holds.
    pub leases_held: i64,
    /// Batches it completed.
    pub batches_completed: i64,
    /// Its number in this ledger.
    pub row: i64,
}

/// What is known of the workers.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Sessions below row `before`, newest first; without `include_gone` only those heard of in the last minute.
    async fn workers(&self, before: Option<i64>, limit: u32, include_gone: bool) -> StoreResult<Vec<WorkerRow>>;
    /// How many sessions were heard of in the last minute and have not said goodbye.
    async fn workers_heard(&self) -> StoreResult<i64>;
}
