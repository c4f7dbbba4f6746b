//! The gRPC server: all services, health, reflection, and its bounds.

use std::sync::Arc;
use std::time::Duration;

use muster_proto::keda::external_scaler_server::ExternalScalerServer;
use muster_proto::v1::audit_service_server::AuditServiceServer;
use muster_proto::v1::fleet_service_server::FleetServiceServer;
use muster_proto::v1::pipeline_service_server::PipelineServiceServer;
use muster_proto::v1::run_service_server::RunServiceServer;
use muster_proto::v1::worker_service_server::WorkerServiceServer;
use muster_telemetry::trace::ServerLayer;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::access::{Access, METHOD_NAMES, Speaks};
use crate::coordinator::Services;
use crate::service::{Audits, Fleets, Pipelines, Runs, Scaler, Workers};
use crate::store::Store;

/// The largest message that is taken.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Calls and streams at once on one connection.
const MAX_STREAMS: u32 = 64;
/// How long a call may take; calls for work wait for up to 30 s.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long calls under way may take to end at shutdown. A graceful end alone can hang for hours on a peer that is
/// gone (hyper #4170).
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(3);

/// All services of our own. `embedded`: for workers in this process.
pub(crate) fn routes(services: &Services, embedded: bool) -> Routes {
    let mut routes = Routes::builder();
    routes
        .add_service(RunServiceServer::new(services.runs()).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(AuditServiceServer::new(services.audits()).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(PipelineServiceServer::new(services.pipelines()).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(WorkerServiceServer::new(services.workers(embedded)).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(FleetServiceServer::new(services.fleets()).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(ExternalScalerServer::new(services.scaler()).max_decoding_message_size(MAX_REQUEST_BYTES));
    routes.routes()
}

/// The name under which the protocol asks for the health of all services together.
const WHOLE_SERVER: &str = "";
/// How often health is brought up to what the ledger's writer has learnt.
const HEALTH_EVERY: Duration = Duration::from_millis(500);

/// Keeps the health of the services that write, and of the server as a whole, what the ledger's writer says it is. Those
/// that only read serve on.
async fn watch_writer(store: Arc<dyn Store>, reporter: HealthReporter) {
    let mut ticker = tokio::time::interval(HEALTH_EVERY);
    let mut before = None;
    loop {
        ticker.tick().await;
        let status = if store.writable().is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing };
        if before.replace(status) == Some(status) {
            continue;
        }
        let run = <RunServiceServer<Runs> as NamedService>::NAME;
        let worker = <WorkerServiceServer<Workers> as NamedService>::NAME;
        for service in [WHOLE_SERVER, run, worker] {
            reporter.set_service_status(service, status).await;
        }
    }
}

/// Health of each service, and reflection: v1, and v1alpha for the clients that know only that.
async fn with_health_and_reflection(
    routes: Routes,
    store: Arc<dyn Store>,
    watching: &mut JoinSet<()>,
) -> Result<Routes, tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<RunServiceServer<Runs>>().await;
    reporter.set_serving::<AuditServiceServer<Audits>>().await;
    reporter.set_serving::<PipelineServiceServer<Pipelines>>().await;
    reporter.set_serving::<WorkerServiceServer<Workers>>().await;
    reporter.set_serving::<FleetServiceServer<Fleets>>().await;
    reporter.set_serving::<ExternalScalerServer<Scaler>>().await;
    watching.spawn(watch_writer(store, reporter));
    // The types of error details too, so that grpcurl can print them; and both reflections, whichever is asked.
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .include_reflection_service(false)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(muster_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(routes.add_service(health).add_service(reflection().build_v1()?).add_service(reflection().build_v1alpha()?))
}

/// Serves on a listener, to whom `access` lets in, until `stop`.
pub(crate) async fn serve(
    services: &Services,
    listener: TcpListener,
    access: &Access,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut watching = JoinSet::new();
    let store = Arc::clone(&services.store);
    let routes = with_health_and_reflection(routes(services, false), store, &mut watching).await?;
    let incoming = ReceiverStream::new(access.door(listener, Speaks::Http2).open());
    let server = Server::builder()
        .layer(access.layer())
        // Behind the judge: whoever may not come in has no say in what is exported.
        .layer(ServerLayer::new(METHOD_NAMES))
        .timeout(DEADLINE)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(SHUTDOWN).await;
    };
    tokio::select! {
        served = server => Ok(served?),
        () = overdue => Ok(()),
    }
}
