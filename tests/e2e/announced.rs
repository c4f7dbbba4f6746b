//! Promise 5: whatever the target saw was announced in the ledger before. Both outcomes.

use std::time::Duration;

use animals_api::{ChaosOn, Config};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::judge::unannounced;
use muster_tests::ledger::Ledger;
use muster_tests::turn;

use crate::stand_in;

/// Kills a worker while its POSTs are on their way; gives the POSTs in the book that the ledger does not have.
async fn kill_amid_posts(bug: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let stall = Duration::from_millis(1_500);
    let posts =
        Config { chaos: 1.0, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall: stall..=stall, ..Config::calm(600) };
    let server = stand_in(posts);
    let book = &server.book();
    let cluster = Cluster::start(folder.path()).await;
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    let mut worker = cluster.worker_with("w1", &[], &[("MUSTER_PLANTED_BUG", bug)]);
    within("POSTs arrive", book.until(|book| book.counters().stalls_post >= 3)).await;
    worker.kill().await;
    within("the POSTs are applied", book.until(|book| book.counters().accepted_posts == book.counters().stalls_post))
        .await;
    unannounced(book, &Ledger::read(&cluster.database(), &run_id))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_post_is_sent_that_was_not_announced() {
    let _turn = turn::light().await;
    let found = kill_amid_posts("").await;
    assert!(found.is_empty(), "{found:#?}");
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_post_before_its_announcement_is_noticed() {
    let _turn = turn::light().await;
    let found = kill_amid_posts("post_before_begin").await;
    assert!(!found.is_empty(), "nobody noticed; was muster built with the feature planted-bugs?");
}
