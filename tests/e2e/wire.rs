//! A wire between workers and their coordinator that loses answers, holds them up and falls silent: calls are repeated,
//! come late or come to nothing, and no harm is done. `MUSTER_TEST_CYCLES` says how many answers get lost,
//! `MUSTER_TEST_SEED` which.

use std::time::Duration;

use animals_api::{ChaosOn, Config, Server};
use muster_proto::v1::RunState;
use muster_tests::cluster::Cluster;
use muster_tests::deadline::{until_some, within};
use muster_tests::judge::{assert_nothing_lost, beyond_the_announced};
use muster_tests::ledger::{
    Ledger, State, assert_sound, deliveries_of_fenced, fenced_reports, held_leases, open_deliveries,
};
use muster_tests::pipelines::{folder, impatient};
use muster_tests::process::{Process, Signal};
use muster_tests::turn;
use muster_tests::wire::{Counts, Faults, Wire};
use tempfile::TempDir;

use crate::{from_env, stand_in};

/// One in twenty answers is lost where it begins, and as many where they end; fewer come late.
const LOSING: Faults = Faults { cut: 0.05, hold: 0.0125, hold_for: Duration::from_secs(3), ..Faults::NONE };
const REFUSING: Faults = Faults { refuse: true, ..Faults::NONE };
const SILENT: Faults = Faults { requests_wait: true, answers_wait: true, ..Faults::NONE };
/// What a worker that is cut off says of an announcement, and of a report.
const NOT_ANNOUNCED: &str = "delivery not announced yet";
const NOT_REPORTED: &str = "batch not reported yet";

/// A run under way, a coordinator, and a wire to it.
struct Scene {
    server: Server,
    cluster: Cluster,
    wire: Wire,
    run_id: String,
    /// Last, so that what they said is there when they are dropped.
    _place: TempDir,
}

impl Scene {
    async fn new(animals: Config) -> Scene {
        let place = tempfile::tempdir().expect("a folder");
        let server = stand_in(Config { page_size: 100, ..animals });
        // Small batches: many calls for few animals.
        let pipeline = impatient(4_000, &[("max_batch: 100", "max_batch: 20")]);
        let pipelines = folder(place.path(), "impatient", &pipeline);
        let cluster = Cluster::with(place.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
        let wire = Wire::to(&cluster.address(), from_env("MUSTER_TEST_SEED", 1)).await;
        let run_id = cluster.start_run("impatient", &server.base_url()).await;
        Scene { server, cluster, wire, run_id, _place: place }
    }

    /// A worker at the other end of the wire, that tells which calls it repeats.
    fn hire(&self, name: &str, flags: &[&str]) -> Process {
        self.cluster.worker_of(&self.wire.url(), name, flags, &[("RUST_LOG", "info,muster_worker=debug")])
    }

    /// Waits until so much has gone wrong, which has to be before the run is over.
    async fn until(&self, done: impl FnMut(&Counts) -> bool) {
        tokio::select! {
            () = within("enough goes wrong", self.wire.until(done)) => {}
            _ = self.cluster.watch(&self.run_id) => panic!("the run was over before: {:?}", self.wire.counts()),
        }
    }

    fn ledger(&self) -> Ledger {
        Ledger::read(&self.cluster.database(), &self.run_id)
    }

    /// The end of the run, held against the book.
    async fn ends_well(&self) -> Ledger {
        let run = self.cluster.watch(&self.run_id).await;
        assert_eq!(run.state(), RunState::Finished);
        self.judge().await
    }

    async fn judge(&self) -> Ledger {
        let (book, ledger) = (self.server.book(), self.ledger());
        assert_nothing_lost(&book, &ledger);
        assert_sound(&self.cluster.database());
        let verdict = self.cluster.verify(&self.run_id).await;
        assert!(verdict.complete && verdict.balanced, "{verdict:?}");
        let copies = i64::try_from(book.summary().copies).expect("few");
        assert!(verdict.possible_copies >= copies, "{copies} copies, {verdict:?}");
        ledger
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_get_lost_or_come_late_lose_nothing() {
    let _turn = turn::heavy().await;
    let cycles = from_env("MUSTER_TEST_CYCLES", 30);
    let animals = Config::calm(2_000 + cycles * 100);
    let scene = Scene::new(Config { latency: Duration::from_millis(5), ..animals }).await;
    scene.wire.fails(LOSING);
    let mut crew = ["w1", "w2"].map(|name| scene.hire(name, &["--concurrency", "24", "--max-leases", "5"]));
    scene.until(|counts| counts.cut >= cycles / 2).await;
    scene.wire.fails(REFUSING);
    scene.until(|counts| counts.refused >= 6).await;
    scene.wire.fails(LOSING);
    scene.until(|counts| counts.cut >= cycles && counts.held >= 3).await;
    scene.wire.heals();
    let ledger = scene.ends_well().await;

    let said: String = crew.iter().map(Process::stderr).collect();
    let times = |words: &str| said.matches(words).count();
    let (announcements, reports) = (times(NOT_ANNOUNCED), times(NOT_REPORTED));
    println!(
        "{:?}; {announcements} announcements and {reports} reports repeated; {} deliveries, {} in doubt; {} copies in \
         the book; leases: {:?}",
        scene.wire.counts(),
        ledger.deliveries.len(),
        ledger.count(State::InDoubt),
        scene.server.book().summary().copies,
        ledger.endings
    );
    assert!(announcements > 0 && reports > 0, "nobody missed the answer to an announcement, or to a report");
    for worker in &mut crew {
        assert_eq!(worker.has_ended(), None, "a worker gave up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_cut_off_for_longer_than_a_lease_sends_nothing_more_and_goes_on_later() {
    let _turn = turn::light().await;
    let stall = Duration::from_millis(1_000)..=Duration::from_millis(2_000);
    let posts = Config { chaos: 1.0, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(2_000) };
    let scene = Scene::new(Config { latency: Duration::from_millis(10), ..posts }).await;
    let (book, database) = (scene.server.book(), scene.cluster.database());
    let mut far = scene.hire("far", &["--concurrency", "8", "--max-leases", "12"]);
    within("POSTs are on their way", book.until(|book| book.counters().stalls_post >= 4)).await;
    scene.wire.fails(SILENT);
    until_some("its leases run out", async || (held_leases(&database, Some("far")) == 0).then_some(())).await;
    // It was alone: all that the target was sent so far is its.
    let (by_far, before) = (book.counters().posts, scene.ledger());
    assert_eq!(beyond_the_announced(&book, &before), None);
    assert!(far.stderr().contains(NOT_ANNOUNCED), "it had nothing to send while nothing passed");
    let owed = deliveries_of_fenced(&database).len();
    assert!(owed > 0, "it was not cut off amid a delivery");

    scene.server.set_chaos(0.0);
    let mut near = scene.cluster.worker("near", &[]);
    let ledger = scene.ends_well().await;
    let by_near = ledger.deliveries.iter().skip(before.deliveries.len());
    // What is certainly not applied by a target that applies all was not sent.
    let by_near = by_near.filter(|delivery| delivery.state != State::NotApplied).count() as u64;
    assert_eq!(book.counters().posts, by_far + by_near, "more was sent than by those who could announce it");
    assert!(book.summary().copies > 0, "nothing was sent again");

    scene.wire.heals();
    let (late, taken) = until_some("it reports", async || {
        let (late, taken) = fenced_reports(&database);
        (late + taken >= owed).then_some((late, taken))
    })
    .await;
    assert_eq!(taken, 0, "a report under a lease that had run out was taken as the holder's, beside {late} late ones");
    near.signal(Signal::Terminate);
    near.ended().await.with_code(0);
    // Nobody else is left for another run.
    let another = stand_in(Config::calm(200));
    let run_id = scene.cluster.start_run("impatient", &another.base_url()).await;
    assert_eq!(scene.cluster.watch(&run_id).await.state(), RunState::Finished);
    assert_nothing_lost(&another.book(), &Ledger::read(&database, &run_id));
    assert_eq!(far.has_ended(), None, "it gave up");
    assert_eq!(book.counters().posts, by_far + by_near, "it sent what it had kept");
    scene.judge().await;
}

/// Two seconds, in which something is announced, longer than that may wait to be sent; and three seconds shorter than a
/// worker waits for anything to come by a connection.
const TOO_LATE: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_that_is_answered_too_late_is_not_followed_by_its_post() {
    let _turn = turn::light().await;
    let scene = Scene::new(Config { latency: Duration::from_millis(10), ..Config::calm(2_000) }).await;
    let (book, database) = (scene.server.book(), scene.cluster.database());
    let _worker = scene.hire("w1", &["--concurrency", "8", "--max-leases", "6"]);
    within("the run is under way", book.until(|book| book.counters().accepted_posts >= 5)).await;
    scene.wire.fails(Faults { answers_wait: true, ..Faults::NONE });
    tokio::time::sleep(TOO_LATE).await;
    assert!(open_deliveries(&database, None) > 0, "it had nothing to announce");
    scene.wire.heals();
    let ledger = scene.ends_well().await;
    let (announced, not_sent) = (ledger.deliveries.len(), ledger.count(State::NotApplied));
    assert!(not_sent > 0, "what was announced {TOO_LATE:?} before was sent");
    assert_eq!(book.counters().posts, (announced - not_sent) as u64, "{not_sent} of {announced} were not to be sent");
    assert!(book.is_perfect(), "{:#?}", book.summary());
}
