//! A source and target that serve nothing for some seconds in mid-run: no record ends, no batch is charged, they are hardly
//! asked, and other runs go on.

use std::time::Duration;

use animals_api::Config;
use muster_proto::v1::RunState;
use muster_tests::cluster::Cluster;
use muster_tests::deadline::{until_some, within};
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, State, most_attempts};
use muster_tests::pipelines::{folder, variant};
use muster_tests::turn;

use crate::stand_in;

const ANIMALS: u64 = 4_000;
const OUTAGE: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_no_record_and_charges_no_batch() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { latency: Duration::from_millis(20), page_size: 100, ..Config::calm(ANIMALS) });
    let cluster = Cluster::start(place.path()).await;
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    let _worker = cluster.worker("w1", &["--concurrency", "32"]);
    let book = server.book();
    within("the run is under way", book.until(|book| book.counters().accepted_posts >= 5)).await;
    server.set_outage(true);
    tokio::time::sleep(OUTAGE).await;
    let refused = book.counters().outage;
    server.set_outage(false);
    let run = cluster.watch(&run_id).await;

    assert!(refused > 0, "the run was over before the outage");
    // In flight, the retries that were saved up, and then one question a second of each process.
    assert!(refused <= 32 * 4 + 110 + 60, "{refused} requests met the outage");
    let verdict = cluster.verify(&run_id).await;
    let counts = verdict.counts.expect("counts");
    assert!(verdict.balanced && verdict.complete, "{run:#?}");
    assert_eq!((counts.loaded, counts.dead_letter, counts.in_doubt), (4_000, 0, 0));
    assert!(book.is_perfect(), "{:#?}", book.summary());
    assert_eq!(most_attempts(&cluster.database(), &run_id), 1, "a batch was leased again");
    let ledger = Ledger::read(&cluster.database(), &run_id);
    assert_eq!(ledger.count(State::InDoubt), 0);
    let requests = book.counters().lists + book.counters().details + book.counters().posts;
    assert!(requests * 10 <= (ANIMALS + ANIMALS / 50) * 12, "{requests} requests for {ANIMALS} animals");
}

/// One worker that has nothing but batches of a run whose source is down: all its slots, and all the leases that it may have.
#[tokio::test(flavor = "multi_thread")]
async fn it_holds_up_no_other_run() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let herd = |animals| stand_in(Config { latency: Duration::from_millis(20), ..Config::calm(animals) });
    let (down, up) = (herd(400), herd(60));
    let pipelines = folder(place.path(), "fours", &variant(&[("max_batch: 100", "max_batch: 4")]));
    let cluster = Cluster::with(place.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
    let waiting = cluster.start_run("fours", &down.base_url()).await;
    let worker = cluster.worker("w1", &["--concurrency", "4", "--max-leases", "2"]);
    within("the run is under way", down.book().until(|book| book.counters().accepted_posts >= 5)).await;
    down.set_outage(true);
    let knows = || worker.stderr().contains("a host does not serve requests").then_some(());
    until_some("the worker knows", async || knows()).await;
    let other = cluster.start_run("fours", &up.base_url()).await;
    assert_eq!(cluster.watch(&other).await.state(), RunState::Finished);
    assert_nothing_lost(&up.book(), &Ledger::read(&cluster.database(), &other));
    assert_eq!(cluster.run(&waiting).await.state(), RunState::Running);
    down.set_outage(false);
    assert_eq!(cluster.watch(&waiting).await.state(), RunState::Finished);
    assert_nothing_lost(&down.book(), &Ledger::read(&cluster.database(), &waiting));
    assert_eq!(most_attempts(&cluster.database(), &waiting), 1, "a batch was leased again");
}
