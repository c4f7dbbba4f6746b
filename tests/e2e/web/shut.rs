//! What would go on for ever comes to an end: news of a page when the coordinator goes, and bodies that nobody finishes.

use animals_api::Config;
use muster_tests::deadline::{until_some, within};
use muster_tests::process::Signal;
use muster_tests::turn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Site;
use crate::stand_in;

#[tokio::test(flavor = "multi_thread")]
async fn news_of_a_page_end_with_the_coordinator() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(10)));
    let mut site = Site::start(folder.path()).await;
    // Nobody works on it: the news go on.
    let id = site.cluster.start_run("animals", &server.base_url()).await;
    let url = site.url(&format!("/runs/{id}/live?state=running"));
    let mut news = within("an answer", site.client.get(url).send()).await.expect("an answer");
    let (mut text, mut asked_to_end) = (String::new(), false);
    // The whole of it is read: that is where a stream ends which was not merely cut off.
    while let Some(more) = within("news, or their end", news.chunk()).await.expect("news to their end") {
        text.push_str(std::str::from_utf8(&more).expect("text"));
        if !asked_to_end && text.contains("event: sample\n") {
            asked_to_end = true;
            site.cluster.process().signal(Signal::Terminate);
        }
    }
    assert!(asked_to_end, "they ended before: {text}");
    assert!(!text.contains("data: over\n"), "the run is not over: {text}");
    assert_eq!(site.cluster.process().ended().await.code, Some(0));
}

/// Begins a request, of whose body one byte comes, and gives what is said until the connection ends.
async fn begin(site: &Site, path: &str, kind: &str) -> String {
    let mut stream = within("the port answers", TcpStream::connect(&site.address)).await.expect("connected");
    let host = &site.address;
    let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\ncontent-length: 100\r\n\r\nx");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut said = Vec::new();
    // How it ends is the system's affair: the end, or an error.
    let _ = within(&format!("{path} is given up"), stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_given_up_wherever_it_goes() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(10)));
    let site = Site::start(folder.path()).await;
    let id = site.cluster.start_run("animals", &server.base_url()).await;
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    let run = |below: &str| format!("/runs/{id}/{below}");
    let read = [
        ("/runs/new".to_owned(), form),
        (run("share"), form),
        (run("dead-letters"), form),
        (run("in-doubt"), form),
        ("/sign-in".to_owned(), form),
        ("/api/v1/runs".to_owned(), json),
        (format!("/api/v1/runs/{id}:pause"), json),
    ];
    let unread = [run("pause"), run("cancel"), "/sign-out".to_owned(), "/nowhere".to_owned(), "/healthz".to_owned()];
    let given_up = read.iter().map(|(path, kind)| begin(&site, path, kind));
    let passed_over = unread.iter().map(|path| begin(&site, path, form));
    let (given_up, passed_over) =
        tokio::join!(futures::future::join_all(given_up), futures::future::join_all(passed_over));
    for (said, (path, _)) in given_up.iter().zip(&read) {
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("did not come within"), "{path}: {said}");
    }
    for (said, path) in passed_over.iter().zip(&unread) {
        assert!(said.starts_with("HTTP/1.1 "), "{path}: {said}");
    }
    until_some("it serves on", async || site.get("/runs").await.status.is_success().then_some(())).await;
}
