//! Records travel over TLS, from and to whom the machine's authorities vouch for; a machine that knows none can do without.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use animals_api::Config;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, PROXY_AUTHORIZATION};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use muster_tests::process::{Ended, Start};
use muster_tests::turn;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use crate::{base_url, stand_in};

const ANIMALS: u64 = 300;

/// An authority; its certificate is in `file`.
pub(crate) fn authority(file: &Path) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    std::fs::write(file, authority.pem()).expect("written");
    authority
}

/// TLS for 127.0.0.1 with a certificate of this authority, for HTTP/2 where that is said.
pub(crate) fn tls(authority: &CertifiedIssuer<'static, KeyPair>, protocols: &[&str]) -> Arc<rustls::ServerConfig> {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a certificate and its key");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// TLS in front of a server; gives where, and whether all who came speak HTTP/2 as well.
pub(crate) async fn tls_before(server: String, config: Arc<rustls::ServerConfig>) -> (String, Arc<AtomicBool>) {
    let offered = Arc::new(AtomicBool::new(true));
    let all_offered = Arc::clone(&offered);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (config, server, offered) = (Arc::clone(&config), server.clone(), Arc::clone(&offered));
            tokio::spawn(async move {
                let greeting = LazyConfigAcceptor::new(Acceptor::default(), connection).await.expect("a greeting");
                let has_h2 =
                    greeting.client_hello().alpn().is_some_and(|mut offers| offers.any(|offer| offer == b"h2"));
                offered.fetch_and(has_h2, Ordering::Relaxed);
                // A client that does not like the certificate hangs up.
                let Ok(mut connection) = greeting.into_stream(config).await else { return };
                let mut server = TcpStream::connect(server).await.expect("the stand-in");
                let _ = copy_bidirectional(&mut connection, &mut server).await;
            });
        }
    });
    (format!("https://{address}"), all_offered)
}

/// HTTP/2 over TLS in front of a server that speaks HTTP/1.1; gives where, and how many connections there were.
async fn http2_before(server: String, config: Arc<rustls::ServerConfig>) -> (String, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let client = muster_tests::http::client().expect("a client");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let (acceptor, server, client) = (TlsAcceptor::from(Arc::clone(&config)), server.clone(), client.clone());
            tokio::spawn(async move {
                let connection = acceptor.accept(connection).await.expect("a handshake");
                let forward = service_fn(move |request| forward(client.clone(), server.clone(), request));
                let serving = http2::Builder::new(TokioExecutor::new());
                let _ = serving.serve_connection(TokioIo::new(connection), forward).await;
            });
        }
    });
    (format!("https://{address}"), connections)
}

/// The server's answer to a request of HTTP/2.
async fn forward(
    client: reqwest::Client,
    server: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, reqwest::Error> {
    assert_eq!(request.version(), http::Version::HTTP_2);
    assert!(!request.headers().contains_key(PROXY_AUTHORIZATION), "what a proxy is told goes no further");
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let path = head.uri.path_and_query().expect("a path");
    let asked = client.request(head.method, format!("{server}{path}")).headers(head.headers).body(body);
    let answer = asked.send().await?;
    let mut response = Response::builder().status(answer.status());
    if let Some(kind) = answer.headers().get(CONTENT_TYPE) {
        response = response.header(CONTENT_TYPE, kind);
    }
    Ok(response.body(Full::new(answer.bytes().await?)).expect("a response"))
}

/// A proxy that lets whoever has the right name and password through; gives where, and how many tunnels there were.
async fn tunnels() -> (SocketAddr, Arc<AtomicUsize>) {
    let tunnels = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tunnels);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(near.read_u8().await.expect("a request"));
                }
                let asked = String::from_utf8(asked).expect("text");
                assert!(
                    asked.to_lowercase().contains("\r\nproxy-authorization: basic c2hlcghlcmq6zg9n\r\n"),
                    "{asked}"
                );
                let to = asked.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).expect("an address");
                let mut far = TcpStream::connect(to).await.expect("a server");
                counted.fetch_add(1, Ordering::Relaxed);
                near.write_all(b"HTTP/1.1 200 x\r\n\r\n").await.expect("an answer");
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, tunnels)
}

/// A run on a machine whose authorities are those in this file.
fn start(folder: &Path, base_url: &str, authorities: &str) -> Start {
    let nowhere = folder.join("nowhere");
    let database = format!("{authorities}.db");
    Start::muster(folder, ["run", "animals", "--set", base_url, "--db", &database])
        .env("SSL_CERT_FILE", folder.join(authorities))
        .env("SSL_CERT_DIR", nowhere)
}

async fn run(folder: &Path, base_url: &str, authorities: &str) -> Ended {
    start(folder, base_url, authorities).run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_an_authority_vouches_for_is_trusted_and_nobody_else() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let ours = authority(&folder.join("ours.pem"));
    authority(&folder.join("others.pem"));
    let server = stand_in(Config::calm(ANIMALS));
    let plain = server.base_url();
    let (encrypted, speak_h2) = tls_before(plain.trim_start_matches("http://").to_owned(), tls(&ours, &[])).await;

    let encrypted = format!("base_url={encrypted}");
    let refused = run(folder, &encrypted, "others.pem").await;
    assert!(
        refused.code != Some(0) && refused.stderr.contains("certificate"),
        "{:?}: {}",
        refused.code,
        refused.stderr
    );
    assert_eq!(server.book().counters().details, 0, "nothing was asked for");
    run(folder, &encrypted, "ours.pem").await.with_code(0);
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
    assert!(speak_h2.load(Ordering::Relaxed), "a server that speaks HTTP/2 would be spoken to in it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_authorities_speaks_http() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    std::fs::write(folder.join("none.pem"), "").expect("written");
    let server = stand_in(Config::calm(ANIMALS));
    run(folder, &base_url(&server), "none.pem").await.with_code(0);
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_http_2_is_asked_many_things_over_few_connections() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let ours = authority(&folder.join("ours.pem"));
    let server = stand_in(Config::calm(2_000));
    let (encrypted, connections) = http2_before(server.base_url(), tls(&ours, &["h2"])).await;
    let encrypted = format!("base_url={encrypted}");
    run(folder, &encrypted, "ours.pem").await.with_code(0);
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
    let connections = connections.load(Ordering::Relaxed);
    // Before the first has answered nobody knows that one will do: as many begin as may be asked for at the start, 64.
    assert!(connections < 100, "{connections} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_travel_through_a_proxy_that_reads_none_of_them() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let ours = authority(&folder.join("ours.pem"));
    let server = stand_in(Config::calm(ANIMALS));
    let (encrypted, connections) = http2_before(server.base_url(), tls(&ours, &["h2"])).await;
    let (proxy, tunnels) = tunnels().await;
    let base_url = format!("base_url={encrypted}");
    let ended =
        start(folder, &base_url, "ours.pem").env("MUSTER_PROXY", format!("http://shepherd:dog@{proxy}")).run().await;
    let ended = ended.with_code(0);
    assert!(!ended.stdout.contains("dog") && !ended.stderr.contains("dog"), "{}{}", ended.stdout, ended.stderr);
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
    let tunnels = tunnels.load(Ordering::Relaxed);
    assert_eq!(tunnels, connections.load(Ordering::Relaxed), "the coordinator's connections and the worker's");
    assert!(tunnels > 0);

    let refused =
        start(folder, &base_url, "ours.pem").env("MUSTER_PROXY", "socks5://shepherd:dog@proxy.example").run().await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("a proxy is spoken to by http://"), "{}", refused.stderr);
}
