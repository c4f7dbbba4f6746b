use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::join_all;
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tower::Service;

use super::super::lock;
use super::*;
use crate::http::transport::{Answer, BodyEnd, Exchange, Transport, TransportConfig, TransportError, over_hyper};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";

/// What is posted.
const BODY: &[u8] = b"[]\r\n\r\n";

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

/// Where a server is, and what becomes of its connections.
struct Server {
    url: Url,
    accepted: AtomicUsize,
    asked: AtomicUsize,
    closed: Notify,
}

impl Server {
    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Waits until it has closed a connection and the other end has come to know.
    async fn closed(&self) {
        self.closed.notified().await;
        // What has come by a socket is looked at between two turns of this thread.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }
}

/// A server that gives this answer.
async fn server(answer: &'static [u8], ends: Ends) -> Arc<Server> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/animals/7?a=b", listener.local_addr().unwrap())).unwrap();
    let none = || AtomicUsize::new(0);
    let server = Arc::new(Server { url, accepted: none(), asked: none(), closed: Notify::new() });
    let serving = Arc::clone(&server);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serving.accepted.fetch_add(1, Ordering::Relaxed);
            let serving = Arc::clone(&serving);
            tokio::spawn(async move {
                answering(stream, answer, ends, &serving.asked).await;
                serving.closed.notify_one();
            });
        }
    });
    server
}

async fn answering(mut stream: TcpStream, answer: &'static [u8], ends: Ends, asked: &AtomicUsize) {
    let mut heard = Vec::new();
    if ends == Ends::Accepted {
        return;
    }
    while stream.read_buf(&mut heard).await.is_ok_and(|bytes| bytes > 0) {
        // The body of a POST ends so too.
        if !heard.ends_with(b"\r\n\r\n") || heard.starts_with(b"POST") && !heard.ends_with(BODY) {
            continue;
        }
        let head = &heard[heard.iter().position(|byte| *byte == b' ').unwrap()..];
        assert!(head.starts_with(b" /animals/7?a=b HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&heard));
        asked.fetch_add(1, Ordering::Relaxed);
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
    let server = server(OK, Ends::Never).await;
    let (transport, url) = (transport(), &server.url);
    for _ in 0..20 {
        got(&transport, url).await;
    }
    assert_eq!(server.accepted(), 1);
    for _ in 0..20 {
        join_all((0..4).map(|_| got(&transport, url))).await;
    }
    let accepted = server.accepted();
    assert!((2..=5).contains(&accepted), "{accepted}: one that is made while another is given back is kept too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_on_several_threads_are_all_answered() {
    let server = server(OK, Ends::Never).await;
    let transport = transport();
    let all = (0..4).map(|_| {
        let (transport, url) = (transport.clone(), server.url.clone());
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
    let server = server(OK, Ends::Answered).await;
    let transport = transport();
    for number in 1..=5 {
        got(&transport, &server.url).await;
        assert_eq!(server.accepted(), number);
        server.closed().await;
    }
}

#[tokio::test]
async fn a_post_that_meets_one_goes_out_once() {
    let server = server(OK, Ends::Answered).await;
    let transport = transport();
    for number in 1..=3 {
        let (method, headers) = (Method::POST, HeaderMap::new());
        let (url, body) = (server.url.clone(), Bytes::from_static(BODY));
        transport.clone().call(Exchange { method, url, headers, body, limit: 100 }).await.unwrap();
        assert_eq!((server.accepted(), server.asked.load(Ordering::Relaxed)), (number, number));
        server.closed().await;
    }
}

#[tokio::test]
async fn one_that_no_request_went_over_before_it_was_closed_is_no_failure_either() {
    let server = server(OK, Ends::Accepted).await;
    let connections = connections(&server.url, 8);
    let Ok(Connection::Own(own)) = connections.connection().await else { panic!("no connection") };
    assert!(!own.was_kept, "what fails over a new one is a failure");
    assert!(connections.keep(&mut lock(&connections.state), own).is_none());
    let Ok(Connection::Own(mut kept)) = connections.connection().await else { panic!("no connection") };
    assert!(kept.was_kept);
    server.closed().await;
    let mut error = kept.send(request(&connections, &server.url)).await.unwrap_err();
    assert!(error.take_message().is_some(), "nothing of it was sent");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_connection_is_not_used_again_when_the_answer_says_so_or_was_not_read_to_its_end() {
    let long: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n{}";
    for (answer, limit, end) in [(LAST, 100, BodyEnd::Whole), (long, 1, BodyEnd::TooLarge)] {
        let server = server(answer, Ends::Never).await;
        let transport = transport();
        for number in 1..=3 {
            assert_eq!(get(&transport, &server.url, limit).await.unwrap().end, end);
            assert_eq!(server.accepted(), number);
        }
    }
}

#[tokio::test]
async fn a_connection_is_not_used_again_when_its_request_was_given_up() {
    // It has promised more than it says.
    let server = server(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}", Ends::Never).await;
    let transport = transport();
    for number in 1..=3 {
        let mut asking = std::pin::pin!(get(&transport, &server.url, 100));
        while server.asked.load(Ordering::Relaxed) < number {
            assert!(futures::poll!(&mut asking).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(server.accepted(), number);
    }
}

#[tokio::test]
async fn only_what_had_not_begun_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let refused = get(&transport(), &nowhere, 100).await.unwrap_err();
    assert!(matches!(&refused, TransportError::NotSent(why) if why.contains("refused")), "{refused:?}");
    let ends = server(OK, Ends::Asked).await;
    let broken = get(&transport(), &ends.url, 100).await.unwrap_err();
    assert!(matches!(&broken, TransportError::Broken(_)), "{broken:?}");
    let ends = server(OK, Ends::Accepted).await;
    // Whether the end of a new connection is seen before or after the request went out is a matter of chance.
    get(&transport(), &ends.url, 100).await.unwrap_err();
    assert_eq!(ends.accepted(), 1, "a new connection that fails is no reason for another");
}

#[tokio::test]
async fn a_request_that_waits_takes_what_is_given_back_first() {
    let server = server(OK, Ends::Never).await;
    let connections = connections(&server.url, 8);
    let Ok(Connection::Own(mut own)) = connections.connection().await else { panic!("no connection") };
    let answer = own.send(request(&connections, &server.url)).await.unwrap();
    own.drive(http_body_util::BodyExt::collect(answer.into_body())).await.unwrap();
    let mut gone = Box::pin(connections.connection());
    let mut waits = std::pin::pin!(connections.connection());
    assert!(futures::poll!(&mut gone).is_pending() && futures::poll!(&mut waits).is_pending());
    drop(gone);
    connections.give_back(own);
    // Nothing else has run meanwhile: those that are being made cannot be there yet.
    let Poll::Ready(Ok(Connection::Own(own))) = futures::poll!(&mut waits) else { panic!("it waits") };
    assert!(own.was_kept);
    // Both are there for the next.
    while lock(&connections.state).idle.len() < 2 {
        tokio::task::yield_now().await;
    }
    let next = connections.connection().now_or_never();
    assert!(matches!(next, Some(Ok(Connection::Own(next))) if next.was_kept));
    let state = lock(&connections.state);
    assert_eq!((state.connecting, state.waiting.len()), (0, 0));
}

#[tokio::test]
async fn an_error_is_for_a_request_for_which_no_connection_is_being_made() {
    let server = server(OK, Ends::Never).await;
    let connections = connections(&server.url, 8);
    let (tell_nobody, gone) = oneshot::channel();
    let (tell, mut told) = oneshot::channel();
    {
        let mut state = lock(&connections.state);
        state.waiting.extend([tell_nobody, tell]);
        state.connecting = 2;
    }
    drop(gone);
    connections.made(Err("one of two".into()));
    assert!(told.try_recv().is_err(), "the other may still come");
    // The other is broken off.
    drop(Making { of: Arc::clone(&connections), made: None });
    assert_eq!(told.try_recv().unwrap().err().unwrap().to_string(), broken_off().to_string());
}

#[test]
fn a_request_whose_runtime_has_ended_is_told() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connections = runtime.block_on(async { connections(&server(OK, Ends::Never).await.url, 8) });
    let handle = runtime.handle().clone();
    drop(runtime);
    let _entered = handle.enter();
    let told = connections.connection().now_or_never().unwrap();
    assert_eq!(told.err().unwrap().to_string(), broken_off().to_string());
    assert_eq!(lock(&connections.state).connecting, 0);
}

#[tokio::test]
async fn what_is_unused_for_too_long_is_closed() {
    let server = server(OK, Ends::Never).await;
    let connections = connections(&server.url, 2);
    let mut all = Vec::new();
    for _ in 0..3 {
        let Ok(Connection::Own(own)) = connections.connection().await else { panic!("no connection") };
        all.push(own);
    }
    tokio::time::pause();
    let left_over: Vec<bool> = all
        .into_iter()
        .map(|own| {
            let left_over = connections.keep(&mut lock(&connections.state), own);
            tokio::time::advance(Duration::from_secs(1)).now_or_never();
            left_over.is_some()
        })
        .collect();
    assert_eq!(left_over, [false, false, true], "no more than are wanted are kept");
    let idle = || lock(&connections.state).idle.len();
    let kept = Instant::now();
    while idle() == 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(idle(), 1, "the first was unused for longer");
    while lock(&connections.state).is_watched {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(idle(), 0);
    assert!(kept.elapsed() <= IDLE);
}

#[tokio::test]
async fn what_is_too_old_is_not_used_though_nothing_has_closed_it() {
    let server = server(OK, Ends::Never).await;
    let connections = connections(&server.url, 2);
    let Ok(Connection::Own(own)) = connections.connection().await else { panic!("no connection") };
    connections.keep(&mut lock(&connections.state), own);
    let mut state = lock(&connections.state);
    assert!(state.at_once(Instant::now() + IDLE).is_none());
    assert!(state.at_once(Instant::now()).is_some());
}

fn connections(url: &Url, most: usize) -> Arc<Connections> {
    let connector = Connector::new(None, Duration::from_secs(5)).unwrap();
    Arc::new(Connections::to(url, connector, most).unwrap())
}

fn request(connections: &Connections, url: &Url) -> Sending {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = connections.uri(url, false).unwrap();
    request
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
        let host = Connections::to(&url, connector.clone(), 1).unwrap();
        assert_eq!(host.header, header);
        assert!(host.serves(&url));
        assert!(others.iter().all(|other| !host.serves(&Url::parse(other).unwrap())), "{url}");
        assert_eq!(host.uri(&url, false).unwrap(), "/a?b=c");
        let whole = format!("{}://{header}/a?b=c", url.scheme());
        assert_eq!(host.uri(&url, true).unwrap(), *whole);
    }
}
