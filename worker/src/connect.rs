//! The ways to coordinators.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::WorkerError;

/// Ways to coordinators that share one ledger: a worker uses one until it does not answer, then the next.
#[derive(Debug, Clone)]
pub struct Endpoints {
    channels: Vec<Channel>,
}

impl Endpoints {
    /// All of them; at least one.
    pub(crate) fn channels(&self) -> &[Channel] {
        &self.channels
    }
}

impl From<Channel> for Endpoints {
    fn from(channel: Channel) -> Self {
        Self { channels: vec![channel] }
    }
}

/// The way to the coordinator at `urls`, such as `http://127.0.0.1:7470`, or to several that share one ledger, with commas
/// between them. Of a name with several addresses, each is tried when a connection is made.
///
/// It connects when it is first used, and again whenever the connection breaks, so that workers may start before their
/// coordinators. A silent peer is noticed within 10 s.
///
/// # Errors
///
/// [`WorkerError::BadUrl`] when one is not of the form `http://HOST:PORT`.
pub fn connect(urls: &str) -> Result<Endpoints, WorkerError> {
    let channels = urls.split(',').map(|url| Ok(channel(&endpoint(url.trim())?)));
    Ok(Endpoints { channels: channels.collect::<Result<_, WorkerError>>()? })
}

fn channel(endpoint: &Endpoint) -> Channel {
    let endpoint = endpoint.clone().connect_timeout(Duration::from_secs(3)).tcp_nodelay(true);
    let endpoint =
        endpoint.http2_keep_alive_interval(Duration::from_secs(5)).keep_alive_timeout(Duration::from_secs(5));
    endpoint.keep_alive_while_idle(true).connect_lazy()
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

    #[tokio::test]
    async fn several_are_taken_with_commas_between_them() {
        let several = connect("http://one:7470, http://two:7470").unwrap();
        assert_eq!(several.channels().len(), 2);
        for urls in ["http://one:7470,", ",", "http://one:7470 http://two:7470"] {
            assert!(connect(urls).is_err(), "{urls}");
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
