//! The coordinator as a worker sees it: each call with a deadline, and what to make of its errors.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use muster_pipeline::ClosedHosts;
use muster_proto::PROTOCOL;
use muster_proto::v1::pipeline_service_client::PipelineServiceClient;
use muster_proto::v1::worker_service_client::WorkerServiceClient;
use muster_proto::v1::{
    AcquireLeasesRequest, AcquireLeasesResponse, AttendRequest, AttendResponse, BeginDeliveryRequest,
    BeginDeliveryResponse, CompleteBatchRequest, CompleteBatchResponse, GetPipelineRequest, GetPipelineResponse,
    ReadItemsRequest, ReadItemsResponse, ReleaseLeasesRequest, ReleaseLeasesResponse, RenewLeasesRequest,
    RenewLeasesResponse, ReportPressureRequest, ReserveRequestsRequest, ReserveRequestsResponse, WorkerInfo,
};
use muster_telemetry::names;
use tonic::{Code, Response, Status, Streaming};
use tonic_types::StatusExt;
use tracing::{debug, info, warn};

use crate::connect::{CallChannel, Endpoints, Way};

/// How long the coordinator may take for an answer that it need not wait for.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// How long one of several coordinators may take to renew leases, which hold for 15 s.
const RENEWED_WITHIN: Duration = Duration::from_secs(4);

/// How long a coordinator may take to say when requests may go out, which wait for it.
const RESERVED_WITHIN: Duration = Duration::from_secs(2);

/// The largest answer that is taken, in bytes: the largest legal batch has 10,000 IDs of up to 520 bytes each.
const MAX_ANSWER: usize = 8 << 20;

/// The calls by one way to a coordinator.
#[derive(Clone)]
struct Calls {
    worker: WorkerServiceClient<CallChannel>,
    pipelines: PipelineServiceClient<CallChannel>,
    way: Way,
}

/// A session's way to the coordinators: whichever of them answers, they share one ledger.
pub(crate) struct Coordinator {
    ways: Vec<Calls>,
    /// Which is used.
    current: AtomicUsize,
    /// Which the stream of pushes came by.
    attended: AtomicUsize,
    session_id: String,
    info: WorkerInfo,
    link: Link,
    /// Version of the protocol that it spoke last.
    protocol: AtomicI32,
    /// Version that this worker speaks: its own, or the one before where a coordinator is one version older.
    speaks: AtomicI32,
    /// Hosts that asked to be left alone, as it told.
    closed: Arc<ClosedHosts>,
}

/// The version of the protocol since which a coordinator passes over runs.
const PASSES_OVER_SINCE: i32 = 4;

/// The version before the worker's own. A coordinator that is older than that is too old.
const BEFORE: i32 = PROTOCOL - 1;

impl fmt::Debug for Coordinator {
    /// Without the session's ID: whoever has it can speak for the session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator").field("info", &self.info).field("link", &self.link).finish_non_exhaustive()
    }
}

/// A stream of a lease's items, and the way by which it comes.
pub(crate) struct ItemMessages {
    used: usize,
    messages: Streaming<ReadItemsResponse>,
}

impl Coordinator {
    /// `seed` says which of the ways is used first, so that workers spread over them.
    pub(crate) fn new(endpoints: &Endpoints, seed: u64, session_id: &str, info: WorkerInfo) -> Self {
        let calls = |way: &Way| Calls {
            worker: WorkerServiceClient::new(way.channel()).max_decoding_message_size(MAX_ANSWER),
            pipelines: PipelineServiceClient::new(way.channel()).max_decoding_message_size(MAX_ANSWER),
            way: way.clone(),
        };
        let ways: Vec<Calls> = endpoints.ways().iter().map(calls).collect();
        let first = usize::try_from(seed % ways.len().max(1) as u64).unwrap_or(0);
        Self {
            ways,
            current: AtomicUsize::new(first),
            attended: AtomicUsize::new(first),
            session_id: session_id.to_owned(),
            info,
            link: Link::default(),
            protocol: AtomicI32::new(0),
            speaks: AtomicI32::new(PROTOCOL),
            closed: Arc::default(),
        }
    }

    /// Who the worker is, and what it speaks now.
    fn info(&self) -> WorkerInfo {
        WorkerInfo { protocol: self.speaks.load(Ordering::Relaxed), ..self.info.clone() }
    }

    pub(crate) fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Asks for up to `capacity` batches, none of them of these runs, and waits up to `wait` for the first. A coordinator that
    /// does not speak this worker's version is asked in the one before: amid a rolling upgrade it may be that old, and the next
    /// one may not be.
    pub(crate) async fn acquire(
        &self,
        held_lease_tokens: Vec<String>,
        capacity: usize,
        passed_over_run_ids: Vec<String>,
        wait: Duration,
    ) -> Result<AcquireLeasesResponse, Status> {
        let request = AcquireLeasesRequest {
            session_id: self.session_id.clone(),
            worker: Some(self.info()),
            held_lease_tokens,
            capacity: i32::try_from(capacity).unwrap_or(i32::MAX),
            wait: prost_types::Duration::try_from(wait).ok(),
            passed_over_run_ids,
        };
        let mut answer = self.ask(request.clone(), wait).await;
        if answer.as_ref().is_err_and(|status| status.code() == Code::FailedPrecondition)
            && self.speaks.swap(BEFORE, Ordering::Relaxed) > BEFORE
        {
            info!(
                protocol = BEFORE,
                "a coordinator is older than this worker, which speaks the version before its own"
            );
            match self.ask(AcquireLeasesRequest { worker: Some(self.info()), ..request }, wait).await {
                // Too old for that as well: what it said first names this worker's own version.
                Err(status) if status.code() == Code::FailedPrecondition => {}
                again => answer = again,
            }
        }
        if let Ok(answer) = &answer {
            self.protocol.store(answer.protocol, Ordering::Relaxed);
            self.speaks.store(answer.protocol.clamp(BEFORE, PROTOCOL), Ordering::Relaxed);
        }
        answer
    }

    async fn ask(&self, request: AcquireLeasesRequest, wait: Duration) -> Result<AcquireLeasesResponse, Status> {
        self.within(wait + CALL_DEADLINE, |mut way| async move { way.worker.acquire_leases(request).await }).await
    }

    /// Version of the protocol that the coordinator spoke when it last granted leases; the first did not tell.
    pub(crate) fn protocol(&self) -> i32 {
        self.protocol.load(Ordering::Relaxed).max(1)
    }

    /// Whether it grants no batches of runs that are to be passed over.
    pub(crate) fn passes_over(&self) -> bool {
        self.protocol() >= PASSES_OVER_SINCE
    }

    /// Opens the stream of pushes.
    pub(crate) async fn attend(&self) -> Result<Streaming<AttendResponse>, Status> {
        let request = AttendRequest { session_id: self.session_id.clone(), worker: Some(self.info()) };
        self.attended.store(self.current.load(Ordering::Relaxed), Ordering::Relaxed);
        self.within(CALL_DEADLINE, |mut way| async move { way.worker.attend(request).await }).await
    }

    pub(crate) async fn renew(&self, lease_tokens: Vec<String>) -> Result<RenewLeasesResponse, Status> {
        let request = RenewLeasesRequest { session_id: self.session_id.clone(), lease_tokens };
        // A lease that one coordinator is silent about is renewed by another in time.
        let deadline = if self.ways.len() > 1 { RENEWED_WITHIN } else { CALL_DEADLINE };
        self.within(deadline, |mut way| async move { way.worker.renew_leases(request).await }).await
    }

    /// Hosts that asked to be left alone, by what this session was told.
    pub(crate) fn closed_hosts(&self) -> &Arc<ClosedHosts> {
        &self.closed
    }

    /// Asks when requests may go out to a host that all processes share.
    pub(crate) async fn reserve(&self, request: ReserveRequestsRequest) -> Result<ReserveRequestsResponse, Status> {
        self.within(RESERVED_WITHIN, |mut way| async move { way.worker.reserve_requests(request).await }).await
    }

    /// Tells that a host asked to be left alone.
    pub(crate) async fn report_pressure(&self, revision: &str, host: &str, time: Duration) -> Result<(), Status> {
        let request = ReportPressureRequest {
            session_id: self.session_id.clone(),
            pipeline_revision: revision.to_owned(),
            host: host.to_owned(),
            time: time.try_into().ok(),
        };
        self.within(RESERVED_WITHIN, |mut way| async move { way.worker.report_pressure(request).await }).await.map(drop)
    }

    /// Opens the stream of a lease's items, from a place of its batch on.
    pub(crate) async fn read_items(&self, lease_token: &str, from_position: u32) -> Result<ItemMessages, Status> {
        let (session_id, lease_token) = (self.session_id.clone(), lease_token.to_owned());
        let request = ReadItemsRequest { session_id, lease_token, from_position };
        let used = self.current.load(Ordering::Relaxed);
        let opened = self.by(used, CALL_DEADLINE, |mut way| async move { way.worker.read_items(request).await });
        Ok(ItemMessages { used, messages: opened.await? })
    }

    /// The next message of such a stream; none: that was all.
    pub(crate) async fn next_items(&self, from: &mut ItemMessages) -> Result<Option<ReadItemsResponse>, Status> {
        let ItemMessages { used, messages } = from;
        self.by(*used, CALL_DEADLINE, |_| async { messages.message().await.map(Response::new) }).await
    }

    pub(crate) async fn begin(&self, request: BeginDeliveryRequest) -> Result<BeginDeliveryResponse, Status> {
        self.within(CALL_DEADLINE, |mut way| async move { way.worker.begin_delivery(request).await }).await
    }

    pub(crate) async fn complete(&self, request: CompleteBatchRequest) -> Result<CompleteBatchResponse, Status> {
        self.within(CALL_DEADLINE, |mut way| async move { way.worker.complete_batch(request).await }).await
    }

    /// Gives leases back; `end_session` says goodbye.
    pub(crate) async fn release(
        &self,
        lease_tokens: Vec<String>,
        end_session: bool,
    ) -> Result<ReleaseLeasesResponse, Status> {
        let request = ReleaseLeasesRequest { session_id: self.session_id.clone(), lease_tokens, end_session };
        self.within(CALL_DEADLINE, |mut way| async move { way.worker.release_leases(request).await }).await
    }

    pub(crate) async fn pipeline(&self, revision: &str) -> Result<GetPipelineResponse, Status> {
        let request = GetPipelineRequest { revision: revision.to_owned(), name: String::new() };
        self.within(CALL_DEADLINE, |mut way| async move { way.pipelines.get_pipeline(request).await }).await
    }

    /// Tells the link that a stream broke: streams end outside of any call.
    pub(crate) fn stream_broke(&self, status: &Status) {
        self.note(self.attended.load(Ordering::Relaxed), Some(status));
    }

    async fn within<T, C: Future<Output = Result<Response<T>, Status>>>(
        &self,
        deadline: Duration,
        call: impl FnOnce(Calls) -> C,
    ) -> Result<T, Status> {
        self.by(self.current.load(Ordering::Relaxed), deadline, call).await
    }

    /// The same by a certain way.
    async fn by<T, C: Future<Output = Result<Response<T>, Status>>>(
        &self,
        used: usize,
        deadline: Duration,
        call: impl FnOnce(Calls) -> C,
    ) -> Result<T, Status> {
        // There is at least one, and only numbers of them are stored.
        let Some(way) = self.ways.get(used).cloned() else { return Err(Status::internal("no coordinator is known")) };
        let answer = match tokio::time::timeout(deadline, call(way)).await {
            Ok(answer) => answer.map(Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded(format!("no answer within {} s", deadline.as_secs()))),
        };
        self.note(used, answer.as_ref().err());
        answer
    }

    /// What came of a call by this way: when it was not answered, the next one is used. Calls that fail together move on
    /// by one way and no further.
    fn note(&self, used: usize, error: Option<&Status>) {
        let trouble = error.and_then(|_| self.ways.get(used)).and_then(|calls| calls.way.trouble());
        self.link.note(error, trouble);
        if error.is_some_and(|status| !is_final(status)) {
            let next = (used + 1) % self.ways.len().max(1);
            let _ = self.current.compare_exchange(used, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// Refusals because of the access file, by their reasons.
const OF_ACCESS: [&str; 2] = ["ROLE_REQUIRED", "SESSION_OF_ANOTHER_IDENTITY"];

/// Whether repeating the call can help: the coordinator was not reached, was busy, or something between had no answer.
///
/// The list names what is final, because an unknown failure on the way must never lose a report. Who may do what is an
/// operator's to change, and a mistake of his must lose none either.
pub(crate) fn is_final(status: &Status) -> bool {
    if status.get_details_error_info().is_some_and(|info| OF_ACCESS.contains(&info.reason.as_str())) {
        return false;
    }
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::NotFound
            | Code::AlreadyExists
            | Code::OutOfRange
    )
}

/// Whether the coordinator can be reached, so that a change is logged once and not by every loop.
#[derive(Debug, Default)]
struct Link {
    down: AtomicBool,
}

impl Link {
    fn note(&self, error: Option<&Status>, trouble: Option<String>) {
        match error {
            Some(status) if !is_final(status) => {
                let (code, reason) = (status.code(), trouble.unwrap_or_else(|| reason(status)));
                if self.down.swap(true, Ordering::Relaxed) {
                    debug!({ names::ERROR } = ?code, { names::REASON } = reason, "coordinator still away");
                } else if code == Code::Unauthenticated {
                    warn!(
                        { names::REASON } = reason,
                        { names::NEXT } = "trying again with the token and certificate that are there then; POSTs in \
                            flight go on",
                        "the coordinator does not let this worker in"
                    );
                } else {
                    warn!(
                        { names::ERROR } = ?code,
                        { names::REASON } = reason,
                        { names::NEXT } = "trying again until it answers; POSTs in flight go on",
                        "coordinator does not answer"
                    );
                }
            }
            _ if self.down.swap(false, Ordering::Relaxed) => info!("coordinator answers again"),
            _ => {}
        }
    }
}

/// The status in words, with the cause at the bottom of it, such as "connection refused".
fn reason(status: &Status) -> String {
    let mut cause = status.source();
    while let Some(deeper) = cause.and_then(|error| error.source()) {
        cause = Some(deeper);
    }
    let message = status.message();
    match cause.map(ToString::to_string).filter(|cause| cause != message) {
        Some(cause) => format!("{message}: {cause}"),
        None => message.to_owned(),
    }
}
