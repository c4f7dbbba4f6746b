//! One plain POST of a message to somebody who is no target of a pipeline.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tower::Service;
use url::Url;

use super::reading::MAX_REASON;
use super::transport::{self, Exchange, Transport, TransportConfig, TransportError};
use super::{RequesterError, classify};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Sends messages: each once, without redirects, by the HTTP and the certificates that all requests have.
#[derive(Clone)]
pub struct Messenger {
    transport: Transport,
}

/// What was answered. What the server said besides is not kept: it may say back what it was asked for.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The answer's status.
    pub status: StatusCode,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer: without the URL, and without what the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoReply {
    /// There was no connection, for this reason.
    Unreached(String),
    /// The connection failed after that, for this reason.
    Broken(String),
    /// None came in time.
    Late,
}

impl std::fmt::Debug for Messenger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messenger").finish_non_exhaustive()
    }
}

impl Messenger {
    /// One that names itself so, and sends by way of this proxy.
    ///
    /// # Errors
    /// When HTTP cannot be set up.
    pub fn new(user_agent: &str, proxy: Option<&Url>) -> Result<Self, RequesterError> {
        let config = TransportConfig { user_agent, proxy, connections: 1, connect_timeout: CONNECT };
        Ok(Self { transport: transport::over_hyper(&config)? })
    }

    /// Posts a body, once; the answer is awaited for so long.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes, within: Duration) -> Result<Reply, NoReply> {
        let exchange = Exchange { method: Method::POST, url: url.clone(), headers, body, limit: MAX_REASON };
        let mut transport = self.transport.clone();
        let answer = match tokio::time::timeout(within, transport.call(exchange)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(TransportError::NotSent(reason))) => return Err(NoReply::Unreached(reason)),
            Ok(Err(TransportError::Broken(reason))) => return Err(NoReply::Broken(reason)),
            Err(_) => return Err(NoReply::Late),
        };
        Ok(Reply { status: answer.status, retry_after: classify::retry_after(&answer.headers) })
    }
}
