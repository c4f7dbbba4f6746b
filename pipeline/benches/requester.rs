//! What a GET costs the process that sends it, in time and in allocations, beside the same GET by reqwest alone:
//! `cargo bench -p muster-pipeline --bench requester`.
//!
//! The server answers on a thread of its own with the same bytes whatever it is asked, so that what is counted is the
//! client's. One request is under way at a time; docs/PERFORMANCE.md has the figures.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use divan::{AllocProfiler, Bencher};
use muster_pipeline::{Get, Limits, Requester, RequesterConfig};
use tokio::runtime::Runtime;
use url::Url;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// An animal, as the animals API answers with it.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: application/json\r\ncontent-length: 94\r\n\r\n\
    {\"id\":1234,\"name\":\"Prairie Dog\",\"born_at\":1353466383123,\"friends\":\"Badger,Blue Whale,Gazelle\"}";

fn main() {
    // reqwest by itself comes without one here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    divan::main();
}

/// A server, and the URL of an animal there.
fn server() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        while let Ok((connection, _)) = listener.accept() {
            std::thread::spawn(move || answer(connection));
        }
    });
    Url::parse(&format!("http://{address}/animals/v1/animals/1234")).expect("a URL")
}

/// Answers whatever ends like a request without a body.
fn answer(mut connection: TcpStream) {
    connection.set_nodelay(true).expect("TCP");
    let mut heard = [0; 2_048];
    while let Ok(bytes @ 1..) = connection.read(&mut heard) {
        if heard[..bytes].ends_with(b"\r\n\r\n") && connection.write_all(ANSWER).is_err() {
            return;
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[divan::bench(sample_count = 2_000)]
fn a_reqwest(bencher: Bencher<'_, '_>) {
    let (url, runtime) = (server(), runtime());
    let client = reqwest::Client::builder().tcp_nodelay(true).build().expect("a client");
    let get = || async { client.get(url.clone()).send().await.expect("an answer").bytes().await.expect("a body") };
    runtime.block_on(get());
    bencher.bench_local(|| runtime.block_on(get()));
}

#[divan::bench(sample_count = 2_000)]
fn b_requester(bencher: Bencher<'_, '_>) {
    let (url, runtime) = (server(), runtime());
    let requester = Requester::new(&Limits::default(), &RequesterConfig::default()).expect("a requester");
    let get = || async { requester.get(&url, Get::Detail).await.0.expect("an animal") };
    runtime.block_on(get());
    bencher.bench_local(|| runtime.block_on(get()));
}
