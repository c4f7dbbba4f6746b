//! A coordinator that plays a script: it hands out the leases it is given, writes down what it is told, and answers as
//! the test says.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_pipeline::Pipeline;
use muster_proto::v1::attend_response::Event;
use muster_proto::v1::begin_delivery_response::Result as Begin;
use muster_proto::v1::pipeline_service_server::{PipelineService, PipelineServiceServer};
use muster_proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use muster_proto::v1::*;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status};

/// The largest request that a coordinator takes, in bytes.
const MAX_REQUEST: usize = 1 << 20;
pub const RUN: &str = "animals-00000001";

/// What the coordinator was told, in order.
#[derive(Clone, Debug)]
pub enum Told {
    Acquire(AcquireLeasesRequest),
    Attend,
    Renew(RenewLeasesRequest),
    Begin(BeginDeliveryRequest),
    Complete(CompleteBatchRequest),
    Release(ReleaseLeasesRequest),
    ReadItems(ReadItemsRequest),
    Reserve(ReserveRequestsRequest),
    Pressure(ReportPressureRequest),
}

/// The messages of a stream, and how it ends.
pub type Messages = Vec<Result<ReadItemsResponse, Status>>;
type Hook<Q, A> = Mutex<Box<dyn FnMut(&Q) -> Result<A, Status> + Send>>;

pub struct Script {
    pipeline: muster_proto::v1::Pipeline,
    parameters: Vec<(String, String)>,
    queue: watch::Sender<VecDeque<Lease>>,
    told: watch::Sender<Vec<Told>>,
    streams: Mutex<Vec<mpsc::UnboundedSender<Result<AttendResponse, Status>>>>,
    /// What it thinks of the worker: an error is the answer to every acquisition.
    pub on_acquire: Mutex<Option<Status>>,
    /// Version of the protocol that it speaks.
    pub protocol: Mutex<i32>,
    pub on_begin: Hook<BeginDeliveryRequest, BeginDeliveryResponse>,
    pub on_complete: Hook<CompleteBatchRequest, CompleteBatchResponse>,
    pub on_renew: Hook<RenewLeasesRequest, RenewLeasesResponse>,
    /// When requests may go out to a host that all share; 5 ms from now, one each millisecond, by default.
    pub on_reserve: Hook<ReserveRequestsRequest, ReserveRequestsResponse>,
    /// What it has of records that came whole with the list; nothing by default.
    pub on_items: Hook<ReadItemsRequest, Messages>,
}

/// The script on the wire.
#[derive(Clone)]
struct Served(Arc<Script>);

impl Script {
    /// Serves a script for `pipeline` on a free port; gives it and its URL.
    pub async fn start(pipeline: &Pipeline, base_url: &str) -> (Arc<Self>, String) {
        let script = Arc::new(Self {
            pipeline: muster_proto::v1::Pipeline {
                name: pipeline.name().to_owned(),
                revision: pipeline.revision().to_owned(),
                canonical: pipeline.canonical().to_owned(),
            },
            parameters: vec![("base_url".to_owned(), base_url.to_owned())],
            queue: watch::Sender::default(),
            told: watch::Sender::default(),
            streams: Mutex::default(),
            on_acquire: Mutex::default(),
            protocol: Mutex::new(muster_proto::PROTOCOL),
            on_begin: Mutex::new(Box::new(|request| Ok(begun(i64::from(request.ordinal), 35)))),
            on_complete: Mutex::new(Box::new(|_| Ok(done()))),
            on_renew: Mutex::new(Box::new(|request| Ok(renewed(request, RenewalState::Held)))),
            on_reserve: Mutex::new(Box::new(|request| Ok(places(request)))),
            on_items: Mutex::new(Box::new(|_| Ok(Vec::new()))),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder()
            .add_service(WorkerServiceServer::new(Served(Arc::clone(&script))).max_decoding_message_size(MAX_REQUEST))
            .add_service(PipelineServiceServer::new(Served(Arc::clone(&script))));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (script, url)
    }

    /// Offers a lease.
    pub fn offer(&self, lease: Lease) {
        self.queue.send_modify(|queue| queue.push_back(lease));
    }

    /// Pushes an event to all who attend.
    pub fn push(&self, event: Event) {
        let message = AttendResponse { event: Some(event) };
        self.streams.lock().unwrap().retain(|stream| stream.send(Ok(message.clone())).is_ok());
    }

    /// Pushes an event of a kind that is not known yet.
    pub fn push_unknown(&self) {
        // What is left on this side of a kind that this build does not know.
        let message = AttendResponse { event: None };
        self.streams.lock().unwrap().retain(|stream| stream.send(Ok(message.clone())).is_ok());
    }

    /// All that it was told so far.
    pub fn told(&self) -> Vec<Told> {
        self.told.borrow().clone()
    }

    /// Waits until `find` finds something in what it was told.
    pub async fn until<T>(&self, what: &str, mut find: impl FnMut(&[Told]) -> Option<T>) -> T {
        let mut told = self.told.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = find(&told.borrow_and_update()) {
                    return found;
                }
                told.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(Duration::from_secs(30), waiting).await {
            Ok(found) => found,
            Err(_) => panic!("never told: {what}; but {:#?}", self.told()),
        }
    }

    /// Waits for the report of a lease.
    pub async fn report(&self, token: &str) -> CompleteBatchRequest {
        self.until("a report", |told| reports(told).into_iter().find(|report| report.lease_token == token)).await
    }

    /// Waits until a lease is given back.
    pub async fn released(&self, token: &str) {
        let back = |told: &Told| matches!(told, Told::Release(request) if request.lease_tokens == [token]);
        self.until("a release", |told| told.iter().find(|told| back(told)).map(|_| ())).await;
    }

    /// Waits until the worker asks for leases without holding this one.
    pub async fn dropped(&self, token: &str) {
        let from = self.told().len();
        let free = |request: &AcquireLeasesRequest| request.held_lease_tokens.iter().all(|held| held != token);
        self.until("an acquisition without the lease", |told| {
            told[from..].iter().find(|told| matches!(told, Told::Acquire(request) if free(request))).map(|_| ())
        })
        .await;
    }

    pub fn begins(&self) -> Vec<BeginDeliveryRequest> {
        let begin = |told| if let Told::Begin(request) = told { Some(request) } else { None };
        self.told().into_iter().filter_map(begin).collect()
    }

    fn note(&self, told: Told) {
        self.told.send_modify(|all| all.push(told));
    }
}

pub fn reports(told: &[Told]) -> Vec<CompleteBatchRequest> {
    told.iter().filter_map(|told| if let Told::Complete(report) = told { Some(report.clone()) } else { None }).collect()
}

/// A lease of the records `ids` as one batch.
pub fn lease(batch: i64, ids: std::ops::Range<u32>) -> Lease {
    let places = 0..ids.end - ids.start;
    let part = LeasedPart {
        positions: places.collect(),
        record_ids: ids.map(|id| id.to_string()).collect(),
        ..LeasedPart::default()
    };
    Lease {
        lease_token: format!("token-{batch}"),
        run_id: RUN.to_owned(),
        round: 1,
        batch,
        epoch: 1,
        attempt: 1,
        ttl: seconds(15),
        parts: vec![part],
    }
}

/// The same lease, to repeat a delivery in doubt.
pub fn doubted(mut lease: Lease, retry_of: i64) -> Lease {
    for part in &mut lease.parts {
        part.retry_of = retry_of;
        part.body_sha256 = vec![7; 32];
    }
    lease
}

/// The same lease, to ask the target for the records of a delivery in doubt.
pub fn probed(lease: Lease, retry_of: i64) -> Lease {
    let mut lease = doubted(lease, retry_of);
    lease.parts.iter_mut().for_each(|part| part.probe = true);
    lease
}

pub fn begun(delivery_number: i64, ttl: i64) -> BeginDeliveryResponse {
    BeginDeliveryResponse { result: Some(Begin::Begun(DeliveryBegun { delivery_number, ttl: seconds(ttl) })) }
}

pub fn places(request: &ReserveRequestsRequest) -> ReserveRequestsResponse {
    let after_us = (0..u64::from(request.count)).map(|number| 5_000 + number * 1_000).collect();
    ReserveRequestsResponse { after_us }
}

pub fn refused(reason: DeliveryRefusal) -> BeginDeliveryResponse {
    BeginDeliveryResponse { result: Some(Begin::Refused(DeliveryRefused { reason: reason.into() })) }
}

pub fn done() -> CompleteBatchResponse {
    CompleteBatchResponse { state: CompletionState::Done.into() }
}

pub fn renewed(request: &RenewLeasesRequest, state: RenewalState) -> RenewLeasesResponse {
    let renewal = |token: &String| Renewal { lease_token: token.clone(), state: state.into(), ttl: seconds(15) };
    RenewLeasesResponse { renewals: request.lease_tokens.iter().map(renewal).collect() }
}

pub fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

#[tonic::async_trait]
impl WorkerService for Served {
    async fn acquire_leases(
        &self,
        request: Request<AcquireLeasesRequest>,
    ) -> Result<Response<AcquireLeasesResponse>, Status> {
        let request = request.into_inner();
        self.0.note(Told::Acquire(request.clone()));
        if let Some(status) = self.0.on_acquire.lock().unwrap().clone() {
            return Err(status);
        }
        if request.worker.as_ref().is_some_and(|worker| worker.protocol > *self.0.protocol.lock().unwrap()) {
            return Err(Status::failed_precondition("upgrade the older of the two"));
        }
        let wait = Duration::try_from(request.wait.unwrap()).unwrap();
        let mut queue = self.0.queue.subscribe();
        let wanted = |lease: &Lease| !request.passed_over_run_ids.contains(&lease.run_id);
        let _ = tokio::time::timeout(wait, queue.wait_for(|queue| queue.iter().any(wanted))).await;
        let mut leases = Vec::new();
        self.0.queue.send_if_modified(|queue| {
            let most = usize::try_from(request.capacity).unwrap();
            let (taken, left): (Vec<_>, _) =
                queue.drain(..).enumerate().partition(|(at, lease)| *at < most && wanted(lease));
            leases.extend(taken.into_iter().map(|(_, lease)| lease));
            queue.extend(Vec::into_iter(left).map(|(_, lease)| lease));
            !leases.is_empty()
        });
        let run = LeasedRun {
            run_id: RUN.to_owned(),
            pipeline_revision: self.0.pipeline.revision.clone(),
            parameters: self.0.parameters.iter().cloned().collect(),
        };
        let runs = if leases.is_empty() { vec![] } else { vec![run] };
        Ok(Response::new(AcquireLeasesResponse { leases, runs, protocol: *self.0.protocol.lock().unwrap() }))
    }

    type AttendStream = Pin<Box<dyn Stream<Item = Result<AttendResponse, Status>> + Send>>;

    async fn attend(&self, _: Request<AttendRequest>) -> Result<Response<Self::AttendStream>, Status> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let renew_every = prost_types::Duration { seconds: 0, nanos: 50_000_000 };
        let attending = Event::Attending(Attending { renew_every: Some(renew_every) });
        let _ = sender.send(Ok(AttendResponse { event: Some(attending) }));
        self.0.streams.lock().unwrap().push(sender);
        self.0.note(Told::Attend);
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(receiver))))
    }

    async fn renew_leases(
        &self,
        request: Request<RenewLeasesRequest>,
    ) -> Result<Response<RenewLeasesResponse>, Status> {
        let request = request.into_inner();
        self.0.note(Told::Renew(request.clone()));
        (self.0.on_renew.lock().unwrap())(&request).map(Response::new)
    }

    type ReadItemsStream = tokio_stream::Iter<std::vec::IntoIter<Result<ReadItemsResponse, Status>>>;

    async fn read_items(&self, request: Request<ReadItemsRequest>) -> Result<Response<Self::ReadItemsStream>, Status> {
        let request = request.into_inner();
        self.0.note(Told::ReadItems(request.clone()));
        (self.0.on_items.lock().unwrap())(&request).map(|messages| Response::new(tokio_stream::iter(messages)))
    }

    async fn reserve_requests(
        &self,
        request: Request<ReserveRequestsRequest>,
    ) -> Result<Response<ReserveRequestsResponse>, Status> {
        let request = request.into_inner();
        self.0.note(Told::Reserve(request.clone()));
        (self.0.on_reserve.lock().unwrap())(&request).map(Response::new)
    }

    async fn report_pressure(
        &self,
        request: Request<ReportPressureRequest>,
    ) -> Result<Response<ReportPressureResponse>, Status> {
        self.0.note(Told::Pressure(request.into_inner()));
        Ok(Response::new(ReportPressureResponse {}))
    }

    async fn begin_delivery(
        &self,
        request: Request<BeginDeliveryRequest>,
    ) -> Result<Response<BeginDeliveryResponse>, Status> {
        let request = request.into_inner();
        self.0.note(Told::Begin(request.clone()));
        (self.0.on_begin.lock().unwrap())(&request).map(Response::new)
    }

    async fn complete_batch(
        &self,
        request: Request<CompleteBatchRequest>,
    ) -> Result<Response<CompleteBatchResponse>, Status> {
        let request = request.into_inner();
        self.0.note(Told::Complete(request.clone()));
        (self.0.on_complete.lock().unwrap())(&request).map(Response::new)
    }

    async fn release_leases(
        &self,
        request: Request<ReleaseLeasesRequest>,
    ) -> Result<Response<ReleaseLeasesResponse>, Status> {
        let request = request.into_inner();
        self.0.note(Told::Release(request.clone()));
        let released = request.lease_tokens.iter().map(|_| true).collect();
        Ok(Response::new(ReleaseLeasesResponse { released }))
    }
}

#[tonic::async_trait]
impl PipelineService for Served {
    async fn list_pipelines(
        &self,
        _: Request<ListPipelinesRequest>,
    ) -> Result<Response<ListPipelinesResponse>, Status> {
        Ok(Response::new(ListPipelinesResponse::default()))
    }

    async fn get_pipeline(&self, _: Request<GetPipelineRequest>) -> Result<Response<GetPipelineResponse>, Status> {
        Ok(Response::new(GetPipelineResponse { pipeline: Some(self.0.pipeline.clone()) }))
    }
}
