//! Programs of two versions serve one run: those of the version before are replaced one after another while it goes on, and
//! back again. The stand-in's book is the judge. Needs the program of the version before: `./tests/run --upgrade` builds it
//! and says where it is by `MUSTER_TEST_PREVIOUS`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use animals_api::{Config, Server};
use muster_proto::v1::RunState;
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, State};
use muster_tests::postgres::Postgres;
use muster_tests::process::{Process, Signal, Start};
use muster_tests::{programs, turn};
use tempfile::TempDir;

use crate::stand_in;

fn previous() -> PathBuf {
    let path =
        std::env::var_os("MUSTER_TEST_PREVIOUS").expect("MUSTER_TEST_PREVIOUS names the program of the version before");
    let path = PathBuf::from(path);
    assert!(path.is_file(), "there is no {}", path.display());
    path
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Old,
    New,
}

impl Version {
    fn program(self) -> PathBuf {
        match self {
            Version::Old => previous(),
            Version::New => programs::muster(),
        }
    }
}

/// A run under way, and who works on it.
struct Scene {
    place: TempDir,
    server: Server,
    coordinators: Vec<Cluster>,
    crew: Vec<Process>,
    hired: usize,
    run_id: String,
}

impl Scene {
    /// All of the old version.
    async fn new(animals: u64, database: Option<&Postgres>, coordinators: usize) -> Scene {
        let place = tempfile::tempdir().expect("a folder");
        let config = Config { latency: Duration::from_millis(60), page_size: 100, ..Config::calm(animals) };
        let server = stand_in(config);
        let mut serving = Vec::new();
        for _ in 0..coordinators {
            serving.push(Cluster::of_program(&previous(), place.path(), database.map(Postgres::url).as_deref()).await);
        }
        let run_id = serving[0].start_run("animals", &server.base_url()).await;
        let mut scene = Scene { place, server, coordinators: serving, crew: Vec::new(), hired: 0, run_id };
        scene.hire(Version::Old);
        scene.hire(Version::Old);
        scene.some_progress().await;
        scene
    }

    fn hire(&mut self, version: Version) {
        self.hired += 1;
        let urls: Vec<String> = self.coordinators.iter().map(Cluster::url).collect();
        let name = format!("{version:?}-{}", self.hired);
        let line = ["worker", "--coordinator", &urls.join(","), "--name", &name, "--concurrency", "16"];
        let start = Start::program(&version.program(), self.place.path(), line).env("RUST_LOG", "info");
        self.crew.push(start.start());
    }

    /// More animals come home, by whoever is at work now.
    async fn some_progress(&self) {
        let book = self.server.book();
        let more = book.counters().accepted_animals + 300;
        within("the run goes on", book.until(|book| book.counters().accepted_animals >= more)).await;
    }

    /// As a rolling update does: the old one drains and ends, then the new one comes.
    async fn replace_worker(&mut self, index: usize, version: Version) {
        let mut leaver = self.crew.remove(index);
        leaver.signal(Signal::Terminate);
        assert_eq!(leaver.ended().await.code, Some(0));
        self.hire(version);
        self.some_progress().await;
    }

    async fn replace_coordinator(&mut self, index: usize, version: Version) {
        self.coordinators[index].becomes(&version.program()).await;
        self.some_progress().await;
        // Each can be asked of the run, whoever did the work.
        for coordinator in &self.coordinators {
            assert_eq!(coordinator.run(&self.run_id).await.state(), RunState::Running);
        }
    }

    /// Waits for the end, and holds the ledger against the book.
    #[expect(clippy::print_stdout, reason = "for those who read the output of the tests")]
    async fn end(&self, ledger: impl FnOnce(&str) -> Ledger) {
        assert!(!self.server.book().is_perfect(), "it was done before the last one was replaced");
        let run = self.coordinators[0].watch(&self.run_id).await;
        assert_eq!(run.state(), RunState::Finished, "{run:?}");
        let (book, ledger) = (self.server.book(), ledger(&self.run_id));
        assert_nothing_lost(&book, &ledger);
        assert_eq!((ledger.count(State::InDoubt), book.duplicates().len()), (0, 0), "a doubt or a copy");
        assert!(!ledger.endings.contains_key("expired"), "a lease was lost: {:?}", ledger.endings);
        println!("{} animals; leases: {:?}", book.counters().accepted_animals, ledger.endings);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the version before: ./tests/run --upgrade"]
async fn on_postgresql_one_after_another_is_replaced_and_back() {
    let _turn = turn::heavy().await;
    let database = Postgres::start();
    let mut scene = Scene::new(14_000, Some(&database), 2).await;
    // The first new coordinator upgrades the ledger, while an old one goes on with it.
    scene.replace_coordinator(0, Version::New).await;
    assert_eq!(schema(&database), (1, true));
    scene.replace_worker(0, Version::New).await;
    scene.replace_coordinator(1, Version::New).await;
    scene.replace_worker(0, Version::New).await;
    // And back: first the coordinators, so that new workers work for old ones.
    scene.replace_coordinator(0, Version::Old).await;
    scene.replace_coordinator(1, Version::Old).await;
    scene.replace_worker(0, Version::Old).await;
    scene.end(|run_id| Ledger::read_shared(&database, run_id)).await;
    // What is not only added to is refused.
    database.sql("UPDATE muster_schema SET version = 99");
    let line = ["coordinator", "--listen", "127.0.0.1:0"];
    let start = Start::program(&previous(), scene.place.path(), line).env("MUSTER_DATABASE_URL", database.url());
    let said = start.run().await.with_code(1).stderr;
    assert!(said.contains("schema version 99, this program knows up to 1: use a newer muster"), "{said}");
}

/// From which version on the schema may be used, and whether it is newer than the old program knows.
fn schema(database: &Postgres) -> (i32, bool) {
    let told = database.sql("SELECT version || ' ' || (applied > 1) FROM muster_schema");
    let (from, newer) = told.trim().split_once(' ').expect("two words");
    (from.parse().expect("a number"), newer == "true")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the version before: ./tests/run --upgrade"]
async fn on_sqlite_the_coordinator_is_replaced_under_its_workers_and_back() {
    let _turn = turn::heavy().await;
    let mut scene = Scene::new(7_000, None, 1).await;
    let file = scene.coordinators[0].database();
    scene.replace_coordinator(0, Version::New).await;
    let mut copy = file.clone().into_os_string();
    copy.push(".schema-3");
    assert!(Path::new(&copy).is_file(), "the ledger as it was is kept");
    scene.replace_worker(0, Version::New).await;
    scene.replace_coordinator(0, Version::Old).await;
    scene.replace_worker(0, Version::Old).await;
    scene.end(|run_id| Ledger::read(&file, run_id)).await;
}
