//! Answers that do not end at once: server-sent events, and lines of JSON.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::unfold;
use futures::{Stream, StreamExt};
use prost_reflect::DynamicMessage;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
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
    following(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// Events as an answer that proxies pass on as they come (nginx keeps them otherwise).
pub(in crate::web) fn following(events: impl IntoResponse) -> Response {
    ([(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))], events).into_response()
}

/// The messages, the last of which is an error where `stop` comes before their end: what merely ended would look whole.
pub(super) fn broken_off(
    messages: impl Stream<Item = Result<DynamicMessage, Status>> + Send + 'static,
    stop: CancellationToken,
) -> impl Stream<Item = Result<DynamicMessage, Status>> + Send + 'static {
    unfold(Some((Box::pin(messages), stop)), |at| async move {
        let (mut messages, stop) = at?;
        let next = stop.run_until_cancelled(messages.next()).await;
        match next {
            Some(message) => message.map(|message| (message, Some((messages, stop)))),
            None => Some((Err(Status::unavailable("this coordinator ends: ask again")), None)),
        }
    })
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

#[cfg(test)]
mod tests {
    use futures::stream;
    use muster_proto::v1::{ExportLedgerResponse, LedgerRow};
    use prost::Message as _;

    use super::super::call;
    use super::*;

    fn message(id: &str) -> DynamicMessage {
        let rows = vec![LedgerRow { record_id: id.to_owned(), ..LedgerRow::default() }];
        let bytes = ExportLedgerResponse { rows }.encode_to_vec();
        let described = call::method("muster.v1.AuditService/ExportLedger").unwrap().output();
        DynamicMessage::decode(described, bytes.as_slice()).unwrap()
    }

    async fn read(
        messages: impl Stream<Item = Result<DynamicMessage, Status>> + Send + 'static,
    ) -> Result<Bytes, axum::Error> {
        axum::body::to_bytes(lines("rows", messages).into_body(), usize::MAX).await
    }

    #[tokio::test]
    async fn a_part_is_not_taken_for_the_whole() {
        let stop = CancellationToken::new();
        let whole = stream::iter([Ok(message("1")), Ok(message("2"))]);
        assert_eq!(
            read(broken_off(whole, stop.clone())).await.unwrap().iter().filter(|byte| **byte == b'\n').count(),
            2
        );
        let part = stream::iter([Ok(message("1"))]).chain(stream::pending());
        stop.cancel();
        assert!(read(broken_off(part, stop)).await.is_err());
    }
}
