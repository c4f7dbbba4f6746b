//! What traces cost: the same run side by side, without them, with some of them, with all, and by a program that has none.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::ensure;

use super::runs::Round;
use super::scene::Api;
use crate::cluster::Cluster;
use crate::otlp::{By, Receiver};
use crate::process::Start;
use crate::programs;

const RECORDS: u64 = 100_000;

/// One way of running it.
struct Way {
    name: &'static str,
    program: PathBuf,
    /// Share of the batches whose traces are exported; none: nothing is.
    ratio: Option<&'static str>,
}

/// What one run used, in microseconds of processor time for each record.
struct Used {
    worker: f64,
    coordinator: f64,
    rate: f64,
}

/// 100,000 animals through separate processes, in each way. Which way is first goes round, so that a machine that grows slower or
/// faster favours none. `untraced` is a `muster` from before there were traces.
///
/// # Errors
/// When a run does not balance.
pub async fn tracing(number: usize, untraced: Option<&Path>) -> anyhow::Result<Round> {
    let own = |name, ratio| Way { name, program: programs::muster(), ratio };
    let before = untraced.map(|program| Way { name: "none built in", program: program.to_owned(), ratio: None });
    let mut ways = Vec::from_iter(before);
    ways.extend([own("off", None), own("1%", Some("0.01")), own("all", Some("1"))]);
    let turn = number % ways.len();
    ways.rotate_left(turn);
    let mut used = Vec::new();
    for way in &ways {
        used.push(run(way).await?);
    }
    ways.rotate_right(turn);
    used.rotate_right(turn);
    let mut figures = Vec::new();
    for (way, used_by) in ways.iter().zip(&used) {
        let mut figure = |what: &str, value| figures.push((format!("{}: {what}", way.name), value));
        figure("worker's CPU us per record", used_by.worker);
        figure("coordinator's CPU us per record", used_by.coordinator);
        figure("records/s", used_by.rate);
    }
    // Beside what comes before it in this list: what being able to costs, what 1% costs beside nothing, and so on.
    for (pair, costs) in ways.windows(2).zip(used.windows(2)) {
        let more = (costs[1].worker / costs[0].worker - 1.0) * 100.0;
        figures.push((format!("worker: {} beside {}, % more", pair[1].name, pair[0].name), more));
    }
    Ok(figures)
}

async fn run(way: &Way) -> anyhow::Result<Used> {
    let folder = tempfile::tempdir()?;
    let count = RECORDS.to_string();
    let api = Api::start(folder.path(), &["--animals", &count, "--chaos", "0", "--page-size", "1000"]).await;
    let receiver = match way.ratio {
        Some(_) => Some(Receiver::start(folder.path()).await),
        None => None,
    };
    let env = receiver.iter().zip(way.ratio).flat_map(|(receiver, ratio)| receiver.env_at(By::Grpc, ratio));
    let env: Vec<_> = env.collect();
    let mut cluster = Cluster::by(&way.program, folder.path(), &env).await;
    let url = cluster.url();
    let start = Start::program(&way.program, folder.path(), ["worker", "--coordinator", &url, "--name", "w1"]);
    let worker = env.iter().fold(start, |start, (name, value)| start.env(name, value)).start();
    let began = Instant::now();
    let run_id = cluster.start_run("animals", &api.base_url).await;
    let run = cluster.watch(&run_id).await;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(run.verdict.is_some_and(|verdict| verdict.complete && verdict.balanced), "it does not balance");
    let records = RECORDS as f64;
    let used = Used {
        worker: worker.cpu_seconds() * 1e6 / records,
        coordinator: cluster.process().cpu_seconds() * 1e6 / records,
        rate: records / seconds,
    };
    api.perfect_book().await?;
    Ok(used)
}
