//! A disk that fills in mid-run: the coordinator says so once, refuses, and goes on by itself when there is room. Nothing
//! is lost, no lease is revoked for it, and the ledger passes its checks.

use std::path::Path;
use std::time::Duration;

use animals_api::{Config, Server};
use muster_proto::v1::{RunState, StartRunRequest};
use muster_tests::cluster::{Cluster, free_port};
use muster_tests::deadline::{until_some, within};
use muster_tests::disk::Disk;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, State, assert_sound};
use muster_tests::process::{Process, Start};
use muster_tests::turn;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::{base_url, stand_in};

/// Enough for the ledger of the run, with its log.
const ROOM_KIB: u64 = 16 << 10;
/// Longer than a lease holds.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(17);

/// A source that is slow enough that a disk fills in mid-run.
fn slow_source() -> Server {
    stand_in(Config { latency: Duration::from_millis(40), page_size: 100, ..Config::calm(6_000) })
}

/// A disk below a folder; nothing, said aloud, where none can be had.
fn disk(folder: &Path) -> Option<Disk> {
    match Disk::new(&folder.join("disk"), ROOM_KIB) {
        Ok(disk) => Some(disk),
        Err(why) => {
            crate::skipped(&format!("no disk to fill: {why}"));
            None
        }
    }
}

/// A coordinator, two workers and a run in its middle.
struct Scene {
    folder: TempDir,
    disk: Disk,
    server: Server,
    cluster: Cluster,
    http: String,
    run_id: String,
    _workers: [Process; 2],
}

impl Scene {
    /// The ledger is on the disk, or the audit folder is.
    async fn new(ledger_on_disk: bool) -> Option<Scene> {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = disk(folder.path())?;
        let server = slow_source();
        let http = format!("127.0.0.1:{}", free_port());
        let place = |here: bool| if here { disk.path().to_owned() } else { folder.path().to_owned() };
        let (database, audit) = (place(ledger_on_disk).join("my.db"), place(!ledger_on_disk).join("audit"));
        let flags = ["--http-listen", &http, "--audit-dir", audit.to_str().expect("a path")];
        let cluster = Cluster::on(folder.path(), &database, &flags, &[]).await;
        let request = StartRunRequest {
            pipeline: "animals".to_owned(),
            parameters: [("base_url".to_owned(), server.base_url())].into(),
            audit_mode: true,
            ..StartRunRequest::default()
        };
        let started = cluster.runs().start_run(request).await.expect("the run starts").into_inner();
        let run_id = started.run.expect("a run").run_id;
        let workers = ["w1", "w2"].map(|name| cluster.worker(name, &["--concurrency", "24", "--max-leases", "6"]));
        let book = server.book();
        within("the run is in its middle", book.until(|book| book.counters().posts >= 5)).await;
        assert!(!book.is_perfect(), "it was done before the disk was full");
        Some(Scene { folder, disk, server, cluster, http, run_id, _workers: workers })
    }

    /// What /readyz answers: status and words; nothing while nobody answers.
    async fn readyz(&self) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.http).await.ok()?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer))
    }

    async fn until_ready(&self, ready: bool) -> String {
        until_some("/readyz changes", async || {
            let (status, words) = self.readyz().await?;
            (status == if ready { 200 } else { 503 }).then_some(words)
        })
        .await
    }

    async fn health(&self, service: &str) -> i32 {
        let request = HealthCheckRequest { service: service.to_owned() };
        HealthClient::new(self.cluster.channel()).check(request).await.expect("health").into_inner().status
    }

    async fn until_healthy(&self, status: ServingStatus) {
        for service in ["", "muster.v1.WorkerService", "muster.v1.RunService"] {
            until_some("health changes", async || (self.health(service).await == status as i32).then_some(())).await;
        }
    }

    /// Further runs, of a source that is not there, until one cannot be written down. What is smaller than what failed
    /// before may still find room.
    async fn what_cannot_be_written_is_refused(&self) {
        let nowhere = format!("http://127.0.0.1:{}/{}", free_port(), "x".repeat(1_000));
        let request = || StartRunRequest {
            pipeline: "animals".to_owned(),
            parameters: [("base_url".to_owned(), nowhere.clone())].into(),
            ..StartRunRequest::default()
        };
        let refused = until_some("it is refused", async || self.cluster.runs().start_run(request()).await.err()).await;
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        let set = format!("base_url={nowhere}");
        let ended = until_some("a command is refused", async || {
            let ended = self.cluster.command(&["start", "animals", "--set", &set]).run().await;
            (ended.code != Some(0)).then_some(ended)
        });
        let ended = ended.await.with_code(1);
        assert!(ended.stderr.contains("database or disk is full"), "{}", ended.stderr);
    }

    /// The run comes to its end, and everything agrees.
    async fn ends_well(&self) -> Ledger {
        let run = self.cluster.watch(&self.run_id).await;
        let verdict = run.verdict.expect("a verdict");
        assert_eq!(run.state, i32::from(RunState::Finished));
        assert!(verdict.complete && verdict.balanced, "{verdict:?}");
        assert_eq!(self.cluster.verify(&self.run_id).await.counts, verdict.counts);
        let ledger = Ledger::read(&self.cluster.database(), &self.run_id);
        assert_nothing_lost(&self.server.book(), &ledger);
        assert_sound(&self.cluster.database());
        ledger
    }
}

/// How often the coordinator said this.
fn said(cluster: &mut Cluster, words: &str) -> usize {
    cluster.process().stderr().lines().filter(|line| line.contains(words)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_whose_disk_fills_goes_on_when_there_is_room() {
    let _turn = turn::light().await;
    let Some(mut scene) = Scene::new(true).await else { return };
    scene.disk.fill();
    let words = scene.until_ready(false).await;
    assert!(words.contains("the ledger cannot be written") && words.contains("full"), "{words}");
    scene.until_healthy(ServingStatus::NotServing).await;
    let ill = scene.cluster.command(&["health"]).run().await.with_code(1);
    assert!(ill.stderr.contains("does not serve now"), "{}", ill.stderr);
    // Those that only read serve on.
    assert_eq!(scene.health("muster.v1.AuditService").await, ServingStatus::Serving as i32);
    assert_eq!(scene.cluster.run(&scene.run_id).await.state(), RunState::Running);
    scene.what_cannot_be_written_is_refused().await;
    // Long enough that leases would run out if nobody knew why they are not renewed.
    tokio::time::sleep(LONGER_THAN_A_LEASE).await;
    assert!(!scene.server.book().is_perfect(), "it went on without a ledger");

    scene.disk.make_room();
    scene.until_ready(true).await;
    scene.until_healthy(ServingStatus::Serving).await;
    let ledger = scene.ends_well().await;
    assert!(!ledger.endings.contains_key("expired"), "a full disk revoked a lease: {:?}", ledger.endings);
    assert_eq!(ledger.count(State::InDoubt), 0, "a full disk made a doubt");
    assert!(scene.server.book().is_perfect(), "{:?}", scene.server.book().summary());
    for words in ["the ledger cannot be written", "the ledger can be written again"] {
        assert_eq!(said(&mut scene.cluster, &format!("\"{words}\"")), 1, "{words}");
    }
    assert_eq!(said(&mut scene.cluster, "\"ERROR\""), 1, "one line is enough: {}", scene.cluster.process().stderr());
    assert!(scene.cluster.process().stderr().contains("make room"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_killed_on_a_full_disk_starts_when_there_is_room() {
    let _turn = turn::light().await;
    let Some(mut scene) = Scene::new(true).await else { return };
    scene.disk.fill();
    scene.until_ready(false).await;
    scene.cluster.kill().await;
    // While it is full, it says so: it does not start, or is not ready.
    scene.cluster.restart();
    let refused = until_some("it refuses", async || match scene.cluster.process().has_ended() {
        Some(code) => Some(Some(code)),
        None => (scene.readyz().await?.0 == 503).then_some(None),
    });
    if let Some(code) = refused.await {
        let words = scene.cluster.process().stderr();
        assert!(code == Some(1) && words.contains("make room"), "{code:?}: {words}");
    }
    scene.cluster.kill().await;
    scene.disk.make_room();
    scene.cluster.restart();
    scene.cluster.serves().await;
    scene.until_ready(true).await;
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_room_for_its_audit_files() {
    let _turn = turn::light().await;
    let Some(mut scene) = Scene::new(false).await else { return };
    scene.disk.fill();
    let book = scene.server.book();
    within("all else is done", book.until(|book| book.is_perfect())).await;
    until_some("it is said", async || (said(&mut scene.cluster, "audit files cannot be written") > 0).then_some(()))
        .await;
    let run = scene.cluster.run(&scene.run_id).await;
    assert_eq!(run.state(), RunState::Running, "the run is over and its audit files are not there");
    let words = scene.cluster.process().stderr();
    assert!(words.contains("No space left on device") && words.contains("make room on that disk"), "{words}");

    scene.disk.make_room();
    scene.ends_well().await;
    assert_eq!(said(&mut scene.cluster, "audit files cannot be written"), 1, "{}", scene.cluster.process().stderr());
    let files = scene.disk.path().join("audit").join(&scene.run_id);
    let files = ["verify", "--files", files.to_str().expect("a path")];
    Start::muster(scene.folder.path(), files).run().await.with_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn muster_run_waits_for_room_for_its_ledger() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = disk(folder.path()) else { return };
    let server = slow_source();
    let book = server.book();
    let set = base_url(&server);
    let line = ["run", "animals", "--set", &set, "--db", "disk/my.db", "--concurrency", "24", "--json"];
    let mut process = Start::muster(folder.path(), line).start();
    within("the run is in its middle", book.until(|book| book.counters().posts >= 5)).await;
    disk.fill();
    until_some("it is said", async || process.stderr().contains("the ledger cannot be written").then_some(())).await;
    assert!(process.stderr().contains("make room"), "{}", process.stderr());
    disk.make_room();
    let told = process.ended().await.with_code(0).json();
    let ledger = Ledger::read(&disk.path().join("my.db"), told["run_id"].as_str().expect("an ID"));
    assert_nothing_lost(&book, &ledger);
    assert_sound(&disk.path().join("my.db"));
    assert!(book.is_perfect(), "{:?}", book.summary());
}
