//! What is followed or merely looked at: it tells the truth to its end, and costs the ledger nothing that it need not.

use animals_api::{Amount, Config};
use muster_proto::v1::RunState;
use muster_tests::deadline::{until_some, within};
use muster_tests::process::Signal;
use muster_tests::turn;
use reqwest::StatusCode;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::Site;
use crate::stand_in;

/// A connection that takes little at a time, which has sent a request.
async fn slowly(site: &Site, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
    let address = site.address.parse().expect("an address");
    let mut stream = within("the port answers", socket.connect(address)).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", site.address);
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_a_coordinator_breaks_off_does_not_look_whole() {
    let _turn = turn::light().await;
    let (folder, server) =
        (tempfile::tempdir().expect("a folder"), stand_in(Config { page_size: 1_000, ..Config::calm(40_000) }));
    let mut site = Site::start(folder.path()).await;
    let id = site.cluster.start_run("animals", &server.base_url()).await;
    // Nobody works on it: its rows are there as soon as they are listed.
    site.cluster.watch_until(&id, |run| run.progress.is_some_and(|progress| progress.listing_closed)).await;
    let path = format!("/api/v1/runs/{id}/ledger");
    let whole = site.get(&path).await.text.len();
    let mut stream = slowly(&site, &path).await;
    let mut taken = vec![0; 1 << 10];
    within("it begins", stream.read_exact(&mut taken)).await.expect("a beginning");
    assert!(taken.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&taken));
    site.cluster.process().signal(Signal::Terminate);
    until_some("it lets nobody in any more", async || TcpStream::connect(&site.address).await.err()).await;
    // How it breaks off is the system's affair: the end, or an error.
    let _ = within("it ends", stream.read_to_end(&mut taken)).await;
    assert!(taken.len() < whole, "it was sent to its end: {} bytes of {whole}", taken.len());
    assert!(!taken.ends_with(b"\r\n0\r\n\r\n"), "a part looks whole");
}

/// News of a run's page, until there are so many of a name.
async fn news(site: &Site, path: &str, name: &str, count: usize) -> Vec<Value> {
    let mut answer = within("an answer", site.client.get(site.url(path)).send()).await.expect("an answer");
    let (mut text, begin) = (String::new(), format!("event: {name}\n"));
    loop {
        let blocks = text.split_inclusive("\n\n").filter(|block| block.ends_with("\n\n") && block.starts_with(&begin));
        let data = blocks.filter_map(|block| block.lines().find_map(|line| line.strip_prefix("data: ")));
        let told: Vec<Value> = data.map(|data| serde_json::from_str(data).expect("JSON")).collect();
        if told.len() >= count {
            return told;
        }
        let more = within("news", answer.chunk()).await.expect("news").expect("more news");
        text.push_str(std::str::from_utf8(&more).expect("text"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_which_nothing_is_heard_is_told_of_all_the_same() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(10)));
    let site = Site::start(folder.path()).await;
    // Nobody works: once all is listed it stands still.
    let id = site.cluster.start_run("animals", &server.base_url()).await;
    site.cluster.watch_until(&id, |run| run.progress.is_some_and(|progress| progress.listing_closed)).await;
    let samples = news(&site, &format!("/runs/{id}/live?state=running"), "sample", 4).await;
    let seconds: Vec<_> = samples.iter().map(|sample| sample["seconds"].as_f64().expect("a number")).collect();
    assert!(seconds.is_sorted_by(|before, after| before < after), "time goes on: {seconds:?}");
    assert!(samples.iter().all(|sample| sample["percent"] == 0), "{samples:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_dead_letters_writes_nothing() {
    let _turn = turn::light().await;
    let server = stand_in(Config { malformed: Amount::Count(3), ..Config::calm(20) });
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::start(folder.path()).await;
    let id = site.cluster.start_run("animals", &server.base_url()).await;
    let worker = site.cluster.worker("w1", &[]);
    let run = site.cluster.watch(&id).await;
    assert_eq!(run.state(), RunState::Finished);
    drop(worker);
    let ledger = Connection::open(site.cluster.database()).expect("the ledger");
    ledger.busy_timeout(muster_tests::deadline::GENEROUS).expect("set");
    ledger.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes now");
    let page = site.get(&format!("/runs/{id}/dead-letters")).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(page.text.contains("Redrive all dead letters"), "{}", page.text);
    ledger.execute_batch("ROLLBACK").expect("given back");
    // A list of runs that are over is kept up to date too: somebody may start one.
    let list = site.get("/runs").await.text;
    assert!(list.contains("data-refresh=\"20\"") && list.contains("id=\"stale\" role=\"status\""), "{list}");
    let redriven = site.submit(&format!("/runs/{id}/dead-letters"), "request_id=r-1").await;
    assert_eq!((redriven.status, redriven.header("location")), (StatusCode::SEE_OTHER, format!("/runs/{id}").as_str()));
    // While the second round goes on, what the first made of its records is there.
    let page = site.get(&format!("/runs/{id}")).await;
    for part in ["round 2", "round 1", "h-verdict"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let run = site.get(&format!("/api/v1/runs/{id}")).await.fine();
    assert_eq!((&run["round"], &run["rounds"][1]["taken_over"]), (&json!(2), &json!(3)));
}
