//! The services of this process, asked for whoever made a request over HTTP.
//!
//! The way is that of a call over gRPC, without a connection: the same judge stands in front, by the same table of roles.
//! So nothing that HTTP offers can be open to anybody to whom the call is not.

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use muster_proto::v1::audit_service_client::AuditServiceClient;
use muster_proto::v1::fleet_service_client::FleetServiceClient;
use muster_proto::v1::pipeline_service_client::PipelineServiceClient;
use muster_proto::v1::run_service_client::RunServiceClient;
use tonic::Request;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tower::Layer;

use super::security::InSession;
use crate::access::{Access, Guest, Judged};
use crate::coordinator::Services;
use crate::grpc;

/// All services behind the judge.
#[derive(Clone)]
pub(crate) struct Inside {
    services: Judged<Routes>,
}

impl Inside {
    pub fn new(services: &Services, access: &Access) -> Self {
        Self { services: access.layer().layer(grpc::routes(services, false)) }
    }

    /// For calls that are known by name only.
    pub fn services(&self) -> Judged<Routes> {
        self.services.clone()
    }

    pub fn runs(&self) -> RunServiceClient<Judged<Routes>> {
        RunServiceClient::new(self.services())
    }

    pub fn audits(&self) -> AuditServiceClient<Judged<Routes>> {
        AuditServiceClient::new(self.services())
    }

    pub fn pipelines(&self) -> PipelineServiceClient<Judged<Routes>> {
        PipelineServiceClient::new(self.services())
    }

    pub fn fleet(&self) -> FleetServiceClient<Judged<Routes>> {
        FleetServiceClient::new(self.services())
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
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let guest = parts.extensions.get::<Guest>().cloned().unwrap_or_default();
        let in_session = parts.extensions.get::<InSession>().is_some();
        Ok(Self { in_session, ..Self::of(&parts.headers, &guest) })
    }
}
