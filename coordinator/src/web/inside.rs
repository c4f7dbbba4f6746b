//! The services of this process, asked for whoever made a request over HTTP.
//!
//! The way is that of a call over gRPC, without a connection: the same judge stands in front, by the same table of roles.
//! So nothing that HTTP offers can be open to anybody to whom the call is not.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use muster_proto::v1::audit_service_client::AuditServiceClient;
use muster_proto::v1::fleet_service_client::FleetServiceClient;
use muster_proto::v1::pipeline_service_client::PipelineServiceClient;
use muster_proto::v1::run_service_client::RunServiceClient;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Status};
use tower::{Layer, Service};

use super::patience;
use super::security::InSession;
use crate::access::{Access, Guest, Judged, Refused};
use crate::coordinator::Services;
use crate::grpc;

/// All services behind the judge.
#[derive(Clone)]
pub(crate) struct Inside {
    services: InTime,
}

impl Inside {
    pub fn new(services: &Services, access: &Access) -> Self {
        let judged = access.layer().layer(grpc::routes(services, false));
        Self { services: InTime { judged, audits: Arc::new(Semaphore::new(1)) } }
    }

    /// For calls that are known by name only.
    pub fn services(&self) -> InTime {
        self.services.clone()
    }

    pub fn runs(&self) -> RunServiceClient<InTime> {
        RunServiceClient::new(self.services()).max_decoding_message_size(usize::MAX)
    }

    pub fn audits(&self) -> AuditServiceClient<InTime> {
        AuditServiceClient::new(self.services()).max_decoding_message_size(usize::MAX)
    }

    pub fn pipelines(&self) -> PipelineServiceClient<InTime> {
        PipelineServiceClient::new(self.services()).max_decoding_message_size(usize::MAX)
    }

    pub fn fleet(&self) -> FleetServiceClient<InTime> {
        FleetServiceClient::new(self.services()).max_decoding_message_size(usize::MAX)
    }
}

/// The calls that read a whole run: over HTTP there is one of them at a time.
const AUDITS: [&str; 2] = ["/muster.v1.AuditService/VerifyRun", "/muster.v1.AuditService/GetReport"];

/// Services that answer in time, or say that they do not. A stream has begun in time; how long it goes on is its own affair.
#[derive(Clone)]
pub(crate) struct InTime {
    judged: Judged<Routes>,
    audits: Arc<Semaphore>,
}

impl Service<http::Request<Body>> for InTime {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.judged.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let audits = AUDITS.contains(&request.uri().path()).then(|| Arc::clone(&self.audits));
        let answer = self.judged.call(request);
        let answer = async move {
            let Some(audits) = audits else { return answer.await };
            let turn = audits.acquire_owned().await;
            // It goes on when nobody waits for it any more, and counts until it has ended.
            let audit = tokio::spawn(async move {
                let _turn = turn;
                answer.await
            });
            audit.await.unwrap_or_else(|_| Ok(Status::internal("the audit failed: the log says where").into_http()))
        };
        Box::pin(async move {
            let overdue = |_| Ok(Status::deadline_exceeded("it took too long: ask again").into_http());
            tokio::time::timeout(patience::CALL, answer).await.unwrap_or_else(overdue)
        })
    }
}

/// Whoever made a request: what he brought to show who he is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    /// With all `authorization` that came, as a call would bring it, and nothing else.
    headers: HeaderMap,
    guest: Guest,
    /// Whether he has a session, which he may end.
    pub in_session: bool,
}

impl Caller {
    /// Of a request's headers and the connection it came by.
    pub fn of(headers: &HeaderMap, guest: &Guest) -> Self {
        let mut kept = HeaderMap::new();
        for value in headers.get_all(AUTHORIZATION) {
            kept.append(AUTHORIZATION, value.clone());
        }
        Self { headers: kept, guest: guest.clone(), in_session: false }
    }

    /// The message as a call of his.
    pub fn asks<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        request.extensions_mut().insert(self.guest.clone());
        request
    }

    /// The other end of his connection.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Whether he may make a call, `/package.Service/Method`.
    pub fn may(&self, access: &Access, call: &str) -> bool {
        access.may_call(call, &self.headers, &self.guest).is_ok()
    }

    /// Why he may not make a call, `package.Service/Method`, if that is so.
    pub fn judged(&self, access: &Access, call: &str) -> Result<(), Status> {
        access.may_call(&format!("/{call}"), &self.headers, &self.guest).map_err(Refused::status)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let guest = parts.extensions.get::<Guest>().cloned().unwrap_or_default();
        let in_session = parts.extensions.get::<InSession>().is_some();
        Ok(Self { in_session, ..Self::of(&parts.headers, &guest) })
    }
}
