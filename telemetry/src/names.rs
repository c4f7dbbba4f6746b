//! The names of all attributes of our logs and spans; those that only spans have are in [`crate::spans`].
//!
//! Use them as `info!({ names::RUN } = %run, "…")`. Names that OpenTelemetry's semantic conventions have are theirs; our
//! own begin with `muster.`. The words are those of the ledger.

/// The run's ID.
pub const RUN: &str = "muster.run.id";
/// Name of the pipeline.
pub const PIPELINE: &str = "muster.pipeline";
/// SHA-256 of the pipeline's canonical form, in hex.
pub const PIPELINE_REVISION: &str = "muster.pipeline.revision";
/// Page of the source's list.
pub const PAGE: &str = "muster.page";
/// Number of the batch in its round.
pub const BATCH: &str = "muster.batch";
/// Which time it is that the batch is leased, from 1.
pub const ATTEMPT: &str = "muster.attempt";
/// Number of the delivery in its run.
pub const DELIVERY: &str = "muster.delivery";
/// Number of the delivery in its lease.
pub const ORDINAL: &str = "muster.ordinal";
/// How many records it is about.
pub const RECORDS: &str = "muster.records";
/// A record's ID, as JSON text.
pub const RECORD: &str = "muster.record.id";
/// What became of it: an outcome's word.
pub const OUTCOME: &str = "muster.outcome";
/// Where a record failed: fetch, validate, transform or load.
pub const STAGE: &str = "muster.stage";
/// Why, in words.
pub const REASON: &str = "muster.reason";
/// What happens next, in words: every line about a failure has it.
pub const NEXT: &str = "muster.next";
/// Name of the worker.
pub const WORKER: &str = "muster.worker.name";
/// The kind of error, e.g. `timeout` or a gRPC code.
pub const ERROR: &str = "error.type";
/// Status of an HTTP answer.
pub const HTTP_STATUS: &str = "http.response.status_code";
/// A URL without credentials.
pub const URL: &str = "url.full";
/// The trace that a log line belongs to, in hex.
pub const TRACE: &str = "trace_id";
/// The span in it.
pub const SPAN: &str = "span_id";
