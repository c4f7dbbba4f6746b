//! A tiny source and target over real HTTP, which answers as the test says and keeps what it was sent.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch;

/// One POST as it came.
#[derive(Clone, Debug)]
pub struct Post {
    pub body: Bytes,
    pub key: String,
    pub ids: Vec<u64>,
}

type Special = Box<dyn Fn(u64) -> Option<(u16, &'static str)> + Send>;
type Asked = Box<dyn FnMut(u64) -> (u16, &'static str) + Send>;
type Answer = Box<dyn FnMut(&[u64]) -> (u16, &'static str) + Send>;

pub struct Api {
    /// IDs whose detail waits for the gate.
    pub held: Mutex<BTreeSet<u64>>,
    /// Answers of the source, other than a sound record.
    pub special: Mutex<Special>,
    /// What the target answers.
    pub answer: Mutex<Answer>,
    /// What the target answers when it is asked whether it has a record.
    pub asked: Mutex<Asked>,
    /// IDs that it was asked for.
    pub probes: watch::Sender<Vec<u64>>,
    /// Whether the target answers at all.
    pub target_open: watch::Sender<bool>,
    pub source_open: watch::Sender<bool>,
    pub fetching: watch::Sender<Vec<u64>>,
    pub posts: watch::Sender<Vec<Post>>,
}

/// Statuses that come with a `Retry-After`, and its seconds.
const RETRY_AFTER: [(u16, u16); 2] = [(429, 60), (503, 1)];

pub const HELPED: (u16, &str) = (200, r#"{"message":"Helped some find home"}"#);

pub const PRESENT: (u16, &str) = (200, "{}");
pub const ABSENT: (u16, &str) = (404, r#"{"detail":"Not Found"}"#);

impl Api {
    /// Serves on a free port; gives the API and its URL.
    pub async fn start() -> (Arc<Self>, String) {
        Self::serve(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// Serves where `listener` listens; gives the API and its URL.
    pub fn serve(listener: tokio::net::TcpListener) -> (Arc<Self>, String) {
        let api = Arc::new(Self {
            held: Mutex::default(),
            special: Mutex::new(Box::new(|_| None)),
            answer: Mutex::new(Box::new(|_| HELPED)),
            asked: Mutex::new(Box::new(|_| ABSENT)),
            probes: watch::Sender::default(),
            target_open: watch::Sender::new(true),
            source_open: watch::Sender::new(false),
            fetching: watch::Sender::default(),
            posts: watch::Sender::default(),
        });
        let router = Router::new()
            .route("/animals/v1/animals/{id}", get(animal))
            .route("/animals/v1/home", post(home))
            .route("/animals/v1/home/{id}", get(asked))
            .with_state(Arc::clone(&api));
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (api, url)
    }

    pub fn posts(&self) -> Vec<Post> {
        self.posts.borrow().clone()
    }

    /// All IDs posted, in the order of arrival.
    pub fn ids(&self) -> Vec<u64> {
        self.posts().iter().flat_map(|post| post.ids.clone()).collect()
    }

    /// Waits until so many POSTs have arrived.
    pub async fn posted(&self, count: usize) {
        let mut posts = self.posts.subscribe();
        let arrived = posts.wait_for(|posts| posts.len() >= count);
        tokio::time::timeout(std::time::Duration::from_secs(30), arrived).await.unwrap().unwrap();
    }

    /// Waits until the source was asked for this record.
    pub async fn asked_for(&self, id: u64) {
        let mut fetching = self.fetching.subscribe();
        let asked = fetching.wait_for(|ids| ids.contains(&id));
        tokio::time::timeout(std::time::Duration::from_secs(30), asked).await.unwrap().unwrap();
    }
}

async fn animal(State(api): State<Arc<Api>>, Path(id): Path<u64>) -> Response {
    api.fetching.send_modify(|ids| ids.push(id));
    if api.held.lock().unwrap().contains(&id) {
        let _ = api.source_open.subscribe().wait_for(|open| *open).await;
    }
    let special = (api.special.lock().unwrap())(id);
    let sound = format!(r#"{{"id":{id},"name":"Cobra","born_at":1444102907778,"friends":"Dog,Cat"}}"#);
    let (status, body) = special.map_or((200, sound), |(status, body)| (status, body.to_owned()));
    answer(status, body)
}

async fn home(State(api): State<Arc<Api>>, headers: HeaderMap, body: Bytes) -> Response {
    let animals: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
    let ids: Vec<u64> = animals.iter().map(|animal| animal["id"].as_u64().unwrap()).collect();
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let (status, said) = (api.answer.lock().unwrap())(&ids);
    api.posts.send_modify(|posts| posts.push(Post { body, key, ids }));
    let _ = api.target_open.subscribe().wait_for(|open| *open).await;
    answer(status, said.to_owned())
}

async fn asked(State(api): State<Arc<Api>>, Path(id): Path<u64>) -> Response {
    api.probes.send_modify(|ids| ids.push(id));
    let (status, said) = (api.asked.lock().unwrap())(id);
    let _ = api.target_open.subscribe().wait_for(|open| *open).await;
    answer(status, said.to_owned())
}

fn answer(status: u16, body: String) -> Response {
    let kind = if body.starts_with('<') { "text/html" } else { "application/json" };
    let mut response = (StatusCode::from_u16(status).unwrap(), [("content-type", kind)], body).into_response();
    if let Some(seconds) = RETRY_AFTER.iter().find(|(known, _)| *known == status).map(|(_, seconds)| *seconds) {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    response
}
