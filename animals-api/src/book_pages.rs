//! The book over HTTP: `/book` and what is below it. Never meets chaos, latency or limits, and is not counted.

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::book::{Book, Lines};
use crate::changes::Change;
use crate::herd::Fate;

/// Knobs are short.
const MOST_BYTES: usize = 64 << 10;

pub(crate) async fn answer(api: &Arc<Api>, request: Request<Incoming>) -> Answer {
    let (method, path) = (request.method(), request.uri().path());
    match (path.strip_prefix("/book").unwrap_or(path).trim_matches('/'), method) {
        ("", &Method::GET) => good(&json!(api.book.summary())),
        ("", &Method::DELETE) => {
            api.book.reset();
            good(&json!(api.book.summary()))
        }
        ("", _) => answer::not_allowed("GET, DELETE"),
        ("accepted", &Method::GET) => answer::lines(Lines::accepted(api.book.clone())),
        ("posts", &Method::GET) => answer::lines(Lines::posts(api.book.clone())),
        ("knobs", &Method::GET) => good(&json!(api.knobs())),
        ("knobs", &Method::POST) => turn(api, request).await,
        ("knobs", _) => answer::not_allowed("GET, POST"),
        ("changes", &Method::POST) => change(api, request).await,
        ("changes", _) => answer::not_allowed("POST"),
        (path, method) => match path.strip_prefix("animals/").map(str::parse) {
            Some(Ok(id)) if method == Method::GET => {
                page(&api.book, id).map_or_else(answer::not_found, |page| good(&page))
            }
            Some(Ok(_)) => answer::not_allowed("GET"),
            _ if matches!(path, "accepted" | "posts") => answer::not_allowed("GET"),
            _ => answer::not_found(),
        },
    }
}

fn good(page: &Value) -> Answer {
    answer::json(StatusCode::OK, page.to_string())
}

async fn change(api: &Arc<Api>, request: Request<Incoming>) -> Answer {
    let read = match Limited::new(request.into_body(), MOST_BYTES).collect().await {
        Ok(change) => serde_json::from_slice(&change.to_bytes()).map_err(|error| error.to_string()),
        Err(_) => Err("the body could not be read".to_owned()),
    };
    let read: Result<Change, String> = read;
    match read {
        Ok(change) => {
            api.change(&change);
            good(&json!(change))
        }
        Err(why) => answer::json(StatusCode::UNPROCESSABLE_ENTITY, json!({ "detail": why }).to_string()),
    }
}

async fn turn(api: &Arc<Api>, request: Request<Incoming>) -> Answer {
    let changed = match Limited::new(request.into_body(), MOST_BYTES).collect().await {
        Ok(change) => api.turn(|knobs| knobs.changed(&change.to_bytes())),
        Err(_) => Err("the body could not be read".to_owned()),
    };
    match changed {
        Ok(knobs) => good(&json!(knobs)),
        Err(why) => answer::json(StatusCode::UNPROCESSABLE_ENTITY, json!({ "detail": why }).to_string()),
    }
}

/// All that is known of one animal; nothing if there is none and none was accepted.
fn page(book: &Book, id: u64) -> Option<Value> {
    let (animal, entry) = (book.animal(id), book.entry(id));
    if animal.is_none() && entry.is_none() {
        return None;
    }
    let expected = match book.fate(id) {
        Some(Fate::Sound) => animal.and_then(|animal| serde_json::from_str(&animal.loaded_json()).ok()),
        _ => None,
    };
    let mut page = json!({
        "id": id,
        "fate": book.fate(id).map(|fate| format!("{fate:?}").to_lowercase()),
        "listed": book.was_listed(id),
        "fetched": book.was_fetched(id),
        "expected": expected.unwrap_or(Value::Null),
        "times": 0, "wrong": 0, "keys": [], "posts": [], "hashes": [], "payloads": [],
    });
    if let Some(Value::Object(fields)) = entry.map(|entry| json!(entry)) {
        for (name, value) in fields {
            page[name] = value;
        }
    }
    Some(page)
}
