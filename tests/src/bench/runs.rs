//! Whole runs: reality, a source that takes its time, one that takes none, many workers, many records.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::scene::{Api, limit, measured};
use crate::cluster::Cluster;
use crate::pipelines::{self, variant};
use crate::process::{Process, Start};
use crate::scale::{Load, measure};

/// Figures of one round.
pub type Round = Vec<(String, f64)>;

fn figure(name: impl Into<String>, value: f64) -> (String, f64) {
    (name.into(), value)
}

/// The pipeline `animals` with these changes, as a file.
fn pipeline(folder: &Path, changes: &[(&str, &str)]) -> String {
    let file = folder.join("herd.yaml");
    std::fs::write(&file, variant(changes)).expect("a file");
    file.to_string_lossy().into_owned()
}

/// The whole in one process.
fn muster_run(folder: &Path, pipeline: &str, api: &Api) -> Start {
    let parameter = format!("base_url={}", api.base_url);
    Start::muster(folder, ["run", pipeline, "--set", &parameter, "--db", "muster.db", "--json"])
}

/// A fixed number of requests at once instead of one that adapts.
fn fixed(requests: usize) -> (&'static str, String) {
    ("limits:\n", format!("limits:\n  concurrency: {{ fixed: {requests} }}\n"))
}

/// 5,500 animals, 2% chaos, stalls of 5 to 15 s: the original task. A round is a seed.
///
/// # Errors
/// When a program fails or the book is not perfect.
pub async fn reality(round: usize) -> anyhow::Result<Round> {
    let folder = tempfile::tempdir()?;
    let seed = (round + 1).to_string();
    let flags = ["--seed", &seed, "--animals", "5500", "--chaos", "2%", "--page-size", "10"];
    let bare = {
        let api = Api::start(folder.path(), &flags).await;
        limit(folder.path(), &api, &["--give-up", "1"]).await?.seconds
    };
    let api = Api::start(folder.path(), &flags).await;
    let cost = measured(muster_run(folder.path(), "animals", &api)).await?;
    let book = api.perfect_book().await?;
    let counters = &book["counters"];
    let number = |value: &Value| value.as_f64().context("a number");
    let stall = number(&book["longest_post_stall_ms"])? / 1000.0;
    Ok(vec![
        figure("limit, GETs given up after 1 s: s", bare),
        figure("muster run: s", cost.seconds),
        figure("muster run: s beyond the longest POST stall", cost.seconds - stall),
        figure("muster run: details asked for per record", number(&counters["details"])? / number(&book["animals"])?),
        figure("muster run: duplicates", number(&book["copies"])?),
    ])
}

/// 20,000 animals, 20 ms for each detail.
///
/// # Errors
/// As for [`reality`].
pub async fn latency(_: usize) -> anyhow::Result<Round> {
    let folder = tempfile::tempdir()?;
    let flags = ["--animals", "20000", "--chaos", "0", "--page-size", "1000", "--latency", "20ms"];
    let mut best = f64::MAX;
    let mut figures = Vec::new();
    for in_flight in [128, 256, 512, 1024] {
        let api = Api::start(folder.path(), &flags).await;
        let cost = limit(folder.path(), &api, &["--in-flight", &in_flight.to_string()]).await?;
        best = best.min(cost.seconds);
        figures.push(figure(format!("limit, {in_flight:>4} in flight: s"), cost.seconds));
    }
    let at_256 = figures[1].1;
    let (line, instead) = fixed(256);
    for (name, changes, of, yardstick) in [
        ("muster run, adaptive", &[][..], "limit at its best", best),
        ("muster run, 256 in flight", &[(line, instead.as_str())][..], "limit with 256", at_256),
    ] {
        let own = tempfile::tempdir()?;
        let api = Api::start(own.path(), &flags).await;
        let file = pipeline(own.path(), changes);
        let cost = measured(muster_run(own.path(), &file, &api)).await?;
        let most = api.perfect_book().await?["counters"]["most_in_flight"].as_f64().unwrap_or_default();
        figures.push(figure(format!("{name}: s"), cost.seconds));
        figures.push(figure(format!("{name}: x {of}"), cost.seconds / yardstick));
        figures.push(figure(format!("{name}: most requests in flight"), most));
    }
    Ok(figures)
}

/// 100,000 animals that are there at once.
///
/// # Errors
/// As for [`reality`].
pub async fn plain(_: usize) -> anyhow::Result<Round> {
    const RECORDS: f64 = 100_000.0;
    let folder = tempfile::tempdir()?;
    let flags = ["--animals", "100000", "--chaos", "0", "--page-size", "1000"];
    let api = Api::start(folder.path(), &flags).await;
    let bare = limit(folder.path(), &api, &["--in-flight", "64"]).await?;
    let bare_rate = RECORDS / bare.said_seconds("seconds")?;
    let mut figures = vec![
        figure("limit: records/s", bare_rate),
        figure("limit: CPU s per 100,000", bare.cpu_seconds),
        figure("limit: CPU s of the stand-in", api.cpu_seconds()),
    ];
    drop(api);
    let own = tempfile::tempdir()?;
    let api = Api::start(own.path(), &flags).await;
    let whole = measured(muster_run(own.path(), "animals", &api)).await?;
    api.perfect_book().await?;
    figures.extend([
        figure("muster run: records/s", RECORDS / whole.seconds),
        figure("muster run: x limit", RECORDS / whole.seconds / bare_rate),
        figure("muster run: CPU s per 100,000", whole.cpu_seconds),
        figure("muster run: peak MiB", whole.peak_mebibytes),
    ]);
    drop(api);
    let apart = measure(&Load::of(100_000)).await?;
    figures.extend([
        figure("separate processes: records/s", RECORDS / apart.seconds),
        figure("separate processes: x limit", RECORDS / apart.seconds / bare_rate),
        figure("separate processes: CPU s per 100,000", apart.coordinator_cpu + apart.worker_cpu),
        figure("separate processes: CPU s of the coordinator", apart.coordinator_cpu),
    ]);
    Ok(figures)
}

/// How a run of 10 records does, where nothing but the program itself takes time.
///
/// # Errors
/// As for [`reality`].
pub async fn small(_: usize) -> anyhow::Result<Round> {
    let folder = tempfile::tempdir()?;
    let api = Api::start(folder.path(), &["--animals", "10", "--chaos", "0"]).await;
    let cost = measured(muster_run(folder.path(), "animals", &api)).await?;
    api.perfect_book().await?;
    Ok(vec![figure("muster run of 10 records: ms", cost.seconds * 1000.0)])
}

/// 1, 2, 4 and 8 workers of 32 requests in flight each, on a source that takes 50 ms.
///
/// # Errors
/// As for [`reality`].
pub async fn workers(_: usize) -> anyhow::Result<Round> {
    let mut figures = Vec::new();
    let mut one = 0.0;
    for crew in [1, 2, 4, 8] {
        let folder = tempfile::tempdir()?;
        let records = 6_400 * crew;
        let (line, instead) = fixed(32);
        pipelines::folder(folder.path(), "herd", &variant(&[(line, &instead)]));
        let count = records.to_string();
        let flags = ["--animals", &count, "--chaos", "0", "--page-size", "1000", "--latency", "50ms"];
        let api = Api::start(folder.path(), &flags).await;
        let cluster = Cluster::with(folder.path(), &["--pipelines", "pipelines"], &[]).await;
        let _workers: Vec<Process> = (0..crew).map(|number| cluster.worker(&format!("w{number}"), &[])).collect();
        let began = Instant::now();
        let run_id = cluster.start_run("herd", &api.base_url).await;
        let run = cluster.watch(&run_id).await;
        let seconds = began.elapsed().as_secs_f64();
        ensure!(run.verdict.is_some_and(|verdict| verdict.complete && verdict.balanced), "it does not balance");
        api.perfect_book().await?;
        let rate = records as f64 / seconds;
        one = if crew == 1 { rate } else { one };
        figures.push(figure(format!("{crew} workers: records/s"), rate));
        figures.push(figure(format!("{crew} workers: x linear"), rate / one / crew as f64));
    }
    Ok(figures)
}

/// 10 thousand, 100 thousand and a million records through separate processes: what each record costs, and memory.
///
/// # Errors
/// As for [`reality`].
pub async fn scale(_: usize) -> anyhow::Result<Round> {
    let mut figures = Vec::new();
    for records in [10_000, 100_000, 1_000_000] {
        let of = measure(&Load::of(records)).await?;
        figures.extend([
            figure(format!("{records:>7} records: records/s"), records as f64 / of.seconds),
            figure(
                format!("{records:>7} records: CPU s per 100,000"),
                (of.coordinator_cpu + of.worker_cpu) * 1e5 / records as f64,
            ),
            figure(format!("{records:>7} records: coordinator's peak MiB"), of.coordinator_kib as f64 / 1024.0),
            figure(format!("{records:>7} records: worker's peak MiB"), of.worker_kib as f64 / 1024.0),
            figure(format!("{records:>7} records: ledger's bytes per record"), of.ledger_bytes as f64 / records as f64),
        ]);
    }
    Ok(figures)
}
