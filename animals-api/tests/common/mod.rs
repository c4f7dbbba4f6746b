//! A stand-in of one's own, and a client.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::time::Duration;

use animals_api::{Book, Config, Server};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

pub struct Zoo {
    pub server: Server,
    pub book: Arc<Book>,
    pub client: Client,
}

/// What came back, read to the end.
#[derive(Debug)]
pub struct Came {
    pub status: u16,
    pub kind: String,
    pub server: String,
    pub text: String,
}

impl Came {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Status and body in one, for one assertion.
    pub fn said(&self) -> (u16, &str) {
        (self.status, &self.text)
    }
}

impl Zoo {
    pub fn open(config: Config) -> Zoo {
        let server = Server::start(config, ([127, 0, 0, 1], 0).into()).expect("a free port");
        // Ignores an error: another test of this process was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().expect("a client");
        Zoo { book: server.book(), server, client }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.server.base_url()))
    }

    pub async fn get(&self, path: &str) -> Came {
        read(self.request(Method::GET, path).send().await.expect("an answer")).await
    }

    pub fn posting(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.request(Method::POST, "/animals/v1/home");
        request.header("content-type", "application/json").body(body)
    }

    pub async fn post(&self, body: impl Into<reqwest::Body>) -> Came {
        read(self.posting(body).send().await.expect("an answer")).await
    }

    /// Posts these animals as a correct client would.
    pub async fn load(&self, ids: impl IntoIterator<Item = u64>) -> Came {
        self.post(self.batch(ids)).await
    }

    pub fn batch(&self, ids: impl IntoIterator<Item = u64>) -> String {
        let animals: Vec<String> =
            ids.into_iter().map(|id| self.book.animal(id).expect("an animal").loaded_json()).collect();
        format!("[{}]", animals.join(","))
    }

    /// Waits for the book, but not for ever.
    pub async fn until(&self, done: impl FnMut(&Book) -> bool) {
        tokio::time::timeout(Duration::from_secs(30), self.book.until(done)).await.expect("it happens in time");
    }
}

pub async fn read(response: Response) -> Came {
    let header = |name: &str| {
        response.headers().get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
    };
    Came {
        status: response.status().as_u16(),
        kind: header("content-type"),
        server: header("server"),
        text: response.text().await.expect("a body"),
    }
}
