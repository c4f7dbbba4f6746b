//! What a pipeline says, typed, with every default filled in.

use std::time::Duration;

use crate::spec::json_path::JsonPath;
use crate::spec::template::Template;

/// Something a run is told: `--set name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, as in `${param:name}`.
    pub name: String,
    /// For the person who sets it.
    pub description: String,
    /// What it is when nobody sets it.
    pub default: Option<String>,
    /// Whether a run must set it; a parameter with a default never is.
    pub required: bool,
    /// What its value may be.
    pub kind: ParameterKind,
}

/// What a parameter's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// Any text.
    Text,
    /// An absolute http or https URL; a trailing `/` is dropped, so that a path can follow.
    Url,
}

/// Where records come from.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    pub(crate) list: ListSpec,
    pub(crate) detail: Template,
    /// The share of `gone` records (from 0 to 1) above which a run pauses and asks.
    pub max_gone: f64,
}

/// How IDs are listed.
#[derive(Debug, Clone)]
pub(crate) struct ListSpec {
    pub(crate) url: Template,
    pub(crate) pagination: Pagination,
    pub(crate) items: JsonPath,
    pub(crate) id: JsonPath,
    pub(crate) concurrency: usize,
}

/// How one page leads to the next.
#[derive(Debug, Clone)]
pub(crate) enum Pagination {
    /// `?page=1`, `?page=2`, …
    PageNumber(PageNumber),
}

#[derive(Debug, Clone)]
pub(crate) struct PageNumber {
    pub(crate) parameter: String,
    pub(crate) first: u64,
    pub(crate) total_pages: Option<JsonPath>,
}

/// Where records go, and what is done about doubt.
#[derive(Debug, Clone)]
pub struct LoadSpec {
    pub(crate) url: Template,
    pub(crate) not_applied: Vec<AnswerPattern>,
    pub(crate) rejected: Vec<u16>,
    pub(crate) answer: Answer,
    /// The most records in one delivery.
    pub max_batch: u32,
    /// What happens to a delivery that may or may not have been applied.
    pub on_doubt: OnDoubt,
    /// How the target is asked; there is one with [`OnDoubt::Probe`] and never otherwise.
    pub(crate) probe: Option<ProbeSpec>,
    /// How long one POST may take, from sending it to the end of its answer.
    pub post_timeout: Duration,
    /// How long after its Begin a doubtful delivery is left alone, because the target may still act.
    pub settle_after: Duration,
    /// How many tries a delivery has before it is split.
    pub max_attempts: u32,
    /// After how many whole batches refused in a row nobody is judged and the run pauses.
    pub max_rejected_in_a_row: u32,
}

/// What happens to a doubtful delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDoubt {
    /// It is sent again: at least once.
    Retry,
    /// An operator settles it: at most once.
    Hold,
    /// The target is asked for each record whether it has it; what it does not have is sent again.
    Probe,
}

/// How the target is asked whether it has a record.
#[derive(Debug, Clone)]
pub(crate) struct ProbeSpec {
    pub(crate) url: Template,
    /// Statuses that say that it has it.
    pub(crate) present: Vec<u16>,
    /// Statuses that say that it does not.
    pub(crate) absent: Vec<u16>,
}

/// An answer that says the target did nothing.
#[derive(Debug, Clone)]
pub(crate) struct AnswerPattern {
    pub(crate) status: Vec<u16>,
    /// A regular expression that must match the body, if there is one.
    pub(crate) body: Option<regex::bytes::Regex>,
}

/// What a 2xx must carry to count as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Whole JSON, or nothing at all where the answer says so (204, `content-length: 0`).
    Json,
    /// Anything, to its end.
    Any,
}

/// The bounds of a run's requests, per host and process.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The most requests at once; below it the number adapts to what the host bears.
    pub concurrency: usize,
    /// How long a GET may take, all its hedges included, before it counts as failed.
    pub get_timeout: Duration,
    /// How often a GET is tried before it is given up.
    pub get_attempts: u32,
    /// The first retry waits up to this long; each further one up to twice as long.
    pub backoff: Duration,
    /// The longest wait between two tries, `Retry-After` aside.
    pub backoff_max: Duration,
    /// The soonest a second copy of a slow GET is sent; later where the host's 95th percentile is higher.
    pub hedge_after: Duration,
    /// The most copies of one GET in flight; 1 switches hedging off.
    pub hedge_copies: u32,
    /// Retries as a share of requests (from 0 to 1); one a second is always allowed.
    pub retry_budget: f64,
    /// The longest `Retry-After` that is obeyed.
    pub retry_after_max: Duration,
    /// The largest list answer, in bytes after decompression.
    pub page_size: usize,
    /// The largest record and the largest answer to a POST, in bytes after decompression.
    pub record_size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 128,
            get_timeout: Duration::from_secs(3),
            get_attempts: 12,
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(3),
            hedge_after: Duration::from_millis(50),
            hedge_copies: 3,
            retry_budget: 0.2,
            retry_after_max: Duration::from_secs(60),
            page_size: 8 << 20,
            record_size: 1 << 20,
        }
    }
}
