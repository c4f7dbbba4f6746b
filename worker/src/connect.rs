//! The channel to a coordinator.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::WorkerError;

/// A channel to the coordinator at `url`, such as `http://127.0.0.1:7470`.
///
/// It connects when it is first used, and again whenever the connection breaks, so that workers may start before their
/// coordinator. A silent peer is noticed within 10 s.
///
/// # Errors
///
/// [`WorkerError::BadUrl`] when `url` is not of the form `http://HOST:PORT`.
pub fn connect(url: &str) -> Result<Channel, WorkerError> {
    Ok(endpoint(url)?
        .connect_timeout(Duration::from_secs(3))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy())
}

fn endpoint(url: &str) -> Result<Endpoint, WorkerError> {
    let bad = |why: &str| {
        // What stands before the @ may be a password.
        let shown = url.rsplit_once('@').map_or(url, |(_, host)| host);
        WorkerError::BadUrl { url: shown.to_owned(), why: why.to_owned() }
    };
    if url.trim().is_empty() {
        return Err(bad("it is empty"));
    }
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| bad(&error.to_string()))?;
    let uri = endpoint.uri();
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(bad("this worker speaks http:// only, inside a network that you trust")),
        Some(other) => return Err(bad(&format!("{other}:// is not http://"))),
        None => return Err(bad("http:// is missing in front")),
    }
    if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
        return Err(bad("it carries a user or password"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(bad("there must be nothing behind the port"));
    }
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_urls_are_taken() {
        for url in ["http://127.0.0.1:7470", "http://coordinator:7470/", "http://[::1]:7470"] {
            assert!(endpoint(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn bad_urls_teach() {
        for (url, why) in [
            ("", "empty"),
            ("127.0.0.1:7470", ""),
            ("localhost", "http:// is missing"),
            ("https://host:1", "http:// only"),
            ("ftp://host:1", "ftp:// is not http://"),
            ("http://host:1/animals", "nothing behind the port"),
            ("http://", ""),
        ] {
            let error = endpoint(url).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("MUSTER_COORDINATOR"), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        let error = endpoint("http://me:canary@host:7470").map(|_| ()).unwrap_err().to_string();
        assert!(!error.contains("canary") && error.contains("user or password"), "{error}");
    }
}
