//! Requests that a page of another site made a browser send.
//!
//! A browser says so itself: in `Sec-Fetch-Site`, and in `Origin` with everything that may change something. Programs send
//! neither, and have no session that a page could abuse.

use axum::http::{HeaderMap, Method, StatusCode, header};

use super::super::problem::Problem;

/// Why a request is not answered, by where it was made.
pub(super) fn refusal(method: &Method, headers: &HeaderMap, authority: &str, ours: &[String]) -> Option<Problem> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let refused = |why: &str| {
        let detail = format!("{why}: open the page itself, and do it there");
        Some(Problem::new(StatusCode::FORBIDDEN, "CROSS_SITE", detail))
    };
    match said(headers, "sec-fetch-site") {
        Said::Once("same-origin" | "none") | Said::Nothing => {}
        // Somebody follows a link to a page.
        Said::Once(_) if is_read && is_navigation(headers) => {}
        _ => return refused("a page of another site asks for this"),
    }
    if is_read {
        return None;
    }
    match said(headers, header::ORIGIN.as_str()) {
        // No browser, unless it has a session: those always say where they are.
        Said::Nothing if !headers.contains_key(header::COOKIE) => None,
        Said::Nothing if matches!(said(headers, "sec-fetch-site"), Said::Once(_)) => None,
        Said::Once(origin) if is_of(origin, authority) || is_named(origin, ours) => None,
        _ => refused("a page of another origin asks for a change"),
    }
}

/// What a header says, if it says one thing.
#[derive(PartialEq, Eq)]
enum Said<'a> {
    Nothing,
    Once(&'a str),
    /// Twice, or not in text.
    Unclear,
}

fn said<'a>(headers: &'a HeaderMap, name: &str) -> Said<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Said::Nothing,
        (Some(value), None) => value.to_str().map_or(Said::Unclear, Said::Once),
        _ => Said::Unclear,
    }
}

fn is_navigation(headers: &HeaderMap) -> bool {
    said(headers, "sec-fetch-mode") == Said::Once("navigate")
        && said(headers, "sec-fetch-dest") == Said::Once("document")
}

/// Whether a browser says that its page came over TLS, whoever ends that.
pub(crate) fn is_over_tls(headers: &HeaderMap) -> bool {
    matches!(said(headers, header::ORIGIN.as_str()), Said::Once(origin) if origin.starts_with("https://"))
}

/// The scheme is left out of it: what ends TLS in front of us does not tell.
fn host_of(origin: &str) -> Option<&str> {
    origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
}

fn is_of(origin: &str, authority: &str) -> bool {
    !authority.is_empty() && host_of(origin).is_some_and(|host| host.eq_ignore_ascii_case(authority))
}

/// A name by which people call us, at its usual port: a proxy in front may ask for another.
fn is_named(origin: &str, ours: &[String]) -> bool {
    host_of(origin).is_some_and(|host| ours.iter().any(|name| name.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1:7471";

    fn is_refused(method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        refusal(method, &map, HERE, &["muster.example.org".to_owned()]).is_some()
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let own = ("origin", "http://127.0.0.1:7471");
        let fine: [&[(&str, &str)]; 6] = [
            &[],
            &[own],
            &[("sec-fetch-site", "same-origin"), own],
            &[("sec-fetch-site", "same-origin"), ("cookie", "muster=x")],
            &[("origin", "https://127.0.0.1:7471"), ("cookie", "muster=x")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://muster.example.org"), ("cookie", "muster=x")],
        ];
        for headers in fine {
            assert!(!is_refused(&Method::POST, headers), "{headers:?}");
        }
        let hostile: [&[(&str, &str)]; 14] = [
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), own],
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
            &[("origin", "https://evil.example")],
            &[("origin", "http://127.0.0.1:7471.evil.example")],
            &[("origin", "http://127.0.0.1:7472")],
            &[("origin", "https://muster.example.org:8443")],
            &[("origin", "https://muster.example.org"), ("sec-fetch-site", "same-site")],
            &[("origin", "null")],
            &[own, ("origin", "https://evil.example")],
            &[("cookie", "muster=x")],
        ];
        for headers in hostile {
            for method in [Method::POST, Method::DELETE] {
                assert!(is_refused(&method, headers), "{headers:?}");
            }
        }
    }

    #[test]
    fn a_link_may_be_followed_and_nothing_be_taken_into_another_page() {
        let site = ("sec-fetch-site", "cross-site");
        let dest = |dest| ("sec-fetch-dest", dest);
        assert!(!is_refused(&Method::GET, &[site, ("sec-fetch-mode", "navigate"), dest("document")]));
        assert!(is_refused(&Method::GET, &[site, ("sec-fetch-mode", "navigate"), dest("iframe")]));
        assert!(is_refused(&Method::GET, &[site, ("sec-fetch-mode", "no-cors"), dest("script")]));
        assert!(is_refused(&Method::GET, &[site, ("sec-fetch-mode", "cors"), dest("empty")]));
        assert!(!is_refused(&Method::GET, &[("sec-fetch-site", "none")]));
    }
}
