//! The control plane alone: workers that lease, announce and report, and fetch nothing. What is measured is the coordinator with
//! its ledger, over real gRPC; the simulated workers share the machine with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, ensure};
use muster_postgres::Postgres;
use tokio::task::JoinSet;

use super::runs::Round;
use super::scene::Api;
use super::simulated::{Simulated, list};
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
    list(&cluster, &run_id).await;
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
    let crew = Simulated::crew(cluster, play.workers).await?;
    let mut workers = JoinSet::new();
    let began = Instant::now();
    for simulated in crew {
        workers.spawn(work(simulated, Arc::clone(&left)));
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

/// Works until no batch is left, and gives how long each acquisition took that brought something, in milliseconds.
async fn work(mut worker: Simulated, left: Arc<AtomicU64>) -> anyhow::Result<Vec<f64>> {
    let mut waits = Vec::new();
    while left.load(Ordering::Relaxed) > 0 {
        let asked = Instant::now();
        let leases = worker.acquire().await?;
        if !leases.is_empty() {
            waits.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
        for lease in leases {
            worker.deliver(lease, &[]).await?;
            left.fetch_sub(1, Ordering::Relaxed);
        }
    }
    Ok(waits)
}
