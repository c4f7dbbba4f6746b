//! What workers ask of the store, and what they are answered.

use std::time::Duration;

use bytes::Bytes;
use muster_telemetry::names;

use super::{StoreResult, WorkDone};
use crate::domain::{DeliveryReport, ExceptionKind, Finding, LeaseToken, OpenPart, Positions, Run, RunId, TraceId};

/// What a worker did that no lost race explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misuse {
    /// No such session has ever asked for work, or it has said goodbye.
    SessionUnknown,
    /// No such lease was ever granted.
    TokenUnknown,
    /// The lease was granted to another session.
    OtherSession,
    /// Same ordinal with other content, or another delivery is open.
    DeliveryConflict(String),
    /// The delivery makes no sense.
    DeliveryInvalid(String),
    /// Another report under the same token.
    ReportConflict,
    /// The report makes no sense.
    ReportInvalid(String),
}

/// What a worker's call gives.
pub type WorkerResult<T> = StoreResult<Result<T, Misuse>>;

/// Who a worker is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    /// Random, from the start of its process.
    pub id: String,
    /// For people.
    pub name: String,
    /// Of its program.
    pub version: String,
    /// Dies with the coordinator's process.
    pub embedded: bool,
}

/// A worker asks for work.
#[derive(Debug, Clone, Default)]
pub struct Acquire {
    /// Who asks.
    pub session: Session,
    /// Leases that it has.
    pub held: Vec<LeaseToken>,
    /// How many more it can work on.
    pub capacity: u32,
    /// Version of the worker protocol that it speaks.
    pub protocol: i32,
    /// Runs of which it wants no new batch for now.
    pub passing_over: Vec<RunId>,
}

/// A lease as it goes to a worker.
#[derive(Debug, Clone)]
pub struct GrantedLease {
    /// The proof.
    pub token: LeaseToken,
    /// The run's ID.
    pub run_id: RunId,
    /// Which of the charged times it is, from 1.
    pub attempt: u32,
    /// Counted from now.
    pub ttl: Duration,
    /// What is left to do.
    pub parts: Vec<(OpenPart, Vec<String>)>,
}

/// What an acquisition brought.
#[derive(Debug, Clone, Default)]
pub struct Acquired {
    /// Leases, lost answers first.
    pub leases: Vec<GrantedLease>,
    /// The runs of these leases.
    pub runs: Vec<Run>,
    /// Without leases: how long until a waiting batch or an expiring lease may bring some, or what somebody held just now.
    pub next_in: Option<Duration>,
}

/// A session that has nothing to do looks for leases that another one holds in stock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Want {
    /// Who looks.
    pub session: String,
    /// How many more it can work on.
    pub capacity: u32,
    /// Version of the worker protocol that it speaks.
    pub protocol: i32,
    /// Sessions that are left alone for now.
    pub passing_over: Vec<String>,
}

/// What became of a lease that was to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Held for this long.
    Held(Duration),
    /// Held, but its run is paused or cancelled.
    RunStopped(Duration),
    /// Lost.
    Lost,
}

/// A record that came whole with the source's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Place in its batch.
    pub position: u32,
    /// JSON as it came.
    pub body: Bytes,
}

/// What came of reading the items of a lease's batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemsRead {
    /// Some of them, in order of place and without a gap among those that are there; none: there are no more.
    Items(Vec<Item>),
    /// The lease is held, but its run is paused or cancelled.
    RunStopped,
    /// The lease is lost.
    Lost,
}

/// A worker announces a delivery.
#[derive(Debug, Clone)]
pub struct Begin {
    /// Which delivery of the lease, from 1.
    pub ordinal: u32,
    /// What it carries.
    pub positions: Positions,
    /// SHA-256 of its body.
    pub body_sha256: [u8; 32],
    /// Number of the delivery in doubt that it repeats; 0 for none.
    pub retry_of: i64,
    /// Outcomes of earlier deliveries.
    pub settled: Vec<DeliveryReport>,
    /// Fields of its records that their schema does not know, by path, and the places of those that have them; an empty
    /// path is of those that are not told apart.
    pub unknown_fields: Vec<(String, Positions)>,
}

/// What came of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is in the ledger; the lease holds for this long.
    Announced {
        /// Number in the run.
        number: i64,
        /// The lease's new time.
        ttl: Duration,
    },
    /// It must not be sent.
    Refused(Refusal),
}

/// Why a delivery was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Expired or revoked.
    LeaseLost,
    /// The run is paused.
    RunPaused,
    /// The run is cancelled or over.
    RunCancelled,
    /// Some of the records got an outcome meanwhile.
    Superseded,
    /// The target may still act on the delivery in doubt.
    NotYet,
}

/// A record that was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordReport {
    /// Place in the batch.
    pub position: u32,
    /// What it is.
    pub kind: ExceptionKind,
    /// fetch, validate, transform, load; worker: it took its worker down.
    pub stage: String,
    /// In words.
    pub reason: String,
    /// 0 when no answer was the reason.
    pub http_status: u16,
    /// Bounded.
    pub body: String,
}

/// A worker reports a batch.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Digest of the whole report: the same one again gets the first answer.
    pub digest: [u8; 32],
    /// Outcomes of the lease's deliveries.
    pub deliveries: Vec<DeliveryReport>,
    /// Records that were not sent.
    pub records: Vec<RecordReport>,
    /// What the target said of records in doubt.
    pub probes: Vec<Finding>,
    /// The run should pause, and why.
    pub pause: Option<String>,
    /// What it cost on the source's side.
    pub work: WorkDone,
    /// Before the batch is leased again.
    pub retry_after: Duration,
    /// The trace of the work, when it is exported.
    pub trace: Option<TraceId>,
}

/// How a report was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// Every record has an outcome.
    Done,
    /// Something is left.
    Requeued,
    /// The lease was lost before: only the deliveries counted.
    Late,
}

/// A lease that ran out, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredLease {
    /// The run's ID.
    pub run_id: RunId,
    /// Number of the batch in its round.
    pub batch: i64,
    /// Which of the charged times it is, from 1.
    pub attempt: u32,
    /// Name of the worker that was not heard of.
    pub worker: String,
    /// It left an open delivery.
    pub in_doubt: bool,
}

/// What an expiry did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expired {
    /// Leases that ended.
    pub leases: u32,
    /// Of these, with an open delivery, which is in doubt now.
    pub doubts: u32,
    /// The first of these, as many as are worth a line each.
    pub named: Vec<ExpiredLease>,
}

impl Expired {
    /// Counts them and tells people, after the commit: a line for each lease that is named, and one for the rest.
    pub fn log(&self) {
        crate::measures::expired(self);
        for lease in &self.named {
            let next = if lease.in_doubt {
                "its open delivery is in doubt, the rest of the batch is leased again"
            } else {
                "the batch is leased again"
            };
            tracing::warn!(
                { names::RUN } = %lease.run_id,
                { names::BATCH } = lease.batch,
                { names::ATTEMPT } = lease.attempt,
                { names::WORKER } = lease.worker,
                { names::NEXT } = next,
                "a lease ran out: its worker was not heard of in time"
            );
        }
        if self.leases as usize > self.named.len() {
            tracing::warn!(
                leases = self.leases,
                in_doubt = self.doubts,
                { names::NEXT } = "their batches are leased again",
                "more leases ran out at once than are named"
            );
        }
    }
}
