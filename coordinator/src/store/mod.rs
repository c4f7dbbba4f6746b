//! The store: where a coordinator's state lives. Traits by use, one folder for each kind of database.
//!
//! One transition = one method = one transaction. Losing a race is a value; an error means that nobody knows whether
//! something was committed, or that the store is broken.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod events;
mod fleet;
mod leases;
mod ledger;
mod outbox;
pub mod postgres;
mod queries;
mod rates;
mod report;
mod rounds;
mod schema;
pub mod sqlite;
mod stories;
mod transitions;

use std::time::Duration;

pub use events::{Event, Events};
pub use fleet::{Fleet, WorkerRow};
pub use leases::{
    Acquire, Acquired, Begin, Begun, Completion, Expired, ExpiredLease, GrantedLease, Item, ItemsRead, Misuse,
    RecordReport, Refusal, Renewal, Report, Session, Want, WorkerResult,
};
pub use outbox::{Destination, Notice, NoticeClaim, NoticeEvent, NoticeState, Outbox, Pace, Stall, Tried, Watched};
pub use queries::{Acknowledgement, Demand, EvidenceSink, History, HistorySpan, Queries, RunDemand, StoredPipeline};
pub use rates::{ClosedHost, Rates, Reserve, Reserved};
pub use report::{Costs, Deliveries, ReportBounds, RunReport, WorkDone};
pub use rounds::{
    DeadLetter, DeadLetterFilter, DeadLetterGroup, Deleted, Doubt, DoubtPlan, ExportFrom, LedgerRow, Outcomes,
    RecordPlace, Redrive, Redriven, Round, Settle, SettleRefusal, Settled, StaleRound, Swept,
};
pub use stories::{DeliveryStory, Ending, ExceptionStory, LeaseStory, RecordStory, UnchangedStory};
pub use transitions::{Fenced, GrantedListing, PageOutcome, Started, Transitions};

/// How long a lease holds unless it is renewed; workers renew every third of it.
pub const LEASE_TTL: Duration = Duration::from_secs(15);

/// What went wrong with a store, by what the caller does next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Perhaps nothing was committed: repeat.
    #[error("the ledger cannot be written or read now: {0}")]
    Unavailable(String),
    /// The store contradicts itself or the program is wrong: repeating does not help.
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    /// The database was opened for reading only.
    #[error("the database was opened for reading only")]
    ReadOnly,
}

/// What a store call gives.
pub type StoreResult<T> = Result<T, StoreError>;

/// A whole store.
#[async_trait::async_trait]
pub trait Store: Transitions + Queries + Fleet + Rates + Outbox + 'static {
    /// What happens in the ledger, as it is committed.
    fn events(&self) -> &Events;

    /// Whether transitions can be committed, by what came of the last ones: nothing is written to find out.
    fn writable(&self) -> StoreResult<()>;

    /// Commits what is queued and lets go of the database. Later calls are refused.
    async fn close(&self);
}
