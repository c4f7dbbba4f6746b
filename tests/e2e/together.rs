//! Several coordinators on one PostgreSQL: kill -9 of any of them and restarts of the database amid a run, again and again, at
//! seeded moments. Nothing is lost, and no copy is in the book that the ledger does not admit. `MUSTER_TEST_CYCLES` says how
//! many cycles, `MUSTER_TEST_SEED` which moments.

use std::time::Duration;

use animals_api::{ChaosOn, Config, Server};
use fastrand::Rng;
use muster_proto::v1::{Durability, RunState};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::{until_some, within};
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, State, assert_sound_in};
use muster_tests::pipelines::{folder, impatient};
use muster_tests::postgres::Postgres;
use muster_tests::process::Process;
use muster_tests::turn;
use tempfile::TempDir;

use crate::{from_env, stand_in};

const COORDINATORS: usize = 3;
const CREW: usize = 6;
/// The password in the database's URL: nobody may ever say it.
const CANARY: &str = "canary-password";

/// A run under way.
struct Scene {
    place: TempDir,
    server: Server,
    database: Postgres,
    coordinators: Vec<Cluster>,
    crew: Vec<Process>,
    hired: usize,
    outages: usize,
    run_id: String,
    random: Rng,
}

impl Scene {
    /// Half of the POSTs stall, so that many a delivery is open at any moment; none stalls so long that it is a doubt.
    async fn new(animals: u64) -> Scene {
        let place = tempfile::tempdir().expect("a folder");
        let stall = Duration::from_millis(200)..=Duration::from_millis(1_000);
        let posts = Config { chaos: 0.5, stall_share: 0.9, chaos_on: ChaosOn::Posts, stall, ..Config::calm(animals) };
        let server = stand_in(Config { latency: Duration::from_millis(30), page_size: 100, ..posts });
        let database = Postgres::start();
        let pipelines = folder(place.path(), "impatient", &impatient(4_000, &[]));
        let flags = ["--pipelines", pipelines.to_str().expect("a path")];
        let mut coordinators = Vec::new();
        for _ in 0..COORDINATORS {
            coordinators.push(Cluster::sharing(place.path(), &database.url(), &flags, &[]).await);
        }
        let run_id = coordinators[0].start_run("impatient", &server.base_url()).await;
        let random = Rng::with_seed(from_env("MUSTER_TEST_SEED", 1));
        let mut scene =
            Scene { place, server, database, coordinators, crew: Vec::new(), hired: 0, outages: 0, run_id, random };
        (0..CREW).for_each(|_| scene.hire());
        scene
    }

    fn hire(&mut self) {
        self.hired += 1;
        let urls: Vec<String> = self.coordinators.iter().map(Cluster::url).collect();
        let flags = ["--concurrency", "16", "--max-leases", "4"];
        let name = format!("w{}", self.hired);
        self.crew.push(self.coordinators[0].worker_of(&urls.join(","), &name, &flags, &[]));
    }

    /// Waits until the crew has fetched some more.
    async fn some_moment(&mut self) {
        let book = &self.server.book();
        let details = book.counters().details + self.random.u64(50..400);
        within("the crew fetches", book.until(|book| book.counters().details >= details)).await;
    }

    /// Kills a coordinator; it is started again after the next moment, while the others go on.
    async fn kill_a_coordinator(&mut self) {
        self.some_moment().await;
        let victim = self.random.usize(..COORDINATORS);
        self.coordinators[victim].kill().await;
        self.some_moment().await;
        self.coordinators[victim].restart();
        self.coordinators[victim].serves().await;
    }

    async fn kill_a_worker(&mut self) {
        self.some_moment().await;
        let victim = self.random.usize(..self.crew.len());
        self.crew.swap_remove(victim).kill().await;
        self.hire();
    }

    /// Stops the database as a power loss would, and starts it again.
    async fn restart_the_database(&mut self) {
        self.some_moment().await;
        self.database.down();
        self.database.up();
        self.outages += 1;
    }

    /// How often a coordinator said that it had lost the database, and how often that it was back.
    fn said(&self) -> (usize, usize) {
        let said = std::fs::read_dir(self.place.path()).expect("a folder").flatten().map(|entry| entry.path());
        let texts = said.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap_or_default());
        let text: String = texts.collect();
        let times = |words: &str| text.matches(words).count();
        (times("\"the database cannot be written\""), times("\"the database can be written again\""))
    }

    /// Calms the target down, waits for the end, and holds the ledger against the book.
    async fn end(self) -> (Ledger, u64, u64) {
        self.server.set_chaos(0.0);
        // Whoever is asked knows what came through the others.
        let asked = &self.coordinators[COORDINATORS - 1];
        let run = asked.watch(&self.run_id).await;
        assert_eq!(run.state(), RunState::Finished);
        let book = &self.server.book();
        let ledger = Ledger::read_shared(&self.database, &self.run_id);
        assert_nothing_lost(book, &ledger);
        assert_sound_in(&self.database);
        let verdict = asked.verify(&self.run_id).await;
        assert!(verdict.complete && verdict.balanced, "{verdict:?}");
        assert_eq!(verdict.durability(), Durability::Full);
        let copies = book.summary().copies;
        let possible = u64::try_from(verdict.possible_copies).expect("not negative");
        assert!(possible >= copies, "{copies} copies, the verdict admits {possible}");
        assert_eq!(verdict.counts.expect("counts").loaded, i64::try_from(book.accepted().len()).expect("few"));
        let (lost, _) = self.said();
        assert!(lost >= self.outages, "{} outages, {lost} times lost", self.outages);
        self.nobody_said_the_password();
        (ledger, copies, possible)
    }

    /// In what they logged, however they died.
    fn nobody_said_the_password(&self) {
        let said = std::fs::read_dir(self.place.path()).expect("a folder").flatten().map(|entry| entry.path());
        for path in said.filter(|path| path.is_file()) {
            let text = std::fs::read(&path).expect("a file");
            let found = text.windows(CANARY.len()).any(|part| part == CANARY.as_bytes());
            assert!(!found, "{} has the password", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_anything_lose_nothing() {
    let _turn = turn::heavy().await;
    let cycles = from_env("MUSTER_TEST_CYCLES", 6);
    let mut scene = Scene::new(6_000 + cycles * 1_500).await;
    for cycle in 0..cycles {
        scene.kill_a_coordinator().await;
        scene.kill_a_worker().await;
        if cycle % 3 == 1 {
            scene.restart_the_database().await;
        }
    }
    assert!(!scene.server.book().is_perfect(), "it was done before the last kill");
    let (ledger, copies, possible) = scene.end().await;
    println!(
        "{cycles} coordinators and {cycles} workers killed; {} deliveries, {} in doubt; {copies} copies in the book, {possible} \
         admitted; leases: {:?}",
        ledger.deliveries.len(),
        ledger.count(State::InDoubt),
        ledger.endings
    );
    assert!(ledger.endings.contains_key("expired"), "no kill left a lease to run out");
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_coordinators_and_restarts_of_the_database_leave_no_doubt_and_no_copy() {
    let _turn = turn::heavy().await;
    let cycles = from_env("MUSTER_TEST_CYCLES", 6);
    let mut scene = Scene::new(5_000 + cycles * 1_000).await;
    for cycle in 0..cycles {
        scene.kill_a_coordinator().await;
        if cycle % 2 == 1 {
            scene.restart_the_database().await;
        }
    }
    assert!(!scene.server.book().is_perfect(), "it was done before the last kill");
    let (ledger, copies, possible) = scene.end().await;
    println!("{cycles} coordinators killed, the database restarted {} times; leases: {:?}", cycles / 2, ledger.endings);
    assert_eq!((ledger.count(State::InDoubt), copies, possible), (0, 0, 0), "a doubt or a copy");
    assert!(!ledger.endings.contains_key("expired"), "a lease was lost: {:?}", ledger.endings);
}

/// Longer than a lease holds.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(17);

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_revokes_no_lease_however_long_it_is() {
    let _turn = turn::heavy().await;
    let mut scene = Scene::new(8_000).await;
    scene.some_moment().await;
    scene.database.down();
    tokio::time::sleep(LONGER_THAN_A_LEASE).await;
    assert!(!scene.server.book().is_perfect(), "it went on without a ledger");
    scene.database.up();
    scene.outages += 1;
    // That it is back is said once it has been back for a moment, by those that are not killed meanwhile.
    until_some("all coordinators say that it is back", async || (scene.said().1 >= COORDINATORS).then_some(())).await;
    let (ledger, copies, possible) = scene.end().await;
    assert_eq!((ledger.count(State::InDoubt), copies, possible), (0, 0, 0), "a doubt or a copy");
    assert!(!ledger.endings.contains_key("expired"), "a lease was lost: {:?}", ledger.endings);
}
