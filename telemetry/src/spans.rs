//! The names of our spans, and of the attributes that only spans have.
//!
//! Those of HTTP and RPC are OpenTelemetry's semantic conventions; our own begin with `muster.`.

/// A round of a run, from its beginning to its end; what the batches' traces point to.
pub const RUN: &str = "run";
/// One attempt at a batch: from the worker's question for work to its report.
pub const BATCH: &str = "batch";
/// From the worker's question for work until the batch was its own.
pub const LEASE: &str = "lease";
/// All records of a batch, validated and transformed.
pub const PROCESS: &str = "validate and transform";
/// A delivery that does not go out by HTTP.
pub const DELIVER: &str = "deliver";

/// Name of the program.
pub const SERVICE_NAME: &str = "service.name";
/// Its version.
pub const SERVICE_VERSION: &str = "service.version";
/// Which of several processes of the same program.
pub const SERVICE_INSTANCE: &str = "service.instance.id";

/// Method of an HTTP request.
pub const HTTP_METHOD: &str = "http.request.method";
/// How many requests for the same went out before this one; absent for the first.
pub const HTTP_RESEND_COUNT: &str = "http.request.resend_count";
/// Size of a request's body in bytes.
pub const HTTP_REQUEST_BODY_SIZE: &str = "http.request.body.size";
/// Name or address of the host that is asked.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub const SERVER_PORT: &str = "server.port";

/// The kind of RPC: always [`GRPC`].
pub const RPC_SYSTEM: &str = "rpc.system.name";
/// What [`RPC_SYSTEM`] is.
pub const GRPC: &str = "grpc";
/// Service and method, as in `muster.v1.WorkerService/CompleteBatch`.
pub const RPC_METHOD: &str = "rpc.method";
/// Status of the answer, as in `OK`.
pub const RPC_STATUS: &str = "rpc.response.status_code";

/// Where a delivery goes that does not go out by HTTP, as in `the table herd`.
pub const TARGET: &str = "muster.target";
/// The round of the run.
pub const ROUND: &str = "muster.round";
/// The fencing number of the lease.
pub const EPOCH: &str = "muster.epoch";
/// Whether the request is a further copy of a slow one.
pub const HEDGE: &str = "muster.hedge";
/// Whether the request was dropped because another copy of it was answered first.
pub const OUTRUN: &str = "muster.outrun";
/// How long the processor was at work, in milliseconds, where a span also has pauses.
pub const BUSY: &str = "muster.busy_ms";
/// How many spans of the trace were not kept, because there were too many.
pub const DROPPED: &str = "muster.spans.dropped";
/// Why a trace was kept that the sampling ratio would have passed over.
pub const KEPT: &str = "muster.kept";
/// How the verdict begins: complete and balanced, or not.
pub const VERDICT: &str = "muster.verdict";
/// What a link points to: `run`, or `earlier attempt`.
pub const LINK: &str = "muster.link";
