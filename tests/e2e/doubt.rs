//! Promise 6: a doubt is never taken for a failure. With `retry` every further POST is a row and counted as a possible
//! copy; with `hold` the target applies an ID at most once.

use std::path::Path;
use std::time::Duration;

use animals_api::{ChaosOn, Config, Server};
use muster_tests::deadline::within;
use muster_tests::judge::differences;
use muster_tests::ledger::{Ledger, State};
use muster_tests::pipelines::{HOLD, impatient};
use muster_tests::process::{Ended, Start};
use muster_tests::turn;

use crate::{base_url, stand_in};

const SMALL_BATCHES: (&str, &str) = ("max_batch: 100", "max_batch: 20");
const ANIMALS: u64 = 400;

/// Of the POSTs so many stall, beyond the time that the pipeline gives them, and are applied then.
fn target_that_acts_late(share: f64) -> Server {
    let stall = Duration::from_millis(1_200)..=Duration::from_millis(1_500);
    stand_in(Config { chaos: share, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(ANIMALS) })
}

/// Runs a pipeline to its end, and waits until the target has acted on all that it was sent.
async fn run(folder: &Path, server: &Server, pipeline: &str, bug: &str) -> (Ended, Ledger) {
    std::fs::write(folder.join("late.yaml"), pipeline).expect("a file");
    let arguments = ["run", "./late.yaml", "--set", &base_url(server), "--db", "my.db", "--json"];
    let ended = Start::muster(folder, arguments).env("MUSTER_PLANTED_BUG", bug).run().await;
    let book = &server.book();
    let settled = book.until(|book| book.counters().accepted_posts == book.counters().posts);
    within("the target acts on all POSTs", settled).await;
    let run_id = ended.json()["run_id"].as_str().expect("an ID").to_owned();
    let ledger = Ledger::read(&folder.join("my.db"), &run_id);
    (ended, ledger)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_further_post_is_a_row_and_a_possible_copy() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), target_that_acts_late(0.5));
    let (ended, ledger) = run(folder.path(), &server, &impatient(400, &[SMALL_BATCHES]), "").await;
    let told = ended.with_code(0).json();
    let book = &server.book();
    assert_eq!(differences(book, &ledger), Vec::<String>::new());
    assert_eq!(book.missing(), Vec::<u64>::new());
    let copies = book.summary().copies;
    assert!(copies > 0, "no POST was late enough to be sent again");
    assert!(told["verdict"]["possible_copies"].as_u64() >= Some(copies), "{copies} copies, {}", told["verdict"]);
    assert!(ledger.deliveries.iter().any(|delivery| delivery.retry_of > 0), "no delivery repeats another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_on_hold_is_left_to_an_operator() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), target_that_acts_late(0.4));
    let (ended, ledger) = run(folder.path(), &server, &impatient(400, &[SMALL_BATCHES, HOLD]), "").await;
    let told = ended.with_code(3).json();
    let book = &server.book();
    assert_eq!(book.duplicates(), Vec::<(u64, u32)>::new());
    assert_eq!(differences(book, &ledger), Vec::<String>::new());
    let counts = &told["verdict"]["counts"];
    let (loaded, in_doubt) =
        (counts["loaded"].as_u64().expect("a number"), counts["in_doubt"].as_u64().expect("a number"));
    assert!(in_doubt > 0, "no POST was late: {counts}");
    assert_eq!(loaded + in_doubt, ANIMALS, "{counts}");
    let doubtful: usize = in_state(&ledger, State::InDoubt);
    assert_eq!(doubtful as u64, in_doubt, "each record in doubt is in one doubtful delivery");
}

fn in_state(ledger: &Ledger, state: State) -> usize {
    ledger.deliveries.iter().filter(|delivery| delivery.state == state).map(|delivery| delivery.ids.len()).sum()
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_taken_for_a_failure_is_noticed() {
    let _turn = turn::light().await;
    for (share, pipeline) in [(0.5, impatient(400, &[SMALL_BATCHES])), (0.4, impatient(400, &[SMALL_BATCHES, HOLD]))] {
        let (folder, server) = (tempfile::tempdir().expect("a folder"), target_that_acts_late(share));
        let (ended, ledger) = run(folder.path(), &server, &pipeline, "timeout_is_failure").await;
        let book = &server.book();
        assert!(
            !differences(book, &ledger).is_empty(),
            "nobody noticed; was muster built with the feature planted-bugs?"
        );
        assert!(ended.json()["verdict"]["possible_copies"].as_u64() < Some(book.summary().copies));
        assert!(!book.duplicates().is_empty());
    }
}
