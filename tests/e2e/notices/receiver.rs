//! A receiver of webhooks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use muster_tests::deadline::until_some;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

/// What signs for it.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Stands in the path of its URL, as in those of chat programs: nobody may ever say it.
pub const CANARY: &str = "canary-in-a-path";

/// What came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The message's ID.
    pub id: String,
    /// Its headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body as it came.
    pub raw: Vec<u8>,
    /// Its body.
    pub body: Value,
    /// What was answered.
    pub answered: u16,
}

#[derive(Default)]
struct Book {
    received: Vec<Received>,
    /// What is answered next; then `always`.
    answers: VecDeque<u16>,
    always: u16,
}

/// A server that takes webhooks.
pub struct Receiver {
    book: Arc<Mutex<Book>>,
    pub url: String,
}

impl Receiver {
    /// Answers these first, and 204 from then on.
    pub async fn start(answers: &[u16]) -> Receiver {
        let book = Book { answers: answers.iter().copied().collect(), always: 204, ..Book::default() };
        let book = Arc::new(Mutex::new(book));
        let routes = Router::new().route("/{*path}", post(receive)).with_state(Arc::clone(&book));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/{CANARY}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Receiver { book, url }
    }

    /// Where people see it go.
    pub fn host(&self) -> &str {
        self.url.trim_start_matches("http://").split('/').next().expect("a host")
    }

    /// From now on it answers this.
    pub fn always(&self, status: u16) {
        self.book.lock().expect("a book").always = status;
    }

    pub fn received(&self) -> Vec<Received> {
        self.book.lock().expect("a book").received.clone()
    }

    /// What it has accepted.
    pub fn accepted(&self) -> Vec<Received> {
        self.received().into_iter().filter(|message| message.answered < 300).collect()
    }

    /// Waits until so many have come.
    pub async fn has_received(&self, count: usize) -> Vec<Received> {
        until_some("messages come", async || Some(self.received()).filter(|all| all.len() >= count)).await
    }

    /// Waits until so many were accepted.
    pub async fn has_accepted(&self, count: usize) -> Vec<Received> {
        until_some("messages are accepted", async || Some(self.accepted()).filter(|all| all.len() >= count)).await
    }
}

/// Whoever signs wrongly is refused, which no test expects.
async fn receive(
    State(book): State<Arc<Mutex<Book>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let key = BASE64_STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("a key");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&body);
    let expected = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    let is_ours = header("webhook-signature").split(' ').any(|signature| signature == expected);
    let now = std::time::UNIX_EPOCH.elapsed().expect("a time").as_secs();
    let is_of_now = timestamp.parse::<u64>().is_ok_and(|at| at.abs_diff(now) < 300);
    let mut book = book.lock().expect("a book");
    let answered = match is_ours && is_of_now && header("content-type") == "application/json" {
        true => {
            let always = book.always;
            book.answers.pop_front().unwrap_or(always)
        }
        false => 401,
    };
    let all = headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let (raw, body) = (body.to_vec(), serde_json::from_slice(&body).unwrap_or_default());
    book.received.push(Received { id: id.to_owned(), headers: all.collect(), raw, body, answered });
    // Some servers say back what they were asked for.
    (StatusCode::from_u16(answered).expect("a status"), format!("so says {uri}"))
}
