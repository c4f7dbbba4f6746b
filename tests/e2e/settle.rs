//! An operator's word for deliveries in doubt. The book tells what the target did; what is said of it must bring every
//! animal home exactly once.

use std::path::Path;
use std::time::Duration;

use animals_api::{Book, ChaosOn, Config, Disconnect, Server};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::{until_some, within};
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Delivery, Ledger, State};
use muster_tests::pipelines::{HOLD, folder as pipeline_folder, variant};
use muster_tests::process::{Ended, Start};
use muster_tests::turn;
use serde_json::{Value, json};

use crate::{base_url, stand_in};

const ANIMALS: u64 = 400;

/// Doubts are left to an operator, who may settle them so long after their announcement.
fn held(settle_after: &str) -> String {
    let patience = format!("post_timeout: 400ms\n  settle_after: {settle_after}");
    variant(&[("max_batch: 100", "max_batch: 20"), HOLD, ("post_timeout: 25s", &patience)])
}

/// Of the POSTs so many stall beyond the time that the pipeline gives them; then they are applied, or not.
fn late(disconnect: Disconnect) -> Server {
    let stall = Duration::from_millis(1_200)..=Duration::from_millis(1_500);
    let calm = Config::calm(ANIMALS);
    stand_in(Config { chaos: 0.4, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, disconnect, ..calm })
}

async fn muster(folder: &Path, line: &[&str]) -> Ended {
    Start::muster(folder, line).run().await
}

/// Runs it into `my.db`; gives the run's ID.
async fn run(folder: &Path, server: &Server, settle_after: &str) -> String {
    std::fs::write(folder.join("held.yaml"), held(settle_after)).expect("a file");
    let line = ["run", "./held.yaml", "--set", &base_url(server), "--db", "my.db", "--json"];
    muster(folder, &line).await.with_code(3).json()["run_id"].as_str().expect("an ID").to_owned()
}

async fn resume(folder: &Path, server: &Server) -> Value {
    let line = ["run", "./held.yaml", "--set", &base_url(server), "--db", "my.db", "--resume", "--json"];
    muster(folder, &line).await.with_code(0).json()
}

/// Waits until the target has acted on all that it was sent.
async fn acted(book: &Book) {
    within("the target acts on all POSTs", book.until(|book| book.counters().accepted_posts == book.counters().posts))
        .await;
}

fn doubtful(ledger: &Ledger) -> Vec<&Delivery> {
    ledger.deliveries.iter().filter(|delivery| delivery.state == State::InDoubt).collect()
}

fn numbers(deliveries: &[&Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| delivery.number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_applied_is_loaded_and_never_sent_again() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), late(Disconnect::Process));
    let (folder, book) = (folder.path(), &server.book());
    let run_id = &run(folder, &server, "400ms").await;
    acted(book).await;
    let ledger = Ledger::read(&folder.join("my.db"), run_id);
    let doubts = doubtful(&ledger);
    let records: usize = doubts.iter().map(|delivery| delivery.ids.len()).sum();
    assert!(!doubts.is_empty(), "no POST was late");
    let posts = book.posts();
    let in_the_book = |delivery: &&Delivery| posts.iter().any(|post| post.key.as_deref() == Some(&delivery.key));
    assert!(doubts.iter().all(in_the_book), "the book does not have all of them");
    let ask = async |line: &[&str]| muster(folder, &[line, &["--db", "my.db"]].concat()).await;

    let shown = ask(&["in-doubt", run_id, "--json"]).await.with_code(0).json();
    let shown = shown["deliveries"].as_array().expect("deliveries").clone();
    assert_eq!(shown.len(), doubts.len());
    assert!(shown.iter().all(|one| one["plan"] == "held"), "{shown:?}");
    let text = ask(&["in-doubt", run_id]).await.with_code(0);
    assert!(text.stderr.contains(&format!("muster settle {run_id} ")), "{}", text.stderr);

    let said = ask(&["settle", run_id, "--all", "--applied", "--note", "import log", "--json"]).await.with_code(0);
    let said = said.json();
    assert_eq!((&said["loaded"], &said["to_send"]), (&json!(records), &json!(0)));
    assert_eq!(said["run"]["overall"]["loaded"], ANIMALS, "the verdict says what was learnt since");
    ask(&["verify", run_id]).await.with_code(0);
    assert!(book.is_perfect(), "{:?}", book.summary());
    let story = ask(&["record", run_id, &doubts[0].ids[0].to_string()]).await.with_code(0).stdout;
    assert!(story.contains("as found out by operator (import log)"), "{story}");

    let number = doubts[0].number.to_string();
    let same = ask(&["settle", run_id, &number, "--applied", "--json"]).await.with_code(0).json();
    assert_eq!((&same["loaded"], &same["to_send"]), (&json!(0), &json!(0)), "the same again changes nothing");
    let otherwise = ask(&["settle", run_id, &number, "--not-applied"]).await.with_code(1);
    assert!(otherwise.stderr.contains("was settled before, otherwise"), "{}", otherwise.stderr);
    let fine = ledger.deliveries.iter().find(|delivery| delivery.state == State::Applied).expect("one was quick");
    let fine = ask(&["settle", run_id, &fine.number.to_string(), "--not-applied"]).await.with_code(1);
    assert!(fine.stderr.contains("there is no doubt to settle"), "{}", fine.stderr);
    let unknown = ask(&["settle", run_id, "9999", "--applied"]).await.with_code(1);
    assert!(unknown.stderr.contains("has no delivery 9999"), "{}", unknown.stderr);
    let none = ask(&["settle", run_id, "--all", "--applied"]).await.with_code(1);
    assert!(none.stderr.contains("no delivery in doubt"), "{}", none.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_applied_is_sent_again_in_the_next_round() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), late(Disconnect::Drop));
    let (folder, book) = (folder.path(), &server.book());
    let run_id = &run(folder, &server, "400ms").await;
    let missing = book.missing();
    assert!(!missing.is_empty(), "no POST was dropped");
    server.set_chaos(0.0);
    let said = muster(folder, &["settle", run_id, "--all", "--not-applied", "--db", "my.db"]).await.with_code(0);
    assert!(said.stdout.contains(&format!("{} are sent again in round 2", missing.len())), "{}", said.stdout);
    assert!(said.stderr.contains("--resume --db my.db sends the rest"), "{}", said.stderr);
    let told = resume(folder, &server).await;
    assert_eq!((&told["round"], &told["overall"]["loaded"]), (&json!(2), &json!(ANIMALS)));
    assert!(book.is_perfect(), "{:?}", book.summary());
    assert_nothing_lost(book, &Ledger::read(&folder.join("my.db"), run_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_applied_in_part_is_sent_in_part() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { partial: 0.4, ..Config::calm(ANIMALS) });
    let (folder, book) = (folder.path(), &server.book());
    let run_id = &run(folder, &server, "400ms").await;
    server.turn(|knobs| knobs.partial = 0.0);
    let ledger = Ledger::read(&folder.join("my.db"), run_id);
    let doubts = doubtful(&ledger);
    let (there, not): (Vec<u64>, Vec<u64>) =
        doubts.iter().flat_map(|delivery| delivery.ids.clone()).partition(|id| book.times(*id) > 0);
    assert!(!there.is_empty() && !not.is_empty(), "{there:?} {not:?}");
    std::fs::write(folder.join("ids"), there.iter().map(|id| format!("{id}\n")).collect::<String>()).expect("a file");
    let numbers = numbers(&doubts);
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let line = [&["settle", run_id][..], &numbers, &["--ids-file", "ids", "--db", "my.db", "--json"]].concat();
    // The stand-in has answered: it does not act any more, but the time for it has to pass.
    let said = until_some("the target can act no more", async || {
        let said = muster(folder, &line).await;
        (!said.stderr.contains("may still act")).then_some(said)
    });
    let said = said.await.with_code(0).json();
    assert_eq!((&said["loaded"], &said["to_send"]), (&json!(there.len()), &json!(not.len())));
    let again = muster(folder, &line).await.with_code(0).json();
    assert_eq!((&again["loaded"], &again["to_send"]), (&json!(0), &json!(0)));
    let told = resume(folder, &server).await;
    assert_eq!(told["overall"]["loaded"], ANIMALS);
    assert!(book.is_perfect(), "{:?}", book.summary());
    assert_nothing_lost(book, &Ledger::read(&folder.join("my.db"), run_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_settles_what_the_target_may_still_act_on() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), late(Disconnect::Process));
    let folder = folder.path();
    let run_id = &run(folder, &server, "1h").await;
    let ledger = Ledger::read(&folder.join("my.db"), run_id);
    let number = doubtful(&ledger).first().expect("a late POST").number.to_string();
    let early = muster(folder, &["settle", run_id, &number, "--applied", "--db", "my.db"]).await.with_code(1);
    assert!(early.stderr.contains("the target may still act on delivery"), "{}", early.stderr);
    assert!(early.stderr.contains("muster in-doubt"), "{}", early.stderr);
    let early = muster(folder, &["settle", run_id, "--all", "--applied", "--db", "my.db"]).await.with_code(1);
    assert!(early.stderr.contains("can be settled yet"), "{}", early.stderr);
    let shown = muster(folder, &["in-doubt", run_id, "--db", "my.db"]).await.with_code(0).stdout;
    assert!(shown.contains("held: an operator settles it, from"), "{shown}");
    assert_eq!(Ledger::read(&folder.join("my.db"), run_id).count(State::InDoubt), doubtful(&ledger).len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinators_workers_send_what_was_not_applied() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), late(Disconnect::Drop));
    pipeline_folder(folder.path(), "held", &held("400ms"));
    let cluster = Cluster::with(folder.path(), &["--pipelines", "pipelines"], &[]).await;
    let _workers = ["w1", "w2"].map(|name| cluster.worker(name, &[]));
    let run_id = &cluster.start_run("held", &server.base_url()).await;
    cluster.watch(run_id).await;
    let book = &server.book();
    let missing = book.missing().len();
    assert!(missing > 0, "no POST was dropped");
    server.set_chaos(0.0);
    let said = cluster.command(&["settle", run_id, "--all", "--not-applied", "--json"]).run().await.with_code(0).json();
    assert_eq!((&said["loaded"], &said["to_send"]), (&json!(0), &json!(missing)));
    cluster.command(&["watch", run_id]).run().await.with_code(0);
    assert!(book.is_perfect(), "{:?}", book.summary());
    assert_nothing_lost(book, &Ledger::read(&cluster.database(), run_id));
}
