//! A program is told as a webhook is.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use animals_api::Config;
use muster_tests::cluster::Cluster;
use muster_tests::deadline::until_some;
use muster_tests::turn;

use super::*;
use crate::stand_in;

fn program(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("hook");
    std::fs::write(&path, format!("#!/bin/sh\ncd '{}' || exit 9\n{script}", folder.display())).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a program");
    path
}

async fn written(path: &Path) -> String {
    until_some("the hook is told", async || std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')))
        .await
}

async fn is_gone(process: &str) {
    until_some("the hook's child is gone", async || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_once_is_started_again_and_told_all_but_secrets() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let hook = program(
        folder.path(),
        "echo \"$MUSTER_NOTICE\" >>tries
test -e failed || { : >failed; echo canary-of-a-hook; echo canary-of-a-hook >&2; exit 3; }
cat >body; env | sort >environment; echo \"$MUSTER_EVENT $MUSTER_RUN $MUSTER_VERDICT\" >told.new; mv told.new told\n",
    );
    let server = stand_in(Config::calm(50));
    let flags = ["--notify-command", hook.to_str().expect("a path")];
    let secret = ("MUSTER_NOTIFY_SECRET", "canary-of-the-environment");
    let cluster = Cluster::with(folder.path(), &flags, &[secret]).await;
    let _worker = cluster.worker("w1", &[]);
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    cluster.watch(&run_id).await;
    let told = written(&folder.path().join("told")).await;
    assert_eq!(told, format!("run.ended {run_id} complete and balanced\n"));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    let body: Value = serde_json::from_str(&read("body")).expect("JSON");
    assert_eq!((&body["type"], &body["data"]["run"]["verdict"]["complete"]), (&json!("run.ended"), &json!(true)));
    let environment = read("environment");
    assert!(environment.contains("PATH=") && !environment.contains("canary"), "{environment}");
    // What the hook said stays in the log.
    let settled = async || {
        let shown = cluster.command(&["show", &run_id, "--json"]).run().await.with_code(0);
        (shown.json()["notices"][0]["state"] == "delivered").then_some(shown.stdout)
    };
    let shown = until_some("the ledger has it", settled).await;
    assert!(!shown.contains("canary"), "{shown}");
    let ledger: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .flatten()
        .filter(|file| file.file_name().to_string_lossy().contains(".db"))
        .collect();
    assert!(!ledger.is_empty());
    for file in ledger {
        let text = String::from_utf8_lossy(&std::fs::read(file.path()).expect("a file")).into_owned();
        assert!(!text.contains("canary-of-a-hook"), "{} says it", file.path().display());
    }
    let tries: Vec<String> = read("tries").lines().map(str::to_owned).collect();
    assert_eq!(tries.len(), 2);
    assert!(tries[0] == tries[1] && tries[0].starts_with("msg_"), "{tries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_program_is_refused() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("text"), "no program").expect("a file");
    for (program, expected) in [("no-such-program", "give the path of a program"), ("text", "chmod +x")] {
        let line = ["run", "animals", "--set", "base_url=http://h:1", "--notify-command", program];
        let ended = Start::muster(folder.path(), line).run().await.with_code(2);
        assert!(ended.stderr.contains(program) && ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_never_ends_is_left_for_the_next_start() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    // Its own child is of the same group, and goes with it.
    let hook = program(
        folder.path(),
        "test -e once && { echo yes >told; exit 0; }\n: >once; sleep 300 & echo $! >child; wait\n",
    );
    let server = stand_in(Config::calm(50));
    let mut cluster = Cluster::with(folder.path(), &["--notify-command", hook.to_str().expect("a path")], &[]).await;
    let _worker = cluster.worker("w1", &[]);
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    cluster.watch(&run_id).await;
    let child = written(&folder.path().join("child")).await;
    cluster.process().signal(muster_tests::process::Signal::Terminate);
    assert_eq!(within("it stops", cluster.process().ended()).await.code, Some(0));
    is_gone(&child).await;
    cluster.restart();
    assert_eq!(written(&folder.path().join("told")).await, "yes\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hook_leaves_running_is_killed_when_it_ends() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let hook = program(folder.path(), "sleep 300 >/dev/null 2>&1 & echo $! >child\n");
    let server = stand_in(Config::calm(50));
    let cluster = Cluster::with(folder.path(), &["--notify-command", hook.to_str().expect("a path")], &[]).await;
    let _worker = cluster.worker("w1", &[]);
    cluster.start_run("animals", &server.base_url()).await;
    let child = written(&folder.path().join("child")).await;
    is_gone(&child).await;
}
