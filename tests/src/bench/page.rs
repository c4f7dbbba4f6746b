//! What an open page of a run costs the coordinator, and how much it weighs, in the middle of a run of many records.
//!
//! Everything is listed and most of it done at full speed; then simulated workers go on at a steady pace, so that two stretches
//! of the same length differ in nothing but the page.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_proto::v1::{RecordOutcome, RecordReport};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::runs::Round;
use super::scene::Api;
use super::sheet::median;
use super::simulated::{Simulated, list};
use crate::browser::{Browser, Look};
use crate::cluster::{Cluster, free_port};
use crate::deadline::within;
use crate::http;

/// Records of the run that the page is weighed beside.
const FEW: u64 = 10_000;
/// Batches that are left for the steady pace there.
const FEW_LEFT: u64 = 90;
/// Simulated workers, two batches a second each when they are steady.
const CREW: usize = 5;
/// One record of every so many batches is given up on.
const BATCHES_PER_FAILURE: u64 = 10;
/// Reasons for that.
const REASONS: u64 = 5;
/// A stretch without or with the page.
const WINDOW: Duration = Duration::from_secs(10);
/// So many of each.
const WINDOWS: u64 = 6;
/// Updates that are weighed.
const UPDATES: usize = 6;

/// A run that goes on steadily.
struct Scene {
    cluster: Cluster,
    run_id: String,
    page: String,
    _api: Api,
    workers: JoinSet<anyhow::Result<()>>,
}

/// What a page weighs, in bytes.
struct Weight {
    /// The page and its files.
    first_load: usize,
    /// What its plots are drawn from, asked for at most every other second.
    history: usize,
    /// What is sent to a page that was just opened.
    first_update: usize,
    /// The largest of those that follow.
    update: usize,
}

/// Weighs the page of a run of 10,000 records and of one of so many, and measures what it costs there while it is open.
///
/// # Errors
/// When there are too few records to last, a call fails, or the page is not live.
pub async fn page(records: u64) -> anyhow::Result<Round> {
    // More than is worked off while the page is opened and shut again.
    let left = WINDOWS * WINDOW.as_secs() * 2 * 2 * CREW as u64 * 5 / 4;
    ensure!(records / 100 > left, "{} records at least: the run has to last", left * 100 + 100);
    let few = {
        let folder = tempfile::tempdir()?;
        let scene = Scene::set(folder.path(), FEW, FEW_LEFT).await?;
        weigh(&scene.page).await?
    };
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path(), records, left).await?;
    let many = weigh(&scene.page).await?;
    let browser = Browser::start(folder.path()).await;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let (began, before) = (Instant::now(), scene.batches_done().await);
    for _ in 0..WINDOWS {
        browser.goto("about:blank").await;
        without.push(share(&mut scene.cluster).await);
        with.push(open(&browser, &mut scene).await?);
    }
    scene.has_kept_pace(before, began.elapsed()).await?;
    let more: Vec<_> = with.iter().zip(&without).map(|(with, without)| with - without).collect();
    let bytes = |name: &str, few: usize, many: usize| {
        [
            (format!("{name}: bytes at {FEW} records"), few as f64),
            (format!("{name}: bytes at {records} records"), many as f64),
            (format!("{name}: x as many"), many as f64 / few as f64),
        ]
    };
    let mut figures = vec![
        ("coordinator without a page: % of a core".to_owned(), median(&without)),
        ("coordinator with one open page: % of a core".to_owned(), median(&with)),
        ("one open page: % of a core".to_owned(), median(&more)),
    ];
    figures.extend(bytes("first load", few.first_load, many.first_load));
    figures.extend(bytes("history", few.history, many.history));
    figures.extend(bytes("first update", few.first_update, many.first_update));
    figures.extend(bytes("later update, at most", few.update, many.update));
    Ok(figures)
}

impl Scene {
    /// A run of so many records, of which all but so many batches are done.
    async fn set(folder: &Path, records: u64, left: u64) -> anyhow::Result<Scene> {
        let count = records.to_string();
        let api = Api::start(folder, &["--animals", &count, "--chaos", "0", "--page-size", "1000"]).await;
        let listen = format!("127.0.0.1:{}", free_port());
        let cluster = Cluster::with(folder, &["--http-listen", &listen], &[]).await;
        let run_id = cluster.start_run("animals", &api.base_url).await;
        list(&cluster, &run_id).await;
        let share = (records / 100 - left) / CREW as u64;
        let mut quick = JoinSet::new();
        for (worker, number) in Simulated::crew(&cluster, CREW).await?.into_iter().zip(0..) {
            // Each begins with another reason.
            quick.spawn(work(worker, number * BATCHES_PER_FAILURE, share));
        }
        let mut workers = JoinSet::new();
        while let Some(worker) = quick.join_next().await {
            workers.spawn(steadily(worker??));
        }
        Ok(Scene { page: format!("http://{listen}/runs/{run_id}"), run_id, cluster, _api: api, workers })
    }

    async fn batches_done(&self) -> i64 {
        self.cluster.run(&self.run_id).await.progress.unwrap_or_default().batches_done
    }

    /// What was measured is a run at its pace only if nobody failed and there was enough to do.
    async fn has_kept_pace(&mut self, before: i64, time: Duration) -> anyhow::Result<()> {
        if let Some(ended) = self.workers.try_join_next() {
            ended??;
        }
        let done = (self.batches_done().await - before) as f64;
        let wanted = time.as_secs_f64() * 2.0 * CREW as f64;
        ensure!(done > wanted * 0.9, "{done} batches were done while {wanted:.0} were to be");
        Ok(())
    }
}

/// Works off so many batches as fast as it can.
async fn work(mut worker: Simulated, from: u64, batches: u64) -> anyhow::Result<Simulated> {
    let mut done = from;
    while done < from + batches {
        done = once(&mut worker, done).await?;
    }
    Ok(worker)
}

/// Goes on at its pace until nothing is left.
async fn steadily(mut worker: Simulated) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut done = 0;
    loop {
        ticks.tick().await;
        done = once(&mut worker, done).await?;
    }
}

async fn once(worker: &mut Simulated, mut done: u64) -> anyhow::Result<u64> {
    for lease in worker.acquire().await? {
        let failure = RecordReport {
            position: 7,
            outcome: RecordOutcome::DeadLetter.into(),
            stage: "validate".to_owned(),
            reason: format!("field {} is missing", done / BATCHES_PER_FAILURE % REASONS),
            body: "{}".to_owned(),
            ..RecordReport::default()
        };
        let given_up = if done.is_multiple_of(BATCHES_PER_FAILURE) { vec![failure] } else { Vec::new() };
        worker.deliver(lease, &given_up).await?;
        done += 1;
    }
    Ok(done)
}

/// The coordinator's share of a core for a while, in percent.
async fn share(cluster: &mut Cluster) -> f64 {
    let (began, before) = (Instant::now(), cluster.process().cpu_seconds());
    sleep(WINDOW).await;
    (cluster.process().cpu_seconds() - before) * 100.0 / began.elapsed().as_secs_f64()
}

/// The same while the page is open. What it takes to open it does not count.
async fn open(browser: &Browser, scene: &mut Scene) -> anyhow::Result<f64> {
    browser.look(Look { width: 1280, height: 900, dark: false }).await;
    browser.goto(&scene.page).await;
    browser.wait_for("#plots:not([hidden]) path.line").await;
    let first = browser.wait_for_text("#part-progress", |text| !text.is_empty()).await;
    let share = share(&mut scene.cluster).await;
    let last = browser.wait_for_text("#part-progress", |text| !text.is_empty()).await;
    ensure!(first != last, "the page stood still: {last}");
    Ok(share)
}

async fn weigh(page: &str) -> anyhow::Result<Weight> {
    let (site, path) = page.split_at(page.rfind("/runs/").context("a run's page")?);
    let html = text(page).await?;
    let mut files: Vec<&str> = html.split('"').filter(|part| part.starts_with("/assets/")).collect();
    files.sort_unstable();
    files.dedup();
    let mut first_load = html.len();
    for file in files {
        first_load += text(&format!("{site}{file}")).await?.len();
    }
    let history = text(&format!("{site}/api/v1{path}/history?spans=120")).await?.len();
    let updates = updates(&format!("{page}/live?state=running")).await?;
    let (first, others) = updates.split_first().context("no update")?;
    Ok(Weight {
        first_load,
        history,
        first_update: *first,
        update: others.iter().copied().max().context("one update")?,
    })
}

async fn text(url: &str) -> anyhow::Result<String> {
    let answer = within(url, http::client()?.get(url).send()).await?.error_for_status()?;
    Ok(within(url, answer.text()).await?)
}

/// Sizes of updates of a page: each ends with a sample.
async fn updates(url: &str) -> anyhow::Result<Vec<usize>> {
    let mut answer = within(url, http::client()?.get(url).send()).await?.error_for_status()?;
    let (mut sizes, mut text) = (Vec::new(), String::new());
    while sizes.len() < UPDATES {
        let more = within("news of the run", answer.chunk()).await?.context("the news end")?;
        text.push_str(&String::from_utf8_lossy(&more));
        while let Some(end) = text.find("event: sample").and_then(|at| Some(at + text.get(at..)?.find("\n\n")? + 2)) {
            sizes.push(end);
            text.drain(..end);
        }
    }
    Ok(sizes)
}
