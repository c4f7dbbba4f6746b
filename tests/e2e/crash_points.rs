//! Each place between two steps at which a process may die: it dies there, is started again, and the run ends with
//! nothing lost, and no copy in the book that the verdict does not admit.

use animals_api::{Config, Server};
use futures::future::join_all;
use muster_proto::v1::{RunState, Verdict};
use muster_tests::cluster::Cluster;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, State, assert_sound};
use muster_tests::pipelines::{folder, impatient};
use muster_tests::postgres::Postgres;
use muster_tests::process::{Process, Start};
use muster_tests::turn;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::documents::read;
use crate::planted::{in_the_environment, names};
use crate::stand_in;

const VARIABLE: &str = "MUSTER_CRASH_AT";
/// What `abort` sends, on Linux.
const SIGABRT: i32 = 6;
/// They make 15 pages and 30 batches.
const ANIMALS: u64 = 300;
const PAGE: u32 = 20;
const BATCH: u64 = 10;
/// A worker with one batch at a time leaves that one, and nothing else.
const FLAGS: [&str; 2] = ["--max-leases", "1"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Coordinator,
    Worker,
}

/// Who dies where, and what that leaves.
#[derive(Clone, Copy, Debug)]
struct Case {
    who: Who,
    point: &'static str,
    /// Which time it is that the point is passed.
    time: u32,
    left: Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    /// Leases that run out.
    expired: i64,
    doubts: usize,
    /// Animals that the target has once more than it should.
    copies: u64,
}

/// No coordinator leaves anything, by its death alone.
const fn coordinator(point: &'static str, time: u32) -> Case {
    Case { who: Who::Coordinator, point, time, left: Left { expired: 0, doubts: 0, copies: 0 } }
}

/// In the third batch.
const fn worker(point: &'static str, expired: i64, doubts: usize, copies: u64) -> Case {
    Case { who: Who::Worker, point, time: 3, left: Left { expired, doubts, copies } }
}

/// Transactions: a few come before the run is started, then those of its pages; among these and after them those of its
/// batches, at least three of each.
const LISTING: u32 = 14;
const UNDER_WAY: u32 = 60;
/// Where all is done and not yet said.
const BEFORE_VERDICT: &str = "before_verdict";

const COORDINATORS: [Case; 7] = [
    coordinator("before_commit", LISTING),
    coordinator("before_commit", UNDER_WAY),
    coordinator("after_commit", LISTING),
    coordinator("after_commit", UNDER_WAY),
    coordinator("before_answer", 3),
    coordinator("before_page", 3),
    coordinator(BEFORE_VERDICT, 1),
];

const WORKERS: [Case; 4] = [
    worker("before_begin", 1, 0, 0),
    worker("before_post", 1, 1, 0),
    worker("after_post", 1, 1, BATCH),
    worker("after_report", 0, 0, 0),
];

/// A run in which somebody dies.
struct Scene<'a> {
    case: Case,
    server: Server,
    /// Where the ledger is, if that is not a file.
    database: Option<(&'a Postgres, String)>,
    cluster: Cluster,
    worker: Process,
    run_id: String,
    /// Last, so that what they said is there when they are dropped.
    _place: TempDir,
}

impl<'a> Scene<'a> {
    async fn new(case: Case, shared: Option<&'a Postgres>) -> Scene<'a> {
        let place = tempfile::tempdir().expect("a folder");
        let server = stand_in(Config { page_size: PAGE, ..Config::calm(ANIMALS) });
        let small = format!("max_batch: {BATCH}");
        let pipelines = folder(place.path(), "small", &impatient(4_000, &[("max_batch: 100", &small)]));
        let flags = ["--pipelines", pipelines.to_str().expect("a path")];
        let at = format!("{}:{}", case.point, case.time);
        let env = |who: Who| if case.who == who { vec![(VARIABLE, at.as_str())] } else { Vec::new() };
        let database = shared.map(|server| (server, own_database(server, &case)));
        let cluster = match &database {
            None => Cluster::with(place.path(), &flags, &env(Who::Coordinator)).await,
            Some((_, url)) => Cluster::sharing(place.path(), url, &flags, &env(Who::Coordinator)).await,
        };
        let run_id = cluster.start_run("small", &server.base_url()).await;
        let worker = cluster.worker_with("w1", &FLAGS, &env(Who::Worker));
        Scene { case, server, database, cluster, worker, run_id, _place: place }
    }

    /// Waits for the death, starts whoever died again, and waits for the end of the run.
    async fn through(mut self) -> Over<'a> {
        let Case { who, point, .. } = self.case;
        let died = match who {
            Who::Coordinator => self.cluster.process().ended().await,
            Who::Worker => self.worker.ended().await,
        };
        assert_eq!(died.signal, Some(SIGABRT), "{:?} {died:?}", self.case);
        assert_eq!(self.server.book().is_perfect(), point == BEFORE_VERDICT, "{:?} at another moment", self.case);
        match who {
            Who::Coordinator => {
                self.cluster.restart_without(VARIABLE);
                self.cluster.serves().await;
            }
            Who::Worker => self.worker = self.cluster.worker("w2", &FLAGS),
        }
        let run = self.cluster.watch(&self.run_id).await;
        assert_eq!(run.state(), RunState::Finished, "{:?}", self.case);
        let verdict = self.cluster.verify(&self.run_id).await;
        Over { scene: self, verdict }
    }

    fn ledger(&self) -> Ledger {
        match &self.database {
            None => Ledger::read(&self.cluster.database(), &self.run_id),
            Some((server, url)) => Ledger::read_in(server, url, &self.run_id),
        }
    }
}

/// A database for the ledger of one case.
fn own_database(server: &Postgres, case: &Case) -> String {
    let name = format!("{}_{}", case.point, case.time);
    server.sql(&format!("CREATE DATABASE {name}"));
    server.url().replace("/postgres?", &format!("/{name}?"))
}

/// Its end.
struct Over<'a> {
    scene: Scene<'a>,
    verdict: Verdict,
}

impl Over<'_> {
    /// Holds it against the book, and what was left against what the case says.
    fn judge(self) {
        let Over { scene, verdict } = self;
        let (book, ledger) = (scene.server.book(), scene.ledger());
        assert_nothing_lost(&book, &ledger);
        if scene.database.is_none() {
            assert_sound(&scene.cluster.database());
        }
        assert!(verdict.complete && verdict.balanced, "{verdict:?}");
        let copies = book.summary().copies;
        let possible = u64::try_from(verdict.possible_copies).expect("not negative");
        assert!(possible >= copies, "{copies} copies, the verdict admits {possible}");
        assert_eq!(u64::try_from(verdict.counts.expect("counts").loaded), Ok(ANIMALS));
        let expired = ledger.endings.get("expired").copied().unwrap_or(0);
        assert_eq!(Left { expired, doubts: ledger.count(State::InDoubt), copies }, scene.case.left);
    }
}

/// All of these in runs of their own, side by side: after some of them a lease has to run out.
#[expect(clippy::print_stdout, reason = "says which case it is that fails")]
async fn all_of(cases: &[Case], shared: Option<&Postgres>) {
    let starting = &Mutex::new(());
    let runs = cases.iter().map(|case| async move {
        let scene = {
            // One after another: what a coordinator passes before its run is started must be little.
            let _alone = starting.lock().await;
            Scene::new(*case, shared).await
        };
        scene.through().await
    });
    for over in join_all(runs).await {
        println!("{:?}", over.scene.case);
        over.judge();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_anywhere_loses_nothing_on_sqlite() {
    let _turn = turn::heavy().await;
    let cases: Vec<Case> = COORDINATORS.into_iter().chain(WORKERS).collect();
    all_of(&cases, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_dies_anywhere_loses_nothing_on_postgres() {
    let _turn = turn::heavy().await;
    let server = Postgres::start();
    all_of(&COORDINATORS, Some(&server)).await;
}

#[test]
fn somebody_dies_at_each_point_that_there_is() {
    let mut points: Vec<String> =
        names(&read("telemetry/src/crash.rs"), "Point").iter().map(|point| in_the_environment(point)).collect();
    let mut passed: Vec<String> = COORDINATORS.iter().chain(&WORKERS).map(|case| case.point.to_owned()).collect();
    points.sort();
    passed.sort();
    passed.dedup();
    assert_eq!(passed, points);
}

#[tokio::test]
async fn a_point_that_there_is_not_is_refused_at_start() {
    let folder = tempfile::tempdir().expect("a folder");
    for program in ["coordinator", "worker"] {
        let ended = Start::muster(folder.path(), [program]).env(VARIABLE, "nowhere").run().await.with_code(2);
        for case in COORDINATORS.iter().chain(&WORKERS) {
            assert!(ended.stderr.contains(case.point), "{}", ended.stderr);
        }
    }
}
