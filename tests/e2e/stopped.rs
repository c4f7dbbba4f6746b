//! kill -STOP of a worker that holds an open delivery, for longer than its lease, and -CONT: it is fenced, and no harm is
//! done. Its delivery went into doubt; what it still reports is evidence for that delivery and nothing else.

use std::time::Duration;

use animals_api::{ChaosOn, Config, Server};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::{until_some, within};
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Delivery, Ledger, State, deliveries_of_fenced, fenced_reports, open_deliveries};
use muster_tests::pipelines::{folder, impatient};
use muster_tests::process::{Process, Signal};
use muster_tests::turn;
use tempfile::TempDir;

use crate::stand_in;

const ASLEEP: &str = "asleep";

/// A worker that stands still with a delivery open whose POST the target has, and another that goes on.
struct Scene {
    _place: TempDir,
    server: Server,
    cluster: Cluster,
    run_id: String,
    asleep: Process,
    _awake: Process,
    /// What was open when it was stopped.
    open: Vec<Delivery>,
}

impl Scene {
    async fn new(settle_after: &str, env: &[(&str, &str)]) -> Scene {
        let place = tempfile::tempdir().expect("a folder");
        let stall = Duration::from_millis(1_000)..=Duration::from_millis(2_000);
        let posts = Config { chaos: 1.0, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(2_000) };
        let server = stand_in(Config { latency: Duration::from_millis(10), page_size: 100, ..posts });
        let settle = format!("on_doubt: retry\n  settle_after: {settle_after}");
        let pipelines = folder(place.path(), "impatient", &impatient(4_000, &[("on_doubt: retry", &settle)]));
        let cluster = Cluster::with(place.path(), &["--pipelines", pipelines.to_str().expect("a path")], env).await;
        let run_id = cluster.start_run("impatient", &server.base_url()).await;
        let asleep = cluster.worker(ASLEEP, &["--max-leases", "6"]);
        let book = server.book();
        within("POSTs are on their way", book.until(|book| book.counters().stalls_post >= 4)).await;
        asleep.signal(Signal::Stop);
        let open: Vec<Delivery> = Ledger::read(&cluster.database(), &run_id)
            .deliveries
            .into_iter()
            .filter(|delivery| delivery.state == State::Open)
            .collect();
        assert!(!open.is_empty(), "it held no open delivery when it was stopped");
        let awake = cluster.worker("awake", &[]);
        Scene { _place: place, server, cluster, run_id, asleep, _awake: awake, open }
    }

    fn ledger(&self) -> Ledger {
        Ledger::read(&self.cluster.database(), &self.run_id)
    }

    /// Waits until the sleeper's leases have run out, and all it had announced is in doubt.
    async fn until_expired(&self) {
        until_some("its deliveries are in doubt", async || {
            (open_deliveries(&self.cluster.database(), Some(ASLEEP)) == 0).then_some(())
        })
        .await;
        let ledger = self.ledger();
        for delivery in &self.open {
            assert_eq!(state(&ledger, delivery.number), State::InDoubt, "delivery {}", delivery.number);
        }
    }

    /// Lets it go on, until the coordinator has answered its reports; gives how many of them as late, and how many as if
    /// they were the present holder's.
    async fn wake(&mut self) -> (usize, usize) {
        self.asleep.signal(Signal::Continue);
        // It had one delivery open under each lease, and reports under each.
        let reported = until_some("it reports", async || {
            let (late, taken) = fenced_reports(&self.cluster.database());
            (late + taken >= self.open.len()).then_some((late, taken))
        })
        .await;
        self.asleep.signal(Signal::Terminate);
        self.asleep.ended().await.with_code(0);
        reported
    }

    /// The end of the run, held against the book.
    async fn ends_well(&self) -> Ledger {
        let run = self.cluster.watch(&self.run_id).await;
        let verdict = run.verdict.expect("a verdict");
        assert!(verdict.complete && verdict.balanced, "{verdict:?}");
        let (book, ledger) = (self.server.book(), self.ledger());
        assert_nothing_lost(&book, &ledger);
        let copies = i64::try_from(book.summary().copies).expect("few");
        assert!(verdict.possible_copies >= copies, "{copies} copies, {verdict:?}");
        ledger
    }
}

fn state(ledger: &Ledger, number: i64) -> State {
    let found = ledger.deliveries.iter().find(|delivery| delivery.number == number);
    found.expect("a delivery stays in the ledger").state
}

/// Whether another delivery repeats this one.
fn is_repeated(ledger: &Ledger, number: i64) -> bool {
    ledger.deliveries.iter().any(|delivery| delivery.retry_of == number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_is_settled_by_the_late_evidence_of_a_worker_that_stood_still() {
    let _turn = turn::light().await;
    // It wakes long before anybody may send its records again.
    let mut scene = Scene::new("60s", &[]).await;
    scene.until_expired().await;
    let (late, taken) = scene.wake().await;
    assert!(late > 0 && taken == 0, "{late} late reports, {taken} taken as the holder's");
    let ledger = scene.ends_well().await;
    for delivery in &scene.open {
        let (number, repeated) = (delivery.number, is_repeated(&ledger, delivery.number));
        match state(&ledger, number) {
            State::Applied => assert!(!repeated, "delivery {number} was settled by late evidence and sent again"),
            State::InDoubt => assert!(repeated, "delivery {number} stayed a doubt"),
            // It was announced, and stood still before it was sent.
            State::NotApplied => {}
            other => panic!("delivery {number} is {other:?}"),
        }
    }
}

/// The sleeper may wake now: its records have been sent again, under leases of the other.
async fn repeated(env: &[(&str, &str)]) -> Scene {
    let scene = Scene::new("4s", env).await;
    scene.until_expired().await;
    until_some("its records are sent again", async || {
        let ledger = scene.ledger();
        scene.open.iter().all(|delivery| is_repeated(&ledger, delivery.number)).then_some(())
    })
    .await;
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_past_its_lease_is_fenced() {
    let _turn = turn::light().await;
    let mut scene = repeated(&[]).await;
    // All that it had announced, also what reached the ledger when it already stood still.
    let (before, own) = (scene.ledger(), deliveries_of_fenced(&scene.cluster.database()));
    let (late, taken) = scene.wake().await;
    assert!(late > 0, "it reported nothing");
    assert_eq!(taken, 0, "a report under a lease that had run out was taken as the holder's");
    let ledger = scene.ends_well().await;
    for delivery in before.deliveries.iter().filter(|delivery| !own.contains(&delivery.number)) {
        let after = state(&ledger, delivery.number);
        assert!(delivery.state == State::Open || after == delivery.state, "delivery {} was changed", delivery.number);
    }
    assert_eq!(announced_by_the_fenced(&scene, &before, &ledger), Vec::<i64>::new());
    assert!(scene.server.book().summary().copies > 0, "nothing was sent again");
}

/// Deliveries that came after a moment under leases that had run out at that moment.
fn announced_by_the_fenced(scene: &Scene, before: &Ledger, after: &Ledger) -> Vec<i64> {
    let known: Vec<i64> = before.deliveries.iter().map(|delivery| delivery.number).collect();
    let of_the_fenced = deliveries_of_fenced(&scene.cluster.database());
    let new = after.deliveries.iter().map(|delivery| delivery.number).filter(|number| !known.contains(number));
    new.filter(|number| of_the_fenced.contains(number)).collect()
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_is_switched_off_is_noticed() {
    let _turn = turn::light().await;
    let scene = repeated(&[("MUSTER_PLANTED_BUG", "no_epoch_check")]).await;
    scene.asleep.signal(Signal::Continue);
    // What the test above says cannot be: was muster built with the feature planted-bugs?
    until_some("a fenced report is taken as the holder's", async || {
        let (_, taken) = fenced_reports(&scene.cluster.database());
        (taken > 0).then_some(())
    })
    .await;
}
