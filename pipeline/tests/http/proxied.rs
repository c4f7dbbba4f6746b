//! Requests by way of a proxy.

use muster_pipeline::{FetchError, Get, Limits, Requester, RequesterConfig};
use url::Url;

use crate::support::{Reply, Server, answer, json};

fn by_way_of(proxy: &str) -> Result<Requester, String> {
    let config = RequesterConfig { proxy: Some(Url::parse(proxy).unwrap()), ..RequesterConfig::default() };
    let limits = Limits { get_attempts: 1, ..Limits::default() };
    Requester::new(&limits, &config).map_err(|error| error.to_string())
}

/// A proxy, and a requester that goes by way of it as somebody.
async fn proxied(reply: Reply) -> (Server, Requester) {
    let proxy = Server::start(move |_, _| reply.clone()).await;
    let requester = by_way_of(&format!("http://shepherd:a%20dog@{}", proxy.address)).unwrap();
    (proxy, requester)
}

/// `shepherd:a dog`, as RFC 7617 has it.
const AUTHORIZATION: &str = "proxy-authorization: Basic c2hlcGhlcmQ6YSBkb2c=\r\n";

#[tokio::test]
async fn a_proxy_is_asked_for_the_whole_url_and_told_who_asks() {
    let (proxy, requester) = proxied(json(200, r#"{"id":1}"#)).await;
    let url = Url::parse("http://api.example/animals/1?of=goat").unwrap();
    assert_eq!(requester.get(&url, Get::Detail).await.0.unwrap(), r#"{"id":1}"#);
    let seen = &proxy.seen()[0];
    assert_eq!(seen.line, "GET http://api.example/animals/1?of=goat HTTP/1.1");
    assert!(seen.head.to_lowercase().contains("host: api.example\r\n"), "{}", seen.head);
    assert!(seen.head.contains(AUTHORIZATION), "{}", seen.head);
}

#[tokio::test]
async fn what_is_encrypted_goes_through_a_tunnel() {
    let (proxy, requester) = proxied(answer(403, "", "not there")).await;
    let url = Url::parse("https://api.example/animals/1").unwrap();
    let failed = requester.get(&url, Get::Detail).await.0.unwrap_err();
    assert!(matches!(&failed, FetchError::GivenUp { status: None, last, .. } if last.contains("tunnel")), "{failed:?}");
    let seen = &proxy.seen()[0];
    assert_eq!(seen.line, "CONNECT api.example:443 HTTP/1.1");
    assert!(seen.head.to_lowercase().contains(&AUTHORIZATION.to_lowercase()), "{}", seen.head);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_is_refused_without_its_password() {
    let refused = by_way_of("socks5://shepherd:sesame@proxy.example").err().unwrap();
    assert_eq!(refused, "a proxy is spoken to by http://, not socks5:// (proxy.example)");
}
