//! Many small records through separate processes: does it balance, how fast, and with how much memory.

use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::deadline::until_some;
use crate::http::get;
use crate::pipelines::{self, WHOLE_ITEMS, variant};
use crate::process::{Process, Start};
use crate::programs;

/// What is to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many records there are.
    pub records: u64,
    /// By how many workers.
    pub workers: usize,
    /// The list has them whole: none is read by itself.
    pub whole_items: bool,
    /// Threads of the stand-in; nothing: one for each processor.
    pub api_threads: Option<usize>,
}

impl Load {
    /// So many records by one worker, each read by itself.
    pub fn of(records: u64) -> Load {
        Load { records, workers: 1, whole_items: false, api_threads: None }
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How many records there were.
    pub records: u64,
    /// From StartRun to the verdict.
    pub seconds: f64,
    /// The coordinator's peak memory.
    pub coordinator_kib: u64,
    /// Its processor time.
    pub coordinator_cpu: f64,
    /// The largest peak memory of a worker.
    pub worker_kib: u64,
    /// Processor time of all workers.
    pub worker_cpu: f64,
    /// Processor time of the stand-in.
    pub stand_in_cpu: f64,
    /// Size of the ledger's file when the run was over.
    pub ledger_bytes: u64,
}

impl Measured {
    /// A heading for lines.
    pub const HEADING: &str =
        "  records  seconds  records/s  coordinator MiB  CPU s  worker MiB  CPU s  stand-in CPU s  ledger MiB";

    /// One line.
    pub fn line(&self) -> String {
        let mebi = |kib: u64| kib as f64 / 1024.0;
        format!(
            "{:>9}  {:>7.1}  {:>9.0}  {:>15.1}  {:>5.1}  {:>10.1}  {:>5.1}  {:>14.1}  {:>10.1}",
            self.records,
            self.seconds,
            self.records as f64 / self.seconds,
            mebi(self.coordinator_kib),
            self.coordinator_cpu,
            mebi(self.worker_kib),
            self.worker_cpu,
            self.stand_in_cpu,
            mebi(self.ledger_bytes / 1024),
        )
    }
}

/// Loads them, calmly, and measures.
///
/// # Errors
/// When the run does not end complete and balanced, or the stand-in's book is not perfect.
pub async fn measure(load: &Load) -> anyhow::Result<Measured> {
    let Load { records, workers, whole_items, api_threads } = *load;
    let folder = tempfile::tempdir()?;
    let count = records.to_string();
    let mut flags = vec!["--port", "0", "--animals", &count, "--page-size", "1000", "--chaos", "0"];
    let threads = api_threads.map(|threads| threads.to_string());
    flags.extend(threads.iter().flat_map(|threads| ["--threads", threads.as_str()]));
    let pipeline = if whole_items { variant(&[WHOLE_ITEMS]) } else { variant(&[]) };
    if whole_items {
        flags.push("--whole-items");
    }
    let stand_in = Start::program(&programs::animals_api(), folder.path(), flags).start();
    let base_url = address(&stand_in).await;
    pipelines::folder(folder.path(), "herd", &pipeline);
    let mut cluster = Cluster::with(folder.path(), &["--pipelines", "pipelines"], &[]).await;
    let crew: Vec<Process> = (1..=workers).map(|number| cluster.worker(&format!("w{number}"), &[])).collect();

    let began = Instant::now();
    let run_id = cluster.start_run("herd", &base_url).await;
    let run = loop {
        // Longer than any one wait may take, so wait for each step of the way.
        let loaded = cluster.run(&run_id).await.progress.unwrap_or_default().loaded;
        let step = |run: &muster_proto::v1::Run| {
            run.finished_at.is_some() || run.progress.is_some_and(|progress| progress.loaded >= loaded + 20_000)
        };
        let run = cluster.watch_until(&run_id, step).await;
        if run.finished_at.is_some() {
            break run;
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    let verdict = run.verdict.context("a run that is over has a verdict")?;
    ensure!(verdict.complete && verdict.balanced, "the ledger does not balance: {verdict:?}");
    let again = cluster.verify(&run_id).await;
    ensure!(again.counts == verdict.counts, "two audits differ: {verdict:?} {again:?}");
    let loaded = u64::try_from(verdict.counts.unwrap_or_default().loaded)?;
    ensure!(loaded == records, "{loaded} of {records} are loaded");
    let book = book(&base_url).await?;
    ensure!(book["perfect"] == true, "the book is not perfect: {book}");
    Ok(Measured {
        records,
        seconds,
        coordinator_kib: cluster.process().peak_memory_kib(),
        coordinator_cpu: cluster.process().cpu_seconds(),
        worker_kib: crew.iter().map(Process::peak_memory_kib).max().unwrap_or(0),
        worker_cpu: crew.iter().map(Process::cpu_seconds).sum(),
        stand_in_cpu: stand_in.cpu_seconds(),
        ledger_bytes: std::fs::metadata(cluster.database())?.len(),
    })
}

/// Where a stand-in says it listens.
pub(crate) async fn address(stand_in: &Process) -> String {
    until_some("the stand-in says where it listens", async || {
        let said = stand_in.stdout();
        let (_, after) = said.split_once("listening on ")?;
        after.split_whitespace().next().map(str::to_owned)
    })
    .await
}

/// A stand-in's book in short.
pub(crate) async fn book(base_url: &str) -> anyhow::Result<Value> {
    get(&format!("{base_url}/book")).await
}
