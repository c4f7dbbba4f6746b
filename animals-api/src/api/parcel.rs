//! What a POST brings, before anybody looks into it.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::Api;
use crate::answer::{self, Answer};
use crate::book::count;
use crate::zoo_home::{Unfit, Visit};

/// What a POST brought besides its path.
pub(super) struct Parcel {
    pub(super) key: Option<Box<str>>,
    pub(super) authorization: Option<HeaderValue>,
    /// Its content type lets FastAPI read it as JSON.
    pub(super) is_json: bool,
    pub(super) body: Bytes,
    /// What was wrong with its form, before it was brought to that of the home.
    pub(super) unfit: Option<&'static str>,
}

impl Api {
    pub(super) async fn receive(&self, request: Request<Incoming>, visit: Option<&Visit>) -> Result<Parcel, Answer> {
        let (head, body) = request.into_parts();
        let too_large = || -> Answer {
            count(&self.book.tally.refused_413);
            answer::detail(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
        };
        match Limited::new(body, self.max_body).collect().await {
            Ok(body) => {
                let (headers, body) = (&head.headers, body.to_bytes());
                let authorization = headers.get(AUTHORIZATION).cloned();
                let Some(visit) = visit else {
                    let (key, is_json) = (key(headers), is_json(headers));
                    return Ok(Parcel { key, authorization, is_json, body, unfit: None });
                };
                let (body, unfit) = match visit.array(headers, &body, self.max_body) {
                    Ok(array) => (array, None),
                    Err(Unfit::TooLarge) => return Err(too_large()),
                    Err(Unfit::Form(what)) => (body, Some(what)),
                };
                Ok(Parcel { key: visit.key(headers), authorization, is_json: true, body, unfit })
            }
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            // The client broke off; nobody reads this.
            Err(_) => Err(answer::detail(StatusCode::BAD_REQUEST, "There was an error parsing the body")),
        }
    }
}

fn key(headers: &HeaderMap) -> Option<Box<str>> {
    headers.get("idempotency-key").map(|key| String::from_utf8_lossy(key.as_bytes()).into())
}

/// FastAPI reads JSON from a body without a content type, or with `application/json` or `application/*+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}
