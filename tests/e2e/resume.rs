//! `muster run` that is killed or interrupted, and the same command with --resume.

use std::path::Path;
use std::time::Duration;

use animals_api::{ChaosOn, Config, Server};
use muster_tests::deadline::within;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, State, open_deliveries};
use muster_tests::pipelines::impatient;
use muster_tests::process::{Signal, Start};
use muster_tests::turn;

use crate::{base_url, stand_in};

fn slow_posts(animals: u64) -> Server {
    let stall = Duration::from_millis(300)..=Duration::from_millis(1_200);
    let posts = Config { chaos: 0.6, stall_share: 0.9, chaos_on: ChaosOn::Posts, stall, ..Config::calm(animals) };
    stand_in(Config { latency: Duration::from_millis(40), ..posts })
}

/// The command, and the same with --resume.
fn command(folder: &Path, server: &Server, resume: bool) -> Start {
    std::fs::write(folder.join("impatient.yaml"), impatient(3_000, &[])).expect("a file");
    let set = base_url(server);
    let mut arguments = vec!["run", "./impatient.yaml", "--set", &set, "--db", "my.db", "--workers", "2", "--json"];
    arguments.extend(resume.then_some("--resume"));
    Start::muster(folder, arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_goes_on_where_it_stopped() {
    let _turn = turn::heavy().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = slow_posts(10_000);
    let book = &server.book();
    let mut open = 0;
    for life in 0..3 {
        let posts = book.counters().stalls_post + 4;
        let mut process = command(folder.path(), &server, life > 0).start();
        within("POSTs are on their way", book.until(|book| book.counters().stalls_post >= posts)).await;
        process.kill().await;
        open += open_deliveries(&folder.path().join("my.db"), None);
    }
    assert!(open > 0, "no delivery was open at any of the kills");
    assert!(!book.is_perfect(), "it was done before the last kill");

    // Nothing of it is lost to the kills: what is left is quick.
    server.set_chaos(0.0);
    let told = command(folder.path(), &server, true).run().await.with_code(0).json();
    let ledger = Ledger::read(&folder.path().join("my.db"), told["run_id"].as_str().expect("an ID"));
    assert_nothing_lost(book, &ledger);
    assert_eq!(ledger.deliveries.iter().filter(|delivery| delivery.state == State::Open).count(), 0);
    let copies = book.summary().copies;
    assert!(told["verdict"]["possible_copies"].as_u64() >= Some(copies), "{copies} copies, {}", told["verdict"]);
    assert_eq!(told["verdict"]["complete"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_interrupted_drains_and_goes_on() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = slow_posts(3_000);
    let book = &server.book();
    let mut process = command(folder.path(), &server, false).start();
    within("POSTs are on their way", book.until(|book| book.counters().stalls_post >= 6)).await;
    process.signal(Signal::Interrupt);
    let ended = process.ended().await.with_code(1);
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
    assert_eq!(open_deliveries(&folder.path().join("my.db"), None), 0, "a POST was not awaited");
    assert!(!book.is_perfect(), "it was done before it was interrupted");

    // The same command without --resume would start anew: it says so instead.
    let refused = command(folder.path(), &server, false).run().await.with_code(2);
    assert!(refused.stderr.contains("--resume"), "{}", refused.stderr);
    let told = command(folder.path(), &server, true).run().await.with_code(0).json();
    let ledger = Ledger::read(&folder.path().join("my.db"), told["run_id"].as_str().expect("an ID"));
    assert_nothing_lost(book, &ledger);
    assert_eq!(ledger.count(State::InDoubt), 0);
    assert!(book.is_perfect(), "{:?}", book.summary());
    // And once it is over, it only tells how it ended.
    let posts = book.counters().posts;
    command(folder.path(), &server, true).run().await.with_code(0);
    assert_eq!(book.counters().posts, posts);
}
