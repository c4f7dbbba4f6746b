//! `muster run animals` against an API that is already running.

use std::time::Duration;

use animals_api::Config;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::process::Start;
use muster_tests::turn;

use crate::{base_url, stand_in};

async fn run_through(config: Config) {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(config);
    let arguments = ["run", "animals", "--set", &base_url(&server), "--db", "my.db", "--workers", "2", "--json"];
    let told = Start::muster(folder.path(), arguments).run().await.with_code(0).json();
    assert_eq!(told["verdict"]["complete"], true);
    assert_eq!(told["verdict"]["balanced"], true);
    assert_eq!(told["verdict"]["possible_copies"], 0);
    let book = &server.book();
    assert!(book.is_perfect(), "{:?}", book.summary());
    assert_nothing_lost(book, &Ledger::read(&folder.path().join("my.db"), told["run_id"].as_str().expect("an ID")));
}

/// The real API's herd, pages and chaos, with stalls short enough for a test that runs every day.
fn like_the_real_one(seed: u64) -> Config {
    Config { stall: Duration::from_secs(1)..=Duration::from_secs(4), ..Config::seeded(seed) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_api_is_loaded_whole() {
    run_through(like_the_real_one(11)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_verifies_is_loaded_whole() {
    run_through(Config { strict: true, ..like_the_real_one(12) }).await;
}
