//! The names of all attributes of our logs (and, later, spans and metrics).
//!
//! Use them as `info!({ names::RUN } = %run, "…")`. Names that OpenTelemetry's semantic conventions have are theirs; our
//! own begin with `muster.`. The words are those of the ledger.

/// The run's ID.
pub const RUN: &str = "muster.run.id";
/// Name of the pipeline.
pub const PIPELINE: &str = "muster.pipeline";
/// SHA-256 of the pipeline's canonical form, in hex.
pub const PIPELINE_REVISION: &str = "muster.pipeline.revision";
/// Round of the run, from 1.
pub const ROUND: &str = "muster.round";
/// Page of the source's list.
pub const PAGE: &str = "muster.page";
/// Number of the batch in its round.
pub const BATCH: &str = "muster.batch";
/// Fencing number of the lease.
pub const EPOCH: &str = "muster.epoch";
/// The how-manieth time the batch is leased.
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
/// ID of the worker's session.
pub const SESSION: &str = "muster.session.id";
/// How long it took, or will take, in seconds.
pub const SECONDS: &str = "muster.seconds";
/// The kind of error, e.g. `timeout` or a gRPC code.
pub const ERROR: &str = "error.type";
/// Method of an HTTP request.
pub const HTTP_METHOD: &str = "http.request.method";
/// Status of an HTTP answer.
pub const HTTP_STATUS: &str = "http.response.status_code";
/// The how-manieth time the request was sent again.
pub const HTTP_RESEND_COUNT: &str = "http.request.resend_count";
/// A URL without credentials.
pub const URL: &str = "url.full";
/// Name or address of the other side.
pub const SERVER: &str = "server.address";
/// Method of an RPC.
pub const RPC_METHOD: &str = "rpc.method";
