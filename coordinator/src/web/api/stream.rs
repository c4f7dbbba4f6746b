//! Answers that do not end at once: server-sent events, and lines of JSON.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use prost_reflect::DynamicMessage;
use serde_json::Value;
use tonic::Status;

use super::super::problem::Problem;

/// The media type of lines.
pub(super) const LINES: &str = "application/x-ndjson";

/// A field of each message as an event of its name; a problem, which is the last, as one called `problem`.
pub(super) fn events(
    field: &'static str,
    messages: impl Stream<Item = Result<DynamicMessage, Status>> + Send + 'static,
) -> Response {
    let events = messages.map(move |message| {
        let (name, value) = match message {
            Ok(message) => (field, super::field(&message, field)),
            Err(status) => ("problem", Problem::from(status).json()),
        };
        Ok::<_, Infallible>(Event::default().event(name).data(value.to_string()))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// The items in a field of each message, a line each. What goes wrong on the way breaks the answer off, so that nobody
/// takes a part for the whole.
pub(super) fn lines(
    field: &'static str,
    messages: impl Stream<Item = Result<DynamicMessage, Status>> + Send + 'static,
) -> Response {
    let lines = messages.map(move |message| {
        let message = message.map_err(|status| std::io::Error::other(status.message().to_owned()))?;
        let Value::Array(items) = super::field(&message, field) else { return Ok(Bytes::new()) };
        let mut text = String::new();
        for item in items {
            text.push_str(&item.to_string());
            text.push('\n');
        }
        Ok::<_, std::io::Error>(Bytes::from(text))
    });
    ([(header::CONTENT_TYPE, LINES)], Body::from_stream(lines)).into_response()
}
