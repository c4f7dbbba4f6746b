//! What a coordinator decides, free of gRPC and of SQL: pure types and functions.

mod audit;
mod batch;
mod delivery;
mod lease;
mod listing;
mod positions;
mod rates;
mod run;
mod share;
mod stock;
mod time;
mod unknown;

pub use audit::{Audit, BatchEvidence, Counts, Discrepancy, DiscrepancyKind, ListingEvidence, Verdict};
pub use batch::{BatchLedger, Declined, OpenPart, Remaining, Rules, Tally};
pub use delivery::{
    DeliveryFact, DeliveryReport, DeliveryState, Evidence, ExceptionFact, ExceptionKind, Finding, Said,
};
pub use lease::{BatchRef, LeaseRef, LeaseToken, TraceId};
pub use listing::{ListedItem, ListedPage, ListingLease, ListingProgress, Problem};
pub use positions::Positions;
pub use rates::{Pace, Timetable};
pub use run::{NewRun, OnDoubt, Progress, Run, RunId, RunState, Terms};
pub use share::{Contender, Share, ShareChange, deal};
pub use stock::{Holder, whom_to_ask};
pub use time::{Clock, SystemClock, TimeSources, Timestamp, WallClock};
pub use unknown::UnknownField;

/// State of one record: the words of the conservation equation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// In no lease and without an outcome.
    Pending,
    /// In a leased batch and without an outcome.
    Leased,
    /// In an open delivery.
    Delivering,
    /// Acknowledged by the target at least once.
    Loaded,
    /// Given up on.
    DeadLetter,
    /// The source says that it does not exist.
    Gone,
    /// The target may or may not have it.
    InDoubt,
    /// Without an outcome when its run was cancelled.
    Cancelled,
    /// Not loaded again: an earlier run loaded the same version.
    Unchanged,
}
