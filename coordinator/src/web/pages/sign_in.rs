//! Signing in, where the coordinator asks who comes.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::super::inside::Caller;
use super::super::security;
use super::super::site::Site;
use super::form::{Fields, Values};
use super::frame::Frame;
use crate::access::Refused;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    frame: Frame,
    next: String,
    trouble: Option<String>,
}

/// What whoever may not read is shown: a form for people, words for programs.
pub(in crate::web) fn refused(refused: Refused, request: &Request) -> Response {
    let status = match refused {
        Refused::Role { .. } => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    };
    let wants_html = |accept: &HeaderValue| accept.to_str().is_ok_and(|accept| accept.contains("text/html"));
    // What a form was to do is not done by going there.
    let asked = request.uri().path_and_query().filter(|_| request.method() == Method::GET);
    let next = asked.map_or("/", http::uri::PathAndQuery::as_str);
    let mut response = match request.headers().get(header::ACCEPT) {
        Some(accept) if wants_html(accept) => {
            // Whoever brings nothing has just come; that is no mistake of his.
            let trouble = (refused != Refused::Missing).then(|| refused.words());
            form(status, next, trouble)
        }
        _ => (status, refused.words() + "\n").into_response(),
    };
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn form(status: StatusCode, next: &str, trouble: Option<String>) -> Response {
    let page = SignIn { frame: Frame::bare("Sign in"), next: next.to_owned(), trouble };
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// `GET /sign-in`: the form, where there is anything to sign in to.
pub(in crate::web) async fn ask_in(State(site): State<Site>) -> Response {
    if site.access.asks() { form(StatusCode::OK, "/", None) } else { Redirect::to("/").into_response() }
}

/// `POST /sign-in`: a good token begins a session.
pub(in crate::web) async fn sign_in(
    State(site): State<Site>,
    caller: Caller,
    headers: HeaderMap,
    Fields(fields): Fields,
) -> Response {
    let tls = site.access.has_tls() || security::is_over_tls(&headers);
    let next = own_page(fields.value("next"));
    let token = fields.value("token");
    let mut headers = HeaderMap::new();
    if let Ok(mut bearer) = HeaderValue::try_from(format!("Bearer {token}")) {
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
    }
    match site.access.may_read(&headers, caller.guest()) {
        Ok(()) => {}
        // No header can hold it, or nothing was typed.
        Err(Refused::Missing) => return form(StatusCode::UNAUTHORIZED, next, Some(Refused::Unknown.words())),
        Err(refused @ Refused::Role { .. }) => return form(StatusCode::FORBIDDEN, next, Some(refused.words())),
        Err(refused) => return form(StatusCode::UNAUTHORIZED, next, Some(refused.words())),
    }
    let mut response = Redirect::to(next).into_response();
    if let Some(cookie) = security::started(token, &site.access, tls) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// `POST /sign-out`.
pub(in crate::web) async fn sign_out() -> Response {
    let mut response = Redirect::to("/").into_response();
    for cookie in [true, false].into_iter().filter_map(security::ended) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Where to go on: never away from here.
fn own_page(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n', '\t']);
    if is_path && !next.starts_with("/sign-") { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::own_page;

    #[test]
    fn whoever_signs_in_stays_here() {
        assert_eq!(own_page("/runs/a-1?page=2"), "/runs/a-1?page=2");
        for away in ["", "https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", "/sign-in"] {
            assert_eq!(own_page(away), "/", "{away}");
        }
    }
}
