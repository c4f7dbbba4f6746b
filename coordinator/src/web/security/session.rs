//! Sessions of browsers where the coordinator asks who comes.
//!
//! The cookie holds the token, sealed by whoever knows its hash: so any coordinator with the same access file takes it, none has
//! to remember it, it ends by itself, and whoever takes the entry out of the access file ends it too. Scripts cannot read it,
//! pages of other sites cannot have it sent, it goes with the browser, and it never stands in a URL.

use std::time::SystemTime;

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, HeaderValue};

use crate::access::Access;

/// A browser takes a cookie of the first name from nobody else on the host, and only over TLS.
fn name(tls: bool) -> &'static str {
    if tls { "__Host-muster" } else { "muster" }
}

/// A mark on requests that come in a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InSession {
    /// Not good after this.
    pub ends: SystemTime,
}

/// The token of a session, as if it had been sent with the request. Tells of the session, if there is one.
pub(super) fn bring_in(headers: &mut HeaderMap, access: &Access) -> Option<InSession> {
    let tls = access.has_tls();
    let sealed = match headers.contains_key(AUTHORIZATION) {
        true => None,
        // What ends TLS may stand in front of us; over TLS of our own, only what came by it will do.
        false => sealed(headers, name(true)).or_else(|| if tls { None } else { sealed(headers, name(false)) }),
    };
    let opened = sealed.and_then(|sealed| access.open(sealed));
    // What is behind has no use for it.
    headers.remove(COOKIE);
    let opened = opened?;
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", opened.token)).ok()?;
    bearer.set_sensitive(true);
    headers.insert(AUTHORIZATION, bearer);
    Some(InSession { ends: opened.ends })
}

fn sealed<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut ours = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(given, _)| *given == name);
    match (ours.next(), ours.next()) {
        (Some((_, sealed)), None) => Some(sealed),
        // Two of them: one was set by somebody else.
        _ => None,
    }
}

/// What begins a session with a token; none where nobody is asked for one.
pub(crate) fn started(token: &str, access: &Access, tls: bool) -> Option<HeaderValue> {
    cookie(&access.seal(token)?, tls, "")
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

    const NAMED: &str = "__Host-muster";

    fn found<'a>(headers: &'a mut HeaderMap, cookies: &[&str], name: &str) -> Option<&'a str> {
        for cookie in cookies {
            headers.append(COOKIE, cookie.parse().unwrap());
        }
        sealed(headers, name)
    }

    #[test]
    fn one_cookie_of_its_name_is_looked_at() {
        let found = |cookies: &[&str], name| found(&mut HeaderMap::new(), cookies, name).map(str::to_owned);
        let set = cookie("00ff", true, "").unwrap();
        let set = set.to_str().unwrap();
        assert_eq!(set, "__Host-muster=00ff; Path=/; HttpOnly; SameSite=Strict; Secure");
        let pair = set.split(';').next().unwrap();
        assert_eq!(found(&["a=b", pair], NAMED).as_deref(), Some("00ff"));
        assert_eq!(found(&["muster=x", pair], NAMED).as_deref(), Some("00ff"));
        assert_eq!(found(&["muster=x"], NAMED), None);
        assert_eq!(found(&["muster=x; other=y"], "muster").as_deref(), Some("x"));
        assert_eq!(found(&["muster=x; muster=y"], "muster"), None);
    }
}
