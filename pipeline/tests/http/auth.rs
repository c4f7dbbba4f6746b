//! Who asks: what goes over the wire for each kind of `auth`, when a token is fetched, and what is never said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use muster_pipeline::{
    CompiledPipeline, Delivery, FetchError, Get, Pipeline, PostOutcome, Process, RecordId, Requester, RequesterConfig,
    Turn,
};
use tokio::time::Instant;

use crate::support::{Reply, Seen, Server, answer, json};

const CANARY: &str = "canary/of \"many\" letters";

/// A file with a secret, gone with the test.
struct Secret(PathBuf);

impl Secret {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("muster-auth-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn reference(&self) -> String {
        format!("${{file:{}}}", self.0.display())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap_or_default();
    }
}

/// A pipeline against one server, with these lines under its source and its load.
fn yaml(base: &str, source: &str, load: &str) -> String {
    format!(
        r#"
muster: 1
name: test
source:
{source}
  list:
    request: {{ url: "{base}/list" }}
    pagination: {{ page_number: {{ total_pages: $.total_pages }} }}
    items: $.items
    id: $.id
  detail: {{ request: {{ url: "{base}/detail/${{record:id}}" }} }}
load:
  request: {{ url: "{base}/home" }}
{load}
limits: {{ backoff: 1ms, get_attempts: 4 }}
"#
    )
}

fn compiled(yaml: &str) -> CompiledPipeline {
    let pipeline = Pipeline::from_yaml(yaml, "test.yaml").unwrap_or_else(|error| panic!("{error}"));
    pipeline.compile(&BTreeMap::new()).unwrap()
}

fn pipeline(base: &str, source: &str, load: &str) -> CompiledPipeline {
    compiled(&yaml(base, source, load))
}

fn requester(pipeline: &CompiledPipeline, process: Process) -> Requester {
    Requester::of(pipeline, process, &RequesterConfig::default()).unwrap()
}

async fn detail(pipeline: &CompiledPipeline, requester: &Requester) -> Result<Bytes, FetchError> {
    requester.get(&pipeline.detail_url(&RecordId::from(7)).unwrap(), Get::Detail).await.0
}

async fn post(pipeline: &CompiledPipeline, requester: &Requester, turn: Turn) -> PostOutcome {
    let deadline = Instant::now() + Duration::from_secs(30);
    let loader = pipeline.target().http().unwrap();
    let body = Bytes::from_static(b"[1]");
    let delivery = Delivery { run: "run", ids: Vec::new(), records: Vec::new(), body, key: "key" };
    requester.post(loader, &delivery, deadline, turn).await
}

fn carries(seen: &Seen, text: &str) -> bool {
    seen.head.to_ascii_lowercase().contains(&text.to_ascii_lowercase())
}

#[tokio::test]
async fn each_kind_goes_where_it_belongs() {
    let secret = Secret::new("kinds", "s3cr3t");
    let secret = secret.reference();
    for (auth, expected) in [
        (format!("{{ bearer: \"{secret}\" }}"), "\r\nauthorization: Bearer s3cr3t\r\n"),
        (format!("{{ basic: {{ user: me, password: \"{secret}\" }} }}"), "\r\nauthorization: Basic bWU6czNjcjN0\r\n"),
        (format!("{{ api_key: {{ header: X-Key, value: \"{secret}\" }} }}"), "\r\nx-key: s3cr3t\r\n"),
        (format!("{{ api_key: {{ query: key, value: \"{secret}\" }} }}"), "get /detail/7?key=s3cr3t http"),
    ] {
        let server = Server::start(|_, _| json(200, "{}")).await;
        let pipeline =
            pipeline(&server.url(), &format!("  auth: {auth}\n  headers: {{ x-more: yes, accept: text/json }}"), "");
        let requester = requester(&pipeline, Process::Worker);
        detail(&pipeline, &requester).await.unwrap();
        let seen = server.seen();
        assert!(carries(&seen[0], expected), "{}", seen[0].head);
        assert!(carries(&seen[0], "\r\nx-more: yes\r\n") && carries(&seen[0], "\r\naccept: text/json\r\n"));
        // The target is another party, though it is the same host.
        post(&pipeline, &requester, Turn::default()).await;
        assert!(!carries(&server.seen()[1], "s3cr3t"), "{}", server.seen()[1].head);
    }
}

#[tokio::test]
async fn no_other_origin_is_told_who_asks() {
    let secret = Secret::new("origin", CANARY);
    let (own, other) = (Server::start(|_, _| json(200, "{}")).await, Server::start(|_, _| json(200, "{}")).await);
    let auth = format!("  auth: {{ bearer: '{}' }}\n  headers: {{ x-more: yes }}", secret.reference());
    let pipeline = pipeline(&own.url(), &auth, "");
    let elsewhere = url(&format!("{}/list?page=2", other.url()));
    requester(&pipeline, Process::Coordinator).get(&elsewhere, Get::List).await.0.unwrap();
    let head = &other.seen()[0].head;
    assert!(!head.contains("authorization") && !head.contains("x-more"), "{head}");
}

fn url(text: &str) -> url::Url {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_missing_secret_is_named_with_its_process_and_only_where_it_is_needed() {
    let pipeline = pipeline(
        "http://127.0.0.1:1",
        "  auth: { bearer: '${env:MUSTER_NO_SOURCE}' }",
        "  auth: { bearer: '${file:/no/such/secret}' }",
    );
    let lacks = |process| pipeline.check_secrets(process).unwrap_err().to_string();
    let coordinator = lacks(Process::Coordinator);
    for words in ["source.auth", "${env:MUSTER_NO_SOURCE}", "the coordinator's process", "is not set", "muster resume"]
    {
        assert!(coordinator.contains(words), "{coordinator}");
    }
    assert!(lacks(Process::Worker).contains("the worker's process"));
    assert!(lacks(Process::Alone).contains("type the same command again"));
    let whole = yaml("http://127.0.0.1:1", "  auth: { bearer: '${env:MUSTER_NO_SOURCE}' }", "");
    let detail = "detail: { request: { url: \"http://127.0.0.1:1/detail/${record:id}\" } }";
    let whole = compiled(&whole.replace(detail, "detail: none"));
    assert!(whole.check_secrets(Process::Coordinator).is_err());
    whole.check_secrets(Process::Worker).expect("a worker asks the source for nothing");
    let target = self::pipeline("http://127.0.0.1:1", "", "  auth: { bearer: '${file:/no/such/secret}' }");
    target.check_secrets(Process::Coordinator).unwrap();
    let worker = target.check_secrets(Process::Worker).unwrap_err().to_string();
    assert!(worker.contains("load.auth") && worker.contains("/no/such/secret cannot be read"), "{worker}");

    let animals = muster_pipeline::built_in("animals").unwrap();
    for (load, key) in [
        ("postgres: { url: '${env:MUSTER_NO_TABLE}', table: animals }", "load.postgres.url"),
        (
            "files: { url: 's3://zoo', access_key_id: '${env:MUSTER_NO_ID}', secret_access_key: '${env:MUSTER_NO_KEY}' }",
            "load.files.access_key_id",
        ),
    ] {
        let yaml = format!("{}\nload: {{ {load} }}\n", animals.split("\nload:").next().unwrap());
        let pipeline = Pipeline::from_yaml(&yaml, "x").unwrap().compile(&BTreeMap::new()).unwrap();
        let alone = pipeline.check_secrets(Process::Alone).unwrap_err().to_string();
        assert!(alone.contains(key) && alone.contains("type the same command again"), "{alone}");
        for process in [Process::Coordinator, Process::Reader] {
            pipeline.check_secrets(process).unwrap();
        }
    }
}

#[test]
fn what_cannot_stand_in_a_header_is_named_without_the_secret() {
    for (text, words) in
        [("\u{feff}s3cret", "a byte order mark"), ("s3cr\net", "line ends or other control characters")]
    {
        let secret = Secret::new("header", text);
        let auth = format!("  auth: {{ bearer: '{}' }}", secret.reference());
        let error = pipeline("http://127.0.0.1:1", &auth, "").check_secrets(Process::Worker).unwrap_err().to_string();
        assert!(error.starts_with("source.auth has a value that cannot") && error.contains(words), "{error}");
        assert!(!error.contains("s3cr"), "{error}");
    }
}

/// An API whose tokens are `t0`, `t1`, …; `takes` says which of them it takes for the n-th request with one.
fn with_tokens(takes: fn(usize) -> &'static str) -> impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static {
    let (tokens, asked) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::AtomicUsize::new(0));
    move |_, seen| {
        let next = |counter: &std::sync::atomic::AtomicUsize| counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if seen.line.starts_with("POST /token") {
            return json(200, &format!(r#"{{"access_token":"token-{}","token_type":"Bearer"}}"#, next(&tokens)));
        }
        let taken = takes(next(&asked));
        if carries(seen, &format!("bearer {taken}\r\n")) { json(200, "{}") } else { answer(401, "", "who?") }
    }
}

fn oauth2(server: &Server, secret: &Secret, more: &str) -> String {
    format!(
        "  auth: {{ oauth2: {{ token_url: '{}/token?tenant=x', client_id: me, client_secret: '{}'{more} }} }}",
        server.url(),
        secret.reference()
    )
}

fn tokens(server: &Server) -> usize {
    server.seen().iter().filter(|seen| seen.line.starts_with("POST /token")).count()
}

#[tokio::test]
async fn many_wait_for_one_token_and_one_renewal() {
    let secret = Secret::new("many", "s3cr3t");
    let server = Server::start(with_tokens(|number| if number < 20 { "token-0" } else { "token-1" })).await;
    let pipeline = pipeline(&server.url(), &oauth2(&server, &secret, ", scope: read"), "");
    let requester = requester(&pipeline, Process::Worker);
    for expected in [1, 2] {
        let all = futures::future::join_all((0..20).map(|_| detail(&pipeline, &requester))).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(tokens(&server), expected);
    }
    let asked = server.seen().into_iter().find(|seen| seen.line.starts_with("POST /token")).unwrap();
    assert!(carries(&asked, "\r\nauthorization: Basic bWU6czNjcjN0\r\n"), "{}", asked.head);
    assert_eq!(asked.body, b"grant_type=client_credentials&scope=read");
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_is_not_exchanged_for_ever() {
    let secret = Secret::new("fresh", "s3cr3t");
    let server = Server::start(with_tokens(|_| "another")).await;
    let pipeline = pipeline(&server.url(), &oauth2(&server, &secret, ", send: body"), "");
    let requester = requester(&pipeline, Process::Worker);
    assert!(matches!(detail(&pipeline, &requester).await, Err(FetchError::Refused { status: 401, .. })));
    assert!(tokens(&server) <= 2, "{}", tokens(&server));
    assert!(String::from_utf8_lossy(&server.seen()[0].body).ends_with("client_id=me&client_secret=s3cr3t"));
}

#[tokio::test]
async fn a_post_that_met_the_end_of_a_token_was_not_applied() {
    let secret = Secret::new("post", "s3cr3t");
    let server = Server::start(with_tokens(|number| if number == 0 { "token-0" } else { "token-1" })).await;
    let pipeline = pipeline(&server.url(), "", &oauth2(&server, &secret, ""));
    let requester = requester(&pipeline, Process::Worker);
    let home = url(&format!("{}/home", server.url()));
    let turn = async || requester.turn(&home, false).await;
    assert_eq!(post(&pipeline, &requester, turn().await).await, PostOutcome::Applied { status: 200 });
    let expired = post(&pipeline, &requester, turn().await).await;
    assert!(matches!(expired, PostOutcome::NotApplied { status: 401, .. }), "{expired:?}");
    assert_eq!(post(&pipeline, &requester, turn().await).await, PostOutcome::Applied { status: 200 });
    assert_eq!(tokens(&server), 2);
}

#[tokio::test]
async fn a_token_that_cannot_be_had_is_said_plainly() {
    let secret = Secret::new("none", CANARY);
    for (status, body, words) in [
        (400, r#"{"error":"invalid_client","error_description":"who is me?"}"#, "it answers 400, invalid_client: who"),
        (503, "later", "given up after 4 attempts, the last: 503 later"),
        (200, "{}", "it answers 200 without an access_token in JSON"),
    ] {
        let server = Server::start(move |_, _| json(status, body)).await;
        let pipeline = pipeline(&server.url(), &oauth2(&server, &secret, ""), "");
        let error = detail(&pipeline, &requester(&pipeline, Process::Worker)).await.unwrap_err();
        let FetchError::NoCredentials { reason } = &error else { panic!("{error:?}") };
        let place = format!("no token can be had from {}/token: ", server.url());
        assert!(reason.starts_with(&place) && reason.contains(words), "{reason}");
        assert_eq!(server.seen().len(), if status == 503 { 4 } else { 1 });
    }
}

#[tokio::test]
async fn a_secret_that_was_exchanged_is_looked_up_again() {
    let secret = Secret::new("exchanged", "old-one");
    let server =
        Server::start(
            |_, seen| {
                if carries(seen, "bearer new-one\r\n") { json(200, "{}") } else { answer(403, "", "no") }
            },
        )
        .await;
    let pipeline = pipeline(&server.url(), &format!("  auth: {{ bearer: '{}' }}", secret.reference()), "");
    let requester = requester(&pipeline, Process::Worker);
    assert!(matches!(detail(&pipeline, &requester).await, Err(FetchError::Refused { status: 403, .. })));
    assert_eq!(server.seen().len(), 1, "the same secret again would fare the same");
    std::fs::write(&secret.0, "new-one\n").unwrap();
    detail(&pipeline, &requester).await.unwrap();
}

#[tokio::test]
async fn what_a_server_says_back_is_told_without_secrets() {
    let secret = Secret::new("echo", CANARY);
    let auth = format!("  auth: {{ api_key: {{ query: key, value: '{}' }} }}", secret.reference());
    for status in [400, 401, 422, 500, 200] {
        // The request's first line has the key percent-encoded; the body has it as it is, and as JSON.
        let server = Server::start(move |_, seen| {
            let line = seen.line.clone();
            answer(status, "content-type: text/html\r\n", &format!("{line} {CANARY} {}", CANARY.replace('"', "\\\"")))
        })
        .await;
        let pipeline = pipeline(&server.url(), &auth, &auth);
        let requester = requester(&pipeline, Process::Worker);
        let got = format!("{:?}", detail(&pipeline, &requester).await.unwrap_err());
        let posted = format!("{:?}", post(&pipeline, &requester, Turn::default()).await);
        assert!(server.seen()[0].line.contains("key=canary%2Fof"), "{}", server.seen()[0].line);
        for told in [got, posted] {
            assert!(told.contains("[secret]") && !told.contains("canary"), "{status}: {told}");
        }
    }
}
