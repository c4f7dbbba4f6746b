//! Further rounds: what a run gave up on goes through once more, and what the rounds before said stays as it was.

use std::collections::BTreeSet;
use std::path::Path;

use animals_api::{Config, Server};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::until_some;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::pipelines::{folder as pipeline_folder, variant};
use muster_tests::process::{Ended, Start};
use muster_tests::turn;
use serde_json::{Value, json};

use crate::{base_url, stand_in};

/// Of these the schema refuses exactly the first 100.
const ANIMALS: u64 = 1_000;
const TOO_STRICT: (&str, &str) = ("id: { type: integer }", "id: { type: integer, minimum: 100 }");

async fn muster(folder: &Path, line: &[&str]) -> Ended {
    Start::muster(folder, line).run().await
}

/// A run whose schema refuses 100 animals, in `my.db`; gives its ID.
async fn with_dead_letters(folder: &Path, server: &Server) -> String {
    std::fs::write(folder.join("strict.yaml"), variant(&[TOO_STRICT])).expect("a file");
    std::fs::write(folder.join("mended.yaml"), variant(&[])).expect("a file");
    let set = base_url(server);
    let run = ["run", "./strict.yaml", "--set", &set, "--db", "my.db", "--json"];
    let told = muster(folder, &run).await.with_code(3).json();
    assert_eq!(told["verdict"]["counts"]["dead_letter"], 100);
    told["run_id"].as_str().expect("an ID").to_owned()
}

/// Two rounds that lost nothing: the first as it was, the second balanced, everything loaded.
fn assert_all_loaded(run: &Value, first: &Value) {
    let rounds = run["rounds"].as_array().expect("rounds");
    assert_eq!((rounds.len(), &rounds[0]), (2, first), "round 1 is not as it was");
    let second = &rounds[1]["verdict"];
    assert_eq!((&second["complete"], &second["balanced"]), (&json!(true), &json!(true)));
    assert_eq!((&second["counts"]["listed"], &second["counts"]["loaded"]), (&json!(100), &json!(100)));
    let overall = &run["overall"];
    assert_eq!((&overall["listed"], &overall["loaded"]), (&json!(ANIMALS), &json!(ANIMALS)), "{overall}");
    assert_eq!(overall["dead_letter"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_redriven_under_a_mended_schema_in_a_file() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(ANIMALS)));
    let (folder, book) = (folder.path(), &server.book());
    let run_id = &with_dead_letters(folder, &server).await;
    let ask = async |line: &[&str]| muster(folder, &[line, &["--db", "my.db"]].concat()).await;

    let letters = ask(&["dead-letters", run_id, "--stage", "validate", "--limit", "0", "--json"]).await.with_code(0);
    let letters = letters.json();
    let listed = letters["dead_letters"].as_array().expect("letters");
    let ids: BTreeSet<u64> =
        listed.iter().map(|letter| letter["record_id"].as_str().expect("text").parse().expect("a number")).collect();
    assert_eq!(ids, (0..100).collect());
    let counted: u64 = letters["groups"].as_array().expect("groups").iter().filter_map(|g| g["count"].as_u64()).sum();
    // The reasons name the values, so that there are more groups than one answer tells apart.
    assert!((50..=100).contains(&counted) && letters["more"] == false, "{counted}");
    let text = ask(&["dead-letters", run_id, "--limit", "3"]).await.with_code(0);
    assert!(text.stdout.contains("REASON") && text.stderr.contains(&format!("muster redrive {run_id}")), "{text:?}");

    let before = ask(&["verify", run_id, "--round", "1"]).await.with_code(3).stdout;
    let first = ask(&["show", run_id, "--json"]).await.with_code(0).json()["rounds"][0].clone();
    let dry = ask(&["redrive", run_id, "--dry-run", "--json"]).await.with_code(0).json();
    assert_eq!((&dry["records"], &dry["dry_run"]), (&json!(100), &json!(true)));

    let redrive = ["redrive", run_id, "--stage", "validate", "--pipeline", "./mended.yaml", "--json"];
    let told = ask(&redrive).await.with_code(0).json();
    assert_all_loaded(&told, &first);
    assert!(book.is_perfect(), "{:?}", book.summary());
    assert_nothing_lost(book, &Ledger::read(&folder.join("my.db"), run_id));

    assert_eq!(ask(&["verify", run_id, "--round", "1"]).await.with_code(3).stdout, before);
    let all = ask(&["verify", run_id]).await.with_code(0).stdout;
    assert!(all.contains("round 2: dead letters redriven") && all.contains("all rounds, every record once"), "{all}");
    let none = ask(&["verify", run_id, "--round", "3"]).await.with_code(1);
    assert!(none.stderr.contains("has no round 3"), "{}", none.stderr);
    let left = ask(&["dead-letters", run_id]).await.with_code(0);
    assert!(left.stdout.contains("has no dead letters to redrive"), "{}", left.stdout);
    let taken = ask(&["dead-letters", run_id, "--all", "--json"]).await.with_code(0).json();
    assert_eq!((&taken["dead_letters"][0]["redriven_in_round"], &taken["more"]), (&json!(2), &json!(true)));
    let again = ask(&redrive).await.with_code(1);
    assert!(again.stderr.contains("nothing was changed") && again.stderr.contains("--gone"), "{}", again.stderr);
    let other = ask(&["redrive", run_id, "--stage", "load", "--id", "7"]).await.with_code(1);
    assert!(other.stderr.contains("no records that are so"), "{}", other.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_was_killed_goes_on_under_its_own_pipeline() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(ANIMALS)));
    let (folder, book) = (folder.path(), &server.book());
    let run_id = &with_dead_letters(folder, &server).await;
    let posts = book.counters().posts;
    server.turn(|knobs| knobs.latency_ms = 2_000);
    let redrive = ["redrive", run_id, "--pipeline", "./mended.yaml", "--db", "my.db"];
    let mut process = Start::muster(folder, redrive).start();
    until_some("the round is open", async || process.stderr().contains("ledger my.db").then_some(())).await;
    process.kill().await;
    assert_eq!(book.counters().posts, posts, "it was killed too late");

    server.turn(|knobs| knobs.latency_ms = 0);
    // The file that the first round was run with: the second goes on under the mended one, which is in the ledger.
    let set = base_url(&server);
    let resume = ["run", "./strict.yaml", "--set", &set, "--db", "my.db", "--resume", "--json"];
    let ended = muster(folder, &resume).await.with_code(0);
    assert!(ended.stderr.contains("after round 2 of run"), "{}", ended.stderr);
    assert_eq!((&ended.json()["round"], &ended.json()["overall"]["loaded"]), (&json!(2), &json!(ANIMALS)));
    assert!(book.is_perfect(), "{:?}", book.summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_redriven_under_a_mended_schema_at_a_coordinator() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(ANIMALS)));
    pipeline_folder(folder.path(), "herd", &variant(&[TOO_STRICT]));
    let cluster = Cluster::with(folder.path(), &["--pipelines", "pipelines"], &[]).await;
    let _workers = ["w1", "w2"].map(|name| cluster.worker(name, &[]));
    let ask = async |line: &[&str]| cluster.command(line).run().await;
    let run_id = &cluster.start_run("herd", &server.base_url()).await;
    ask(&["watch", run_id]).await.with_code(3);
    let first = ask(&["show", run_id, "--json"]).await.json()["rounds"][0].clone();
    let early = ask(&["redrive", run_id, "--pipeline", "./mended.yaml"]).await.with_code(2);
    assert!(early.stderr.contains("--mended"), "{}", early.stderr);

    // A file that is broken by then takes none of the others away.
    std::fs::write(folder.path().join("pipelines/plants.yaml"), "name: plants\nsource: [\n").expect("a file");
    let broken = ask(&["start", "plants"]).await.with_code(2);
    assert!(broken.stderr.contains("plants.yaml:"), "{}", broken.stderr);
    pipeline_folder(folder.path(), "herd", &variant(&[]));
    let redrive = ["redrive", run_id, "--mended", "--request-id", "r-1", "--json"];
    let told = ask(&redrive).await.with_code(0).json();
    assert_eq!((&told["records"], &told["run"]["round"]), (&json!(100), &json!(2)));
    assert_eq!(ask(&redrive).await.with_code(0).json()["run"]["round"], 2, "the same request is the same round");
    ask(&["watch", run_id]).await.with_code(0);
    assert_eq!(ask(&redrive).await.with_code(0).json()["run"]["round"], 2, "also when it is over");
    let reused = ask(&["redrive", run_id, "--gone", "--request-id", "r-1"]).await;
    assert!(reused.code != Some(0) && reused.stderr.contains("request"), "{reused:?}");

    assert_all_loaded(&ask(&["show", run_id, "--json"]).await.json(), &first);
    let book = &server.book();
    assert!(book.is_perfect(), "{:?}", book.summary());
    assert_nothing_lost(book, &Ledger::read(&cluster.database(), run_id));
    assert_eq!(ask(&["verify", run_id, "--json"]).await.with_code(0).json()["overall"]["loaded"], ANIMALS);
}

/// The loaded IDs of an export, and how many rows it has.
pub fn loaded_in(export: &str) -> (Vec<u64>, usize) {
    let rows: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let loaded = rows.iter().filter(|row| row["state"] == "loaded");
    let mut ids: Vec<u64> = loaded.map(|row| row["record_id"].as_u64().expect("a number")).collect();
    ids.sort_unstable();
    (ids, rows.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_what_the_book_has() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(ANIMALS)));
    let (folder, book) = (folder.path(), &server.book());
    let run_id = &with_dead_letters(folder, &server).await;
    let export = muster(folder, &["export", run_id, "--db", "my.db"]).await.with_code(0).stdout;
    assert_eq!(loaded_in(&export), (book.accepted(), 1_000));
    muster(folder, &["redrive", run_id, "--pipeline", "./mended.yaml", "--db", "my.db"]).await.with_code(0);
    let export = muster(folder, &["export", run_id, "--db", "my.db"]).await.with_code(0).stdout;
    assert_eq!(loaded_in(&export), (book.accepted(), 1_100), "a row for each round that had a record");

    std::fs::write(folder.join("herd.csv"), "older").expect("a file");
    let csv = ["export", run_id, "--format", "csv", "--output", "herd.csv", "--db", "my.db"];
    assert!(muster(folder, &csv).await.with_code(0).stderr.contains("1,100 rows"));
    let text = std::fs::read_to_string(folder.join("herd.csv")).expect("a file");
    assert_eq!(text.lines().filter(|line| line.contains(",loaded,")).count(), 1_000);
    assert!(text.starts_with("record_id,round,state,") && text.lines().count() == 1_101);
    let unfinished = std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok);
    assert!(!unfinished.map(|file| file.file_name()).any(|name| name.to_string_lossy().contains("unfinished")));

    // Who reads one line and leaves is no failure.
    let muster = muster_tests::programs::muster().display().to_string();
    let piped = format!("set -o pipefail; '{muster}' export {run_id} --db my.db | head -n 1");
    let ended = Start::program(Path::new("bash"), folder, ["-c", &piped]).run().await.with_code(0);
    assert_eq!((ended.stdout.lines().count(), ended.stderr.as_str()), (1, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_run_gives_its_space_back() {
    let _turn = turn::light().await;
    let (folder, server) =
        (tempfile::tempdir().expect("a folder"), stand_in(Config { page_size: 100, ..Config::calm(20_000) }));
    let (folder, set) = (folder.path(), base_url(&server));
    let run = ["run", "animals", "--set", &set, "--db", "my.db", "--json"];
    let run_id = muster(folder, &run).await.with_code(0).json()["run_id"].as_str().expect("an ID").to_owned();
    let ask = async |line: &[&str]| muster(folder, &[line, &["--db", "my.db"]].concat()).await;

    let young = ask(&["delete", "--older-than", "30d", "--yes"]).await.with_code(0);
    assert!(young.stdout.contains("no runs to delete"), "{}", young.stdout);
    let unasked = ask(&["delete", &run_id]).await.with_code(2);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    let dry = ask(&["delete", &run_id, "--dry-run", "--json"]).await.with_code(0).json();
    assert_eq!(dry["runs"], json!([run_id]));
    let length = || std::fs::metadata(folder.join("my.db")).expect("a file").len();
    let before = length();
    let told = ask(&["delete", &run_id, "--yes", "--json"]).await.with_code(0).json();
    assert_eq!(told["runs"], json!([run_id]));
    assert!(length() < before / 2, "{} of {before} bytes are left", length());
    assert_eq!(told["bytes_after"], length());
    assert!(ask(&["show", &run_id]).await.with_code(1).stderr.contains("there is no run"));
    assert_eq!(ask(&["runs", "--json"]).await.with_code(0).json()["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_deletes_what_is_over_and_goes_on_with_the_others() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(2_000)));
    let slow = stand_in(Config { latency: std::time::Duration::from_millis(20), ..Config::calm(2_000) });
    let cluster = Cluster::start(folder.path()).await;
    let _worker = cluster.worker("w1", &[]);
    let ask = async |line: &[&str]| cluster.command(line).run().await;
    let over = cluster.start_run("animals", &server.base_url()).await;
    cluster.watch(&over).await;
    let running = cluster.start_run("animals", &slow.base_url()).await;
    let refused = ask(&["delete", &over, &running, "--yes"]).await.with_code(1);
    assert!(refused.stderr.contains(&running) && refused.stderr.contains("cancel"), "{}", refused.stderr);
    ask(&["show", &over]).await.with_code(0);
    ask(&["delete", &over, "--yes"]).await.with_code(0);
    ask(&["show", &over]).await.with_code(1);
    let in_use = Start::muster(folder.path(), ["delete", "latest", "--yes", "--db", "muster.db"]).run().await;
    assert!(in_use.code == Some(1) && in_use.stderr.contains("in use"), "{in_use:?}");
    ask(&["watch", &running]).await.with_code(0);
    assert!(slow.book().is_perfect(), "{:?}", slow.book().summary());
}
