//! The control plane alone: workers that lease, announce and report, and fetch nothing. What is measured is the coordinator with
//! its ledger, over real gRPC; the simulated workers share the machine with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_postgres::Postgres;
use muster_proto::PROTOCOL;
use muster_proto::v1::worker_service_client::WorkerServiceClient;
use muster_proto::v1::{
    AcquireLeasesRequest, BeginDeliveryRequest, CompleteBatchRequest, DeliveryOutcome, DeliveryReport, Lease,
    WorkerInfo, begin_delivery_response,
};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::runs::Round;
use super::scene::Api;
use crate::cluster::Cluster;

/// What is to be played.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    /// IDs that are listed, in batches of 100.
    pub records: u64,
    /// Simulated workers, each with a connection of its own.
    pub workers: usize,
    /// The ledger is on PostgreSQL.
    pub postgres: bool,
}

/// Batches that a simulated worker asks for at once.
const CAPACITY: i32 = 2;

/// Plays it from the first page to the verdict.
///
/// # Errors
/// When a call fails or the run does not balance.
pub async fn play(play: Play) -> anyhow::Result<Round> {
    let folder = tempfile::tempdir()?;
    let count = play.records.to_string();
    let api = Api::start(folder.path(), &["--animals", &count, "--chaos", "0", "--page-size", "1000"]).await;
    let server = play.postgres.then(Postgres::start_on_disk);
    let mut cluster = match &server {
        Some(server) => Cluster::sharing(folder.path(), &server.url(), &[], &[]).await,
        None => Cluster::start(folder.path()).await,
    };
    let began = Instant::now();
    let run_id = cluster.start_run("animals", &api.base_url).await;
    loop {
        let progress = cluster.run(&run_id).await.progress.unwrap_or_default();
        if progress.listing_closed {
            break;
        }
        let more = progress.listed + 50_000;
        let step = |run: &muster_proto::v1::Run| {
            run.progress.is_some_and(|progress| progress.listing_closed || progress.listed >= more)
        };
        cluster.watch_until(&run_id, step).await;
    }
    let listed = began.elapsed().as_secs_f64();
    let before = cluster.process().cpu_seconds();
    let (seconds, waits) = work_off(&cluster, play).await?;
    let spent = cluster.process().cpu_seconds() - before;
    let run = cluster.watch(&run_id).await;
    let verdict = run.verdict.context("a run that is over has a verdict")?;
    ensure!(verdict.complete && verdict.balanced, "it does not balance: {verdict:?}");
    let asked = Instant::now();
    cluster.verify(&run_id).await;
    let verified = asked.elapsed().as_secs_f64();
    let (records, batches) = (play.records as f64, play.records as f64 / 100.0);
    let figures = [
        ("listed: IDs/s", records / listed),
        ("batches completed: 1/s", batches / seconds),
        ("AcquireLeases with an answer: p50 ms", percentile(&waits, 50)),
        ("AcquireLeases with an answer: p99 ms", percentile(&waits, 99)),
        ("coordinator: CPU ms per batch", spent * 1000.0 / batches),
        ("coordinator: CPU us per ID, listing included", cluster.process().cpu_seconds() * 1e6 / records),
        ("coordinator: peak MiB", cluster.process().peak_memory_kib() as f64 / 1024.0),
        ("verify: s", verified),
    ];
    Ok(figures.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Lets workers work until nothing is left, and gives how long that took and how long acquisitions took, in milliseconds.
async fn work_off(cluster: &Cluster, play: Play) -> anyhow::Result<(f64, Vec<f64>)> {
    let left = Arc::new(AtomicU64::new(play.records.div_ceil(100)));
    // Connected before the clock starts: 200 handshakes at once are a question of their own.
    let endpoint = Endpoint::from_shared(cluster.url())?.tcp_nodelay(true);
    let mut crew = Vec::with_capacity(play.workers);
    for number in 0..play.workers {
        crew.push(Simulated::new(number, endpoint.connect().await?));
    }
    let mut workers = JoinSet::new();
    let began = Instant::now();
    for simulated in crew {
        workers.spawn(simulated.work(Arc::clone(&left)));
    }
    let mut waits = Vec::new();
    while let Some(worker) = workers.join_next().await {
        waits.extend(worker??);
    }
    Ok((began.elapsed().as_secs_f64(), waits))
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = sorted.len() * percent / 100;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

struct Simulated {
    service: WorkerServiceClient<Channel>,
    session: String,
    name: String,
}

impl Simulated {
    fn new(number: usize, channel: Channel) -> Simulated {
        let service = WorkerServiceClient::new(channel).max_decoding_message_size(8 << 20);
        Simulated { service, session: format!("session-of-simulated-{number}"), name: format!("simulated-{number}") }
    }

    /// Works until no batch is left, and gives how long each acquisition took that brought something, in milliseconds.
    async fn work(mut self, left: Arc<AtomicU64>) -> anyhow::Result<Vec<f64>> {
        let mut waits = Vec::new();
        while left.load(Ordering::Relaxed) > 0 {
            let worker = WorkerInfo { name: self.name.clone(), version: "0".to_owned(), protocol: PROTOCOL };
            let request = AcquireLeasesRequest {
                session_id: self.session.clone(),
                worker: Some(worker),
                capacity: CAPACITY,
                wait: prost_types::Duration::try_from(Duration::from_millis(500)).ok(),
                ..AcquireLeasesRequest::default()
            };
            let asked = Instant::now();
            let leases = self.service.acquire_leases(request).await?.into_inner().leases;
            if !leases.is_empty() {
                waits.push(asked.elapsed().as_secs_f64() * 1000.0);
            }
            for lease in leases {
                self.deliver(lease).await?;
                left.fetch_sub(1, Ordering::Relaxed);
            }
        }
        Ok(waits)
    }

    /// Announces a batch and reports it as applied.
    async fn deliver(&mut self, lease: Lease) -> anyhow::Result<()> {
        let positions = lease.parts.first().map(|part| part.positions.clone()).unwrap_or_default();
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
            ..CompleteBatchRequest::default()
        };
        self.service.complete_batch(report).await?;
        Ok(())
    }
}
