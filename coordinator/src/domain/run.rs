//! Runs: one execution of a pipeline revision.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::{Rules, Share, Timestamp, Verdict};

/// A run's public ID: its pipeline's name, a dash and eight random characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(String);

impl RunId {
    /// Letters and digits that are not mistaken for one another.
    const ALPHABET: &'static [u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

    /// A new ID.
    pub fn new(pipeline: &str, random: [u8; 8]) -> Self {
        let suffix = random.map(|byte| char::from(Self::ALPHABET[usize::from(byte % 32)]));
        Self(format!("{pipeline}-{}", String::from_iter(suffix)))
    }

    /// As somebody wrote it; it may name no run.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a run is. docs/STATES.md draws the arrows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Listing, leasing, loading.
    Running,
    /// Nothing is leased and no delivery begins until it is resumed.
    Paused,
    /// Cancelled; deliveries in flight are awaited.
    Cancelling,
    /// Over before its end.
    Cancelled,
    /// Over.
    Finished,
}

impl RunState {
    /// Is nothing going to happen any more?
    pub fn is_over(self) -> bool {
        matches!(self, Self::Cancelled | Self::Finished)
    }

    /// Are records without an outcome given up?
    pub fn is_cancelled(self) -> bool {
        matches!(self, Self::Cancelling | Self::Cancelled)
    }
}

/// What to do with deliveries in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDoubt {
    /// Send them again: every record arrives, some perhaps twice.
    Retry,
    /// Leave them to an operator: every record arrives at most once.
    Hold,
    /// Ask the target which of their records it has, and send the others again.
    Probe,
}

/// What a run's transitions need of its pipeline, so that they need not read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Revision of the pipeline.
    pub revision: String,
    /// Its canonical form.
    pub canonical: String,
    /// Most records of a batch.
    pub max_batch: u32,
    /// How long a POST may take.
    pub post_timeout: Duration,
    /// How doubts are handled.
    pub rules: Rules,
    /// Share of listed records that may be gone before the run pauses.
    pub max_gone: f64,
    /// Batches refused as a whole, one after another, before the run pauses and nobody is judged.
    pub max_rejected: u32,
    /// Version of the worker protocol that a worker must speak.
    pub protocol: i32,
}

/// A run as it is to be started.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The ID it gets.
    pub id: RunId,
    /// Makes the start repeatable.
    pub request_id: Option<String>,
    /// Digest of the request's arguments: the same request_id must come with the same.
    pub request_digest: [u8; 32],
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its revision, and what transitions need of it.
    pub terms: Terms,
    /// Resolved, with defaults.
    pub parameters: BTreeMap<String, String>,
    /// Also write the acknowledged IDs as files.
    pub audit_mode: bool,
    /// The run that it goes on from.
    pub since: Option<RunId>,
    /// Other revisions of the pipeline that load alike, under which that run has worked: what they loaded counts too.
    pub alike: BTreeSet<String>,
    /// When that is by the machine's wall clock: the store's may be ahead of it.
    pub wall_at: Timestamp,
    /// Its share of the workers.
    pub share: Share,
}

/// A run as the ledger has it.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its number in the store.
    pub key: i64,
    /// Its public ID.
    pub id: RunId,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its revision.
    pub revision: String,
    /// Resolved, with defaults.
    pub parameters: BTreeMap<String, String>,
    /// Also write the acknowledged IDs as files.
    pub audit_mode: bool,
    /// Where it is.
    pub state: RunState,
    /// Why it is paused.
    pub state_reason: String,
    /// Current round.
    pub round: u32,
    /// When that round was opened.
    pub opened_at: Timestamp,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// Deliveries acknowledged so far: the number of audit files.
    pub acknowledged: i64,
    /// Grows with every change of its batches: tells whether an audit is still true.
    pub changes: i64,
    /// Of the current round, once it is over.
    pub verdict: Option<Verdict>,
    /// The run that it goes on from; it may be deleted by now.
    pub since: Option<RunId>,
    /// Its share of the workers.
    pub share: Share,
}

/// How far a round is, for display.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Listed to the end.
    pub listing_closed: bool,
    /// Pages committed.
    pub pages_committed: i64,
    /// Pages the source says it has; 0 when it does not say.
    pub pages_total: i64,
    /// Records in the ledger, unchanged ones among them.
    pub listed: i64,
    /// Not loaded again.
    pub unchanged: i64,
    /// Records whose fetch has ended.
    pub fetched: i64,
    /// Acknowledged.
    pub loaded: i64,
    /// Given up on.
    pub dead_letter: i64,
    /// Not there any more.
    pub gone: i64,
    /// In doubt.
    pub in_doubt: i64,
    /// Waiting.
    pub batches_ready: i64,
    /// Leased.
    pub batches_leased: i64,
    /// Finished.
    pub batches_done: i64,
    /// Announced and not settled.
    pub deliveries_open: i64,
    /// Sessions that hold a lease of the run.
    pub workers: i64,
}
