//! The ways to coordinators, for workers and for commands.

mod credentials;
mod tls;

use std::sync::Arc;
use std::time::Duration;

pub use credentials::{Bearer, CredentialArgs};
use muster_telemetry::trace::Traced;
use tls::{Connector, Trouble};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::WorkerError;

/// What calls go through: a connection, and who makes them.
pub type CallChannel = InterceptedService<Traced<Channel>, Bearer>;

/// The way to one coordinator.
#[derive(Debug, Clone)]
pub struct Way {
    channel: Traced<Channel>,
    bearer: Bearer,
    trouble: Trouble,
}

impl Way {
    /// The way to the coordinator at this URL, connected when it is first used.
    ///
    /// # Errors
    /// [`WorkerError::BadUrl`] when it is not of the form `http://HOST:PORT` or `https://HOST:PORT`, or a token would go to
    /// another machine in clear; [`WorkerError::BadFile`] when a certificate, a key or a token's file cannot be used.
    pub fn to(url: &str, credentials: &CredentialArgs) -> Result<Self, WorkerError> {
        let (endpoint, connector, bearer) = prepare(url, credentials, Duration::from_secs(3))?;
        let trouble = connector.trouble.clone();
        let peer = peer(&endpoint);
        let channel = endpoint.keep_alive_while_idle(true).connect_with_connector_lazy(connector);
        Ok(Self { channel: Traced::new(channel, peer), bearer, trouble })
    }

    /// The same, connected now.
    ///
    /// # Errors
    /// The same, and [`WorkerError::NoConnection`].
    pub async fn connected(url: &str, credentials: &CredentialArgs) -> Result<Self, WorkerError> {
        let (endpoint, connector, bearer) = prepare(url, credentials, Duration::from_secs(5))?;
        let trouble = connector.trouble.clone();
        let peer = peer(&endpoint);
        match endpoint.connect_with_connector(connector).await {
            Ok(channel) => Ok(Self { channel: Traced::new(channel, peer), bearer, trouble }),
            Err(_) => Err(WorkerError::NoConnection { why: trouble.words() }),
        }
    }

    /// What calls go through.
    #[must_use]
    pub fn channel(&self) -> CallChannel {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    /// What was wrong with the last connection, and what to do; nothing: it was made, or nobody answered.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.words()
    }
}

impl From<Channel> for Way {
    /// A connection that somebody else has made, by which nobody asks who comes.
    fn from(channel: Channel) -> Self {
        Self { channel: Traced::new(channel, None), bearer: Bearer::none(), trouble: Trouble::default() }
    }
}

/// Ways to coordinators that share one ledger: a worker uses one until it does not answer, then the next.
#[derive(Debug, Clone)]
pub struct Endpoints {
    ways: Vec<Way>,
}

impl Endpoints {
    /// All of them; at least one.
    pub(crate) fn ways(&self) -> &[Way] {
        &self.ways
    }
}

impl From<Channel> for Endpoints {
    fn from(channel: Channel) -> Self {
        Self { ways: vec![channel.into()] }
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
/// As for [`Way::to`].
pub fn connect(urls: &str) -> Result<Endpoints, WorkerError> {
    connect_as(urls, &CredentialArgs::default())
}

/// The same for coordinators that ask who comes.
///
/// # Errors
///
/// As for [`Way::to`].
pub fn connect_as(urls: &str, credentials: &CredentialArgs) -> Result<Endpoints, WorkerError> {
    let ways = urls.split(',').map(|url| Way::to(url.trim(), credentials));
    Ok(Endpoints { ways: ways.collect::<Result<_, WorkerError>>()? })
}

/// Checks everything that can be checked without connecting.
fn prepare(
    url: &str,
    credentials: &CredentialArgs,
    patience: Duration,
) -> Result<(Endpoint, Connector, Bearer), WorkerError> {
    let endpoint = endpoint(url)?;
    let bearer = Bearer::of(credentials)?;
    if endpoint.uri().scheme_str() == Some("https") {
        tls::config(credentials).map_err(|(file, why)| WorkerError::BadFile { file, why })?;
    } else if bearer.has_token() && !is_loopback(endpoint.uri().host().unwrap_or_default()) {
        let why = "a token is not sent over http:// to another machine, where it can be read on its way: use https://, \
                   or leave the token out";
        return Err(WorkerError::BadUrl { url: url.to_owned(), why: why.to_owned() });
    }
    let endpoint = endpoint.connect_timeout(patience);
    let endpoint =
        endpoint.http2_keep_alive_interval(Duration::from_secs(5)).keep_alive_timeout(Duration::from_secs(5));
    Ok((endpoint, Connector::new(credentials.clone(), patience), bearer))
}

/// Who is called, as traces have it.
fn peer(endpoint: &Endpoint) -> Option<(Arc<str>, u16)> {
    let usual = if endpoint.uri().scheme_str() == Some("https") { 443 } else { 80 };
    Some((endpoint.uri().host()?.into(), endpoint.uri().port_u16().unwrap_or(usual)))
}

/// Names other than localhost may lead anywhere.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
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
        Some("http" | "https") => {}
        Some(other) => return Err(bad(&format!("{other}:// is neither http:// nor https://"))),
        None => return Err(bad("http:// or https:// is missing in front")),
    }
    if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
        return Err(bad("it carries a user or password, and no coordinator asks for one there"));
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
        for url in ["http://127.0.0.1:7470", "http://coordinator:7470/", "http://[::1]:7470", "https://host:1"] {
            assert!(endpoint(url).is_ok(), "{url}");
        }
    }

    #[tokio::test]
    async fn several_are_taken_with_commas_between_them() {
        let several = connect("http://one:7470, https://two:7470").unwrap();
        assert_eq!(several.ways().len(), 2);
        for urls in ["http://one:7470,", ",", "http://one:7470 http://two:7470"] {
            assert!(connect(urls).is_err(), "{urls}");
        }
    }

    #[test]
    fn bad_urls_teach() {
        for (url, why) in [
            ("", "empty"),
            ("127.0.0.1:7470", ""),
            ("localhost", "https:// is missing"),
            ("ftp://host:1", "ftp:// is neither"),
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

    #[tokio::test]
    async fn a_token_goes_to_this_machine_or_through_tls() {
        let file = std::env::temp_dir().join(format!("muster-token-{}", fastrand::u64(..)));
        std::fs::write(&file, "canary").unwrap();
        let with_token = CredentialArgs { token_file: Some(file.clone()), ..CredentialArgs::default() };
        for url in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "https://host:1"] {
            assert!(Way::to(url, &with_token).is_ok(), "{url}");
        }
        for url in ["http://host:1", "http://10.0.0.1:1", "http://localhost.example:1", "http://127.0.0.1.example:1"] {
            let error = Way::to(url, &with_token).unwrap_err().to_string();
            assert!(error.contains("a token is not sent") && !error.contains("canary"), "{url}: {error}");
            assert!(Way::to(url, &CredentialArgs::default()).is_ok(), "{url}");
        }
        std::fs::remove_file(&file).unwrap();
    }
}
