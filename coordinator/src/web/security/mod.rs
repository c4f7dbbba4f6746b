//! What stands between a browser and the coordinator. A browser sends requests that its user did not mean: because a page of
//! another site says so, or under a name that somebody else has pointed at this machine. What it may not do is refused here,
//! for pages and the API alike; who may do what is for the judge behind.

mod host;
mod origin;
mod session;

use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

pub(super) use origin::is_over_tls;
pub(super) use session::{InSession, ended, started};

use super::problem::Problem;
use super::site::Site;

/// What every answer says of itself to a browser.
const HEADERS: [(HeaderName, &str); 8] = [
    // Scripts, styles and pictures are files of this program, and nobody shows its pages within his.
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not `no-referrer`: with that, a browser does not tell the origin of a form that is posted either.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    (header::CACHE_CONTROL, "no-store"),
];

/// In front of everything that people or their browsers ask for.
pub(super) async fn guard(State(site): State<Site>, mut request: Request, next: Next) -> Response {
    let response = match refusal(&site, &request) {
        Some(problem) => {
            tracing::debug!(reason = problem.detail, "a request was refused");
            problem.into_response()
        }
        None => {
            let session = session::bring_in(request.headers_mut(), &site.access);
            let Some(session) = session else { return marked(next.run(request).await) };
            request.extensions_mut().insert(session);
            until_it_ends(next.run(request).await, session)
        }
    };
    marked(response)
}

fn marked(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// What is followed ends with the session in which it was asked for.
fn until_it_ends(response: Response, session: InSession) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        return response;
    }
    let left = session.ends.duration_since(SystemTime::now()).unwrap_or_default();
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(tokio::time::sleep(left))))
}

fn refusal(site: &Site, request: &Request) -> Option<Problem> {
    let authority = match host::named(request) {
        Ok(authority) => authority,
        Err(problem) => return Some(problem),
    };
    let ours = &site.options.hosts;
    host::refusal(authority, ours).or_else(|| origin::refusal(request.method(), request.headers(), authority, ours))
}

#[cfg(test)]
mod tests {
    use axum::response::sse::{Event, Sse};
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn what_is_followed_ends_with_the_session() {
        let first = stream::iter([Ok::<_, std::convert::Infallible>(Event::default().data("news"))]);
        let response = Sse::new(first.chain(stream::pending())).into_response();
        let ends = SystemTime::now() + std::time::Duration::from_millis(20);
        let body = until_it_ends(response, InSession { ends }).into_body();
        assert_eq!(axum::body::to_bytes(body, 1_000).await.unwrap(), "data: news\n\n");
    }
}
