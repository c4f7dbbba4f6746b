//! GETs and listing against a server that fails, stalls and lies.

use std::time::Duration;

use crate::support::{Reply, Server, answer, json, pipeline, requester};
use bytes::Bytes;
use muster_pipeline::{Cost, FetchError, Get, Limits, ListError};
use url::Url;

/// A JSON array of 200,000 spaces, in gzip.
const BOMB: &str = "1f8b0800000000000203edc1411100000c02a02aebe5ad7f0d33f8077200000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000c0ec0b6f714b13420d0300";

async fn fetch(server: &Server, kind: Get) -> (Result<Bytes, FetchError>, Cost) {
    let url = Url::parse(&format!("{}/x", server.url())).unwrap();
    requester(|limits| limits.record_size = 1 << 16).get(&url, kind).await
}

async fn fetch_reply(reply: Reply) -> Result<Bytes, FetchError> {
    fetch(&Server::start(move |_, _| reply.clone()).await, Get::Detail).await.0
}

#[tokio::test]
async fn a_failing_get_is_tried_until_it_succeeds() {
    let server = Server::start(|number, _| match number {
        0 => answer(500, "", "Sorry!"),
        1 => Reply::Reset,
        2 => Reply::Last(b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\n{".to_vec()),
        _ => json(200, r#"{"id":1}"#),
    })
    .await;
    let (body, cost) = fetch(&server, Get::Detail).await;
    assert_eq!(body.unwrap(), r#"{"id":1}"#);
    let waited = cost.waited;
    assert_eq!(cost, Cost { attempts: 4, bytes: 6 + 1 + 8, waited, ..Cost::default() }, "failed tries cost too");
    assert!(!waited.is_zero(), "each further try was held back");
}

#[tokio::test]
async fn it_is_given_up_with_what_came_last() {
    let server = Server::start(|_, _| answer(502, "", "Bad Gateway")).await;
    let (result, cost) = fetch(&server, Get::Detail).await;
    let last = "502 Bad Gateway".to_owned();
    let given_up = FetchError::GivenUp { attempts: 4, last, status: Some(502), silent: false };
    let waited = cost.waited;
    assert_eq!((result, cost), (Err(given_up), Cost { attempts: 4, bytes: 4 * 11, waited, ..Cost::default() }));
}

#[tokio::test]
async fn no_connection_is_told_from_no_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = |limits: &mut Limits| (limits.get_timeout, limits.get_attempts) = (Duration::from_millis(500), 1);
    // Of a server that says nothing it is the handshake of TLS that makes the difference.
    for (scheme, last, advice) in
        [("https", "no connection within", "does the source run there"), ("http", "no answer within", "raise that")]
    {
        let url = Url::parse(&format!("{scheme}://{address}/x")).unwrap();
        let error = requester(limits).get(&url, Get::Detail).await.0.unwrap_err();
        assert!(error.to_string().contains(last) && error.advice().contains(advice), "{error}; {}", error.advice());
    }
}

#[tokio::test]
async fn a_stalled_get_is_answered_by_its_hedge() {
    let server = Server::start(|number, _| if number == 0 { Reply::Stall } else { json(200, "{}") }).await;
    let url = Url::parse(&server.url()).unwrap();
    let requester = requester(|_| {});
    let (body, cost) = requester.get(&url, Get::Detail).await;
    assert_eq!(body.unwrap(), "{}");
    assert_eq!((cost.attempts, cost.hedges), (1, 1));
    let stats = requester.stats();
    assert_eq!((stats.requests, stats.retries, stats.hedges, stats.hedges_won), (2, 0, 1, 1));
}

#[tokio::test]
async fn answers_that_no_retry_changes_are_told_apart() {
    assert_eq!(fetch_reply(json(404, "{}")).await.unwrap_err(), FetchError::Gone { status: 404 });
    assert_eq!(fetch_reply(json(410, "{}")).await.unwrap_err(), FetchError::Gone { status: 410 });
    for status in [401, 403] {
        let detail = "who are you?".to_owned();
        let error = fetch_reply(answer(status, "", &detail)).await.unwrap_err();
        assert_eq!(error, FetchError::Refused { status, detail });
    }
    let error = fetch_reply(answer(422, "", "no number")).await.unwrap_err();
    assert_eq!(error, FetchError::ClientError { status: 422, detail: "no number".to_owned() });
    let error = fetch_reply(answer(302, "location: http://evil.test/\r\n", "")).await.unwrap_err();
    assert!(matches!(&error, FetchError::ClientError { status: 302, detail } if detail.contains("evil.test")));
}

#[tokio::test]
async fn what_is_not_json_is_wrong_content() {
    for reply in [
        answer(200, "content-type: text/html\r\n", "<html>log in</html>"),
        answer(200, "content-type: text/plain\r\n", "hello"),
        answer(200, "", ""),
    ] {
        assert!(matches!(fetch_reply(reply).await.unwrap_err(), FetchError::WrongContent { status: 200, .. }));
    }
    for reply in [
        answer(200, "content-type: application/problem+json\r\n", "{}"),
        answer(200, "content-type: text/plain\r\n", " {}"),
        answer(200, "content-type: text/html; charset=UTF-8\r\n", " {}"),
        answer(200, "", "[]"),
    ] {
        assert!(fetch_reply(reply).await.is_ok());
    }
}

#[tokio::test]
async fn bodies_are_bounded_after_decompression() {
    let bomb = hex::decode(BOMB).unwrap();
    assert!(bomb.len() < 1 << 10);
    let server = Server::start(move |_, _| {
        let head = "HTTP/1.1 200 x\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: ";
        let mut bytes = format!("{head}{}\r\n\r\n", bomb.len()).into_bytes();
        bytes.extend_from_slice(&bomb);
        Reply::Bytes(bytes)
    })
    .await;
    let error = fetch(&server, Get::Detail).await.0.unwrap_err();
    assert!(matches!(&error, FetchError::TooLarge { limit: 65_536, .. }), "{error}");
    assert!(error.to_string().contains("65536 bytes") && error.to_string().contains("limits.record_size"), "{error}");
    assert_eq!(fetch(&server, Get::List).await.0.unwrap().len(), 200_002, "a page may be larger");
}

#[tokio::test]
async fn what_is_too_large_and_no_json_is_wrong_content() {
    let page = format!("<html>{}", " ".repeat(1 << 16));
    let error = fetch_reply(answer(200, "content-type: text/html\r\n", &page)).await.unwrap_err();
    assert!(matches!(&error, FetchError::WrongContent { status: 200, .. }), "{error}");
}

#[tokio::test]
async fn pages_are_listed() {
    let server = Server::start(|_, seen| match seen.line.as_str() {
        "GET /list?page=1 HTTP/1.1" => json(200, r#"{"total_pages":2,"items":[{"id":0},{"id":"a b"},{"id":0}]}"#),
        "GET /list?page=3 HTTP/1.1" => json(200, r#"{"total_pages":2,"items":[]}"#),
        _ => json(404, "{}"),
    })
    .await;
    let compiled = pipeline(&server.url(), "", "");
    let (list, requester) = (compiled.list(), requester(|_| {}));
    assert_eq!(list.first_page(), 1);
    let page = list.fetch_page(&requester, 1, None).await.unwrap();
    assert_eq!((page.number, page.total_pages, page.items.len()), (1, Some(2), 3));
    let ids: Vec<&str> = page.items.iter().map(|item| item.id.as_text()).collect();
    assert_eq!(ids, ["0", "\"a b\"", "0"], "duplicates are the ledger's to count");
    let past = list.fetch_page(&requester, 3, None).await.unwrap();
    assert_eq!((past.items.len(), past.total_pages), (0, Some(2)));
    let error = list.fetch_page(&requester, 2, None).await.unwrap_err();
    assert!(matches!(error, ListError::Fetch(FetchError::Gone { status: 404 })), "{error}");
}

#[tokio::test]
async fn a_page_of_another_shape_is_told_with_its_place() {
    for (body, message) in [
        (r#"{"total_pages":1,"data":[]}"#, "page 7: $.items is missing; there is data, total_pages"),
        (r#"{"total_pages":1,"items":{}}"#, "page 7: $.items must be a list, it is an object"),
        (r#"{"items":[]}"#, "page 7: $.total_pages is missing; there is items"),
        (r#"{"total_pages":"9","items":[]}"#, r#"page 7: $.total_pages must be a whole number, it is "9""#),
        (r#"{"total_pages":1,"items":[{"key":2}]}"#, "page 7: item 0 of $.items: $.id is missing; there is key"),
        (
            r#"{"total_pages":1,"items":[{"id":null}]}"#,
            "page 7: item 0 of $.items: $.id: a record ID must be a string or a number, not null",
        ),
        (
            r#"{"total_pages":1,"items":[{"id":".."}]}"#,
            r#"page 7: item 0 of $.items: $.id: the record ID ".." cannot be a path segment of a URL"#,
        ),
    ] {
        let server = Server::start(move |_, _| json(200, body)).await;
        let compiled = pipeline(&server.url(), "", "");
        let error = compiled.list().fetch_page(&requester(|_| {}), 7, None).await.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[tokio::test]
async fn an_item_without_an_id_holds_no_other_up() {
    let body = r#"{"total_pages":1,"items":[{"id":1},{"key":2},{"id":".."},{"id":4}]}"#;
    let server = Server::start(move |_, _| json(200, body)).await;
    let compiled = pipeline(&server.url(), "", "");
    let page = compiled.list().fetch_page(&requester(|_| {}), 7, None).await.unwrap();
    let ids: Vec<&str> = page.items.iter().map(|item| item.id.as_text()).collect();
    assert_eq!(ids, ["1", "4"]);
    let nameless = page.nameless.expect("two of them");
    assert_eq!((nameless.items, &*nameless.first), (2, "item 1 of $.items: $.id is missing; there is key"));
}
