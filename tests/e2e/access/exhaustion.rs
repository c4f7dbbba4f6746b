//! Whoever holds connections without end, is slow, or sends what grows when it is unpacked, costs a bounded amount, and who
//! is connected goes on being served. `MUSTER_TEST_CONNECTIONS` says how many there are.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use muster_proto::v1::ListRunsRequest;
use muster_proto::v1::run_service_client::RunServiceClient;
use muster_tests::cluster::{Cluster, free_port};
use muster_tests::deadline::{until_some, within};
use muster_tests::turn;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use super::{Keys, channel, replace, tls_url};

/// Connections that the coordinator takes.
const CAP: usize = 400;
/// What all of them together may cost it, in KiB.
const COST: u64 = 96 << 10;

/// One try of somebody new. A queue of connections that has run over answers some of them late, or never.
const LOOK: Duration = Duration::from_secs(5);

/// How many are tried; a process that may not have so many files is allowed them.
fn connections() -> usize {
    let wanted = std::env::var("MUSTER_TEST_CONNECTIONS").map_or(2_000, |text| text.parse().expect("a number"));
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux says so");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    let allowed: usize = files.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX);
    if allowed < wanted + 1_000 {
        let (files, this) = (format!("--nofile={}:", wanted + 1_000), format!("--pid={}", std::process::id()));
        let raised = std::process::Command::new("prlimit").args([this, files]).status();
        assert!(raised.is_ok_and(|status| status.success()), "{wanted} connections need more files than may be open");
    }
    wanted
}

/// Opens connections that say this much and then nothing.
async fn flood(cluster: &Cluster, count: usize, said: &[u8]) -> Vec<TcpStream> {
    flood_at(&cluster.address(), count, said).await
}

async fn flood_at(address: &str, count: usize, said: &[u8]) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let connected = within("the port answers", TcpStream::connect(address)).await;
        let mut stream = connected.expect("the system lets it through");
        // It may be turned away already.
        let _ = within("it is taken, or not", stream.write_all(said)).await;
        held.push(stream);
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_cost_little_and_go_by() {
    let _turn = turn::alone().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    let mut cluster = keys.cluster(&["--max-connections", &CAP.to_string()]).await;
    let url = tls_url(&cluster);
    let mut honest = RunServiceClient::new(channel(&url, &keys.certified("viewer")));
    within("served", honest.list_runs(ListRunsRequest::default())).await.expect("served");
    let before = cluster.process().peak_memory_kib();
    // The beginning of a greeting: a record of TLS that says it has 512 bytes.
    let held = flood(&cluster, connections(), &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
    for _ in 0..50 {
        within("served", honest.list_runs(ListRunsRequest::default())).await.expect("served");
    }
    let cost = cluster.process().peak_memory_kib() - before;
    assert!(cost < COST, "{cost} KiB for {} connections", held.len());
    until_some("it says so", async || cluster.process().stderr().contains("connections are turned away").then_some(()))
        .await;
    // They have not shaken hands in time: there is room again, though they hold on to their ends.
    until_some("somebody new is let in", async || {
        let mut new = RunServiceClient::new(channel(&url, &keys.certified("viewer")));
        timeout(LOOK, new.list_runs(ListRunsRequest::default())).await.ok()?.ok()
    })
    .await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_counted_and_those_that_are_silent_go() {
    let _turn = turn::alone().await;
    let place = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::with(place.path(), &["--max-connections", &CAP.to_string()], &[]).await;
    let mut honest = cluster.runs();
    within("served", honest.list_runs(ListRunsRequest::default())).await.expect("served");
    let before = cluster.process().peak_memory_kib();
    // Half say nothing at all; half begin HTTP/2 with empty settings, and then never answer a ping.
    let http2 = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let half = connections() / 2;
    let mut held = flood(&cluster, half, &http2).await;
    held.extend(flood(&cluster, half, b"").await);
    for _ in 0..50 {
        within("served", honest.list_runs(ListRunsRequest::default())).await.expect("served");
    }
    let cost = cluster.process().peak_memory_kib() - before;
    assert!(cost < COST, "{cost} KiB for {} connections", held.len());
    until_some("somebody new is let in", async || {
        let endpoint = Endpoint::from_shared(cluster.url()).expect("a URL");
        let mut new = RunServiceClient::new(endpoint.connect_lazy());
        timeout(LOOK, new.list_runs(ListRunsRequest::default())).await.ok()?.ok()
    })
    .await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_no_body_of_a_stranger_is_kept_and_a_slow_one_goes() {
    let _turn = turn::alone().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    replace(&keys.file("access.yaml"), &keys.token("viewer.token", "viewer", "viewer").await);
    let token = std::fs::read_to_string(keys.file("viewer.token")).expect("a token");
    let http = format!("127.0.0.1:{}", free_port());
    let flags = ["--http-listen", &http, "--tokens", &keys.text("access.yaml"), "--max-connections", &CAP.to_string()];
    let mut cluster = Cluster::with(place.path(), &flags, &[]).await;
    let look = async || {
        // Each by a connection of its own.
        let client = muster_tests::http::client().expect("a client");
        let asked = client.get(format!("http://{http}/runs")).bearer_auth(token.trim()).send();
        timeout(LOOK, asked).await.ok()?.ok().filter(|answer| answer.status().is_success())
    };
    until_some("served", &look).await;
    let before = cluster.process().peak_memory_kib();
    let head = |path: &str, kind: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nhost: {http}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n")
    };
    // As much as a body may have, but for its last byte.
    let large = head("/api/v1/runs", "application/json", 1 << 20) + &"x".repeat((1 << 20) - 1);
    drop(flood_at(&http, CAP / 2, large.as_bytes()).await);
    let cost = cluster.process().peak_memory_kib() - before;
    assert!(cost < COST, "{cost} KiB for bodies of strangers");
    // All connections that there are, each with a form that is never finished.
    let slow = head("/sign-in", "application/x-www-form-urlencoded", 4_000) + "token=";
    let held = flood_at(&http, CAP, slow.as_bytes()).await;
    until_some("somebody new is let in", &look).await;
    drop(held);
}

/// A request whose message is this, as it goes over the wire.
async fn send(cluster: &Cluster, encoding: Option<&str>, message: Vec<u8>) -> Status {
    let mut channel = cluster.channel();
    let mut request = axum::http::Request::post(format!("{}/muster.v1.RunService/ListRuns", cluster.url()))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let request = request.body(Body::new(axum::body::Body::from(message))).expect("a request");
    let answer = channel.ready().await.expect("a connection").call(request).await.expect("an answer");
    Status::from_header_map(answer.headers()).unwrap_or_else(|| Status::ok(""))
}

/// In front of a message: whether it is packed, and how long it says it is.
fn framed(packed: bool, length: u32, message: &[u8]) -> Vec<u8> {
    [&[u8::from(packed)][..], &length.to_be_bytes(), message].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_grows_when_it_is_unpacked_is_not_unpacked() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(place.path()).await;
    assert_eq!(send(&cluster, None, framed(false, 0, b"")).await.code(), Code::Ok);
    let before = cluster.process().peak_memory_kib();
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..512 {
        bomb.write_all(&zeros).expect("packed");
    }
    let bomb = bomb.finish().expect("packed");
    assert!(bomb.len() < 1 << 20, "{} bytes stay below what is taken", bomb.len());
    let length = u32::try_from(bomb.len()).expect("short");
    for _ in 0..8 {
        assert_eq!(send(&cluster, Some("gzip"), framed(true, length, &bomb)).await.code(), Code::Unimplemented);
    }
    for length in [(1 << 20) + 1, u32::MAX] {
        let refused = send(&cluster, None, framed(false, length, &zeros)).await;
        assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    }
    let cost = cluster.process().peak_memory_kib() - before;
    assert!(cost < 32 << 10, "{cost} KiB");
}
