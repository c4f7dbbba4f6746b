//! What a pipeline says, typed, with every default filled in.

use std::time::Duration;

pub(crate) mod auth;
pub(crate) mod load;
pub(crate) mod source;

pub(crate) use auth::{Auth, Headers, KeyPlace, OAuth2, SendSecret};
pub(crate) use load::{
    Answer, AnswerPattern, BodyForm, Compress, FilesTarget, HttpTarget, LoadMethod, PerRecord, PostgresTarget,
    ProbeSpec, TargetSpec,
};
pub use load::{LoadSpec, OnDoubt};
pub(crate) use source::{
    Cursor, Detail, Enrich, IdList, LinkHeader, ListSpec, NextUrl, Offset, OrderCheck, PageNumber, PagedList,
    Pagination, RequestSpec, Single, Spot, Version,
};
pub use source::{SourceSpec, Watermark};

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
    /// Of a time: when nobody sets it and the run goes on from an earlier one, it is the time of that one's start.
    pub watermark: Option<Watermark>,
}

/// What a parameter's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// Any text.
    Text,
    /// An absolute http or https URL; a trailing `/` is dropped, so that a path can follow.
    Url,
    /// A time as RFC 3339 writes it, such as `2026-01-31T00:00:00Z`.
    Time,
}

/// What a source's record may have that its schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDrift {
    /// Anything: nobody looks.
    #[default]
    Ignore,
    /// It is reported with the run.
    Report,
    /// The record is a dead letter.
    DeadLetter,
    /// The run pauses.
    Fail,
}

/// The bounds of a run's requests, per host and process.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The most requests at once; below it the number adapts to what the host bears.
    pub concurrency: usize,
    /// The number of requests at once does not adapt: it is `concurrency`.
    pub fixed_concurrency: bool,
    /// Requests a second; nothing: as many as there are.
    pub rate: Option<Rate>,
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

/// How many requests in how much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many.
    pub requests: u32,
    /// In so much time.
    pub per: Duration,
    /// So many at once, after a pause.
    pub burst: u32,
}

impl Limits {
    /// How long a connection may take: less than a GET, so that no connection is told from no answer.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.get_timeout.mul_f64(0.9)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 1_024,
            fixed_concurrency: false,
            rate: None,
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
