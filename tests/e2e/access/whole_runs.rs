//! Runs from their start to their verdict where everybody is asked who he is, and nobody repeats what he was told.

use std::path::Path;

use animals_api::Config;
use muster_tests::cluster::Cluster;
use muster_tests::deadline::until_some;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::process::{Ended, Process, Start};
use muster_tests::{programs, turn};
use serde_json::{Value, json};

use super::{Keys, replace, tls_url};
use crate::stand_in;

/// grpcurl with a token by its environment, or with a certificate.
async fn grpcurl(keys: &Keys, cluster: &Cluster, who: &[&str], token: &str, rest: &[&str]) -> Ended {
    let place = keys.folder.parent().expect("a place");
    let authority = keys.text("ca.pem");
    let address = cluster.address();
    let (flags, method) = rest.split_at(rest.len() - 1);
    let own = ["-cacert", &authority, "-expand-headers"];
    let line = own.iter().chain(who).chain(flags).copied().chain([address.as_str()]).chain(method.iter().copied());
    Start::program(&programs::grpcurl(), place, line).env("TOKEN", token).run().await
}

/// Every file below a folder that has the text in it.
fn found_in(folder: &Path, needle: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        if path.is_dir() {
            found_in(&path, needle, found);
        } else if String::from_utf8_lossy(&std::fs::read(&path).expect("it can be read")).contains(needle) {
            found.push(path.display().to_string());
        }
    }
}

fn command_line(process: &Process) -> String {
    let line = std::fs::read(format!("/proc/{}/cmdline", process.pid())).expect("Linux says so");
    String::from_utf8_lossy(&line).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_tls_is_whole_and_no_token_is_left_anywhere() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(2_000));
    let keys = Keys::make(place.path()).await;
    let entries = keys.token("ops.token", "ops", "operator").await + &keys.token("w2.token", "w2", "worker").await;
    let list = std::fs::read_to_string(keys.file("access.yaml")).expect("the list") + &entries;
    replace(&keys.file("access.yaml"), &list);
    let flags = keys.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let loud = [("RUST_LOG", "trace")];
    let mut cluster = Cluster::with(place.path(), &flags, &loud).await;
    let url = tls_url(&cluster);
    let [authority, certificate, key, token] =
        ["ca.pem", "worker.pem", "worker.key", "w2.token"].map(|name| keys.text(name));
    let workers = [
        cluster.worker_of(&url, "w1", &["--tls-ca", &authority, "--tls-cert", &certificate, "--tls-key", &key], &loud),
        cluster.worker_of(&url, "w2", &["--tls-ca", &authority, "--token-file", &token], &loud),
    ];

    let ops = std::fs::read_to_string(keys.file("ops.token")).expect("a token").trim().to_owned();
    let by_token = ["-H", "authorization: Bearer ${TOKEN}"];
    let parameters = json!({"pipeline": "animals", "parameters": {"base_url": server.base_url()}}).to_string();
    let start = ["-d", &parameters, "muster.v1.RunService/StartRun"];
    let started = grpcurl(&keys, &cluster, &by_token, &ops, &start).await.with_code(0).json();
    let run_id = started["run"]["runId"].as_str().expect("a run").to_owned();
    let (viewer, viewer_key) = (keys.text("viewer.pem"), keys.text("viewer.key"));
    let by_certificate = ["-cert", viewer.as_str(), "-key", viewer_key.as_str()];
    let which = json!({"run_id": run_id}).to_string();
    let watch = ["-d", &which, "muster.v1.RunService/WatchRun"];
    let watched = grpcurl(&keys, &cluster, &by_certificate, "", &watch).await.with_code(0);
    let changes = serde_json::Deserializer::from_str(&watched.stdout).into_iter::<Value>();
    let last = changes.last().expect("a last message").expect("JSON");
    assert_eq!(last["run"]["verdict"]["complete"], true, "{last}");
    let refused = grpcurl(&keys, &cluster, &by_certificate, "", &start).await;
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("PermissionDenied"), "{}", refused.stderr);

    // Both had their part, each by its own way.
    let with_token = |line: &[&str]| {
        let start = Start::muster(place.path(), line).env("MUSTER_COORDINATOR", &url).env("MUSTER_TLS_CA", &authority);
        start.env("MUSTER_TOKEN", &ops).env("RUST_LOG", "trace").run()
    };
    let known = with_token(&["workers", "--json"]).await.with_code(0).json();
    assert_eq!(known["workers"].as_array().map(Vec::len), Some(2), "{known}");
    with_token(&["verify", &run_id]).await.with_code(0);
    with_token(&["export", &run_id]).await.with_code(0);
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
    assert_nothing_lost(&server.book(), &Ledger::read(&cluster.database(), &run_id));

    let w2 = std::fs::read_to_string(&token).expect("a token").trim().to_owned();
    for secret in [&ops, &w2] {
        for process in workers.iter().chain([&*cluster.process()]) {
            assert!(process.stderr().contains("TRACE"), "it is not loud");
            assert!(!command_line(process).contains(secret.as_str()));
        }
        let mut found = Vec::new();
        found_in(place.path(), secret, &mut found);
        assert_eq!(found.len(), 1, "besides its own file: {found:#?}");
        assert!(found[0].ends_with(".token"), "{found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_not_let_in_says_so() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    let cluster = keys.cluster(&[]).await;
    let url = tls_url(&cluster);
    keys.token("unknown.token", "unknown", "worker").await;
    let [authority, token, certificate, key] =
        ["ca.pem", "unknown.token", "viewer.pem", "viewer.key"].map(|name| keys.text(name));
    let cases: [(&[&str], &str); 3] = [
        (&[], "asks who comes"),
        (&["--token-file", &token], "knows no such token"),
        (&["--tls-cert", &certificate, "--tls-key", &key], "needs the role worker"),
    ];
    for (flags, why) in cases {
        let flags = [&["--tls-ca", &authority], flags].concat();
        let said = cluster.worker_of(&url, "stranger", &flags, &[]).ended().await.with_code(1).stderr;
        assert!(said.contains("refuses this worker") && said.contains(why), "{said}");
    }
    // By the wrong way it goes on trying, and says what is wrong with it.
    let lost = cluster.worker("lost", &[]);
    until_some("it says why", async || lost.stderr().contains("its URL begins with https://").then_some(())).await;
}
