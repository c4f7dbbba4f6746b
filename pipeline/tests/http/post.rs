//! What may happen to a POST, one case after another, against a server that does each of it.

use std::time::Duration;

use crate::support::{Reply, Server, answer, json, pipeline, requester};
use bytes::Bytes;
use muster_pipeline::{Delivery, Oddity, PostOutcome, Turn};
use tokio::time::Instant;

/// A delivery whose records do not matter.
fn delivery(key: &str) -> Delivery<'_> {
    Delivery { run: "run", ids: Vec::new(), records: Vec::new(), body: Bytes::from_static(b"[1]"), key }
}

async fn post_to(base: &str, load: &str) -> PostOutcome {
    let compiled = pipeline(base, load, "");
    let requester = requester(|_| {});
    let deadline = Instant::now() + Duration::from_secs(30);
    requester.post(compiled.target().http().unwrap(), &delivery("key"), deadline, Turn::default()).await
}

async fn outcome(reply: Reply) -> PostOutcome {
    outcome_with(reply, "").await
}

async fn outcome_with(reply: Reply, load: &str) -> PostOutcome {
    let server = Server::start(move |_, _| reply.clone()).await;
    let outcome = post_to(&server.url(), load).await;
    assert_eq!(server.seen().len(), 1, "one POST is one exchange, whatever comes of it");
    outcome
}

#[tokio::test]
async fn no_byte_sent_is_not_sent() {
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    assert!(matches!(post_to(&format!("http://{closed}"), "").await, PostOutcome::NotSent { .. }));
    assert!(matches!(post_to("http://no-such-host.invalid", "").await, PostOutcome::NotSent { .. }));
}

#[tokio::test]
async fn a_failed_tls_handshake_is_not_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 x\r\n\r\n").await.unwrap();
    });
    assert!(matches!(post_to(&format!("https://{address}"), "").await, PostOutcome::NotSent { .. }));
}

#[tokio::test]
async fn a_server_that_says_nothing_before_it_could_be_asked_was_sent_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let silent = async {
        let (_stream, _) = listener.accept().await.unwrap();
        std::future::pending::<PostOutcome>().await
    };
    let compiled = pipeline(&format!("https://{address}"), "", "");
    // Well before the time that an answer may take.
    let requester = requester(|limits| limits.get_timeout = Duration::from_millis(100));
    let deadline = Instant::now() + Duration::from_secs(30);
    let delivery = delivery("key");
    let posting = requester.post(compiled.target().http().unwrap(), &delivery, deadline, Turn::default());
    let outcome = tokio::select! { outcome = posting => outcome, outcome = silent => outcome };
    assert!(
        matches!(&outcome, PostOutcome::NotSent { reason } if reason.contains("no connection within")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_deadline_that_has_passed_sends_nothing() {
    let server = Server::start(|_, _| json(200, "{}")).await;
    let compiled = pipeline(&server.url(), "", "");
    let outcome = requester(|_| {})
        .post(compiled.target().http().unwrap(), &delivery("key"), Instant::now(), Turn::default())
        .await;
    assert!(matches!(outcome, PostOutcome::NotSent { .. }), "{outcome:?}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_2xx_with_a_valid_body_is_applied() {
    assert_eq!(outcome(json(200, r#"{"message":"ok"}"#)).await, PostOutcome::Applied { status: 200 });
    assert_eq!(outcome(json(201, "[]")).await, PostOutcome::Applied { status: 201 });
    assert_eq!(outcome(Reply::Bytes(b"HTTP/1.1 204 x\r\n\r\n".to_vec())).await, PostOutcome::Applied { status: 204 });
    assert_eq!(outcome(answer(200, "", "")).await, PostOutcome::Applied { status: 200 });
    assert_eq!(outcome_with(answer(200, "", "done"), "  answer: any").await, PostOutcome::Applied { status: 200 });
}

#[tokio::test]
async fn an_unreadable_2xx_is_in_doubt() {
    let truncated = Reply::Last(b"HTTP/1.1 200 x\r\ncontent-length: 50\r\n\r\n{\"message\"".to_vec());
    let chunked = Reply::Last(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"mes\r\n".to_vec());
    let not_gzip = answer(200, "content-encoding: gzip\r\n", "no gzip");
    let cut = Reply::Last(b"HTTP/1.1 200 x\r\n\r\n{\"message\"".to_vec());
    for reply in [truncated, chunked, not_gzip, cut] {
        let outcome = outcome(reply).await;
        assert!(matches!(outcome, PostOutcome::InDoubt { status: Some(200), .. }), "{outcome:?}");
    }
    let half = Reply::Last(b"HTTP/1.1 200 x\r\ncontent-type: text/html\r\ncontent-length: 50\r\n\r\n<html>".to_vec());
    assert!(matches!(outcome_with(half, "  answer: any").await, PostOutcome::InDoubt { status: Some(200), .. }));
}

/// What is wrong with this answer, and the beginning of it.
async fn odd(reply: Reply, load: &str) -> (Oddity, bool, String) {
    match outcome_with(reply, load).await {
        PostOutcome::WrongContent { oddity, per_record, detail, .. } => (oddity, per_record, detail),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_2xx_that_the_next_would_get_too_is_more_than_a_doubt() {
    let html = answer(200, "content-type: text/html\r\n", "<html>log in</html>");
    assert_eq!(odd(html.clone(), "").await, (Oddity::Html, false, "<html>log in</html>".to_owned()));
    assert_eq!(outcome_with(html, "  answer: any").await, PostOutcome::Applied { status: 200 });
    assert_eq!(odd(answer(201, "", "created"), "").await, (Oddity::Text, false, "created".to_owned()));
}

#[tokio::test]
async fn a_large_2xx_is_applied_unless_it_has_to_be_read() {
    let large = || json(200, &format!("[\"{}\"]", "x".repeat(2 << 20)));
    assert_eq!(outcome_with(large(), "  answer: any").await, PostOutcome::Applied { status: 200 });
    let each = "  answer: any\n  per_record: { outcomes: '.' }";
    for (load, is_per_record) in [("", false), (each, true)] {
        let (oddity, per_record, detail) = odd(large(), load).await;
        assert_eq!((oddity, per_record), (Oddity::TooLarge { limit: 1 << 20 }, is_per_record));
        assert_eq!(detail.len(), 2048, "its beginning is told");
    }
    let not_said = each.replace("'.'", "'.', status: [207]");
    assert_eq!(outcome_with(large(), &not_said).await, PostOutcome::Applied { status: 200 });
}

#[tokio::test]
async fn an_empty_2xx_is_applied_where_it_says_that_this_is_all() {
    let chunked = Reply::Bytes(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec());
    for reply in [chunked, answer(200, "content-encoding: gzip\r\n", "")] {
        assert_eq!(outcome(reply).await, PostOutcome::Applied { status: 200 });
    }
    for version in ["1.0", "1.1"] {
        let closed = Reply::Last(format!("HTTP/{version} 200 x\r\n\r\n").into_bytes());
        let doubt = outcome(closed.clone()).await;
        assert!(matches!(doubt, PostOutcome::InDoubt { .. }), "it may have been cut: {doubt:?}");
        assert_eq!(outcome_with(closed, "  answer: any").await, PostOutcome::Applied { status: 200 });
    }
    assert_eq!(odd(answer(200, "", "\n"), "").await.0, Oddity::Nothing);
    let each = "  per_record: { outcomes: '.' }";
    assert_eq!(odd(answer(200, "", ""), each).await.0, Oddity::Nothing);
    assert!(matches!(outcome_with(json(200, "null"), each).await, PostOutcome::InDoubt { .. }));
}

#[tokio::test]
async fn a_redirect_as_after_a_post_that_was_applied_is_more_than_a_doubt() {
    for status in [302, 303] {
        let moved = answer(status, "location: http://other.test/home/7?key=canary\r\n", "<html>");
        let (oddity, _, detail) = odd(moved, "").await;
        assert_eq!(oddity, Oddity::Redirect);
        assert_eq!(detail, "it leads to http://other.test/home/7");
    }
}

#[tokio::test]
async fn records_that_are_refused_are_rejected_with_the_targets_words() {
    for status in [400, 409, 413, 422] {
        let expected = PostOutcome::Rejected { status, detail: "no".to_owned() };
        assert_eq!(outcome(answer(status, "", "no")).await, expected);
    }
    let PostOutcome::Rejected { detail, .. } = outcome(answer(400, "", &"x".repeat(100_000))).await else { panic!() };
    assert_eq!(detail.len(), 2048, "a long answer is bounded");
    let outcome = outcome_with(answer(418, "", "teapot"), "  rejected: [418]").await;
    assert_eq!(outcome, PostOutcome::Rejected { status: 418, detail: "teapot".to_owned() });
}

#[tokio::test]
async fn a_wrong_request_is_the_pipelines_fault() {
    for status in [401, 403, 404, 405, 415, 418] {
        let outcome = outcome(answer(status, "", "no")).await;
        assert_eq!(outcome, PostOutcome::PipelineWrong { status, detail: "no".to_owned() });
    }
    for moved in [301, 307, 308] {
        let outcome = outcome(answer(moved, "location: http://other.test/home?key=canary\r\n", "")).await;
        let PostOutcome::PipelineWrong { status, detail } = outcome else { panic!("{outcome:?}") };
        assert_eq!(status, moved);
        assert!(detail.contains("http://other.test/home") && !detail.contains("canary"), "{detail}");
    }
}

#[tokio::test]
async fn an_overloaded_target_did_nothing() {
    let outcome = outcome(answer(429, "retry-after: 7\r\n", "slow down")).await;
    let retry_after = Some(Duration::from_secs(7));
    assert_eq!(outcome, PostOutcome::NotApplied { status: 429, retry_after, detail: "slow down".to_owned() });
    assert!(matches!(
        self::outcome(answer(429, "", "")).await,
        PostOutcome::NotApplied { status: 429, retry_after: None, .. }
    ));
    assert!(matches!(
        self::outcome(answer(503, "retry-after: 1\r\n", "later")).await,
        PostOutcome::NotApplied { status: 503, .. }
    ));
}

#[tokio::test]
async fn what_the_pipeline_declares_was_not_applied() {
    for status in [500, 502, 503, 504] {
        let outcome = outcome(answer(status, "", "Sorry!")).await;
        let expected = PostOutcome::NotApplied { status, retry_after: None, detail: "Sorry!".to_owned() };
        assert_eq!(outcome, expected);
    }
}

#[tokio::test]
async fn everything_else_is_in_doubt() {
    for (status, body) in [(500, "Internal Server Error"), (500, "so Sorry!"), (503, "no"), (501, "Sorry!"), (408, "")]
    {
        let outcome = outcome(answer(status, "", body)).await;
        assert!(matches!(&outcome, PostOutcome::InDoubt { status: Some(s), .. } if *s == status), "{outcome:?}");
    }
    for reply in [Reply::Reset, Reply::Stall, Reply::Last(Vec::new()), Reply::Last(b"HTTP/1.1 2".to_vec())] {
        let outcome = outcome(reply).await;
        assert!(matches!(outcome, PostOutcome::InDoubt { status: None, .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_reset_of_a_connection_used_before_is_in_doubt() {
    let server = Server::start(|number, _| if number == 0 { json(200, "{}") } else { Reply::Reset }).await;
    let compiled = pipeline(&server.url(), "", "");
    let requester = requester(|_| {});
    let deadline = Instant::now() + Duration::from_secs(30);
    let first = requester.post(compiled.target().http().unwrap(), &delivery("a"), deadline, Turn::default()).await;
    assert_eq!(first, PostOutcome::Applied { status: 200 });
    let second = requester.post(compiled.target().http().unwrap(), &delivery("b"), deadline, Turn::default()).await;
    assert!(matches!(second, PostOutcome::InDoubt { status: None, .. }), "{second:?}");
    assert_eq!(server.seen().len(), 2, "nothing was sent again behind the caller's back");
}

#[tokio::test]
async fn the_target_sees_body_type_and_key() {
    let server = Server::start(|_, _| json(200, "{}")).await;
    post_to(&server.url(), "").await;
    let seen = &server.seen()[0];
    assert_eq!((seen.line.as_str(), seen.body.as_slice()), ("POST /home HTTP/1.1", b"[1]".as_slice()));
    let head = seen.head.to_ascii_lowercase();
    for header in ["idempotency-key: key\r\n", "content-type: application/json\r\n", "user-agent: muster/"] {
        assert!(head.contains(header), "{head}");
    }
}

#[tokio::test]
async fn a_host_that_wants_to_be_left_alone_is() {
    let server = Server::start(|_, _| answer(429, "retry-after: 60\r\n", "")).await;
    let compiled = pipeline(&server.url(), "", "");
    let requester = requester(|_| {});
    let deadline = Instant::now() + Duration::from_secs(30);
    let first = requester.post(compiled.target().http().unwrap(), &delivery("key"), deadline, Turn::default()).await;
    assert!(matches!(first, PostOutcome::NotApplied { status: 429, .. }), "{first:?}");
    let second = requester.post(compiled.target().http().unwrap(), &delivery("key"), deadline, Turn::default()).await;
    assert!(matches!(second, PostOutcome::NotSent { .. }), "{second:?}");
    assert_eq!((server.seen().len(), requester.stats().throttled), (1, 1));
}
