//! The forms in which records are sent, and answers that say what became of each: on the wire.

use std::io::Read;
use std::time::Duration;

use crate::support::{Reply, Seen, Server, answer, json, pipeline, requester};
use muster_pipeline::{Delivery, PostOutcome, RecordAnswer, RecordId, Turn, sha256};
use tokio::time::Instant;

const RECORDS: [(u64, &[u8]); 2] = [(7, br#"{"id":7}"#), (8, br#"{"id":8}"#)];

/// Sends these records under a pipeline with these lines, to a server with this answer.
async fn send(load: &str, records: &[(u64, &[u8])], reply: Reply) -> (Vec<Seen>, [u8; 32], PostOutcome) {
    let server = Server::start(move |_, _| reply.clone()).await;
    let compiled = pipeline(&server.url(), load, "");
    let ids: Vec<RecordId> = records.iter().map(|(id, _)| RecordId::from(*id)).collect();
    let records: Vec<&[u8]> = records.iter().map(|(_, record)| *record).collect();
    let body = compiled.target().body(records.iter().copied());
    let announced = sha256(&body);
    let delivery = Delivery { run: "run", ids: ids.iter().collect(), records, body, key: "the-key" };
    let deadline = Instant::now() + Duration::from_secs(30);
    let outcome = compiled.target().deliver(&requester(|_| {}), delivery, deadline, Turn::default()).await;
    (server.seen(), announced, outcome)
}

async fn sent(load: &str) -> (Seen, [u8; 32]) {
    let (seen, sha256, outcome) = send(load, &RECORDS, json(200, "{}")).await;
    assert_eq!(outcome, PostOutcome::Applied { status: 200 }, "{load}");
    (seen.into_iter().next().unwrap(), sha256)
}

fn header(seen: &Seen, name: &str) -> Option<String> {
    let mut lines = seen.head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

#[tokio::test]
async fn each_form_has_its_body_and_its_type() {
    for (load, body, kind) in [
        ("", "[{\"id\":7},{\"id\":8}]", "application/json"),
        (
            "  wrap: { source: muster, items: $batch }",
            "{\"source\":\"muster\",\"items\":[{\"id\":7},{\"id\":8}]}",
            "application/json",
        ),
        ("  body: ndjson", "{\"id\":7}\n{\"id\":8}\n", "application/x-ndjson"),
    ] {
        let (seen, announced) = sent(load).await;
        assert_eq!(String::from_utf8_lossy(&seen.body), body);
        assert_eq!(header(&seen, "content-type").as_deref(), Some(kind), "{load}");
        assert_eq!(header(&seen, "content-encoding"), None);
        assert_eq!(announced, sha256(body.as_bytes()));
    }
}

#[tokio::test]
async fn a_compressed_body_is_announced_as_it_is_without_compression() {
    let (plain, announced_plain) = sent("  body: ndjson").await;
    let (zipped, announced) = sent("  body: ndjson\n  compress: gzip").await;
    assert_eq!(header(&zipped, "content-encoding").as_deref(), Some("gzip"));
    let mut read = Vec::new();
    flate2::read::GzDecoder::new(&zipped.body[..]).read_to_end(&mut read).unwrap();
    assert_eq!((read, announced), (plain.body, announced_plain));
}

#[tokio::test]
async fn one_record_goes_to_its_own_url() {
    let server = Server::start(|_, _| Reply::Bytes(b"HTTP/1.1 204 x\r\n\r\n".to_vec())).await;
    let base = server.url();
    let load = "  body: record";
    let compiled = pipeline(&base, load, "");
    assert_eq!(compiled.target().shown(), format!("{base}/home"));
    let yaml = r#"
muster: 1
name: test
source:
  list:
    request: { url: "BASE/list" }
    pagination: { page_number: { total_pages: $.total_pages } }
    items: $.items
    id: $.id
  detail: { request: { url: "BASE/detail/${record:id}" } }
load:
  request: { method: PUT, url: "BASE/home/${record:id}?by=id" }
  body: record
"#;
    let pipeline = muster_pipeline::Pipeline::from_yaml(&yaml.replace("BASE", &base), "test.yaml").unwrap();
    assert_eq!(pipeline.load().max_batch, 1);
    let compiled = pipeline.compile(&std::collections::BTreeMap::new()).unwrap();
    let id = RecordId::from_text("\"a/b ?c\"").unwrap();
    let record: &[u8] = br#"{"id":"a/b ?c"}"#;
    let body = compiled.target().body([record]);
    let delivery = Delivery { run: "run", ids: vec![&id], records: vec![record], body, key: "key" };
    let deadline = Instant::now() + Duration::from_secs(30);
    let outcome = compiled.target().deliver(&requester(|_| {}), delivery, deadline, Turn::default()).await;
    assert_eq!(outcome, PostOutcome::Applied { status: 204 });
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "PUT /home/a%2Fb%20%3Fc?by=id HTTP/1.1");
    assert_eq!(seen.body, br#"{"id":"a/b ?c"}"#);
}

#[tokio::test]
async fn the_key_goes_under_the_name_that_the_target_wants_or_not_at_all() {
    let (seen, _) = sent("  idempotency_header: X-Request-Id").await;
    assert_eq!((header(&seen, "x-request-id").as_deref(), header(&seen, "idempotency-key")), (Some("the-key"), None));
    let (seen, _) = sent("  idempotency_header: none").await;
    assert!(!seen.head.contains("the-key"), "{}", seen.head);
}

const EACH: &str = "  per_record: { outcomes: '[.items[] | .outcome]' }";

#[tokio::test]
async fn an_answer_says_what_became_of_each_record() {
    let mixed = answer(
        207,
        "retry-after: 3\r\n",
        r#"{"items":[{"outcome":true},{"outcome":{"outcome":false,"reason":"no"}}]}"#,
    );
    let (_, _, outcome) = send(EACH, &RECORDS, mixed).await;
    let answers = vec![RecordAnswer::Applied, RecordAnswer::Rejected { reason: "no".to_owned() }];
    let retry_after = Some(Duration::from_secs(3));
    assert_eq!(outcome, PostOutcome::PerRecord { status: 207, answers, retry_after });
    let all = json(200, r#"{"items":[{"outcome":true},{"outcome":"applied"}]}"#);
    assert_eq!(send(EACH, &RECORDS, all).await.2, PostOutcome::Applied { status: 200 });
    let plain = answer(201, "", "{}");
    assert_eq!(send(EACH, &RECORDS, plain).await.2, PostOutcome::Applied { status: 201 }, "not among its statuses");
    let refused = answer(422, "", "all of them");
    assert!(matches!(send(EACH, &RECORDS, refused).await.2, PostOutcome::Rejected { status: 422, .. }), "as ever");
}

#[tokio::test]
async fn an_answer_about_each_record_that_cannot_be_read_is_a_doubt() {
    for body in [
        r#"{"items":[{"outcome":true}]}"#,
        r#"{"items":[{"outcome":true},{"outcome":"ok"}]}"#,
        "{}",
        "[",
        "{\"items\":3}",
    ] {
        let (_, _, outcome) = send(EACH, &RECORDS, json(207, body)).await;
        let PostOutcome::InDoubt { status: Some(207), reason, detail } = outcome else { panic!("{body}: {outcome:?}") };
        assert!(reason.contains("answer") || reason.contains("outcomes"), "{reason}");
        assert_eq!(detail, body, "the target's words are kept");
    }
    let cut = Reply::Last(b"HTTP/1.1 207 x\r\ncontent-length: 50\r\n\r\n{\"items\"".to_vec());
    assert!(matches!(send(EACH, &RECORDS, cut).await.2, PostOutcome::InDoubt { status: Some(207), .. }));
    let html = answer(200, "content-type: text/html\r\n", "<html>");
    assert!(matches!(send(EACH, &RECORDS, html).await.2, PostOutcome::WrongContent { .. }));
}
