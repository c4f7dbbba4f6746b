//! What stands between a browser and the coordinator. A browser sends requests that its user did not mean: because a page of
//! another site says so, or under a name that somebody else has pointed at this machine. What it may not do is refused here,
//! for pages and the API alike; who may do what is for the judge behind.

mod host;
mod origin;
mod session;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

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
    let mut response = match refusal(&site, &request) {
        Some(problem) => {
            tracing::debug!(reason = problem.detail, "a request was refused");
            problem.into_response()
        }
        None => {
            if session::bring_in(request.headers_mut(), site.access.has_tls()) {
                request.extensions_mut().insert(InSession);
            }
            next.run(request).await
        }
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn refusal(site: &Site, request: &Request) -> Option<Problem> {
    let authority = match host::named(request) {
        Ok(authority) => authority,
        Err(problem) => return Some(problem),
    };
    let ours = &site.options.hosts;
    host::refusal(authority, ours).or_else(|| origin::refusal(request.method(), request.headers(), authority, ours))
}
