//! Audit mode: the files name exactly what the target acknowledged.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use animals_api::{Book, Config};
use muster_tests::deadline::until_some;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::process::Start;
use muster_tests::turn;
use serde_json::json;

use crate::{base_url, stand_in};

/// The IDs in a file, in its order.
fn ids(file: &Path) -> Vec<u64> {
    serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("an array of IDs")
}

/// The IDs in all batch files: each is in one of them only.
fn acknowledged(folder: &Path) -> BTreeSet<u64> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let number = name.strip_prefix("batch_").and_then(|rest| rest.strip_suffix(".json"));
        assert!(number.is_some_and(|number| number.parse::<u64>().is_ok()) || name == "ids.json", "what is {name}?");
        for id in number.iter().flat_map(|_| ids(&path)) {
            assert!(all.insert(id), "{id} is in more than one file, or twice in {name}");
        }
    }
    all
}

fn assert_files_are_the_book(folder: &Path, book: &Book, animals: u64) {
    assert_eq!(acknowledged(folder), book.accepted().into_iter().collect());
    let listed: BTreeSet<u64> = ids(&folder.join("ids.json")).into_iter().collect();
    assert_eq!(listed, (0..animals).filter(|id| book.was_listed(*id)).collect());
    assert_eq!(ids(&folder.join("ids.json")).len(), listed.len(), "ids.json names an ID twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_are_what_the_target_accepted_through_heavy_chaos() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config {
        chaos: 0.2,
        stall: Duration::from_millis(200)..=Duration::from_millis(2_500),
        poison: 12_u64.into(),
        gone: 15_u64.into(),
        malformed: 20_u64.into(),
        ..Config::calm(3_000)
    });
    let arguments = ["run", "animals", "--set", &base_url(&server), "--db", "my.db", "--audit", "audit", "--json"];
    let told = Start::muster(folder.path(), arguments).run().await.with_code(3).json();
    let counts = &told["verdict"]["counts"];
    assert_eq!((&counts["loaded"], &counts["gone"]), (&json!(3_000 - 47), &json!(15)), "{counts}");
    assert_eq!((&counts["dead_letter"], &counts["in_doubt"]), (&json!(32), &json!(0)), "{counts}");

    let run_id = told["run_id"].as_str().expect("an ID");
    let book = &server.book();
    let files = folder.path().join("audit").join(run_id);
    assert_files_are_the_book(&files, book, 3_000);
    assert_nothing_lost(book, &Ledger::read(&folder.path().join("my.db"), run_id));
    assert!(book.is_perfect(), "{:?}", book.summary());

    // Both audits say the same of it. The files alone cannot know why an ID is missing, so to them it is.
    let by_ledger = Start::muster(folder.path(), ["verify", run_id, "--db", "my.db", "--json"]).run().await;
    let by_ledger = by_ledger.with_code(3).json();
    let files = files.to_str().expect("a path");
    let by_files = Start::muster(folder.path(), ["verify", "--files", files, "--json"]).run().await.with_code(3).json();
    assert_eq!(by_files["listed"], by_ledger["counts"]["listed"]);
    assert_eq!(by_files["acknowledged"], by_ledger["counts"]["loaded"]);
    assert_eq!(by_files["missing"]["count"], json!(47));
    for fault in ["doubled", "unexpected", "unreadable"] {
        assert_eq!(by_files[fault]["count"], 0, "{by_files}");
    }
    let text = Start::muster(folder.path(), ["verify", "--files", files]).run().await.with_code(3).stdout;
    assert!(text.contains("verdict: 47 listed IDs have no acknowledgement"), "{text}");
    let hints = Start::muster(folder.path(), ["dead-letters", run_id, "--db", "my.db"]).run().await.with_code(0).stderr;
    let redrive = format!("muster redrive {run_id} --db my.db --audit DIR");
    assert!(hints.contains(&redrive), "{hints}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_taken_away_in_mid_run_is_made_whole_again() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { latency: Duration::from_millis(30), page_size: 100, ..Config::calm(3_000) });
    let set = base_url(&server);
    let line = ["run", "animals", "--set", &set, "--db", "my.db", "--audit", "audit", "--concurrency", "24", "--json"];
    let mut process = Start::muster(folder.path(), line).start();
    let audit = folder.path().join("audit");
    let written = async || {
        let run = std::fs::read_dir(&audit).ok()?.find_map(|entry| entry.ok().filter(|entry| entry.path().is_dir()))?;
        run.path().join("batch_3.json").exists().then_some(())
    };
    until_some("files are written", written).await;
    std::fs::rename(&audit, folder.path().join("taken")).expect("taken away");
    let book = &server.book();
    assert!(!book.is_perfect(), "it was done before the folder was taken away");
    let told = process.ended().await.with_code(0).json();
    let files = audit.join(told["run_id"].as_str().expect("an ID"));
    assert_files_are_the_book(&files, book, 3_000);
    Start::muster(folder.path(), ["verify", "--files", files.to_str().expect("a path")]).run().await.with_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_audits_agree_that_all_is_well() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(550));
    let arguments = ["run", "animals", "--set", &base_url(&server), "--db", "my.db", "--audit", "audit", "--json"];
    let told = Start::muster(folder.path(), arguments).run().await.with_code(0).json();
    let run_id = told["run_id"].as_str().expect("an ID");
    let files = folder.path().join("audit").join(run_id);
    assert_files_are_the_book(&files, &server.book(), 550);
    Start::muster(folder.path(), ["verify", run_id, "--db", "my.db"]).run().await.with_code(0);
    Start::muster(folder.path(), ["verify", "--files", files.to_str().expect("a path")]).run().await.with_code(0);
}
