//! The end of a run is told, whoever fails or dies on the way.

use animals_api::{Amount, Config};
use muster_tests::cluster::{Cluster, free_port};
use muster_tests::deadline::until_some;
use muster_tests::http::client;
use muster_tests::postgres::Postgres;
use muster_tests::turn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::receiver::CANARY;
use super::*;
use crate::{base_url, stand_in};

fn secret() -> [(&'static str, &'static str); 1] {
    [("MUSTER_NOTIFY_SECRET", SECRET)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_twice_is_told_once_with_the_verdict() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { poison: Amount::Count(2), ..Config::calm(300) });
    let receiver = Receiver::start(&[500, 503]).await;
    let http = format!("127.0.0.1:{}", free_port());
    let flags =
        ["--notify-url", &receiver.url, "--dashboard-url", "https://muster.example/all/", "--http-listen", &http];
    let cluster = Cluster::with(folder.path(), &flags, &secret()).await;
    let _worker = cluster.worker("w1", &[]);
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    let followed = client().expect("a client").get(format!("http://{http}/runs/{run_id}/live?state=running"));
    let news = followed.send().await.expect("news");
    cluster.watch(&run_id).await;
    let accepted = receiver.has_accepted(1).await;
    let all = receiver.received();
    assert_eq!(all.iter().map(|message| message.answered).collect::<Vec<_>>(), [500, 503, 204]);
    assert!(all.iter().all(|message| message.id == all[0].id), "one event has one ID: {all:?}");
    let body = &accepted[0].body;
    assert_eq!((&body["type"], &body["data"]["run_id"]), (&json!("run.ended"), &json!(run_id)));
    assert_eq!(body["data"]["url"], format!("https://muster.example/all/runs/{run_id}"));
    let shown = cluster.command(&["show", &run_id, "--json"]).run().await.with_code(0).json();
    let told = &body["data"]["run"];
    for member in ["state", "parameters", "finished_at", "elapsed_seconds", "progress", "verdict", "rounds", "overall"]
    {
        assert_eq!(told[member], shown[member], "{member}");
    }
    assert_eq!((&told["verdict"]["complete"], &told["verdict"]["counts"]["dead_letter"]), (&json!(true), &json!(2)));
    assert_eq!(body["timestamp"], told["finished_at"]);
    is_seen(&cluster, &http, &run_id, &receiver).await;
    // A page that was open when the run ended is told until nobody is left to be.
    let news = within("the page has all", news.text()).await.expect("news to their end");
    let (_, after) = news.split_once("event: turned\ndata: over\n").expect("the end of the run");
    let (_, last) = after.rsplit_once("event: notices\n").expect("whom it was told to, after that");
    assert!(last.contains(": delivered ") && last.contains("event: end\ndata: finished\n"), "{news}");
    nobody_said(folder.path());
}

/// By the command, on the run's page and among the metrics.
async fn is_seen(cluster: &Cluster, http: &str, run_id: &str, receiver: &Receiver) {
    let delivered = async || {
        let shown = cluster.command(&["show", run_id, "--json"]).run().await.with_code(0).json();
        Some(shown["notices"][0].clone()).filter(|notice| notice["state"] == "delivered")
    };
    // What was accepted is settled a moment later.
    let notice = until_some("the ledger has it", delivered).await;
    assert_eq!((&notice["event"], &notice["tries"]), (&json!("run.ended"), &json!(3)));
    assert_eq!((&notice["destination"], &notice["error"]), (&json!(receiver.host()), &json!("")));
    let get = async |path: &str| {
        let answer = client().expect("a client").get(format!("http://{http}{path}")).send().await.expect("an answer");
        answer.error_for_status().expect("a page").text().await.expect("text")
    };
    let page = get(&format!("/runs/{run_id}")).await;
    assert!(page.contains("Who was told") && page.contains(&format!("run.ended to {}: ", receiver.host())), "{page}");
    let metrics = get("/metrics").await;
    for (outcome, count) in [("failed", 2), ("delivered", 1), ("given_up", 0)] {
        let labels = format!("muster_event=\"run.ended\",muster_notice_outcome=\"{outcome}\"");
        let told = metrics.lines().find(|line| line.starts_with("muster_notices_total") && line.contains(&labels));
        assert!(told.is_some_and(|line| line.ends_with(&format!(" {count}"))), "{outcome}: {told:?}");
    }
}

/// Neither the secret nor what stands behind the host.
fn nobody_said(folder: &std::path::Path) {
    for file in std::fs::read_dir(folder).expect("a folder").flatten().filter(|file| file.path().is_file()) {
        let text = String::from_utf8_lossy(&std::fs::read(file.path()).expect("a file")).into_owned();
        for secret in [CANARY, SECRET] {
            assert!(!text.contains(secret), "{} says {secret}", file.path().display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_delivered_when_the_coordinator_died_is_after_its_restart() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(100));
    let receiver = Receiver::start(&[]).await;
    receiver.always(500);
    let mut cluster = Cluster::with(folder.path(), &["--notify-url", &receiver.url], &secret()).await;
    let _worker = cluster.worker("w1", &[]);
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    cluster.watch(&run_id).await;
    let first = receiver.has_received(1).await[0].id.clone();
    cluster.kill().await;
    receiver.always(200);
    assert!(receiver.accepted().is_empty());
    cluster.restart();
    let accepted = receiver.has_accepted(1).await;
    assert_eq!((&accepted[0].id, &accepted[0].body["data"]["run_id"]), (&first, &json!(run_id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_follows_no_run_that_was_deleted_before_anybody_could_be_told() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(50));
    let receiver = Receiver::start(&[]).await;
    receiver.always(500);
    let http = format!("127.0.0.1:{}", free_port());
    let flags = ["--notify-url", &receiver.url, "--http-listen", &http];
    let cluster = Cluster::with(folder.path(), &flags, &secret()).await;
    let _worker = cluster.worker("w1", &[]);
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    cluster.watch(&run_id).await;
    receiver.has_received(1).await;
    let followed = client().expect("a client").get(format!("http://{http}/runs/{run_id}/live?state=finished"));
    let mut news = followed.send().await.expect("news");
    let mut seen = String::new();
    while !seen.contains("Who was told") {
        let more = within("the page is told", news.chunk()).await.expect("news").expect("more of them");
        seen.push_str(&String::from_utf8_lossy(&more));
    }
    assert!(!seen.contains("event: end"), "somebody is still to be told: {seen}");
    cluster.command(&["delete", &run_id, "--yes"]).run().await.with_code(0);
    within("nothing more comes", news.text()).await.expect("news to their end");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_gone_is_not_told_again() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(50));
    let (gone, other) = (Receiver::start(&[410]).await, Receiver::start(&[]).await);
    let flags = ["--notify-url", &gone.url, "--notify-url", &other.url];
    let cluster = Cluster::with(folder.path(), &flags, &secret()).await;
    let _worker = cluster.worker("w1", &[]);
    let first = cluster.start_run("animals", &server.base_url()).await;
    cluster.watch(&first).await;
    gone.has_received(1).await;
    let second = cluster.start_run("animals", &server.base_url()).await;
    cluster.watch(&second).await;
    // It is asked in the order of what is due: had the first been tried again, it would have come before this.
    let told = gone.has_accepted(1).await;
    assert_eq!(told[0].body["data"]["run_id"], second.as_str());
    assert_eq!(gone.received().len(), 2);
    assert_eq!(other.has_accepted(2).await.len(), 2, "the other is told of both");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_coordinators_one_tells() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(50));
    let database = Postgres::start();
    let receiver = Receiver::start(&[]).await;
    let flags = ["--notify-url", receiver.url.as_str()];
    let one = Cluster::sharing(folder.path(), &database.url(), &flags, &secret()).await;
    let two = Cluster::sharing(folder.path(), &database.url(), &flags, &secret()).await;
    let _workers = [one.worker("w1", &[]), two.worker("w2", &[])];
    let mut ids = Vec::new();
    for _ in 0..6 {
        let run_id = one.start_run("animals", &server.base_url()).await;
        two.watch(&run_id).await;
        ids.push(run_id);
    }
    receiver.has_accepted(ids.len()).await;
    let mut told: Vec<_> =
        receiver.received().iter().map(|message| message.body["data"]["run_id"].to_string()).collect();
    let mut ids: Vec<_> = ids.iter().map(|id| json!(id).to_string()).collect();
    told.sort();
    ids.sort();
    assert_eq!(told, ids, "each of them once");
}

async fn run_here(folder: &std::path::Path, server: &animals_api::Server, receiver: &Receiver, more: &[&str]) -> Ended {
    let set = base_url(server);
    let own = ["run", "animals", "--set", &set, "--db", "muster.db", "--json", "--notify-url", &receiver.url];
    Start::muster(folder, own.iter().chain(more)).env("MUSTER_NOTIFY_SECRET", SECRET).run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_ones_own_waits_for_those_it_tells() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(50));
    let receiver = Receiver::start(&[500]).await;
    let ended = run_here(folder.path(), &server, &receiver, &[]).await.with_code(0);
    assert_eq!(receiver.accepted().len(), 1, "it ended before it was heard: {}", ended.stderr);
    let run: Value = ended.json();
    assert_eq!(receiver.accepted()[0].body["data"]["run_id"], run["run_id"]);

    receiver.always(410);
    let refused = run_here(folder.path(), &server, &receiver, &[]).await.with_code(0);
    let words = format!("could not be told to {}, and is given up: it answers 410", receiver.host());
    assert!(refused.stderr.contains(&words), "{}", refused.stderr);
    let listed = "sees the webhook's URL as it was given";
    assert!(refused.stderr.contains(listed) && refused.stderr.contains("MUSTER_NOTIFY_URL"), "{}", refused.stderr);

    // The same host with another path is somebody else, who was told nothing of it.
    let other = format!("{}-2", receiver.url);
    let set = base_url(&server);
    let again = ["run", "animals", "--set", &set, "--db", "muster.db", "--resume", "--json"];
    let start =
        Start::muster(folder.path(), again).env("MUSTER_NOTIFY_SECRET", SECRET).env("MUSTER_NOTIFY_URL", &other);
    let resumed = start.run().await.with_code(0);
    assert!(!resumed.stderr.contains("could not be told"), "{}", resumed.stderr);
    assert!(!resumed.stderr.contains(listed), "{}", resumed.stderr);
    nobody_said(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_the_machine_goes_by_way_of_the_proxy() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config::calm(50));
    let here = Receiver::start(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let by = format!("http://shepherd:hunter2@{}", listener.local_addr().expect("an address"));
    // A proxy that lets nobody through.
    let asked = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        let mut head = vec![0; 1_024];
        let read = connection.read(&mut head).await.expect("a request");
        connection.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.expect("an answer");
        String::from_utf8_lossy(&head[..read]).into_owned()
    });
    // Nobody can look that name up: it is the proxy's affair.
    let urls = format!("https://hooks.invalid/{CANARY}\n{}", here.url);
    let start = Start::muster(folder.path(), ["run", "animals", "--set", &base_url(&server), "--db", "muster.db"])
        .env("MUSTER_NOTIFY_SECRET", SECRET)
        .env("MUSTER_NOTIFY_PROXY", &by)
        .env("MUSTER_NOTIFY_URL", &urls)
        .start();
    let asked = within("the proxy is asked", asked).await.expect("a request");
    // "shepherd:hunter2" in Base64.
    let lines: Vec<&str> = asked.lines().map(str::trim_end).collect();
    assert_eq!(lines[0], "CONNECT hooks.invalid:443 HTTP/1.1");
    assert!(lines.iter().any(|line| line.eq_ignore_ascii_case("proxy-authorization: Basic c2hlcGhlcmQ6aHVudGVyMg==")));
    here.has_accepted(1).await;
    assert!(!here.accepted()[0].headers.contains_key("proxy-authorization"), "what stays here goes by no proxy");
    drop(start);
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_tell_nobody_say_what_to_do() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("short"), "whsec_c2hvcnQ=\n").expect("a file");
    let cases: [(&[&str], &str, &str); 9] = [
        (&["--notify-url", "https://hooks.example/x"], "", "openssl rand"),
        (&["--notify-url", "https://hooks.example/x"], "hunter2", "begins with whsec_"),
        (&["--notify-url", "https://hooks.example/x", "--notify-secret-file", "no"], "", "no cannot be read"),
        (&["--notify-url", "https://hooks.example/x", "--notify-secret-file", "short"], "", "24 to 64 bytes"),
        (&["--notify-url", "http://hooks.example/hunter2"], SECRET, "give https://"),
        (&["--notify-url", "hooks.example"], SECRET, "this is no URL"),
        (&["--notify-secret-file", "short"], "", "give --notify-url"),
        (&["--notify-proxy", "http://proxy.example:3128"], "", "give --notify-url"),
        (&["--stalled-after", "90s"], "", "give --notify-url or --notify-command"),
    ];
    for (flags, secret, expected) in cases {
        for command in
            [&["coordinator", "--listen", "127.0.0.1:0"][..], &["run", "animals", "--set", "base_url=http://h:1"]]
        {
            let start = Start::muster(folder.path(), command.iter().chain(flags)).env("MUSTER_NOTIFY_SECRET", secret);
            let ended = within("it ends", start.run()).await.with_code(2);
            assert!(ended.stderr.contains(expected), "{flags:?}: {}", ended.stderr);
            assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
        }
    }
}
