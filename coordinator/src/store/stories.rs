//! What happened to one record: its whole story, for people.

use crate::domain::{DeliveryFact, RecordState, RunId, Timestamp, TraceId};

/// What happened to one record in one round.
#[derive(Debug, Clone)]
pub struct RecordStory {
    /// Which round.
    pub round: u32,
    /// Its one state.
    pub state: RecordState,
    /// Page on which it was listed.
    pub page: u64,
    /// Its batch, once it has one.
    pub batch: Option<i64>,
    /// Place in the batch.
    pub position: u32,
    /// Leases of the batch.
    pub leases: Vec<LeaseStory>,
    /// Deliveries that carried it.
    pub deliveries: Vec<DeliveryStory>,
    /// Why it was not sent.
    pub exception: Option<ExceptionStory>,
    /// Why it was not loaded again.
    pub unchanged: Option<UnchangedStory>,
}

/// Why a record was not loaded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnchangedStory {
    /// What the list said of its version.
    pub version: String,
    /// The run that its run goes on from.
    pub since: RunId,
    /// The run that loaded this version; none: it is deleted by now.
    pub loaded_by: Option<RunId>,
}

/// One lease of a record's batch.
#[derive(Debug, Clone)]
pub struct LeaseStory {
    /// The fencing number.
    pub epoch: u32,
    /// Which of the charged times it is, from 1.
    pub attempt: u32,
    /// Name of the worker.
    pub worker: String,
    /// Number of its session.
    pub worker_id: i64,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub ending: Option<Ending>,
    /// The trace of the work under it, where its worker exported it.
    pub trace: Option<TraceId>,
}

/// How a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Reported.
    Completed,
    /// Given back.
    Released,
    /// Ran out.
    Expired,
}

/// One delivery that carried a record.
#[derive(Debug, Clone)]
pub struct DeliveryStory {
    /// As outcomes see it.
    pub fact: DeliveryFact,
    /// The reason in words.
    pub detail: String,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// Which acknowledgement of the run it is, from 1.
    pub acknowledged: Option<i64>,
    /// Who found out what became of a doubt: empty for its worker, else probe or operator.
    pub settled_by: String,
    /// An operator's words.
    pub note: String,
    /// The trace of its lease.
    pub trace: Option<TraceId>,
}

/// Why a record was not sent.
#[derive(Debug, Clone)]
pub struct ExceptionStory {
    /// fetch, validate, transform or load.
    pub stage: String,
    /// In words.
    pub reason: String,
    /// 0 when no answer was the reason.
    pub http_status: u16,
    /// Bounded.
    pub body: String,
    /// When it was reported.
    pub at: Timestamp,
}
