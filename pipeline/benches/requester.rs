//! What a GET costs the process that sends it, in time and in allocations, beside the same GET by reqwest alone, by the
//! layers below it, and by a bare socket: `cargo bench -p muster-pipeline --bench requester`.
//!
//! The server answers on a thread of its own with the same bytes whatever it is asked, so that what is counted is the
//! client's. One request is under way at a time; docs/PERFORMANCE.md has the figures.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use muster_pipeline::{Get, Limits, Requester, RequesterConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

fn request(url: &Url) -> http::Request<Empty<Bytes>> {
    let uri: http::Uri = url.as_str().parse().expect("a URI");
    let host = format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port"));
    http::Request::get(uri).header("host", host).body(Empty::new()).expect("a request")
}

/// What reqwest stands on: a pool of connections, and names that are resolved.
#[divan::bench(sample_count = 2_000)]
fn c_hyper_with_its_pool(bencher: Bencher<'_, '_>) {
    let (url, runtime) = (server(), runtime());
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let get = || async {
        let answer = client.request(request(&url)).await.expect("an answer");
        answer.into_body().collect().await.expect("a body").to_bytes()
    };
    runtime.block_on(get());
    bencher.bench_local(|| runtime.block_on(get()));
}

/// What that stands on: HTTP/1.1 on one connection.
#[divan::bench(sample_count = 2_000)]
fn d_hyper_on_one_connection(bencher: Bencher<'_, '_>) {
    let (url, runtime) = (server(), runtime());
    let address = url.socket_addrs(|| None).expect("an address");
    let connect = async {
        let stream = tokio::net::TcpStream::connect(&address[..]).await.expect("a connection");
        stream.set_nodelay(true).expect("TCP");
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        sender
    };
    let mut sender = runtime.block_on(connect);
    let mut get = || {
        let answering = sender.send_request(request(&url));
        runtime.block_on(async {
            let answer = answering.await.expect("an answer");
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            sender.ready().await.expect("a connection");
            body
        })
    };
    get();
    bencher.bench_local(get);
}

/// The floor: bytes out, bytes in.
#[divan::bench(sample_count = 2_000)]
fn e_bare_socket(bencher: Bencher<'_, '_>) {
    let (url, runtime) = (server(), runtime());
    let address = url.socket_addrs(|| None).expect("an address");
    let mut stream = runtime.block_on(tokio::net::TcpStream::connect(&address[..])).expect("a connection");
    let asked = format!("GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", url.path(), address[0]);
    bencher.bench_local(|| {
        runtime.block_on(async {
            stream.write_all(asked.as_bytes()).await.expect("written");
            let mut heard = [0; 2_048];
            stream.read(&mut heard).await.expect("an answer")
        })
    });
}
