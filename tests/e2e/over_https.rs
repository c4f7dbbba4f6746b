//! Records travel over TLS, from and to whom the machine's authorities vouch for; a machine that knows none can do without.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use animals_api::Config;
use muster_tests::process::{Ended, Start};
use muster_tests::turn;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::Acceptor;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;

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

/// TLS in front of a server, with a certificate of this authority; gives where, and whether all who came speak HTTP/2 as well.
pub(crate) async fn tls_before(
    server: String,
    authority: &CertifiedIssuer<'static, KeyPair>,
) -> (String, Arc<AtomicBool>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a certificate and its key");
    let (config, offered) = (Arc::new(config), Arc::new(AtomicBool::new(true)));
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

/// A run on a machine whose authorities are those in this file.
async fn run(folder: &Path, base_url: &str, authorities: &str) -> Ended {
    let nowhere = folder.join("nowhere");
    let database = format!("{authorities}.db");
    Start::muster(folder, ["run", "animals", "--set", base_url, "--db", &database])
        .env("SSL_CERT_FILE", folder.join(authorities))
        .env("SSL_CERT_DIR", nowhere)
        .run()
        .await
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
    let (encrypted, speak_h2) = tls_before(plain.trim_start_matches("http://").to_owned(), &ours).await;

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
