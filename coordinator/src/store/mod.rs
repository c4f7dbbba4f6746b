//! The store: where a coordinator's state lives. Traits by use, one folder for each kind of database.
//!
//! One transition = one method = one transaction. Losing a race is a value; an error means that nobody knows whether
//! something was committed, or that the store is broken.

pub mod conformance;
mod events;
pub mod sqlite;

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{
    BatchEvidence, DeliveryReport, ExceptionKind, LeaseToken, ListedPage, ListingEvidence, ListingLease,
    ListingProgress, NewRun, OpenPart, Positions, Problem, Progress, RecordState, Run, RunId, Timestamp, Verdict,
};

pub use events::{Event, Events};

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

/// What a worker did that no lost race explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misuse {
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

/// How StartRun went.
#[derive(Debug, Clone)]
pub enum Started {
    /// The run is new.
    New(Run),
    /// The same request had started it before.
    Same(Run),
    /// The request_id was used with other arguments.
    Conflict,
}

/// A fenced write: made, or too late because somebody else has the right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fenced<T> {
    /// Made.
    Committed(T),
    /// Too late; nothing was written.
    Stale,
}

/// A listing to work on.
#[derive(Debug, Clone)]
pub struct GrantedListing {
    /// The right to it.
    pub lease: ListingLease,
    /// The run.
    pub run: Run,
    /// Where it stands.
    pub progress: ListingProgress,
}

/// What a committed page brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageOutcome {
    /// IDs that were not in the ledger before.
    pub fresh: u64,
    /// IDs that were.
    pub duplicates: u64,
}

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
}

/// A lease as it goes to a worker.
#[derive(Debug, Clone)]
pub struct GrantedLease {
    /// The proof.
    pub token: LeaseToken,
    /// The run's ID.
    pub run_id: RunId,
    /// The how-manieth charged time.
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
    /// Without leases: how long until a waiting batch or an expiring lease may bring some.
    pub next_in: Option<Duration>,
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
    /// fetch, validate, transform or load.
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
    /// The run should pause, and why.
    pub pause: Option<String>,
    /// Requests, retries, hedges, bytes.
    pub cost: [i64; 4],
    /// Before the batch is leased again.
    pub retry_after: Duration,
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

/// What an expiry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Leases that ended.
    pub leases: u32,
    /// Of these, with an open delivery, which is in doubt now.
    pub doubts: u32,
}

/// What changes the ledger.
#[async_trait]
pub trait Transitions: Send + Sync {
    /// Writes a run.
    async fn start_run(&self, run: NewRun) -> StoreResult<Started>;
    /// Running -> paused. Nothing for a run in any other state. `None`: no such run.
    async fn pause_run(&self, id: &RunId, reason: &str) -> StoreResult<Option<Run>>;
    /// Paused -> running.
    async fn resume_run(&self, id: &RunId) -> StoreResult<Option<Run>>;
    /// Running or paused -> cancelling.
    async fn cancel_run(&self, id: &RunId) -> StoreResult<Option<Run>>;
    /// Ends a round whose audit gave this verdict, unless something changed after `run` was read.
    async fn conclude(&self, run: &Run, verdict: &Verdict) -> StoreResult<Fenced<()>>;
    /// Notes that a run's audit folder is whole up to the acknowledgements in `run`.
    async fn files_whole(&self, run: &Run) -> StoreResult<Fenced<()>>;

    /// Takes up a listing that nobody holds.
    async fn take_listing(&self, holder: &str, ttl: Duration) -> StoreResult<Option<GrantedListing>>;
    /// Keeps a listing. Stale also when its run is paused, cancelled or over.
    async fn renew_listing(&self, lease: &ListingLease, ttl: Duration) -> StoreResult<Fenced<()>>;
    /// Writes a page: its IDs, full batches, the page's row.
    async fn commit_page(&self, lease: &ListingLease, page: ListedPage) -> StoreResult<Fenced<PageOutcome>>;
    /// Gives a page up.
    async fn give_up_page(&self, lease: &ListingLease, page: u64, problem: Problem) -> StoreResult<Fenced<()>>;
    /// Closes a listing and cuts the last batch.
    async fn close_listing(&self, lease: &ListingLease) -> StoreResult<Fenced<()>>;
    /// Gives a listing back for anyone to take up.
    async fn release_listing(&self, lease: &ListingLease) -> StoreResult<Fenced<()>>;

    /// Leases batches.
    async fn acquire(&self, acquire: Acquire) -> StoreResult<Acquired>;
    /// Extends leases; one answer for each token, in order.
    async fn renew(&self, session: &str, tokens: &[LeaseToken]) -> WorkerResult<Vec<Renewal>>;
    /// Announces a delivery.
    async fn begin(&self, session: &str, token: LeaseToken, begin: Begin) -> WorkerResult<Begun>;
    /// Takes a batch's report and ends its lease.
    async fn complete(&self, session: &str, token: LeaseToken, report: Report) -> WorkerResult<Completion>;
    /// Gives leases back uncharged; one answer for each token, in order.
    async fn release(&self, session: &str, tokens: &[LeaseToken], end: bool) -> WorkerResult<Vec<bool>>;
    /// Ends leases that have run out. Also tells the store that a coordinator serves.
    async fn expire(&self) -> StoreResult<Expired>;
}

/// A pipeline revision that some run used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPipeline {
    /// Its name.
    pub name: String,
    /// Its revision.
    pub revision: String,
    /// Its canonical form.
    pub canonical: String,
}

/// All that an audit reads, in one consistent view.
pub trait EvidenceSink: Send {
    /// The run as it is in this view.
    fn run(&mut self, run: &Run);
    /// The next batch, in ascending order.
    fn batch(&mut self, evidence: &BatchEvidence);
    /// Last: the listing, and the time of the view.
    fn listing(&mut self, evidence: &ListingEvidence, at: Timestamp);
}

/// An acknowledged delivery, for the audit folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The how-manieth of the run.
    pub number: i64,
    /// IDs that no earlier acknowledgement covers, as JSON texts.
    pub ids: Vec<String>,
}

/// What is read from the ledger.
#[async_trait]
pub trait Queries: Send + Sync {
    /// One run.
    async fn run(&self, id: &RunId) -> StoreResult<Option<Run>>;
    /// Runs with a number below `before`, newest first.
    async fn runs(&self, before: Option<i64>, limit: u32) -> StoreResult<Vec<Run>>;
    /// How far a run is.
    async fn progress(&self, run: &Run) -> StoreResult<Progress>;
    /// A pipeline revision.
    async fn pipeline(&self, revision: &str) -> StoreResult<Option<StoredPipeline>>;
    /// Runs whose round can be ended: all batches finished after the listing was closed, or cancelled without an open
    /// delivery.
    async fn concludable(&self) -> StoreResult<Vec<Run>>;
    /// Reads a run's current round into `sink`, in one consistent view. `None`: no such run.
    async fn evidence(&self, id: &RunId, sink: Box<dyn EvidenceSink>) -> StoreResult<Option<()>>;
    /// The stories of one ID, one for each round.
    async fn stories(&self, run: &Run, record_id: &str) -> StoreResult<Vec<RecordStory>>;
    /// Runs in audit mode whose folder is not known to be whole.
    async fn runs_with_unwritten_files(&self) -> StoreResult<Vec<Run>>;
    /// Acknowledgements after `after`, ascending.
    async fn acknowledgements(&self, run: &Run, after: i64, limit: u32) -> StoreResult<Vec<Acknowledgement>>;
    /// Listed IDs from sequence number `from` on, ascending.
    async fn listed_ids(&self, run: &Run, from: u64, limit: u32) -> StoreResult<Vec<String>>;
}

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
    /// Position in the list.
    pub row: i64,
}

/// What is known of the workers.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Sessions below row `before`, newest first; without `include_gone` only those heard of in the last minute.
    async fn workers(&self, before: Option<i64>, limit: u32, include_gone: bool) -> StoreResult<Vec<WorkerRow>>;
}

/// A whole store.
pub trait Store: Transitions + Queries + Fleet + 'static {
    /// What happens in the ledger, as it is committed.
    fn events(&self) -> &Events;
}

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
}

/// One lease of a record's batch.
#[derive(Debug, Clone)]
pub struct LeaseStory {
    /// The fencing number.
    pub epoch: u32,
    /// The how-manieth charged time.
    pub attempt: u32,
    /// Name of the worker.
    pub worker: String,
    /// Its session.
    pub session: String,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub ending: Option<Ending>,
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
    pub fact: crate::domain::DeliveryFact,
    /// HTTP status; 0 when there was no answer.
    pub http_status: u16,
    /// The reason in words.
    pub detail: String,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// The how-manieth acknowledgement.
    pub acknowledged: Option<i64>,
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
