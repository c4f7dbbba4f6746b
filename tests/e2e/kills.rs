//! kill -9 of workers and of the coordinator, again and again, at seeded moments. Nothing is lost, and no copy is in the
//! book that the ledger does not admit. `MUSTER_TEST_CYCLES` says how many cycles, `MUSTER_TEST_SEED` which moments.

use std::time::Duration;

use animals_api::{ChaosOn, Config, Server};
use fastrand::Rng;
use muster_proto::v1::RunState;
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, State, assert_sound, open_deliveries};
use muster_tests::pipelines::{folder, impatient};
use muster_tests::process::Process;
use muster_tests::turn;
use tempfile::TempDir;

use crate::{from_env, stand_in};

const CREW: usize = 3;

/// Half of the POSTs stall, so that many a delivery is open at any moment; none stalls so long that it is a doubt.
fn target(animals: u64) -> Server {
    let stall = Duration::from_millis(200)..=Duration::from_millis(1_000);
    let posts = Config { chaos: 0.5, stall_share: 0.9, chaos_on: ChaosOn::Posts, stall, ..Config::calm(animals) };
    stand_in(Config { latency: Duration::from_millis(30), page_size: 100, ..posts })
}

/// A run under way.
struct Scene {
    place: TempDir,
    server: Server,
    cluster: Cluster,
    run_id: String,
    crew: Vec<(String, Process)>,
    hired: usize,
    random: Rng,
}

impl Scene {
    async fn new(animals: u64) -> Scene {
        let place = tempfile::tempdir().expect("a folder");
        let server = target(animals);
        let pipelines = folder(place.path(), "impatient", &impatient(4_000, &[]));
        let cluster = Cluster::with(place.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
        let run_id = cluster.start_run("impatient", &server.base_url()).await;
        let random = Rng::with_seed(from_env("MUSTER_TEST_SEED", 1));
        let mut scene = Scene { place, server, cluster, run_id, crew: Vec::new(), hired: 0, random };
        (0..CREW).for_each(|_| scene.hire());
        scene
    }

    fn hire(&mut self) {
        self.hired += 1;
        let name = format!("w{}", self.hired);
        let worker = self.cluster.worker(&name, &["--concurrency", "24", "--max-leases", "5"]);
        self.crew.push((name, worker));
    }

    /// Waits until the crew has fetched some more, and, when a delivery should be open, until a POST stalls.
    async fn some_moment(&mut self, in_delivery: bool) {
        let book = &self.server.book();
        let details = book.counters().details + self.random.u64(50..500);
        within("the crew fetches", book.until(|book| book.counters().details >= details)).await;
        if in_delivery {
            let stalls = book.counters().stalls_post + 1;
            within("a POST stalls", book.until(|book| book.counters().stalls_post >= stalls)).await;
        }
    }

    /// Kills a worker and hires another; whether a delivery of it was open.
    async fn kill_a_worker(&mut self, in_delivery: bool) -> bool {
        self.some_moment(in_delivery).await;
        let database = self.cluster.database();
        let deliver = |(name, _): &(String, Process)| open_deliveries(&database, Some(name)) > 0;
        let busy = in_delivery.then(|| self.crew.iter().position(deliver)).flatten();
        let victim = busy.unwrap_or_else(|| self.random.usize(..self.crew.len()));
        let (name, mut worker) = self.crew.swap_remove(victim);
        worker.kill().await;
        let open = open_deliveries(&database, Some(&name)) > 0;
        self.hire();
        open
    }

    /// Kills the coordinator and starts it again; whether a delivery was open.
    async fn kill_the_coordinator(&mut self, in_delivery: bool) -> bool {
        self.some_moment(in_delivery).await;
        self.cluster.kill().await;
        let open = open_deliveries(&self.cluster.database(), None) > 0;
        assert_sound(&self.cluster.database());
        self.cluster.restart();
        open
    }

    /// Calms the target down, waits for the end, and holds the ledger against the book.
    async fn end(mut self) -> (Ledger, u64, u64) {
        self.server.set_chaos(0.0);
        self.cluster.serves().await;
        let run = self.cluster.watch(&self.run_id).await;
        assert_eq!(run.state(), RunState::Finished);
        let book = &self.server.book();
        let ledger = Ledger::read(&self.cluster.database(), &self.run_id);
        assert_nothing_lost(book, &ledger);
        assert_sound(&self.cluster.database());
        let verdict = self.cluster.verify(&self.run_id).await;
        assert!(verdict.complete && verdict.balanced, "{verdict:?}");
        let copies = book.summary().copies;
        let possible = u64::try_from(verdict.possible_copies).expect("not negative");
        assert!(possible >= copies, "{copies} copies, the verdict admits {possible}");
        assert_eq!(verdict.counts.expect("counts").loaded, i64::try_from(book.accepted().len()).expect("few"));
        drop(self.place);
        (ledger, copies, possible)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_workers_and_of_the_coordinator_lose_nothing() {
    let _turn = turn::heavy().await;
    let cycles = from_env("MUSTER_TEST_CYCLES", 20);
    let mut scene = Scene::new(10_000 + cycles * 700).await;
    let (mut worker_open, mut coordinator_open) = (0, 0);
    for cycle in 0..cycles {
        let in_delivery = cycle % 2 == 0;
        worker_open += u64::from(scene.kill_a_worker(in_delivery).await);
        coordinator_open += u64::from(scene.kill_the_coordinator(in_delivery).await);
    }
    assert!(!scene.server.book().is_perfect(), "it was done before the last kill");
    let (ledger, copies, possible) = scene.end().await;
    println!(
        "{cycles} workers killed, {worker_open} amid a delivery; {cycles} times the coordinator, {coordinator_open} amid \
         deliveries; {} deliveries, {} in doubt; {copies} copies in the book, {possible} admitted; leases: {:?}",
        ledger.deliveries.len(),
        ledger.count(State::InDoubt),
        ledger.endings
    );
    assert!(worker_open >= cycles / 4 && coordinator_open >= cycles / 4, "too few kills amid a delivery");
    assert!(ledger.count(State::InDoubt) > 0, "no kill left a doubt");
    assert!(ledger.endings.contains_key("expired"), "no kill left a lease to run out");
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_coordinator_alone_leave_no_doubt_and_no_copy() {
    let _turn = turn::heavy().await;
    let cycles = from_env("MUSTER_TEST_CYCLES", 20);
    let mut scene = Scene::new(5_000 + cycles * 500).await;
    let mut open = 0;
    for cycle in 0..cycles {
        open += u64::from(scene.kill_the_coordinator(cycle % 2 == 0).await);
    }
    assert!(!scene.server.book().is_perfect(), "it was done before the last kill");
    let (ledger, copies, possible) = scene.end().await;
    println!("{cycles} times the coordinator killed, {open} amid deliveries; leases: {:?}", ledger.endings);
    assert!(open >= cycles / 4, "too few kills amid a delivery");
    assert_eq!((ledger.count(State::InDoubt), copies, possible), (0, 0, 0), "a doubt or a copy");
    assert!(!ledger.endings.contains_key("expired"), "a lease was lost: {:?}", ledger.endings);
}
