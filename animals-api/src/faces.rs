//! The list with other faces, under `/zoo/v1/list/{face}`: not of the real API, but what other APIs offer. The same
//! animals in the same order, which turns as the list itself does.

use std::borrow::Cow;

use http::header::{HOST, LINK};
use http::{HeaderName, HeaderValue, Request, StatusCode};

use crate::answer::{self, Answer};
use crate::herd::Herd;
use crate::refusal;
use crate::route::decoded;

/// The path above the faces.
pub(crate) const FACES: &str = "/zoo/v1/list";
const NEXT_TOKEN: HeaderName = HeaderName::from_static("x-next-token");
const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// How one page leads to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// `?offset=20&limit=10`; a limit beyond the page size counts as that.
    Offset,
    /// `?cursor=` what the page before has as `next_cursor`.
    Cursor,
    /// The page before has the next one's URL as `next`, without its host.
    Next,
    /// RFC 8288: the next one's whole URL is in the header `Link`; the body is the list itself.
    Link,
    /// `?token=` what the page before has in the header `x-next-token`.
    Token,
    /// All animals on one page.
    Single,
}

/// A call of a face.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    face: Face,
    /// The place of the first animal; nothing when the text is none.
    place: Option<u64>,
    limit: Option<u64>,
    host: String,
}

impl Asked {
    /// The face at a path, if there is one.
    pub(crate) fn of<B>(request: &Request<B>) -> Option<Asked> {
        let (face, parameter) = match request.uri().path().strip_prefix(FACES)? {
            "/offset" => (Face::Offset, Some("offset")),
            "/cursor" => (Face::Cursor, Some("cursor")),
            "/next" => (Face::Next, Some("after")),
            "/link" => (Face::Link, Some("after")),
            "/token" => (Face::Token, Some("token")),
            "/single" => (Face::Single, None),
            _ => return None,
        };
        let query = request.uri().query().unwrap_or_default();
        let value = |name: &str| {
            let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            pairs.find(|(known, _)| decoded(known) == name).map(|(_, value)| decoded(value))
        };
        // What is called a cursor or a token is nobody's number.
        let opaque = matches!(face, Face::Cursor | Face::Token);
        let place = |text: Cow<'_, str>| match opaque {
            true => text.strip_prefix("at=")?.parse().ok(),
            false => text.parse().ok(),
        };
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        Some(Asked {
            face,
            place: parameter.and_then(value).map_or(Some(0), place),
            limit: value("limit").and_then(|limit| limit.parse().ok()),
            host: host.to_owned(),
        })
    }

    /// The page that was asked for.
    pub(crate) fn answer(&self, herd: &Herd, shift: i64, listed: impl FnMut(u64)) -> Answer {
        let Some(place) = self.place else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_integer("query", "place"));
        };
        let size = match self.face {
            Face::Single => herd.len,
            Face::Offset => self.limit.unwrap_or(herd.page_size).min(herd.page_size),
            _ => herd.page_size,
        };
        let end = place.saturating_add(size).min(herd.len);
        let next = (end < herd.len).then_some(end);
        let items = String::from_utf8(herd.write_items(place.min(end)..end, shift, listed)).unwrap_or_default();
        let total = herd.len;
        let ok = |body: String| answer::json(StatusCode::OK, body);
        match self.face {
            Face::Offset => ok(format!(r#"{{"total":{total},"offset":{place},"items":{items}}}"#)),
            Face::Single => ok(format!(r#"{{"items":{items}}}"#)),
            Face::Cursor => {
                let next = next.map_or("null".to_owned(), |next| format!("\"at={next}\""));
                ok(format!(r#"{{"total":{total},"items":{items},"next_cursor":{next}}}"#))
            }
            Face::Next => {
                let next = next.map_or("null".to_owned(), |next| format!("\"{FACES}/next?after={next}\""));
                ok(format!(r#"{{"count":{total},"next":{next},"items":{items}}}"#))
            }
            Face::Link => {
                let first = format!("<http://{}{FACES}/link>; rel=\"first\"; title=\"one, two\"", self.host);
                let link = match next {
                    Some(next) => format!("{first}, <http://{}{FACES}/link?after={next}>; rel=\"next\"", self.host),
                    None => first,
                };
                with(ok(items), LINK, &link)
            }
            Face::Token => {
                let counted = with(ok(format!(r#"{{"items":{items}}}"#)), TOTAL_COUNT, &total.to_string());
                next.into_iter().fold(counted, |answer, next| with(answer, NEXT_TOKEN, &format!("at={next}")))
            }
        }
    }
}

fn with(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}
