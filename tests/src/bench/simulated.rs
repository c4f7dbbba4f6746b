//! Workers that lease, announce and report over real gRPC, and fetch nothing.

use std::time::Duration;

use anyhow::ensure;
use muster_proto::PROTOCOL;
use muster_proto::v1::worker_service_client::WorkerServiceClient;
use muster_proto::v1::{
    AcquireLeasesRequest, BeginDeliveryRequest, CompleteBatchRequest, DeliveryOutcome, DeliveryReport, Lease,
    RecordReport, Run, WorkerInfo, begin_delivery_response,
};
use tonic::transport::{Channel, Endpoint};

use crate::cluster::Cluster;

/// Batches that one asks for at once.
const CAPACITY: i32 = 2;

/// One of them, with a connection of its own.
pub(super) struct Simulated {
    service: WorkerServiceClient<Channel>,
    session: String,
    name: String,
}

/// Waits until all IDs of a run are listed, however many there are.
pub(super) async fn list(cluster: &Cluster, run_id: &str) {
    loop {
        let progress = cluster.run(run_id).await.progress.unwrap_or_default();
        if progress.listing_closed {
            return;
        }
        // Longer than any one wait may take, so wait for each step of the way.
        let more = progress.listed + 50_000;
        let step = |run: &Run| run.progress.is_some_and(|now| now.listing_closed || now.listed >= more);
        cluster.watch_until(run_id, step).await;
    }
}

impl Simulated {
    /// So many.
    pub(super) async fn crew(cluster: &Cluster, size: usize) -> anyhow::Result<Vec<Simulated>> {
        let endpoint = Endpoint::from_shared(cluster.url())?.tcp_nodelay(true);
        let mut crew = Vec::with_capacity(size);
        for number in 0..size {
            let service = WorkerServiceClient::new(endpoint.connect().await?).max_decoding_message_size(8 << 20);
            let (session, name) = (format!("session-of-simulated-{number}"), format!("simulated-{number}"));
            crew.push(Simulated { service, session, name });
        }
        Ok(crew)
    }

    /// Waits a moment for batches.
    pub(super) async fn acquire(&mut self) -> anyhow::Result<Vec<Lease>> {
        let worker = WorkerInfo { name: self.name.clone(), version: "0".to_owned(), protocol: PROTOCOL };
        let request = AcquireLeasesRequest {
            session_id: self.session.clone(),
            worker: Some(worker),
            capacity: CAPACITY,
            wait: prost_types::Duration::try_from(Duration::from_millis(500)).ok(),
            ..AcquireLeasesRequest::default()
        };
        Ok(self.service.acquire_leases(request).await?.into_inner().leases)
    }

    /// Announces a batch and reports it as applied, but for records that were given up on.
    pub(super) async fn deliver(&mut self, lease: Lease, given_up: &[RecordReport]) -> anyhow::Result<()> {
        let mut positions = lease.parts.first().map(|part| part.positions.clone()).unwrap_or_default();
        positions.retain(|position| given_up.iter().all(|report| report.position != *position));
        let announced = BeginDeliveryRequest {
            session_id: self.session.clone(),
            lease_token: lease.lease_token.clone(),
            ordinal: 1,
            positions,
            body_sha256: vec![7; 32],
            ..BeginDeliveryRequest::default()
        };
        let begun = self.service.begin_delivery(announced).await?.into_inner().result;
        ensure!(matches!(begun, Some(begin_delivery_response::Result::Begun(_))), "refused: {begun:?}");
        let applied = DeliveryReport {
            ordinal: 1,
            outcome: DeliveryOutcome::Applied.into(),
            http_status: 200,
            ..DeliveryReport::default()
        };
        let report = CompleteBatchRequest {
            session_id: self.session.clone(),
            lease_token: lease.lease_token,
            deliveries: vec![applied],
            records: given_up.to_vec(),
            ..CompleteBatchRequest::default()
        };
        self.service.complete_batch(report).await?;
        Ok(())
    }
}
