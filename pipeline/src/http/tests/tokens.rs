//! Tokens and the clock: when the next one is fetched.

use super::*;
use crate::Pipeline;

const PIPELINE: &str = r#"
muster: 1
name: test
parameters: { herd: { default: cows } }
source:
  auth: { oauth2: { token_url: "http://host.test/token", client_id: me, client_secret: "${file:SECRET}", scope: "read:${param:herd} $${x}", audience: "${param:herd}" } }
  list:
    request: { url: "http://host.test/list" }
    pagination: { page_number: { total_pages: $.total_pages } }
    items: $.items
    id: $.id
  detail: { request: { url: "http://host.test/detail/${record:id}" } }
load:
  request: { url: "http://host.test/home" }
"#;

/// A file with a secret, gone with the test.
struct Secret(std::path::PathBuf);

impl Drop for Secret {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap_or_default();
    }
}

/// A requester and its secret.
struct Asking {
    requester: Requester,
    /// What details were asked with.
    carried: Arc<Mutex<Vec<String>>>,
    /// What tokens were asked for with.
    forms: Arc<Mutex<Vec<String>>>,
    _secret: Secret,
}

/// A requester whose token endpoint answers `token-0`, `token-1`, … with this end.
fn asking(test: &str, expires_in: &'static str) -> Asking {
    let secret = Secret(std::env::temp_dir().join(format!("muster-tokens-{}-{test}", std::process::id())));
    std::fs::write(&secret.0, "s3cr3t").unwrap();
    let yaml = PIPELINE.replace("SECRET", secret.0.to_str().unwrap());
    let pipeline = Pipeline::from_yaml(&yaml, "test.yaml").unwrap().compile(&BTreeMap::new()).unwrap();
    let carried = Arc::<Mutex<Vec<String>>>::default();
    let (seen, given) = (Arc::clone(&carried), Arc::new(AtomicU32::new(0)));
    let forms = Arc::<Mutex<Vec<String>>>::default();
    let asked = Arc::clone(&forms);
    let transport = BoxCloneSyncService::new(tower::service_fn(move |exchange: Exchange| {
        let body = if exchange.url.path() == "/token" {
            lock(&asked).push(String::from_utf8(exchange.body.to_vec()).unwrap());
            let number = given.fetch_add(1, Ordering::Relaxed);
            format!(r#"{{"access_token":"token-{number}","token_type":"Bearer"{expires_in}}}"#)
        } else {
            lock(&seen).push(exchange.headers["authorization"].to_str().unwrap().to_owned());
            "{}".to_owned()
        };
        let answer =
            Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into(), end: BodyEnd::Whole };
        std::future::ready(Ok(answer))
    }));
    let credentials = Credentials::of(pipeline.access(), Process::Worker).unwrap();
    let requester = Requester::with(transport, Limits::default(), credentials, &RequesterConfig::default());
    Asking { requester, carried, forms, _secret: secret }
}

/// At how many seconds after the first request another token than the first is carried, asked at every `step`.
async fn renewed_after(test: &str, expires_in: &'static str, step: usize) -> Option<u64> {
    let asking = asking(test, expires_in);
    let url = Url::parse("http://host.test/detail/7").unwrap();
    let start = Instant::now();
    for second in (0..=90_000).step_by(step) {
        tokio::time::sleep_until(start + Duration::from_secs(second)).await;
        asking.requester.get(&url, Get::Detail).await.0.unwrap();
        match lock(&asking.carried).last().unwrap().as_str() {
            "Bearer token-0" => {}
            "Bearer token-1" => return Some(second),
            other => panic!("{other}"),
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_its_end() {
    for (test, expires_in, step, seconds) in [
        ("short", r#","expires_in":100"#, 1, 80),
        ("long", r#","expires_in":3600"#, 10, 3_540),
        ("text", r#","expires_in":"10""#, 1, 8),
        ("unknown", "", 1, 300),
        ("year", r#","expires_in":31536000"#, 100, 86_400),
    ] {
        assert_eq!(renewed_after(test, expires_in, step).await, Some(seconds), "{test}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_over_at_once_is_used_once() {
    let asking = asking("once", r#","expires_in":0"#);
    let url = Url::parse("http://host.test/detail/7").unwrap();
    for _ in 0..3 {
        asking.requester.get(&url, Get::Detail).await.0.unwrap();
    }
    assert_eq!(*lock(&asking.carried), ["Bearer token-0", "Bearer token-1", "Bearer token-2"]);
    let form = "grant_type=client_credentials&scope=read%3Acows+%24%7Bx%7D&audience=cows";
    assert!(lock(&asking.forms).iter().all(|asked| asked == form), "{:?}", lock(&asking.forms));
}
