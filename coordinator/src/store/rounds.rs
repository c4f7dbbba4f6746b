//! What operators ask of the store: other rounds, settlements, retention; and what they read of it.

use crate::domain::{Counts, RecordState, Run, RunId, Terms, Timestamp, TraceId, Verdict};

/// Which outcomes are given another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// What was given up on.
    pub dead_letter: bool,
    /// What the source said does not exist.
    pub gone: bool,
    /// What had no outcome when the run was cancelled.
    pub cancelled: bool,
}

/// An operator gives records another try.
#[derive(Debug, Clone, Default)]
pub struct Redrive {
    /// Makes it repeatable.
    pub request_id: Option<String>,
    /// Digest of the request's arguments: the same request_id must come with the same.
    pub request_digest: [u8; 32],
    /// Which outcomes.
    pub outcomes: Outcomes,
    /// Only of this stage; empty: any.
    pub stage: String,
    /// Only for a reason that contains this; empty: any.
    pub reason: String,
    /// Only these IDs, as JSON texts; empty: any.
    pub record_ids: Vec<String>,
    /// The pipeline from now on, if another.
    pub terms: Option<Terms>,
    /// For people: what was asked for.
    pub words: String,
    /// Only count.
    pub dry_run: bool,
}

/// How a redrive went.
#[derive(Debug, Clone)]
pub enum Redriven {
    /// A round was opened, or would be, with so many records. Also for the same request again.
    Opened(Box<Run>, u64),
    /// The run is not over.
    NotOver,
    /// No record is so.
    Nothing,
    /// The request_id was used with other arguments.
    Conflict,
}

/// An operator says what became of deliveries in doubt.
#[derive(Debug, Clone, Default)]
pub struct Settle {
    /// Numbers of the deliveries in the run.
    pub numbers: Vec<i64>,
    /// They were applied; else they were not.
    pub applied: bool,
    /// With `applied`: only these records were, as JSON texts; empty: all.
    pub applied_ids: Vec<String>,
    /// Who found out and how.
    pub note: String,
}

/// How a settlement went.
#[derive(Debug, Clone)]
pub enum Settled {
    /// It stands, now or from before.
    Done {
        /// The run.
        run: Box<Run>,
        /// Records that are loaded by it.
        loaded: u64,
        /// Records that are sent again because of it.
        to_send: u64,
    },
    /// Nothing was changed.
    Refused(SettleRefusal),
}

/// Why a settlement was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleRefusal {
    /// The run has no such delivery.
    Unknown(i64),
    /// It is not in doubt.
    NotInDoubt(i64, &'static str),
    /// It was settled before, otherwise.
    Otherwise(i64),
    /// The target may still act on it, until then.
    TooEarly(i64, Timestamp),
    /// A record that none of the deliveries leaves in doubt.
    NotCarried(String),
}

/// How a deletion went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// It is not over.
    NotOver,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Rows taken out.
    pub rows: u64,
    /// There is more to sweep.
    pub more: bool,
}

/// One pass over records.
#[derive(Debug, Clone)]
pub struct Round {
    /// Which.
    pub round: u32,
    /// Its pipeline's revision.
    pub revision: String,
    /// When.
    pub opened_at: Timestamp,
    /// What opened it, in words.
    pub opened_by: String,
    /// Records that it took over from older rounds, by what these left them as; `listed` is their sum.
    pub taken_over: Counts,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// Once it is over.
    pub verdict: Option<Verdict>,
}

/// A place among the records of a run, in the order of round, batch and place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct RecordPlace {
    /// Round.
    pub round: u32,
    /// Batch.
    pub batch: i64,
    /// Place in the batch.
    pub position: u32,
}

/// Which dead letters.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// Only of this stage; empty: any.
    pub stage: String,
    /// Only for a reason that contains this; empty: any.
    pub reason: String,
    /// Also those that a later round took over.
    pub include_redriven: bool,
}

/// A record given up on.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Where it is.
    pub place: RecordPlace,
    /// As JSON text.
    pub record_id: String,
    /// fetch, validate, transform, load, worker.
    pub stage: String,
    /// In words.
    pub reason: String,
    /// 0 when no answer was the reason.
    pub http_status: u16,
    /// Bounded.
    pub body: String,
    /// When it was reported.
    pub at: Timestamp,
    /// The later round that took it over.
    pub redriven: Option<u32>,
    /// The trace of the work that gave it up, where its worker exported it.
    pub trace: Option<TraceId>,
}

/// Dead letters with the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterGroup {
    /// fetch, validate, transform, load, worker.
    pub stage: String,
    /// In words.
    pub reason: String,
    /// 0 when no answer was the reason.
    pub http_status: u16,
    /// How many.
    pub count: u64,
    /// One of them, as JSON text.
    pub sample: String,
    /// Its trace, if it has one.
    pub sample_trace: Option<TraceId>,
    /// In a report some of them, as JSON texts, `sample` first; else none.
    pub samples: Vec<String>,
    /// Of these, those that a later round took over.
    pub redriven: u64,
}

/// A delivery in doubt on which the fate of records hangs.
#[derive(Debug, Clone)]
pub struct Doubt {
    /// Number in its run.
    pub number: i64,
    /// Its round.
    pub round: u32,
    /// Its batch.
    pub batch: i64,
    /// When it was announced.
    pub begun_at: Timestamp,
    /// When the target is not expected to act on it any more.
    pub settles_at: Timestamp,
    /// 0 when there was no answer.
    pub http_status: u16,
    /// In words.
    pub detail: String,
    /// How many records it carried.
    pub records: u32,
    /// Those whose fate hangs on it, as JSON texts.
    pub record_ids: Vec<String>,
    /// What happens next by itself.
    pub plan: DoubtPlan,
    /// The delivery in doubt that it repeats; 0 for none.
    pub retry_of: i64,
    /// The trace of the work that it was part of, where its worker exported it.
    pub trace: Option<TraceId>,
}

/// What happens to a doubt by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubtPlan {
    /// Nothing: an operator settles it.
    Held,
    /// It is sent again.
    Retry,
    /// The target is asked.
    Probe,
}

/// One record in one round, as it is exported.
#[derive(Debug, Clone)]
pub struct LedgerRow {
    /// As JSON text.
    pub record_id: String,
    /// Its round.
    pub round: u32,
    /// What became of it.
    pub state: RecordState,
    /// Page of the list on which it came.
    pub page: u64,
    /// Batch and place in it; none while it waits for a full batch, and where it is unchanged.
    pub place: Option<(i64, u32)>,
    /// Number of the newest delivery that carried it; 0 for none.
    pub delivery: i64,
    /// How many did.
    pub deliveries: u32,
    /// Copies of it that the target may hold beyond the first.
    pub possible_copies: u64,
    /// Stage, reason, HTTP status.
    pub exception: Option<(String, String, u16)>,
}

/// Where an export goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFrom {
    /// Round.
    pub round: u32,
    /// Batch in it.
    pub batch: i64,
    /// Sequence number in it.
    pub seq: i64,
    /// Behind all rounds: the last unchanged ID that was told, as JSON text; empty for none.
    pub unchanged: Option<String>,
}

impl Default for ExportFrom {
    fn default() -> Self {
        Self { round: 1, batch: 0, seq: 0, unchanged: None }
    }
}

/// A round whose verdict is older than what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleRound {
    /// The run's number in the store.
    pub key: i64,
    /// Its ID.
    pub run: RunId,
    /// The round.
    pub round: u32,
    /// How much was learnt since its verdict.
    pub learnt: i64,
}
