//! Answers as uvicorn and FastAPI give them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, SERVER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};

use crate::book::Lines;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it; nothing once it was read.
    Whole(Option<Bytes>),
    /// Piece by piece.
    Lines(Lines),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Body::Whole(whole) => whole.take(),
            Body::Lines(lines) => lines.next(),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(whole) => SizeHint::with_exact(whole.as_ref().map_or(0, Bytes::len) as u64),
            Body::Lines(_) => SizeHint::default(),
        }
    }
}

pub(crate) type Answer = Response<Body>;

const UVICORN: HeaderValue = HeaderValue::from_static("uvicorn");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

fn answer(status: StatusCode, kind: HeaderValue, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(SERVER, UVICORN);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, JSON, Body::Whole(Some(body.into())))
}

pub(crate) fn text(status: StatusCode, body: &'static str) -> Answer {
    answer(status, TEXT, Body::Whole(Some(Bytes::from_static(body.as_bytes()))))
}

pub(crate) fn html(body: &'static str) -> Answer {
    answer(StatusCode::OK, HTML, Body::Whole(Some(Bytes::from_static(body.as_bytes()))))
}

pub(crate) fn lines(lines: Lines) -> Answer {
    answer(StatusCode::OK, NDJSON, Body::Lines(lines))
}

/// `{"detail":"..."}`; the text must not need escapes.
pub(crate) fn detail(status: StatusCode, detail: &'static str) -> Answer {
    json(status, format!("{{\"detail\":\"{detail}\"}}"))
}

pub(crate) fn not_found() -> Answer {
    detail(StatusCode::NOT_FOUND, "Not Found")
}

pub(crate) fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// FastAPI sends a path with a slash too many to the one without.
pub(crate) fn elsewhere(location: HeaderValue) -> Answer {
    let mut answer = Response::new(Body::Whole(None));
    *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    answer.headers_mut().insert(SERVER, UVICORN);
    answer.headers_mut().insert(LOCATION, location);
    answer
}

/// Says how to tell who asks.
pub(crate) fn with_challenge(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

pub(crate) fn internal_error() -> Answer {
    text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

pub(crate) fn sorry(status: StatusCode) -> Answer {
    text(status, "Sorry!")
}

/// 429: come back after so many seconds, at least one.
pub(crate) fn too_many(seconds: u64) -> Answer {
    let mut answer = detail(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    answer
}
