//! Where records go, typed.

use std::time::Duration;

use serde_json::Value;

use crate::spec::template::Template;
use crate::spec::types::auth::{Auth, Headers};
use crate::spec::value::ValueTemplate;
use crate::transform::Transform;

/// Where records go, and what is done about doubt.
#[derive(Debug, Clone)]
pub struct LoadSpec {
    pub(crate) target: TargetSpec,
    /// The most records in one delivery.
    pub max_batch: u32,
    /// What happens to a delivery that may or may not have been applied.
    pub on_doubt: OnDoubt,
    /// How long one POST may take, from sending it to the end of its answer.
    pub post_timeout: Duration,
    /// How long after its Begin a doubtful delivery is left alone, because the target may still act.
    pub settle_after: Duration,
    /// How many tries a delivery has before it is split.
    pub max_attempts: u32,
    /// After how many whole batches refused in a row nobody is judged and the run pauses.
    pub max_rejected_in_a_row: u32,
}

/// What takes the records.
#[derive(Debug, Clone)]
pub(crate) enum TargetSpec {
    /// An HTTP API.
    Http(Box<HttpTarget>),
    /// Files in a folder or a bucket, one a delivery.
    Files(FilesTarget),
    /// A table of a PostgreSQL database.
    Postgres(PostgresTarget),
}

/// An HTTP API that takes records, and how its answers are to be understood.
#[derive(Debug, Clone)]
pub(crate) struct HttpTarget {
    pub(crate) method: LoadMethod,
    /// `${record:id}` stands in it only where each record has a request of its own.
    pub(crate) url: Template,
    pub(crate) headers: Headers,
    pub(crate) auth: Auth,
    pub(crate) body: BodyForm,
    pub(crate) compress: Compress,
    /// The name of the header with the delivery's key, in lower case; nothing: none is sent.
    pub(crate) idempotency_header: Option<String>,
    pub(crate) not_applied: Vec<AnswerPattern>,
    pub(crate) rejected: Vec<u16>,
    pub(crate) answer: Answer,
    /// How the answer tells what became of each record.
    pub(crate) per_record: Option<PerRecord>,
    /// How the target is asked; there is one with [`OnDoubt::Probe`] and never otherwise.
    pub(crate) probe: Option<ProbeSpec>,
}

/// How records are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoadMethod {
    Post,
    Put,
    Patch,
}

/// What a request carries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BodyForm {
    /// A JSON array of records.
    Array,
    /// An object around that array, which stands where the object has the text `$batch`.
    Wrapped(Value),
    /// One record a line.
    Ndjson,
    /// One record.
    Record,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compress {
    None,
    Gzip,
}

/// An answer that says what became of each record of a delivery.
#[derive(Debug, Clone)]
pub(crate) struct PerRecord {
    /// Statuses of such answers.
    pub(crate) status: Vec<u16>,
    /// From the answer to a list with one element for each record, in their order: `true` or `"applied"`, `"rejected"`,
    /// `"not_applied"`, or `{outcome, reason}`.
    pub(crate) outcomes: Transform,
}

/// Files, one a delivery, named by its key: a repeat overwrites itself.
#[derive(Debug, Clone)]
pub(crate) struct FilesTarget {
    /// `file:///folder` or `s3://bucket/prefix`.
    pub(crate) url: Template,
    pub(crate) compress: Compress,
    /// Of an S3-compatible store.
    pub(crate) endpoint: Option<Template>,
    pub(crate) region: Option<Template>,
    pub(crate) access_key_id: Option<ValueTemplate>,
    pub(crate) secret_access_key: Option<ValueTemplate>,
}

/// A table: rows and the delivery's key come into it in one transaction.
#[derive(Debug, Clone)]
pub(crate) struct PostgresTarget {
    /// `postgres://…`, by reference.
    pub(crate) url: ValueTemplate,
    /// `table` or `schema.table`.
    pub(crate) table: String,
    /// The columns that tell rows apart, where a row that is there already is overwritten.
    pub(crate) update_by: Vec<String>,
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
    /// Whole JSON, or nothing at all where the answer says so (204, `content-length: 0`, an end of its own).
    Json,
    /// Anything, however large, that does not break off.
    Any,
}

impl LoadSpec {
    /// The HTTP API that takes the records, where one does.
    pub(crate) fn http(&self) -> Option<&HttpTarget> {
        match &self.target {
            TargetSpec::Http(http) => Some(http),
            TargetSpec::Files(_) | TargetSpec::Postgres(_) => None,
        }
    }
}
