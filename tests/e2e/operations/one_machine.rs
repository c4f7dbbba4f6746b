//! A coordinator and its workers as services of one machine.

use animals_api::{Amount, Config, Server};
use muster_tests::deadline::until_some;
use muster_tests::ledger::Ledger;
use muster_tests::otlp::{By, Receiver};
use muster_tests::turn;
use serde_json::Value;

use super::operator::Operator;
use super::page::{OPERATIONS, Who, root};
use super::{SLOW_MS, assert_restored, assert_untroubled, some_progress};
use crate::stand_in;

/// How many workers a coordinator has, once it has so many.
async fn has_workers(operator: &mut Operator, wanted: usize) {
    let mut seen = 0;
    while seen != wanted {
        let told = operator.command("muster workers --json").await.json();
        seen = told["workers"].as_array().map_or(0, Vec::len);
    }
}

async fn run_id(operator: &mut Operator) -> String {
    let told = operator.command("muster runs --json").await.json();
    told["runs"][0]["run_id"].as_str().expect("a run").to_owned()
}

async fn installed(server: &Server) -> Operator {
    let mut operator = Operator::new(&OPERATIONS, Who::OneMachine, &server.base_url());
    operator.env("MUSTER_COORDINATOR", &format!("http://127.0.0.1:{}", operator.port()));
    std::os::unix::fs::symlink(root().join("deploy"), operator.folder().join("deploy")).expect("a link");
    operator.does("Install / On one machine").await;
    operator
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_scaled_drained_upgraded_backed_up_and_restored_amid_a_run() {
    let _turn = turn::heavy().await;
    let server = stand_in(Config { page_size: 100, ..Config::calm(30_000) });
    server.turn(|knobs| knobs.latency_ms = SLOW_MS);
    let operator = &mut installed(&server).await;
    let run_id = run_id(operator).await;
    has_workers(operator, 2).await;
    some_progress(&server).await;
    operator.does("Scale / On one machine or several").await;
    has_workers(operator, 4).await;
    some_progress(&server).await;
    operator.does("Observe / Metrics").await;
    operator.does("Drain").await;
    has_workers(operator, 3).await;
    some_progress(&server).await;
    operator.does("Upgrade / The services").await;
    some_progress(&server).await;
    operator.does("Back up / Of a file").await;
    some_progress(&server).await;
    operator.nobody_has_gone();

    server.turn(|knobs| knobs.latency_ms = 0);
    operator.command("muster watch latest").await;
    let file = operator.below("/var/lib/muster/muster.db");
    let ledger = Ledger::read(&file, &run_id);
    assert_untroubled(&server, &ledger);
    assert!(ledger.endings.contains_key("released"), "nobody drained: {:?}", ledger.endings);

    let kept = operator.folder().join("kept");
    std::fs::create_dir(&kept).expect("a folder");
    operator.command("tar -C kept -xf /var/backups/muster/ledger.tar").await;
    let backup = Ledger::read(&kept.join("muster.db"), &run_id);
    assert!(backup.deliveries.len() < ledger.deliveries.len(), "the backup was made too late");
    operator.does("Restore / A file").await;
    let shown = operator.told("muster show latest").stdout.clone();
    assert!(shown.contains(&run_id), "{shown}");
    operator.command("muster watch latest").await;
    operator.command("muster verify latest").await;
    assert_restored(&server, &backup, &Ledger::read(&file, &run_id));
    let before = Ledger::read(&operator.below("/var/backups/muster/before/muster.db"), &run_id);
    assert_eq!(before.deliveries.len(), ledger.deliveries.len(), "what was there is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_says_of_health_is_what_one_sees() {
    let _turn = turn::light().await;
    let server = stand_in(Config::calm(300));
    let operator = &mut installed(&server).await;
    assert!(operator.told("muster health").stdout.contains("serving"));
    until_some("the run ends", async || {
        let runs: Value = operator.command("muster runs --json").await.json();
        (runs["runs"][0]["state"] == "finished").then_some(())
    })
    .await;
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_says_of_traces_is_what_one_sees() {
    let _turn = turn::light().await;
    let server = stand_in(Config { malformed: Amount::Count(2), ..Config::calm(600) });
    let operator = &mut installed(&server).await;
    // There are dead letters to look for.
    operator.may_end("muster watch latest", 3);
    operator.may_end("muster start animals --set base_url=http://127.0.0.1:3123 --watch", 3);
    operator.command("muster watch latest").await;
    let receiver = Receiver::start(operator.folder()).await;
    operator.means("http://127.0.0.1:4317", &receiver.env(By::Grpc)[0].1);
    operator.does("Observe / Traces").await;
    let told = operator.told("muster dead-letters latest").stdout.clone();
    operator.command("systemctl stop muster-worker@1 muster-worker@2 muster-coordinator").await;
    let traces = receiver.traces();
    assert_eq!(told.lines().count(), 2, "{told}");
    for line in told.lines() {
        let (_, trace) = line.rsplit_once(' ').expect("an ID and a trace");
        let batch = traces[trace].iter().find(|span| span.name == "batch").expect("a root");
        assert_eq!((batch.service(), batch.words.as_str()), ("muster-worker", "dead letter"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_done_by_curl_alone() {
    let _turn = turn::light().await;
    let server = stand_in(Config::calm(300));
    let operator = &mut installed(&server).await;
    operator.does("Install / In a browser, and by curl").await;
    let events = std::fs::read_to_string(operator.folder().join("events")).expect("what was followed");
    assert!(events.contains("event: run") && events.contains("\"state\":\"finished\""), "{events}");
    let run = std::fs::read_to_string(operator.folder().join("run.id")).expect("the run");
    let told = |end: &str| {
        let line = operator.done.iter().rev().find(|(line, _)| line.ends_with(end)).expect("a command");
        line.1.stdout.clone()
    };
    assert_eq!(told("counts.loaded"), "true\n300\n", "of run {run}");
    assert_eq!(told("'.stories[].state'"), "loaded\n");
}
