//! Names under which this coordinator answers.
//!
//! Somebody can point a name of his at this machine's address after a browser has loaded his page: that page may then ask
//! whatever listens here, as if it were its own. Such requests name his host. Addresses cannot be pointed anywhere.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{StatusCode, header};

use super::super::problem::Problem;

/// Whom a request asks for: `host` or `host:port`; empty where it does not say, which no browser does.
pub(super) fn named(request: &Request) -> Result<&str, Problem> {
    let unclear = || Problem::invalid("a request must say in one Host header, in ASCII, whom it asks for");
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.as_str());
    }
    let mut named = request.headers().get_all(header::HOST).iter();
    match (named.next(), named.next()) {
        (None, _) => Ok(""),
        (Some(named), None) => named.to_str().map_err(|_| unclear()),
        _ => Err(unclear()),
    }
}

/// Why a request for this authority is not answered.
pub(super) fn refusal(authority: &str, ours: &[String]) -> Option<Problem> {
    let host = host(authority);
    if authority.is_empty() || is_fixed(host) || ours.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return None;
    }
    let detail = format!(
        "this coordinator does not answer to the name {host:?}: if it should, start it with --http-host {host}"
    );
    Some(Problem::new(StatusCode::MISDIRECTED_REQUEST, "HOST_UNKNOWN", detail))
}

/// Without port, brackets and the dot that ends a full name.
fn host(authority: &str) -> &str {
    if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.strip_suffix('.').unwrap_or(host)
}

/// An address, or what always means this machine (RFC 6761, section 6.3).
fn is_fixed(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host.parse::<IpAddr>().is_ok() || host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_answered() {
        let ours = ["muster.example.org".to_owned()];
        for fine in [
            "127.0.0.1:7471",
            "[::1]:7471",
            "10.0.0.7",
            "localhost",
            "LOCALHOST:80",
            "a.localhost:80",
            "muster.example.org",
            "Muster.Example.Org.:443",
        ] {
            assert!(refusal(fine, &ours).is_none(), "{fine}");
        }
        for hostile in [
            "evil.example",
            "127.0.0.1.evil.example:7471",
            "localhost.evil.example",
            "evil.example#localhost",
            "xlocalhost",
            "muster.example.org.evil.example",
            "0x7f000001",
            ":80",
        ] {
            let problem = refusal(hostile, &ours).expect(hostile);
            assert_eq!(problem.status, StatusCode::MISDIRECTED_REQUEST);
        }
        let both = Request::get("/").header("host", "localhost").header("host", "evil.example");
        assert!(named(&both.body(axum::body::Body::empty()).unwrap()).is_err());
    }
}
