//! What people are told who do not get in, or must not open a port.

use std::time::{Duration, SystemTime};

use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::process::Start;
use muster_tests::turn;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Keys, tls_url};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_loopback_is_listened_on_without_tls_and_tokens() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    let [certificate, key, list] = ["server.pem", "server.key", "access.yaml"].map(|name| keys.text(name));
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let tokens = ["--tokens", list.as_str()];
    let cases: [(&str, Vec<&str>, &str); 5] = [
        ("--listen", vec![], "--tls-cert, --tls-key and --tokens"),
        ("--listen", tls.to_vec(), "give --tokens"),
        ("--listen", tokens.to_vec(), "give --tls-cert and --tls-key"),
        ("--http-listen", vec![], "--tls-cert, --tls-key and --tokens"),
        ("--http-listen", tls.to_vec(), "give --tokens"),
    ];
    for (flag, more, missing) in cases {
        for address in ["0.0.0.0:0", "[::]:0"] {
            let line = [&["coordinator", "--listen", "127.0.0.1:0", flag, address][..], &more].concat();
            let line = if flag == "--listen" { [&["coordinator", flag, address][..], &more].concat() } else { line };
            let said = Start::muster(place.path(), &line).run().await.with_code(2).stderr;
            assert!(said.contains(flag) && said.contains(missing) && said.contains("--insecure"), "{line:?}: {said}");
        }
    }
    for more in [vec!["--insecure"], [&tls[..], &tokens].concat()] {
        let line = [&["coordinator", "--listen", "0.0.0.0:0"][..], &more].concat();
        let mut serves = Start::muster(place.path(), &line).env("RUST_LOG", "info").start();
        let served = muster_tests::deadline::until_some("it serves", async || {
            serves.stderr().contains("the coordinator serves").then_some(true).or(serves.has_ended().map(|_| false))
        });
        assert!(served.await, "{line:?}");
        serves.kill().await;
    }
    for (flags, what) in [
        (vec!["--tls-cert", &certificate], "--tls-key"),
        (vec!["--tls-cert", &certificate, "--tls-key", &certificate], "no private key"),
        (vec!["--tls-cert", &key, "--tls-key", &key], "no certificates"),
        (vec!["--tokens", "nowhere.yaml"], "cannot be read"),
        (vec!["--tokens", &certificate], "list of entries"),
    ] {
        let line = [&["coordinator", "--listen", "127.0.0.1:0"][..], &flags].concat();
        let ended = Start::muster(place.path(), &line).run().await;
        assert!(ended.code != Some(0) && ended.stderr.contains(what), "{line:?}: {}", ended.stderr);
    }
}

/// A server's certificate for this name that runs out so many seconds from now, of an authority of its own.
fn issue(keys: &Keys, host: &str, good_for: i64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("an authority");
    let mut params = CertificateParams::new(vec![host.to_owned()]).expect("parameters");
    params.not_before = epoch + (now - Duration::from_secs(7_200));
    params.not_after = epoch + Duration::from_secs(now.as_secs().saturating_add_signed(good_for));
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    for (name, text) in
        [("ca.pem", authority.pem()), ("server.pem", certificate.pem()), ("server.key", key.serialize_pem())]
    {
        std::fs::write(keys.file(name), text).expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_connection_is_said() {
    let _turn = turn::light().await;
    let [place, elsewhere, outdated, renamed, open] = [(); 5].map(|()| tempfile::tempdir().expect("a folder"));
    let (keys, others) = (Keys::make(place.path()).await, Keys::make(elsewhere.path()).await);
    let late = Keys::make(outdated.path()).await;
    issue(&late, "127.0.0.1", -3_600);
    let other_name = Keys::make(renamed.path()).await;
    issue(&other_name, "muster.example", 3_600);
    let of_other_name = other_name.cluster(&[]).await;
    let (cluster, of_late, plain) =
        (keys.cluster(&[]).await, late.cluster(&[]).await, Cluster::start(open.path()).await);
    let [ca, wrong_ca] = [keys.text("ca.pem"), others.text("ca.pem")];
    let [cert, key] = [others.text("operator.pem"), others.text("operator.key")];
    let late_ca = late.text("ca.pem");
    let url = tls_url(&cluster);
    let (other_name_url, other_name_ca) = (tls_url(&of_other_name), other_name.text("ca.pem"));
    let (late_url, plain_over_tls) = (tls_url(&of_late), tls_url(&plain));
    let cases: [(&str, Vec<&str>, &str, &str); 7] = [
        (&url, vec!["--tls-ca", &wrong_ca], "an authority that is not trusted here", "--tls-ca"),
        (&url, vec![], "an authority that is not trusted here", "--tls-ca"),
        (&late_url, vec!["--tls-ca", &late_ca], "has expired", "renew it"),
        (
            &other_name_url,
            vec!["--tls-ca", &other_name_ca],
            "is not for the name 127.0.0.1, but for muster.example",
            "a name",
        ),
        (&plain_over_tls, vec!["--tls-ca", &ca], "does not speak TLS", "http://"),
        (&cluster.url(), vec![], "it speaks TLS", "https://"),
        (
            &url,
            vec!["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key],
            "does not take this client's certificate",
            "--tls-cert",
        ),
    ];
    for (url, flags, what, help) in cases {
        for command in ["runs", "health"] {
            let line = [&[command, "--coordinator", url][..], &flags].concat();
            let said = Start::muster(place.path(), &line).run().await.with_code(1).stderr;
            let (first, rest) = said.split_once('\n').expect("two lines");
            assert!(first.contains(what) && rest.contains(help), "{line:?}: {said}");
        }
    }
    // Refused before anybody is asked.
    let in_clear = ["runs", "--coordinator", "http://192.0.2.1:7470"];
    let refused = Start::muster(place.path(), in_clear).env("MUSTER_TOKEN", "canary").run().await.with_code(2).stderr;
    assert!(refused.contains("a token is not sent over http://") && !refused.contains("canary"), "{refused}");
    let nowhere = ["runs", "--coordinator", &url, "--token-file", "nowhere"];
    let refused = Start::muster(place.path(), nowhere).run().await.with_code(2).stderr;
    assert!(refused.contains("nowhere cannot be used"), "{refused}");
    let asked = ["health", "--coordinator", &url, "--tls-ca", &ca];
    assert_eq!(Start::muster(place.path(), asked).run().await.with_code(0).stdout, "serving\n");
}

async fn get(address: &str, path: &str, token: Option<&str>) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let header = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.expect("an answer");
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_probes_are_answered_and_all_others_asked_who_they_are() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    let mut list = String::new();
    for role in ["viewer", "worker"] {
        list += &keys.token(&format!("{role}.token"), role, role).await;
    }
    super::replace(&keys.file("access.yaml"), &list);
    let http = format!("127.0.0.1:{}", muster_tests::cluster::free_port());
    let flags = ["--http-listen", &http, "--tokens", &keys.text("access.yaml")];
    let _cluster = Cluster::with(place.path(), &flags, &[]).await;
    let token =
        |role: &str| std::fs::read_to_string(keys.file(&format!("{role}.token"))).expect("a token").trim().to_owned();
    assert_eq!(get(&http, "/healthz", None).await, "200");
    assert_eq!(get(&http, "/readyz", None).await, "200");
    assert_eq!(get(&http, "/anything", None).await, "401");
    assert_eq!(get(&http, "/anything", Some("nobody")).await, "401");
    assert_eq!(get(&http, "/anything", Some(&token("worker"))).await, "403");
    assert_eq!(get(&http, "/anything", Some(&token("viewer"))).await, "404");
    assert_eq!(get(&http, "/metrics", None).await, "401");
    assert_eq!(get(&http, "/metrics", Some(&token("worker"))).await, "403");
    assert_eq!(get(&http, "/metrics", Some(&token("viewer"))).await, "200");
}
