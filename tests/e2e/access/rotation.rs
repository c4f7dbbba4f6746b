//! Tokens and certificates are replaced while everything goes on, and whoever is taken out of the list is out at once.

use std::time::Duration;

use animals_api::Config;
use muster_proto::v1::run_service_client::RunServiceClient;
use muster_proto::v1::{GetRunRequest, ListRunsRequest, StartRunRequest, WatchRunRequest};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::{until_some, within};
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::turn;
use muster_worker::{CallChannel, CredentialArgs, Way};
use tonic::{Code, Status};

use super::{Keys, channel, reason, replace, tls_url};
use crate::stand_in;

async fn list_runs(channel: &CallChannel) -> Result<(), Status> {
    RunServiceClient::new(channel.clone()).list_runs(ListRunsRequest::default()).await.map(drop)
}

/// Waits until the coordinator has taken up what changed.
async fn until_refused(channel: &CallChannel) -> Status {
    until_some("the list is taken up", async || list_runs(channel).await.err()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_change_in_mid_run() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { latency: Duration::from_millis(40), ..Config::calm(3_000) });
    let keys = Keys::make(place.path()).await;
    let [old, new, ops, boss] = [
        keys.token("w.token", "w", "worker").await,
        keys.token("w-new.token", "w", "worker").await,
        keys.token("ops.token", "ops", "operator").await,
        keys.token("boss.token", "boss", "operator").await,
    ];
    let list = |entries: &[&String]| {
        replace(&keys.file("access.yaml"), &entries.iter().map(|entry| entry.as_str()).collect::<String>())
    };
    list(&[&old, &ops, &boss]);
    let cluster = Cluster::with(place.path(), &["--tokens", &keys.text("access.yaml")], &[]).await;
    let bearing = |file: &str| CredentialArgs { token_file: Some(keys.file(file)), ..CredentialArgs::default() };
    let [ops_channel, boss_channel] = ["ops.token", "boss.token"].map(|file| channel(&cluster.url(), &bearing(file)));
    let request = StartRunRequest {
        pipeline: "animals".to_owned(),
        parameters: [("base_url".to_owned(), server.base_url())].into(),
        ..StartRunRequest::default()
    };
    let mut of_boss = RunServiceClient::new(boss_channel.clone());
    let run_id = of_boss.start_run(request).await.expect("it starts").into_inner().run.expect("a run").run_id;
    let token = keys.text("w.token");
    let mut worker = cluster.worker("w", &["--token-file", &token, "--concurrency", "16"]);
    let mut watching = RunServiceClient::new(ops_channel.clone());
    let mut news = watching.watch_run(WatchRunRequest { run_id: run_id.clone() }).await.expect("news").into_inner();
    let book = server.book();
    within("it is under way", book.until(|book| book.counters().details >= 300)).await;

    // The worker's: the new one is let in, handed over, and then the old one is out. The operator's is out as well.
    list(&[&old, &new, &ops, &boss]);
    replace(&keys.file("w.token"), &std::fs::read_to_string(keys.file("w-new.token")).expect("a token"));
    list(&[&new, &boss]);
    let refused = until_refused(&ops_channel).await;
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CREDENTIALS_UNKNOWN"));
    // Also by a stream that was opened before.
    let ended = within("the stream ends", async {
        loop {
            match news.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the run was over before"),
                Err(status) => return status,
            }
        }
    })
    .await;
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unauthenticated, "CREDENTIALS_UNKNOWN"));
    let late = of_boss.get_run(GetRunRequest { run_id: run_id.clone() }).await.expect("the boss may").into_inner();
    assert!(late.run.expect("a run").finished_at.is_none(), "all this happened in mid-run");

    let request = WatchRunRequest { run_id: run_id.clone() };
    let mut news = of_boss.watch_run(request).await.expect("news").into_inner();
    let mut last = None;
    while let Some(change) = within("it goes on", news.message()).await.expect("the boss may") {
        last = change.run;
    }
    assert!(last.and_then(|run| run.verdict).expect("a verdict").complete);
    assert_eq!(worker.has_ended(), None, "{}", worker.stderr());
    assert!(book.is_perfect(), "{:?}", book.summary());
    assert_nothing_lost(&book, &Ledger::read(&cluster.database(), &run_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_used_changes_nothing_and_kubernetes_way_of_changing_files_is_seen() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    let [one, two] = [keys.token("one.token", "one", "viewer").await, keys.token("two.token", "two", "viewer").await];
    // As a secret is mounted: the file leads through a link to a folder, and only that link changes.
    let folder = |name: &str, text: &str| {
        let folder = place.path().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("access.yaml"), text).expect("written");
    };
    let mounted = place.path().join("mounted");
    std::fs::create_dir(&mounted).expect("a folder");
    let lead_to = |name: &str| {
        let link = mounted.join("new");
        std::os::unix::fs::symlink(place.path().join(name), &link).expect("a link");
        std::fs::rename(&link, mounted.join("data")).expect("in its place");
    };
    std::os::unix::fs::symlink("data/access.yaml", mounted.join("access.yaml")).expect("a link");
    folder("first", &one);
    folder("wrong", "- {name: two, role: king, token_sha256: canary}\n");
    folder("second", &two);
    lead_to("first");
    let file = mounted.join("access.yaml");
    let mut cluster = Cluster::with(place.path(), &["--tokens", file.to_str().expect("a path")], &[]).await;
    let bearing = |file: &str| CredentialArgs { token_file: Some(keys.file(file)), ..CredentialArgs::default() };
    let [of_one, of_two] = ["one.token", "two.token"].map(|file| channel(&cluster.url(), &bearing(file)));
    list_runs(&of_one).await.expect("one may");

    let mut complaints = 0;
    let mut complains = async |cluster: &mut Cluster| {
        complaints += 1;
        let said = until_some("it says so", async || {
            let said = cluster.process().stderr();
            (said.matches("cannot be used").count() == complaints).then_some(said)
        })
        .await;
        assert!(!said.contains("canary"), "{said}");
    };
    lead_to("wrong");
    complains(&mut cluster).await;
    list_runs(&of_one).await.expect("one still may");
    std::fs::remove_file(mounted.join("data")).expect("removed");
    complains(&mut cluster).await;
    list_runs(&of_one).await.expect("one still may");
    assert_eq!(reason(&list_runs(&of_two).await.expect_err("two may not")), "CREDENTIALS_UNKNOWN");
    lead_to("second");
    until_refused(&of_one).await;
    list_runs(&of_two).await.expect("two may");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_replaced_without_a_restart() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    let cluster = keys.cluster(&[]).await;
    let url = tls_url(&cluster);
    let before = channel(&url, &keys.certified("viewer"));
    list_runs(&before).await.expect("it may");
    let old = place.path().join("old.pem");
    std::fs::copy(keys.file("ca.pem"), &old).expect("a copy");

    // One file after another: at times certificate and key make no pair, and the old ones stay in force.
    let made = ["dev-certs", "keys", "--force"];
    muster_tests::process::Start::muster(place.path(), made).run().await.with_code(0);
    until_some("a new connection is made by the new authority", async || {
        list_runs(&channel(&url, &keys.certified("viewer"))).await.ok()
    })
    .await;
    let by_the_old = CredentialArgs { tls_ca: Some(old), ..keys.nobody() };
    let way = Way::to(&url, &by_the_old).expect("a way");
    list_runs(&way.channel()).await.expect_err("another authority");
    assert!(way.trouble().expect("a reason").contains("not trusted here"), "{:?}", way.trouble());
    list_runs(&before).await.expect("a connection that stands is left alone");
}
