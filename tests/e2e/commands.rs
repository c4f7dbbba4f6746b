//! The commands that ask a coordinator, as processes, and what they end with.

use std::time::Duration;

use animals_api::{Amount, Config};
use muster_tests::cluster::{Cluster, free_port};
use muster_tests::process::{Ended, Start};
use muster_tests::turn;
use serde_json::{Value, json};

use crate::{base_url, stand_in};

async fn ask(cluster: &Cluster, line: &[&str]) -> Ended {
    cluster.command(line).run().await
}

async fn told(cluster: &Cluster, line: &[&str], code: i32) -> Value {
    ask(cluster, line).await.with_code(code).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_watched_shown_and_verified() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { poison: Amount::Count(2), ..Config::calm(1_000) });
    let cluster = Cluster::with(folder.path(), &["--audit-dir", "audit"], &[]).await;
    let _workers = ["w1", "w2"].map(|name| cluster.worker(name, &[]));
    let set = base_url(&server);
    let start = ["start", "animals", "--set", &set, "--audit-mode", "--request-id", "r-1", "--json"];
    let run_id = told(&cluster, &start, 0).await["run_id"].as_str().expect("an ID").to_owned();
    assert_eq!(told(&cluster, &start, 0).await["run_id"], run_id.as_str(), "the same request is the same run");
    let hint = ask(&cluster, &start[..start.len() - 1]).await.with_code(0).stdout;
    assert!(hint.contains(&format!("muster watch {run_id} --coordinator http")), "it leads elsewhere: {hint}");
    let other = ["start", "animals", "--set", "base_url=http://127.0.0.1:1", "--request-id", "r-1"];
    let refused = ask(&cluster, &other).await;
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("request"), "{}", refused.stderr);

    let watched = ask(&cluster, &["watch", &run_id, "--json"]).await.with_code(3);
    let last: Value = serde_json::from_str(watched.stdout.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&last["state"], &last["run_id"]), (&json!("finished"), &json!(run_id)));
    let plain = ask(&cluster, &["watch", "latest"]).await.with_code(3);
    assert!(plain.stdout.contains(&run_id) && plain.stdout.contains("dead letter"), "{}", plain.stdout);

    let runs = told(&cluster, &["runs", "--json"], 0).await;
    assert!(runs.to_string().contains(&run_id), "{runs}");
    assert_eq!(told(&cluster, &["show", &run_id, "--json"], 0).await["progress"]["listed"], 1_000);
    let verdict = told(&cluster, &["verify", &run_id, "--json"], 3).await;
    assert_eq!((&verdict["counts"]["loaded"], &verdict["counts"]["dead_letter"]), (&json!(998), &json!(2)));
    let poison = server.book().poison()[0].to_string();
    let record = told(&cluster, &["record", &run_id, &poison, "--json"], 0).await;
    assert!(record.to_string().contains("dead_letter") && record.to_string().contains("422"), "{record}");
    let workers = told(&cluster, &["workers", "--json"], 0).await.to_string();
    assert!(workers.contains("\"w1\"") && workers.contains("\"w2\""), "{workers}");
    assert!(told(&cluster, &["pipelines", "--json"], 0).await.to_string().contains("\"animals\""));
    assert_eq!(told(&cluster, &["cancel", &run_id, "--json"], 0).await["state"], "finished", "it was over");

    // The files, and the ledger itself while the coordinator has it open.
    let files = folder.path().join("audit").join(&run_id);
    let files = told(&cluster, &["verify", "--files", files.to_str().expect("a path"), "--json"], 3).await;
    assert_eq!((&files["acknowledged"], &files["missing"]["count"]), (&json!(998), &json!(2)));
    let by_file = ["verify", &run_id, "--db", "muster.db", "--json"];
    let by_file = Start::muster(folder.path(), by_file).run().await.with_code(3).json();
    assert_eq!(by_file["counts"], verdict["counts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_workers_waits_and_can_be_paused_and_cancelled() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { latency: Duration::from_millis(5), ..Config::calm(500) });
    let cluster = Cluster::start(folder.path()).await;
    let set = base_url(&server);
    let run = told(&cluster, &["start", "animals", "--set", &set, "--json"], 0).await;
    let run_id = run["run_id"].as_str().expect("an ID");
    assert_eq!(told(&cluster, &["pause", run_id, "--reason", "lunch", "--json"], 0).await["state"], "paused");
    assert_eq!(told(&cluster, &["show", run_id, "--json"], 0).await["state_reason"], "lunch");
    let verdict = told(&cluster, &["verify", run_id, "--json"], 1).await;
    assert_eq!((&verdict["state"], &verdict["state_reason"]), (&json!("paused"), &json!("lunch")));
    let said = ask(&cluster, &["verify", run_id]).await.with_code(1).stdout;
    assert!(said.contains("verdict so far (the run is paused: lunch): "), "{said}");
    let watched = ask(&cluster, &["watch", run_id, "--quiet", "--until-paused"]).await.with_code(1).stderr;
    let pause = format!("run {run_id} is paused: lunch; let it go on: muster resume {run_id} --coordinator http");
    assert_eq!(watched.matches(&pause).count(), 1, "{watched}");
    assert_eq!(told(&cluster, &["resume", run_id, "--json"], 0).await["state"], "running");
    cluster.watch_until(run_id, |run| run.progress.is_some_and(|progress| progress.listing_closed)).await;
    assert_eq!(told(&cluster, &["verify", run_id, "--json"], 1).await["counts"]["pending"], 500);
    ask(&cluster, &["cancel", run_id]).await.with_code(0);
    ask(&cluster, &["watch", run_id]).await.with_code(1);
    assert_eq!(told(&cluster, &["show", run_id, "--json"], 0).await["state"], "cancelled");
    assert_eq!(server.book().counters().posts, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(folder.path()).await;
    for line in [&["show", "animals-nowhere0"][..], &["watch", "animals-nowhere0"], &["verify", "animals-nowhere0"]] {
        let ended = ask(&cluster, line).await;
        assert!(ended.code != Some(0) && ended.stderr.contains("animals-nowhere0"), "{line:?}: {ended:?}");
    }
    let ended = ask(&cluster, &["start", "animal"]).await;
    assert!(ended.code != Some(0) && ended.stderr.contains("did you mean animals?"), "{ended:?}");

    let away = format!("http://127.0.0.1:{}", free_port());
    let ended = Start::muster(folder.path(), ["runs", "--coordinator", &away]).run().await.with_code(1);
    assert!(ended.stderr.contains(&away), "{}", ended.stderr);
    // A second coordinator on the same ledger.
    let second = ["coordinator", "--listen", "127.0.0.1:0", "--database", "sqlite://muster.db"];
    let ended = Start::muster(folder.path(), second).run().await.with_code(1);
    assert!(ended.stderr.contains("in use"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_what_a_container_can_ask_for() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(folder.path()).await;
    assert_eq!(ask(&cluster, &["health"]).await.with_code(0).stdout, "serving\n");
    let one = ["health", "--service", "muster.v1.WorkerService", "--json"];
    assert_eq!(told(&cluster, &one, 0).await, json!({ "serving": true }));
    let unknown = ask(&cluster, &["health", "--service", "muster.v1.Worker"]).await.with_code(2);
    assert!(unknown.stderr.contains("there is no service \"muster.v1.Worker\""), "{}", unknown.stderr);
    cluster.kill().await;
    let dead = ask(&cluster, &["health"]).await.with_code(1);
    assert!(dead.stderr.contains("no coordinator answers at http://127.0.0.1"), "{}", dead.stderr);
}
