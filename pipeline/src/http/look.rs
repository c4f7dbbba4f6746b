//! One plain GET: of an API that no pipeline describes yet.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tower::Service;
use url::Url;

use super::classify;
use super::transport::{self, BodyEnd, Exchange, TransportConfig};
use super::{FetchError, RequesterConfig, RequesterError};

/// How long it may take: nobody knows yet how fast the API is.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of an answer.
const MOST: usize = 8 << 20;

/// What a plain GET gave.
#[derive(Debug, Clone)]
pub struct Looked {
    /// The answer's headers.
    pub headers: HeaderMap,
    /// Its body, which is JSON.
    pub body: Bytes,
}

/// Why it gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// HTTP cannot be set up.
    #[error(transparent)]
    SetUp(#[from] RequesterError),
    /// The answer is none, or not the one that was wanted.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// Asks once.
pub async fn look(url: &Url, headers: &HeaderMap, config: &RequesterConfig) -> Result<Looked, LookError> {
    let mut transport = transport::over_hyper(&TransportConfig {
        user_agent: &config.user_agent,
        proxy: config.proxy.as_ref(),
        connections: 1,
        connect_timeout: PATIENCE,
    })?;
    let exchange =
        Exchange { method: Method::GET, url: url.clone(), headers: headers.clone(), body: Bytes::new(), limit: MOST };
    // No limit of a pipeline made it late.
    let given_up = |last: String, status| FetchError::GivenUp { attempts: 1, last, status, silent: false };
    let answering = tokio::time::timeout(PATIENCE, transport.call(exchange));
    let answer = match answering.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(given_up(error.reason().to_owned(), None).into()),
        Err(_) => return Err(given_up(format!("no answer within {} s", PATIENCE.as_secs()), None).into()),
    };
    let (headers, whole) = (answer.headers.clone(), answer.end == BodyEnd::Whole);
    match classify::get(answer, super::Get::List, MOST) {
        classify::GetOutcome::Fetched(body) if whole => Ok(Looked { headers, body }),
        classify::GetOutcome::Fetched(_) => Err(given_up("the answer broke off".to_owned(), None).into()),
        classify::GetOutcome::Failed(error) => Err(error.into()),
        classify::GetOutcome::Again { status, reason } => Err(given_up(reason, status).into()),
    }
}
