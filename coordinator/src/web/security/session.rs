//! Sessions of browsers where the coordinator asks who comes.
//!
//! The cookie holds the token itself: so any coordinator on the same ledger takes it, none has to remember it, and whoever
//! takes the entry out of the access file ends the session with it. Scripts cannot read it, pages of other sites cannot have
//! it sent, it goes with the browser, and it never stands in a URL.

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// A browser takes a cookie of the first name from nobody else on the host, and only over TLS.
fn name(tls: bool) -> &'static str {
    if tls { "__Host-muster" } else { "muster" }
}

/// A mark on requests that come in a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InSession;

/// The token of a session, as if it had been sent with the request. Tells whether there is one.
pub(super) fn bring_in(headers: &mut HeaderMap, tls: bool) -> bool {
    let token = match headers.contains_key(AUTHORIZATION) {
        true => None,
        // What ends TLS may stand in front of us; over TLS of our own, only what came by it will do.
        false => token(headers, name(true)).or_else(|| if tls { None } else { token(headers, name(false)) }),
    };
    // What is behind has no use for it.
    headers.remove(COOKIE);
    let bearer = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let Some(mut bearer) = bearer else { return false };
    bearer.set_sensitive(true);
    headers.insert(AUTHORIZATION, bearer);
    true
}

fn token(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut ours = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(given, _)| *given == name);
    match (ours.next(), ours.next()) {
        (Some((_, token)), None) => percent_decode_str(token).decode_utf8().ok().map(Into::into),
        // Two of them: one was set by somebody else.
        _ => None,
    }
}

/// What begins a session with a token.
pub(crate) fn started(token: &str, tls: bool) -> Option<HeaderValue> {
    cookie(&utf8_percent_encode(token, NON_ALPHANUMERIC).to_string(), tls, "")
}

/// What ends it.
pub(crate) fn ended(tls: bool) -> Option<HeaderValue> {
    cookie("", tls, "; Max-Age=0")
}

fn cookie(value: &str, tls: bool, more: &str) -> Option<HeaderValue> {
    let secure = if tls { "; Secure" } else { "" };
    let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}", name(tls));
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(cookies: &[&str], tls: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, cookie.parse().unwrap());
        }
        bring_in(&mut headers, tls);
        assert!(!headers.contains_key(COOKIE));
        headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_session_brings_its_token() {
        let set = started("mst_a b;", true).unwrap();
        let set = set.to_str().unwrap();
        assert_eq!(set, "__Host-muster=mst%5Fa%20b%3B; Path=/; HttpOnly; SameSite=Strict; Secure");
        let pair = set.split(';').next().unwrap();
        assert_eq!(brought(&["a=b", pair], true).as_deref(), Some("Bearer mst_a b;"));
        assert_eq!(brought(&[pair], false).as_deref(), Some("Bearer mst_a b;"), "TLS ends in front of us");
        assert_eq!(brought(&["muster=x"], true), None, "it did not come by TLS");
        assert_eq!(brought(&["muster=x", pair], false).as_deref(), Some("Bearer mst_a b;"));
        assert_eq!(brought(&["muster=x; other=y"], false).as_deref(), Some("Bearer x"));
        assert_eq!(brought(&["muster=x; muster=y"], false), None);
        assert_eq!(brought(&["muster=%0a"], false), None, "no header can be smuggled in");
    }

    #[test]
    fn who_shows_a_token_is_not_somebody_else_by_his_cookie() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, "muster=x".parse().unwrap());
        headers.insert(AUTHORIZATION, "Bearer y".parse().unwrap());
        bring_in(&mut headers, false);
        assert_eq!(headers[AUTHORIZATION], "Bearer y");
    }
}
