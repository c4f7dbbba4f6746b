//! Workers that leave in good order, and one that comes back after its leases are gone.

use std::time::Duration;

use animals_api::{ChaosOn, Config};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::judge::{assert_nothing_lost, differences};
use muster_tests::ledger::Ledger;
use muster_tests::pipelines::{folder, impatient};
use muster_tests::process::Signal;
use muster_tests::turn;

use crate::stand_in;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_go_gives_its_batches_back() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { latency: Duration::from_millis(50), page_size: 100, ..Config::calm(2_000) });
    let cluster = Cluster::start(place.path()).await;
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    let mut leaving = cluster.worker("leaving", &["--concurrency", "16", "--max-leases", "20"]);
    within("it works", server.book().until(|book| book.counters().posts >= 1)).await;
    leaving.signal(Signal::Terminate);
    leaving.ended().await.with_code(0);
    assert!(!server.book().is_perfect(), "it was done before it was told to go");

    let _other = cluster.worker("other", &[]);
    let run = cluster.watch(&run_id).await;
    let ledger = Ledger::read(&cluster.database(), &run_id);
    assert!(ledger.endings.contains_key("released"), "{:?}", ledger.endings);
    assert!(
        !ledger.endings.contains_key("expired"),
        "the other had to wait for leases to run out: {:?}",
        ledger.endings
    );
    assert_eq!(run.verdict.expect("a verdict").possible_copies, 0);
    assert_nothing_lost(&server.book(), &ledger);
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_past_its_leases_changes_nothing() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let stall = Duration::from_millis(300)..=Duration::from_millis(900);
    let posts =
        Config { chaos: 0.5, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, page_size: 100, ..Config::calm(3_000) };
    let server = stand_in(Config { latency: Duration::from_millis(10), ..posts });
    let book = &server.book();
    let pipelines = folder(place.path(), "impatient", &impatient(4_000, &[]));
    let cluster = Cluster::with(place.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
    let run_id = cluster.start_run("impatient", &server.base_url()).await;
    let mut asleep = cluster.worker("asleep", &["--max-leases", "6"]);
    within("POSTs are on their way", book.until(|book| book.counters().stalls_post >= 2)).await;
    asleep.signal(Signal::Stop);
    let _awake = cluster.worker("awake", &[]);
    let run = cluster.watch(&run_id).await;
    let before = Ledger::read(&cluster.database(), &run_id);
    assert!(before.endings.contains_key("expired"), "it held no lease when it was stopped: {:?}", before.endings);

    asleep.signal(Signal::Continue);
    asleep.signal(Signal::Terminate);
    asleep.ended().await.with_code(0);
    let after = Ledger::read(&cluster.database(), &run_id);
    assert_eq!(after.deliveries.len(), before.deliveries.len(), "it announced a delivery under a lease it had lost");
    assert_nothing_lost(book, &after);
    assert_eq!(differences(book, &before), Vec::<String>::new());
    let copies = i64::try_from(book.summary().copies).expect("few");
    assert!(run.verdict.expect("a verdict").possible_copies >= copies);
}
