//! WorkerService.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use muster_proto::v1::{self, worker_service_server::WorkerService};
use muster_telemetry::crash::{self, Point};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tonic::{Request, Response, Status};

use super::items::Items;
use super::speakers::Speakers;
use super::stock::{self, Stock};
use super::{Paces, parse, rates, render};
use crate::access::Identity;
use crate::domain::Run;
use crate::measures;
use crate::store::{Acquire, Acquired, Begun, Event, LEASE_TTL, Renewal, Store, StoreResult};

/// The longest that a call for work waits.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Whoever holds leases and wants more in stock comes so much later to what is ready than whoever has nothing to do.
const AFTER_THE_IDLE: Duration = Duration::from_millis(20);

/// Serves workers.
pub(crate) struct Workers {
    store: Arc<dyn Store>,
    /// Are they in this very process?
    embedded: bool,
    /// How fast pipelines may ask.
    paces: Arc<Paces>,
    speakers: Speakers,
    stock: Stock,
}

impl Workers {
    /// `embedded`: workers in this very process, whose leases die with it.
    pub(crate) fn new(store: Arc<dyn Store>, embedded: bool, paces: Arc<Paces>) -> Self {
        let stock = Stock::new(Arc::clone(&store), stock::PACE, stock::PATIENCE);
        Self { speakers: Speakers::new(Arc::clone(&store)), stock, store, embedded, paces }
    }

    /// The session's ID, if whoever calls may speak for it.
    async fn session(&self, identity: Option<&Identity>, id: &str) -> Result<String, Status> {
        let session = parse::session_id(id)?;
        self.speakers.check(identity, &session, None).await?;
        Ok(session)
    }

    /// Leases, waiting for the first one.
    async fn acquire(&self, acquire: Acquire, wait: Duration) -> StoreResult<Acquired> {
        let asked = Instant::now();
        let until = asked + wait.min(MAX_WAIT);
        let mut work = self.store.events().work();
        let mut pushed = self.store.events().pushed();
        loop {
            work.mark_unchanged();
            // The TTL of a lease counts from the request, the store's from the grant.
            let waited = asked.elapsed();
            let mut acquired = self.store.acquire(acquire.clone()).await?;
            if !acquired.leases.is_empty() || acquire.capacity == 0 || Instant::now() >= until {
                acquired.leases.iter_mut().for_each(|lease| lease.ttl += waited);
                return Ok(acquired);
            }
            // A moment more than said: the store's clock counts whole milliseconds.
            let due = acquired.next_in.map(|next_in| Instant::now() + next_in + Duration::from_millis(2));
            let next = due.map_or(until, |due| due.min(until));
            tokio::select! {
                woken = tokio::time::timeout_at(next, work.changed()) => {
                    if woken.is_ok() && !acquire.held.is_empty() && !self.embedded {
                        tokio::time::sleep(AFTER_THE_IDLE).await;
                    }
                }
                () = stock::asked(&mut pushed, &acquire.session.id) => return Ok(acquired),
                // In this very process there is nobody else. Who passes runs over would be given what it does not take.
                never = self.stock.look_around(&acquire), if !self.embedded && acquire.passing_over.is_empty() =>
                    match never {},
            }
        }
    }
}

/// A request, and who it came from.
fn opened<T>(mut request: Request<T>) -> (Option<Identity>, T) {
    (request.extensions_mut().remove(), request.into_inner())
}

fn leased_run(run: Run) -> v1::LeasedRun {
    v1::LeasedRun {
        run_id: run.id.to_string(),
        pipeline_revision: run.revision,
        parameters: run.parameters.into_iter().collect(),
    }
}

fn pushed(event: v1::attend_response::Event) -> v1::AttendResponse {
    v1::AttendResponse { event: Some(event) }
}

fn host_closed(host: String, time: Duration) -> v1::AttendResponse {
    let time = Some(render::duration(time));
    pushed(v1::attend_response::Event::HostClosed(v1::HostClosed { host, time }))
}

/// What a session is told of an event; `None`: it does not concern it.
fn concerning(session: &str, event: Event) -> Option<v1::AttendResponse> {
    match event {
        Event::RunStopped { run_id, reason } => {
            let stopped = v1::RunStopped { run_id: run_id.to_string(), reason };
            Some(pushed(v1::attend_response::Event::RunStopped(stopped)))
        }
        Event::LeaseExpired { session: of, token } if of == session => {
            let revoked = v1::LeaseRevoked { lease_token: token.to_text() };
            Some(pushed(v1::attend_response::Event::LeaseRevoked(revoked)))
        }
        Event::HostClosed { host, time } => Some(host_closed(host, time)),
        Event::LeasesWanted { session: of, leases } if of == session => {
            let leases = i32::try_from(leases).unwrap_or(i32::MAX);
            Some(pushed(v1::attend_response::Event::LeasesWanted(v1::LeasesWanted { leases })))
        }
        Event::LeasesWanted { .. } | Event::LeaseExpired { .. } | Event::RunOver { .. } | Event::RunDeleted => None,
    }
}

fn pushes(
    session: String,
    events: broadcast::Receiver<Event>,
) -> impl Stream<Item = Result<v1::AttendResponse, Status>> {
    BroadcastStream::new(events).filter_map(move |event| {
        let push = match event {
            Ok(event) => concerning(&session, event).map(Ok),
            // Too slow: the stream ends, the worker opens it again and learns by renewing what it has missed.
            Err(BroadcastStreamRecvError::Lagged(_)) => {
                Some(Err(Status::aborted("the stream fell behind: open it again")))
            }
        };
        std::future::ready(push)
    })
}

#[tonic::async_trait]
impl WorkerService for Workers {
    async fn acquire_leases(
        &self,
        request: Request<v1::AcquireLeasesRequest>,
    ) -> Result<Response<v1::AcquireLeasesResponse>, Status> {
        let (identity, request) = opened(request);
        let wait = parse::duration(request.wait);
        let acquire = parse::acquire(request, self.embedded)?;
        self.speakers.check(identity.as_ref(), &acquire.session.id, Some(&acquire.session)).await?;
        let acquired = self.acquire(acquire, wait).await?;
        measures::granted(&acquired);
        Ok(Response::new(v1::AcquireLeasesResponse {
            leases: acquired.leases.into_iter().map(render::lease).collect(),
            runs: acquired.runs.into_iter().map(leased_run).collect(),
            protocol: muster_proto::PROTOCOL,
        }))
    }

    type AttendStream = Pin<Box<dyn Stream<Item = Result<v1::AttendResponse, Status>> + Send>>;

    async fn attend(&self, request: Request<v1::AttendRequest>) -> Result<Response<Self::AttendStream>, Status> {
        let (identity, request) = opened(request);
        parse::protocol(request.worker.as_ref())?;
        let worker = parse::session(&request.session_id, request.worker, self.embedded)?;
        self.speakers.check(identity.as_ref(), &worker.id, Some(&worker)).await?;
        let session = worker.id;
        let events = self.store.events().pushed();
        let attending = v1::Attending { renew_every: Some(render::duration(LEASE_TTL / 3)) };
        // Read after the events are listened to: what is closed meanwhile is told twice rather than never.
        let closed = self.store.closed_hosts().await?;
        let closed = closed.into_iter().map(|closed| host_closed(closed.host, closed.left));
        let first = std::iter::once(pushed(v1::attend_response::Event::Attending(attending))).chain(closed);
        Ok(Response::new(Box::pin(futures::stream::iter(first.map(Ok)).chain(pushes(session, events)))))
    }

    async fn renew_leases(
        &self,
        request: Request<v1::RenewLeasesRequest>,
    ) -> Result<Response<v1::RenewLeasesResponse>, Status> {
        let (identity, request) = opened(request);
        let session = self.session(identity.as_ref(), &request.session_id).await?;
        let renewed = self.store.renew(&session, &parse::tokens(&request.lease_tokens)?).await??;
        let render = |(lease_token, renewal)| {
            let (state, ttl) = match renewal {
                Renewal::Held(ttl) => (v1::RenewalState::Held, Some(ttl)),
                Renewal::RunStopped(ttl) => (v1::RenewalState::RunStopped, Some(ttl)),
                Renewal::Lost => (v1::RenewalState::Lost, None),
            };
            v1::Renewal { lease_token, state: state.into(), ttl: ttl.map(render::duration) }
        };
        let renewals = request.lease_tokens.into_iter().zip(renewed).map(render).collect();
        Ok(Response::new(v1::RenewLeasesResponse { renewals }))
    }

    type ReadItemsStream = Pin<Box<dyn Stream<Item = Result<v1::ReadItemsResponse, Status>> + Send>>;

    async fn read_items(
        &self,
        request: Request<v1::ReadItemsRequest>,
    ) -> Result<Response<Self::ReadItemsStream>, Status> {
        let (identity, request) = opened(request);
        let session = self.session(identity.as_ref(), &request.session_id).await?;
        let token = parse::token(&request.lease_token)?;
        let mut items = Items::new(Arc::clone(&self.store), session, token, request.from_position);
        // Read before the stream begins, so that a wrong token is an error of the call.
        Ok(Response::new(match items.next().await? {
            Some(first) => Box::pin(items.into_stream(first)),
            None => Box::pin(futures::stream::empty()),
        }))
    }

    async fn reserve_requests(
        &self,
        request: Request<v1::ReserveRequestsRequest>,
    ) -> Result<Response<v1::ReserveRequestsResponse>, Status> {
        let came = std::time::Instant::now();
        let (identity, request) = opened(request);
        self.session(identity.as_ref(), &request.session_id).await?;
        let pace = self.paces.of(&request.pipeline_revision).await?.pace.ok_or_else(rates::without_rate)?;
        let mut ask = parse::reserve(request, pace)?;
        if self.embedded {
            // It is alone, but for the lister: what it does not use nobody else wants, and with some in hand it need not
            // ask before each request when it has few in flight.
            ask.count = u32::MAX;
        }
        let reserved = self.store.reserve(ask).await??;
        Ok(Response::new(v1::ReserveRequestsResponse { after_us: render::places(&reserved, came) }))
    }

    async fn report_pressure(
        &self,
        request: Request<v1::ReportPressureRequest>,
    ) -> Result<Response<v1::ReportPressureResponse>, Status> {
        let (identity, request) = opened(request);
        let session = self.session(identity.as_ref(), &request.session_id).await?;
        let host = parse::host(request.host)?;
        let most = self.paces.of(&request.pipeline_revision).await?.longest_closed;
        let time = parse::duration(request.time).min(most);
        self.store.close_host(Some(&session), &host, time).await??;
        Ok(Response::new(v1::ReportPressureResponse {}))
    }

    async fn begin_delivery(
        &self,
        request: Request<v1::BeginDeliveryRequest>,
    ) -> Result<Response<v1::BeginDeliveryResponse>, Status> {
        let (identity, request) = opened(request);
        let session = self.session(identity.as_ref(), &request.session_id).await?;
        let token = parse::token(&request.lease_token)?;
        let result = match self.store.begin(&session, token, parse::begin(request)?).await?? {
            Begun::Announced { number, ttl } => v1::begin_delivery_response::Result::Begun(v1::DeliveryBegun {
                delivery_number: number,
                ttl: Some(render::duration(ttl)),
            }),
            Begun::Refused(refusal) => v1::begin_delivery_response::Result::Refused(v1::DeliveryRefused {
                reason: render::refusal(refusal).into(),
            }),
        };
        Ok(Response::new(v1::BeginDeliveryResponse { result: Some(result) }))
    }

    async fn complete_batch(
        &self,
        request: Request<v1::CompleteBatchRequest>,
    ) -> Result<Response<v1::CompleteBatchResponse>, Status> {
        let (identity, request) = opened(request);
        let session = self.session(identity.as_ref(), &request.session_id).await?;
        let token = parse::token(&request.lease_token)?;
        let completion = self.store.complete(&session, token, parse::report(request)?).await??;
        crash::pass(Point::BeforeAnswer);
        Ok(Response::new(v1::CompleteBatchResponse { state: render::completion(completion).into() }))
    }

    async fn release_leases(
        &self,
        request: Request<v1::ReleaseLeasesRequest>,
    ) -> Result<Response<v1::ReleaseLeasesResponse>, Status> {
        let (identity, request) = opened(request);
        let session = self.session(identity.as_ref(), &request.session_id).await?;
        let released =
            self.store.release(&session, &parse::tokens(&request.lease_tokens)?, request.end_session).await??;
        Ok(Response::new(v1::ReleaseLeasesResponse { released }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{LeaseToken, Share};
    use crate::planted::Planted;
    use crate::store::conformance::bench::{A, B, Bench, worker};
    use crate::store::conformance::sharing::batches;
    use crate::store::sqlite::SqliteBackend;

    #[tokio::test]
    async fn what_is_given_back_goes_to_who_has_nothing() {
        const LONG: Duration = Duration::from_secs(30);
        const THIRD: &str = "session-of-a-third";
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::new(&SqliteBackend::new(folder.path().to_owned(), Planted::default())).await;
        batches(&bench, "one", 2, Share::default()).await;
        let (kept, back) = (bench.lease(A).await.token, bench.lease(THIRD).await.token);
        let store = bench.store();
        let workers = Workers::new(Arc::clone(&store), false, Arc::new(Paces::new(Arc::clone(&store))));
        let asks = |session: &str, held: Vec<LeaseToken>| {
            let acquire = Acquire { session: worker(session), held, capacity: 64, ..Acquire::default() };
            workers.acquire(Acquire { protocol: muster_proto::PROTOCOL, ..acquire }, LONG)
        };
        let give_back = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(store.release(THIRD, &[back], false).await.unwrap(), Ok(vec![true]));
            tokio::time::sleep(LONG).await;
        };
        tokio::select! {
            biased;
            _ = asks(A, vec![kept]) => panic!("it has one already"),
            idle = asks(B, Vec::new()) => assert_eq!(idle.unwrap().leases.len(), 1),
            () = give_back => panic!("nobody has it"),
        }
    }
}
