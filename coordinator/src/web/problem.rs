//! Errors after RFC 9457: what a service answers as a status is mapped here, once.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The media type.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";
/// What a problem's type begins with; its reason follows.
pub(super) const TYPE: &str = "urn:muster:problem:";

/// Something that did not go well.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub status: StatusCode,
    /// A stable name, such as `RUN_UNKNOWN`; empty: the status says it all.
    pub reason: String,
    /// In words.
    pub detail: String,
    /// What the reason comes with, such as the roles that will do.
    pub more: Vec<(String, String)>,
    /// Methods that a place knows.
    pub allow: Option<String>,
}

impl Problem {
    pub fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self { status, reason: reason.to_owned(), detail: detail.into(), more: Vec::new(), allow: None }
    }

    /// A request that makes no sense.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "REQUEST_INVALID", detail)
    }

    /// The members of the document.
    pub fn json(&self) -> Value {
        let title = match self.reason.as_str() {
            "" => self.status.canonical_reason().unwrap_or_default().to_owned(),
            reason => in_words(reason),
        };
        let kind = match self.reason.as_str() {
            "" => "about:blank".to_owned(),
            reason => format!("{TYPE}{reason}"),
        };
        let mut members = Map::new();
        for (name, value) in &self.more {
            members.insert(name.clone(), json!(value));
        }
        for (name, value) in [
            ("type", json!(kind)),
            ("title", json!(title)),
            ("status", json!(self.status.as_u16())),
            ("detail", json!(self.detail)),
            ("reason", json!(self.reason)),
        ] {
            members.insert(name.to_owned(), value);
        }
        Value::Object(members)
    }
}

/// `RUN_UNKNOWN` as `Run unknown`.
fn in_words(reason: &str) -> String {
    let mut text = reason.to_ascii_lowercase().replace('_', " ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let info = status.get_error_details();
        let info = info.error_info();
        let mut more: Vec<_> = info.iter().flat_map(|info| info.metadata.clone()).collect();
        more.sort();
        Self {
            status: status_code(status.code()),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            detail: status.message().to_owned(),
            more,
            allow: None,
        }
    }
}

/// What HTTP calls it.
fn status_code(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        // All three: the request is fine, and not in this state of things.
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.json())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::status;

    #[test]
    fn a_status_becomes_a_problem_with_its_reason() {
        let problem = Problem::from(status(Code::NotFound, "RUN_UNKNOWN", "there is no run \"x\""));
        assert_eq!(
            problem.json(),
            json!({
                "type": "urn:muster:problem:RUN_UNKNOWN",
                "title": "Run unknown",
                "status": 404,
                "detail": "there is no run \"x\"",
                "reason": "RUN_UNKNOWN",
            })
        );
        let plain = Problem::from(Status::internal("no randomness"));
        assert_eq!(plain.json()["type"], "about:blank");
        assert_eq!(plain.json()["title"], "Internal Server Error");
    }

    #[test]
    fn every_code_that_a_service_answers_has_a_status() {
        let table = [
            (Code::InvalidArgument, 400),
            (Code::Unauthenticated, 401),
            (Code::PermissionDenied, 403),
            (Code::NotFound, 404),
            (Code::AlreadyExists, 409),
            (Code::FailedPrecondition, 409),
            (Code::Unavailable, 503),
            (Code::DeadlineExceeded, 504),
            (Code::Internal, 500),
        ];
        for (code, expected) in table {
            assert_eq!(status_code(code).as_u16(), expected, "{code:?}");
        }
    }
}
