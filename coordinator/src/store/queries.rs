//! What is read from the ledger.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    DeadLetter, DeadLetterFilter, DeadLetterGroup, Doubt, ExportFrom, ItemsRead, LedgerRow, RecordPlace, RecordStory,
    Redrive, Redriven, ReportBounds, Round, RunReport, StaleRound, StoreResult, WorkerResult,
};
use crate::domain::{BatchEvidence, LeaseToken, ListingEvidence, Progress, Run, RunId, Timestamp, UnknownField};

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

/// What workers are wanted for: each run that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Demand {
    /// These runs.
    pub runs: Vec<RunDemand>,
}

/// What workers are wanted for in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunDemand {
    /// Batches that are leased, or could be.
    pub batches: i64,
    /// At most so many workers may hold leases of it; 0: no bound.
    pub max_workers: u32,
}

impl Demand {
    /// Is there a run that is not over?
    pub fn is_active(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Batches that workers are wanted for, where one is for so many: of a run that bounds its workers no more than these
    /// are for, since more workers would find nothing to do there.
    pub fn batches(&self, per_worker: f64) -> f64 {
        let of_run = |run: &RunDemand| match run.max_workers {
            0 => run.batches as f64,
            most => (run.batches as f64).min(f64::from(most) * per_worker),
        };
        self.runs.iter().map(of_run).sum()
    }
}

/// All that an audit reads, in one consistent view.
pub trait EvidenceSink: Send {
    /// First: the run as it is in this view, the round that is read, and whether its records without an outcome are given
    /// up.
    fn round(&mut self, run: &Run, round: u32, cancelled: bool);
    /// The next batch, in ascending order.
    fn batch(&mut self, evidence: &BatchEvidence);
    /// Last: the listing, and the time of the view.
    fn listing(&mut self, evidence: &ListingEvidence, at: Timestamp);
}

/// An acknowledged delivery, for the audit folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Its number among those of the run, from 1.
    pub number: i64,
    /// IDs that no earlier acknowledgement covers, as JSON texts.
    pub ids: Vec<String>,
}

/// What the target acknowledged over time, in one view of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// How long each span is, in milliseconds.
    pub span_ms: i64,
    /// Ascending; those without anything are left out. They cover the time in which rounds worked, without what is between
    /// them; what somebody found out later is at the end of its round.
    pub spans: Vec<HistorySpan>,
}

impl History {
    /// How long each of so many spans is at least, in whole milliseconds, that they cover this time.
    pub fn span_ms(time: Duration, spans: u32) -> i64 {
        // The moment of the end itself is within the last.
        i64::try_from(time.as_millis()).unwrap_or(i64::MAX) / i64::from(spans.max(1)) + 1
    }
}

/// What the target acknowledged within a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistorySpan {
    /// Its number in the time in which rounds worked, from 0.
    pub number: i64,
    /// Records of the deliveries that the target has by them.
    pub records: i64,
    /// Deliveries, also those that are applied in part.
    pub deliveries: i64,
    /// Those of them that nobody had to find out about later.
    pub prompt: i64,
    /// From announcement to acknowledgement, of all prompt ones together, in milliseconds.
    pub taken_ms: i64,
    /// The longest of them.
    pub longest_ms: i64,
}

/// What is read from the ledger.
#[async_trait]
pub trait Queries: Send + Sync {
    /// One run.
    async fn run(&self, id: &RunId) -> StoreResult<Option<Run>>;
    /// Runs with a number below `before`, newest first.
    async fn runs(&self, before: Option<i64>, limit: u32) -> StoreResult<Vec<Run>>;
    /// Runs of this pipeline that are over and have a number below `before`, newest first.
    async fn runs_over(&self, pipeline: &str, before: Option<i64>, limit: u32) -> StoreResult<Vec<Run>>;
    /// When a run was started, in real time: rather earlier than later. `wall` is the machine's wall clock now.
    async fn started(&self, run: &Run, wall: Timestamp) -> StoreResult<Timestamp>;
    /// The run that this request started, and the digest of its arguments.
    async fn run_of_request(&self, request_id: &str) -> StoreResult<Option<(Run, [u8; 32])>>;
    /// How far a run is.
    async fn progress(&self, run: &Run) -> StoreResult<Progress>;
    /// All revisions of a pipeline that runs have worked under.
    async fn revisions(&self, pipeline: &str) -> StoreResult<Vec<StoredPipeline>>;
    /// A pipeline revision.
    async fn pipeline(&self, revision: &str) -> StoreResult<Option<StoredPipeline>>;
    /// What workers are wanted for, by all runs or by those of one pipeline.
    async fn demand(&self, pipeline: Option<&str>) -> StoreResult<Demand>;
    /// Runs whose round can be ended: all batches finished after the listing was closed, or cancelled without an open
    /// delivery.
    async fn concludable(&self) -> StoreResult<Vec<Run>>;
    /// Rounds whose verdict is older than what is known of them.
    async fn stale_rounds(&self) -> StoreResult<Vec<StaleRound>>;
    /// What the same redrive gave before, by its request. `None`: it is not known, or there is no such run.
    async fn redriven(&self, id: &RunId, redrive: &Redrive) -> StoreResult<Option<Redriven>>;
    /// A run's rounds, oldest first.
    async fn rounds(&self, run: &Run) -> StoreResult<Vec<Round>>;
    /// Reads a round of a run (`None`: the current one) into `sink`, in one consistent view. `None`: no such run, or no
    /// such round.
    async fn evidence(&self, id: &RunId, round: Option<u32>, sink: Box<dyn EvidenceSink>) -> StoreResult<Option<()>>;
    /// Items of a lease's batch that came whole with the list, from place `from` on: as many as `bytes` takes, but one at
    /// least, however large it is.
    async fn items(&self, session: &str, token: LeaseToken, from: u32, bytes: usize) -> WorkerResult<ItemsRead>;
    /// Fields of a round's records that their schema does not know, by path; those that are not told apart come last.
    async fn unknown_fields(&self, run: &Run, round: u32) -> StoreResult<Vec<UnknownField>>;
    /// Dead letters after `after`, in the order of their places.
    async fn dead_letters(
        &self,
        run: &Run,
        filter: &DeadLetterFilter,
        after: Option<RecordPlace>,
        limit: u32,
    ) -> StoreResult<Vec<DeadLetter>>;
    /// The same by stage, status and reason, most frequent first.
    async fn dead_letter_groups(
        &self,
        run: &Run,
        filter: &DeadLetterFilter,
        limit: u32,
    ) -> StoreResult<Vec<DeadLetterGroup>>;
    /// Deliveries in doubt with a number above `after` on which records hang.
    async fn doubts(&self, run: &Run, after: i64, limit: u32) -> StoreResult<Vec<Doubt>>;
    /// Rows of a batch or more from a place on, and where to go on; none: that was the end.
    async fn export(&self, run: &Run, from: ExportFrom) -> StoreResult<(Vec<LedgerRow>, Option<ExportFrom>)>;
    /// What was acknowledged in each of so many spans from a run's start on.
    async fn history(&self, run: &Run, spans: u32) -> StoreResult<History>;
    /// All that is told of a run, in one consistent view. `None`: no such run.
    async fn run_report(&self, id: &RunId, bounds: ReportBounds) -> StoreResult<Option<RunReport>>;
    /// The stories of one ID, one for each round.
    async fn stories(&self, run: &Run, record_id: &str) -> StoreResult<Vec<RecordStory>>;
    /// Runs in audit mode whose folder is not known to be whole.
    async fn runs_with_unwritten_files(&self) -> StoreResult<Vec<Run>>;
    /// Acknowledgements after `after`, ascending.
    async fn acknowledgements(&self, run: &Run, after: i64, limit: u32) -> StoreResult<Vec<Acknowledgement>>;
    /// Listed IDs that are to be loaded, from sequence number `from` on, ascending.
    async fn listed_ids(&self, run: &Run, from: u64, limit: u32) -> StoreResult<Vec<String>>;
    /// Unchanged IDs whose text comes after this one, ascending.
    async fn unchanged_ids(&self, run: &Run, after: &str, limit: u32) -> StoreResult<Vec<String>>;
}
