//! Several runs at once share the workers by priority, weight and `max_workers`. Each run has a stand-in of its own, so that
//! its book says how far it is; what is compared is how far one run is when another one has got somewhere, not the time.

use std::time::{Duration, Instant};

use animals_api::{Config, Server};
use muster_proto::v1::{Run, RunShare, RunState, StartRunRequest};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::{until_some, within};
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::pipelines::{folder, variant};
use muster_tests::postgres::Postgres;
use muster_tests::process::Process;
use muster_tests::turn;
use tempfile::TempDir;

use crate::stand_in;

const DEFAULT: RunShare = RunShare { priority: None, weight: None, max_workers: None };

/// Animals in batches of ten: a worker holds several at once, so that shares can be told by what is leased.
fn small_batches(place: &TempDir) -> String {
    let text = variant(&[("max_batch: 100", "max_batch: 10")]);
    folder(place.path(), "tens", &text).to_str().expect("a path").to_owned()
}

fn herd(animals: u64, latency_ms: u64) -> Server {
    stand_in(Config { latency: Duration::from_millis(latency_ms), page_size: 500, ..Config::calm(animals) })
}

async fn start(cluster: &Cluster, pipeline: &str, herd: &Server, share: RunShare) -> String {
    let request = StartRunRequest {
        pipeline: pipeline.to_owned(),
        parameters: [("base_url".to_owned(), herd.base_url())].into(),
        share: Some(share),
        ..StartRunRequest::default()
    };
    cluster.runs().start_run(request).await.expect("it starts").into_inner().run.expect("a run").run_id
}

/// A run of which all batches are ready.
async fn listed(cluster: &Cluster, herd: &Server, share: RunShare) -> String {
    let run_id = start(cluster, "tens", herd, share).await;
    let listed = |run: &Run| run.progress.is_some_and(|progress| progress.listing_closed);
    cluster.watch_until(&run_id, listed).await;
    run_id
}

fn loaded(herd: &Server) -> u64 {
    herd.book().counters().accepted_animals
}

/// Waits until a book has so many animals.
async fn until(herd: &Server, animals: u64) {
    within("the animals come", herd.book().until(|book| book.counters().accepted_animals >= animals)).await;
}

fn crew(cluster: &Cluster, urls: &str, workers: usize) -> Vec<Process> {
    let flags = ["--concurrency", "16"];
    (1..=workers).map(|number| cluster.worker_of(urls, &format!("w{number}"), &flags, &[])).collect()
}

async fn assert_done(cluster: &Cluster, run_id: &str, herd: &Server) {
    assert_eq!(cluster.watch(run_id).await.state(), RunState::Finished);
    assert_nothing_lost(&herd.book(), &Ledger::read(&cluster.database(), run_id));
}

/// One worker, full of batches of a run whose source is slow, and a run of 100 records that comes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_run_does_not_wait_behind_a_large_one() {
    let _turn = turn::heavy().await;
    let place = tempfile::tempdir().expect("a folder");
    let (large, small, alone) = (herd(6_000, 100), herd(100, 10), herd(100, 10));
    let cluster = Cluster::start(place.path()).await;
    let _crew = crew(&cluster, &cluster.url(), 1);
    let begun = Instant::now();
    start(&cluster, "animals", &alone, DEFAULT).await;
    until(&alone, 100).await;
    let by_itself = begun.elapsed();
    let large_run = start(&cluster, "animals", &large, DEFAULT).await;
    until(&large, 300).await;
    let begun = Instant::now();
    let small_run = start(&cluster, "animals", &small, DEFAULT).await;
    until(&small, 100).await;
    let meanwhile = loaded(&large) - 300;
    println!(
        "100 records by themselves: {by_itself:?}; beside a large run: {:?}, of which {meanwhile}",
        begun.elapsed()
    );
    // A worker of 16 slots has one or two batches at a time, and each is finished first.
    assert!(meanwhile <= 1_000, "the large run loaded {meanwhile} records before the small one was done");
    assert_done(&cluster, &small_run, &small).await;
    cluster.command(&["cancel", &large_run]).run().await.with_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_advance_by_their_weights() {
    let _turn = turn::heavy().await;
    let place = tempfile::tempdir().expect("a folder");
    let (light, heavy) = (herd(1_500, 30), herd(1_500, 30));
    let cluster = Cluster::with(place.path(), &["--pipelines", &small_batches(&place)], &[]).await;
    let heavy_run = listed(&cluster, &heavy, RunShare { weight: Some(150), ..DEFAULT }).await;
    let light_run = listed(&cluster, &light, RunShare { weight: Some(50), ..DEFAULT }).await;
    let _crew = crew(&cluster, &cluster.url(), 3);
    until(&heavy, 1_200).await;
    let (light_has, heavy_has) = (loaded(&light), loaded(&heavy));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let ratio = heavy_has as f64 / light_has.max(1) as f64;
    println!("weights 50 and 150: {light_has} and {heavy_has} records, 1 to {ratio:.2}");
    // Of about fifteen leases, one more or less to either is a quarter.
    assert!((2.0..=4.5).contains(&ratio), "1 to {ratio:.2} where the weights are 1 to 3");
    // What the heavy one leaves is the light one's.
    assert_done(&cluster, &heavy_run, &heavy).await;
    assert_done(&cluster, &light_run, &light).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_priority_goes_first_and_can_be_given_on_the_way() {
    let _turn = turn::heavy().await;
    let place = tempfile::tempdir().expect("a folder");
    let (first, urgent) = (herd(4_000, 20), herd(800, 20));
    let cluster = Cluster::with(place.path(), &["--pipelines", &small_batches(&place)], &[]).await;
    let first_run = listed(&cluster, &first, DEFAULT).await;
    let urgent_run = listed(&cluster, &urgent, RunShare { priority: Some(-1), ..DEFAULT }).await;
    let _crew = crew(&cluster, &cluster.url(), 3);
    until(&first, 300).await;
    assert_eq!(loaded(&urgent), 0, "a lower priority came first");
    let shared = cluster.command(&["share", &urgent_run, "--priority", "5", "--json"]).run().await.with_code(0);
    assert_eq!(shared.json()["share"], serde_json::json!({ "priority": 5, "weight": 100, "max_workers": 0 }));
    let before = loaded(&first);
    until(&urgent, 800).await;
    let meanwhile = loaded(&first) - before;
    // What the workers held, and what came in while the last batches of the urgent one were on their way.
    assert!(meanwhile <= 500, "{meanwhile} records of a lower priority came before");
    let shown = cluster.command(&["show", &urgent_run]).run().await.with_code(0).stdout;
    assert!(shown.contains("priority 5, weight 100, any number of workers"), "{shown}");
    assert_done(&cluster, &urgent_run, &urgent).await;
    cluster.command(&["cancel", &first_run]).run().await.with_code(0);
}

/// Two coordinators on one PostgreSQL, three workers that ask both: how many sessions held leases of the run at once, as often
/// as the ledger could be asked until it was over.
async fn most_workers(most: i32, env: &[(&str, &str)]) -> i64 {
    let place = tempfile::tempdir().expect("a folder");
    let (bounded, other) = (herd(600, 30), herd(600, 30));
    let database = Postgres::start();
    let pipelines = small_batches(&place);
    let flags = ["--pipelines", pipelines.as_str()];
    let one = Cluster::sharing(place.path(), &database.url(), &flags, env).await;
    let two = Cluster::sharing(place.path(), &database.url(), &flags, env).await;
    let share = RunShare { max_workers: Some(most), ..DEFAULT };
    let bounded_run = listed(&one, &bounded, share).await;
    let other_run = listed(&two, &other, DEFAULT).await;
    let _crew = crew(&one, &format!("{},{}", one.url(), two.url()), 3);
    let held = format!(
        "SELECT count(DISTINCT b.session) FROM batches b JOIN runs r ON r.run = b.run AND b.state = 1 WHERE r.id = '{bounded_run}'"
    );
    let mut holders = Vec::new();
    until_some("the run is over", async || {
        holders.push(database.sql(&held).trim().parse::<i64>().expect("a number"));
        one.run(&bounded_run).await.finished_at
    })
    .await;
    for (run_id, herd) in [(&bounded_run, &bounded), (&other_run, &other)] {
        assert_eq!(one.watch(run_id).await.state(), RunState::Finished);
        assert_nothing_lost(&herd.book(), &Ledger::read_shared(&database, run_id));
    }
    let asked = holders.iter().filter(|holders| **holders > 0).count();
    assert!(asked >= 3, "the ledger was asked {asked} times while the run was worked on");
    holders.into_iter().max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_workers_work_on_a_run_and_no_more() {
    let _turn = turn::heavy().await;
    assert_eq!(most_workers(1, &[]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_bound_all_workers_work_on_it() {
    let _turn = turn::heavy().await;
    let most = most_workers(1, &[("MUSTER_PLANTED_BUG", "ignores_max_workers")]).await;
    assert!(most > 1, "the guard is off, and {most} worker had it: the other test proves nothing");
}
