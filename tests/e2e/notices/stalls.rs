//! A stall is told, once, and again when the run has gone on meanwhile.

use animals_api::Config;
use muster_tests::cluster::Cluster;
use muster_tests::deadline::until_some;
use muster_tests::turn;

use super::receiver::Received;
use super::*;
use crate::{base_url, stand_in};

const SECRETS: [(&str, &str); 1] = [("MUSTER_NOTIFY_SECRET", SECRET)];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_workers_stalls_once() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(100));
    let receiver = Receiver::start(&[]).await;
    let flags = ["--notify-url", receiver.url.as_str(), "--stalled-after", "1s"];
    let cluster = Cluster::with(folder.path(), &flags, &SECRETS).await;
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    let stalled = receiver.has_accepted(1).await;
    let body = &stalled[0].body;
    assert_eq!((&body["type"], &body["data"]["run_id"]), (&json!("run.stalled"), &json!(run_id)));
    assert_eq!((&body["data"]["run"]["state"], &body["data"]["run"]["verdict"]), (&json!("running"), &Value::Null));
    let reason = body["data"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("no record came to an end for"), "{reason}");
    // Until another one has stalled as well, the first could have been told of twice.
    let second = cluster.start_run("animals", &server.base_url()).await;
    let stalled = receiver.has_accepted(2).await;
    let runs: Vec<_> = stalled.iter().map(|message| message.body["data"]["run_id"].clone()).collect();
    assert_eq!(runs, [run_id.as_str(), second.as_str()]);
    let _worker = cluster.worker("w1", &[]);
    cluster.watch(&run_id).await;
    let of_first = |message: &Received| message.body["data"]["run_id"] == run_id.as_str();
    let ended = |message: &Received| of_first(message) && message.body["type"] == "run.ended";
    until_some("its end is told", async || receiver.accepted().iter().any(ended).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_pauses_by_itself_says_why_and_one_that_was_paused_is_quiet() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(100));
    let receiver = Receiver::start(&[]).await;
    let flags = ["--notify-url", receiver.url.as_str(), "--stalled-after", "1s"];
    let cluster = Cluster::with(folder.path(), &flags, &SECRETS).await;
    let quiet = cluster.start_run("animals", &server.base_url()).await;
    cluster.command(&["pause", &quiet]).run().await.with_code(0);
    // There is no list there.
    let loud = cluster.start_run("animals", &format!("{}/nowhere", server.base_url())).await;
    let told = receiver.has_accepted(1).await;
    let body = &told[0].body;
    assert_eq!((&body["type"], &body["data"]["run_id"]), (&json!("run.stalled"), &json!(loud)));
    assert_eq!(body["data"]["run"]["state"], "paused");
    assert_eq!(body["data"]["reason"], body["data"]["run"]["state_reason"]);
    cluster.command(&["cancel", &quiet]).run().await.with_code(0);
    let told = receiver.has_accepted(2).await;
    assert_eq!((&told[1].body["type"], &told[1].body["data"]["run_id"]), (&json!("run.ended"), &json!(quiet)));
    assert_eq!(told[1].body["data"]["run"]["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_ones_own_that_pauses_tells_it_before_it_ends() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(100));
    let receiver = Receiver::start(&[]).await;
    let set = format!("{}/nowhere", base_url(&server));
    let line = ["run", "animals", "--set", &set, "--notify-url", &receiver.url];
    let ended = Start::muster(folder.path(), line).env("MUSTER_NOTIFY_SECRET", SECRET).run().await;
    let accepted = receiver.accepted();
    assert_eq!(accepted.len(), 1, "{}", ended.stderr);
    assert_eq!(
        (&accepted[0].body["type"], &accepted[0].body["data"]["run"]["state"]),
        (&json!("run.stalled"), &json!("paused"))
    );
}
