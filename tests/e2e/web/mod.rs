//! The coordinator's HTTP side: its API, its pages, and what it refuses.

mod api;
mod attacked;
mod browsed;
mod described;
mod embedded;
mod forged;
mod looked_at;
mod shut;
mod signed_in;
mod started;

use std::path::Path;

use muster_tests::cluster::{Cluster, free_port};
use muster_tests::deadline::within;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

/// A coordinator that serves HTTP.
struct Site {
    cluster: Cluster,
    /// `127.0.0.1:PORT`.
    address: String,
    client: Client,
    /// Sent with every request.
    token: Option<String>,
}

/// What came of a request.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    kind: String,
    text: String,
    headers: reqwest::header::HeaderMap,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same, of an answer that says that all went well.
    fn fine(&self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.json()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

impl Site {
    async fn start(folder: &Path) -> Site {
        Site::with(folder, &[]).await
    }

    async fn with(folder: &Path, flags: &[&str]) -> Site {
        let address = format!("127.0.0.1:{}", free_port());
        let own = ["--http-listen", &address];
        let cluster = Cluster::with(folder, &[&own, flags].concat(), &[]).await;
        Site { cluster, address, client: client(), token: None }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request with these headers as well.
    async fn ask(&self, method: Method, path: &str, body: Option<&str>, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.request(method, self.url(path));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body.to_owned());
        }
        let answer = within("an answer", request.send()).await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let kind = headers.get("content-type").map(|kind| kind.to_str().expect("text").to_owned()).unwrap_or_default();
        let text = within("the whole answer", answer.text()).await.expect("the whole answer");
        Answer { status, kind, text, headers }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None, &[]).await
    }

    /// Sends JSON.
    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, Some(&body.to_string()), &[("content-type", "application/json")]).await
    }

    /// Sends a form, as a browser does from a page of this site.
    async fn submit(&self, path: &str, body: &str) -> Answer {
        let origin = self.url("");
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", origin.as_str())];
        self.ask(Method::POST, path, Some(body), &headers).await
    }
}

/// It follows no redirect: where one leads is for the test to see.
fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.build().expect("a client")
}
