use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::join_all;
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::Service;

use super::*;
use crate::http::transport::{Answer, BodyEnd, Exchange, Transport, TransportConfig, TransportError, over_hyper};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";

/// How a server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Never,
    /// When it has answered.
    Answered,
    /// When it has read a request.
    Asked,
    /// When it has accepted it.
    Accepted,
}

/// A server that gives this answer; where it is, and how many connections it accepted.
async fn server(answer: &'static [u8], ends: Ends) -> (Url, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/animals/7?a=b", listener.local_addr().unwrap())).unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(answering(stream, answer, ends));
        }
    });
    (url, accepted)
}

async fn answering(mut stream: TcpStream, answer: &'static [u8], ends: Ends) {
    let mut heard = Vec::new();
    if ends == Ends::Accepted {
        return;
    }
    while stream.read_buf(&mut heard).await.is_ok_and(|bytes| bytes > 0) {
        if !heard.ends_with(b"\r\n\r\n") {
            continue;
        }
        assert!(heard.starts_with(b"GET /animals/7?a=b HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&heard));
        heard.clear();
        if ends == Ends::Asked {
            return;
        }
        stream.write_all(answer).await.unwrap();
        if ends == Ends::Answered {
            return;
        }
    }
}

fn transport() -> Transport {
    let config =
        TransportConfig { user_agent: "test", proxy: None, connections: 8, connect_timeout: Duration::from_secs(5) };
    over_hyper(&config).unwrap()
}

async fn get(transport: &Transport, url: &Url, limit: usize) -> Result<Answer, TransportError> {
    let (method, headers) = (Method::GET, HeaderMap::new());
    transport.clone().call(Exchange { method, url: url.clone(), headers, body: Bytes::new(), limit }).await
}

/// Such a GET, which is answered.
async fn got(transport: &Transport, url: &Url) {
    let answer = get(transport, url, 100).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..], answer.end), (200, &b"{}"[..], BodyEnd::Whole));
}

#[tokio::test]
async fn a_connection_is_used_again_and_each_request_that_is_under_way_has_its_own() {
    let (url, accepted) = server(OK, Ends::Never).await;
    let transport = transport();
    for _ in 0..20 {
        got(&transport, &url).await;
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
    for _ in 0..20 {
        join_all((0..4).map(|_| got(&transport, &url))).await;
    }
    let accepted = accepted.load(Ordering::Relaxed);
    assert!((2..=5).contains(&accepted), "{accepted}: one that is made while another is given back is kept too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_on_several_threads_are_all_answered() {
    let (url, _) = server(OK, Ends::Never).await;
    let transport = transport();
    let all = (0..4).map(|_| {
        let (transport, url) = (transport.clone(), url.clone());
        tokio::spawn(async move {
            for _ in 0..25 {
                join_all((0..8).map(|_| got(&transport, &url))).await;
            }
        })
    });
    for each in join_all(all).await {
        each.unwrap();
    }
}

#[tokio::test]
async fn what_meets_a_connection_that_was_closed_meanwhile_goes_over_another() {
    let (url, accepted) = server(OK, Ends::Answered).await;
    let transport = transport();
    for number in 1..=5 {
        got(&transport, &url).await;
        assert_eq!(accepted.load(Ordering::Relaxed), number);
        // The end of it has come by now, or comes while the next request is about to go out.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn one_that_no_request_went_over_before_it_was_closed_is_no_failure_either() {
    let (url, accepted) = server(OK, Ends::Accepted).await;
    let connector = Connector::new(None, Duration::from_secs(5)).unwrap();
    let host = Arc::new(Host::of(&url, connector, 8).unwrap());
    let Ok(Connection::Own(own)) = host.connection().await else { panic!("no connection") };
    assert!(!own.was_kept, "what fails over a new one is a failure");
    host.keep(&mut super::super::lock(&host.state), own);
    let Ok(Connection::Own(mut kept)) = host.connection().await else { panic!("no connection") };
    assert!(kept.was_kept && accepted.load(Ordering::Relaxed) == 1);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = host.uri(&url, false).unwrap();
    let mut error = kept.send(request).await.unwrap_err();
    assert!(error.take_message().is_some(), "nothing of it was sent");
}

#[tokio::test]
async fn a_connection_is_not_used_again_when_the_answer_says_so_or_was_not_read_to_its_end() {
    for (answer, limit, ends) in [(LAST, 100, BodyEnd::Whole), (OK, 1, BodyEnd::TooLarge)] {
        let (url, accepted) = server(answer, Ends::Never).await;
        let transport = transport();
        for _ in 0..3 {
            let answer = get(&transport, &url, limit).await.unwrap();
            assert_eq!(answer.end, ends);
        }
        let expected = if ends == BodyEnd::Whole { 3..=3 } else { 1..=3 };
        assert!(expected.contains(&accepted.load(Ordering::Relaxed)));
    }
}

#[tokio::test]
async fn only_what_had_not_begun_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let refused = get(&transport(), &nowhere, 100).await.unwrap_err();
    assert!(matches!(&refused, TransportError::NotSent(why) if why.contains("refused")), "{refused:?}");
    let (url, _) = server(OK, Ends::Asked).await;
    let broken = get(&transport(), &url, 100).await.unwrap_err();
    assert!(matches!(&broken, TransportError::Broken(_)), "{broken:?}");
    let (url, accepted) = server(OK, Ends::Accepted).await;
    // Whether the end of a new connection is seen before or after the request went out is a matter of chance.
    get(&transport(), &url, 100).await.unwrap_err();
    assert_eq!(accepted.load(Ordering::Relaxed), 1, "a new connection that fails is no reason for another");
}

#[tokio::test]
async fn a_request_that_waits_takes_what_is_given_back_first() {
    let (url, _) = server(OK, Ends::Never).await;
    let connector = Connector::new(None, Duration::from_secs(5)).unwrap();
    let host = Arc::new(Host::of(&url, connector, 8).unwrap());
    let Ok(Connection::Own(mut own)) = host.connection().await else { panic!("no connection") };
    let request = || {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = host.uri(&url, false).unwrap();
        request
    };
    let answer = own.send(request()).await.unwrap();
    own.drive(http_body_util::BodyExt::collect(answer.into_body())).await.unwrap();
    let mut waits = std::pin::pin!(host.connection());
    assert!(futures::poll!(&mut waits).is_pending());
    host.give_back(own);
    // Nothing else has run meanwhile: the connection that is being made cannot be there yet.
    let std::task::Poll::Ready(Ok(Connection::Own(own))) = futures::poll!(&mut waits) else { panic!("it waits") };
    assert!(own.was_kept);
    // The one that is being made for it is there for the next.
    while super::super::lock(&host.state).idle.is_empty() {
        tokio::task::yield_now().await;
    }
    let next = host.connection().now_or_never();
    assert!(matches!(next, Some(Ok(Connection::Own(next))) if next.was_kept));
}

#[tokio::test]
async fn an_error_is_for_a_request_for_which_no_connection_is_being_made() {
    let (url, _) = server(OK, Ends::Never).await;
    let connector = Connector::new(None, Duration::from_secs(5)).unwrap();
    let host = Arc::new(Host::of(&url, connector, 8).unwrap());
    let (tell, mut told) = oneshot::channel();
    {
        let mut state = super::super::lock(&host.state);
        state.waiting.push_back(tell);
        state.connecting = 2;
    }
    host.made(Err("one of two".into()));
    assert!(told.try_recv().is_err(), "the other may still come");
    host.made(Err("the other".into()));
    assert_eq!(told.try_recv().unwrap().err().unwrap().to_string(), "the other");
}

#[tokio::test(start_paused = true)]
async fn what_is_unused_for_too_long_is_closed() {
    let (url, _) = server(OK, Ends::Never).await;
    let connector = Connector::new(None, Duration::from_secs(5)).unwrap();
    let host = Arc::new(Host::of(&url, connector, 2).unwrap());
    let mut all = Vec::new();
    for _ in 0..3 {
        let Ok(Connection::Own(own)) = host.connection().await else { panic!("no connection") };
        all.push(own);
    }
    for own in all {
        host.keep(&mut super::super::lock(&host.state), own);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let idle = || super::super::lock(&host.state).idle.len();
    assert_eq!(idle(), 2, "no more than are wanted are kept");
    tokio::time::sleep(IDLE - Duration::from_millis(2_500)).await;
    assert_eq!(idle(), 1, "the first was unused for longer");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(idle(), 0);
    assert!(!super::super::lock(&host.state).is_watched);
}

#[test]
fn a_host_knows_its_urls() {
    let connector = Connector::new(None, Duration::from_secs(5)).unwrap();
    for (url, header, others) in [
        ("http://Host.test/a?b=c#d", "host.test", ["https://host.test/", "http://host.test:81/"]),
        ("http://host.test:8080/a?b=c", "host.test:8080", ["http://host.test/", "http://other.test:8080/"]),
        ("https://[::1]:443/a?b=c", "[::1]", ["http://[::1]/", "https://[::1]:444/"]),
        ("https://name@host.test/a?b=c", "host.test", ["http://host.test/", "https://host.tes/"]),
    ] {
        let url = Url::parse(url).unwrap();
        let host = Host::of(&url, connector.clone(), 1).unwrap();
        assert_eq!(host.header, header);
        assert!(host.serves(&url));
        assert!(others.iter().all(|other| !host.serves(&Url::parse(other).unwrap())), "{url}");
        assert_eq!(host.uri(&url, false).unwrap(), "/a?b=c");
        let whole = format!("{}://{header}/a?b=c", url.scheme());
        assert_eq!(host.uri(&url, true).unwrap(), *whole);
    }
}
