//! Requests that tell who asks: with a token that is fetched when there is none, and once more when it has run out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::access::Purpose;
use super::classify::GetOutcome;
use super::credentials::Pass;
use super::notes::Notes;
use super::requester::{Requester, Wanted};
use super::transport::{Answer, Exchange};
use super::{FetchError, Get};

/// How often a request is sent as somebody, when the host refuses whoever it was before. More than twice only where each
/// of those was good for others: where a token lives for few requests, others may use it up while this one waits for its
/// place or for its next try.
const MOST_PASSES: u32 = 10;

impl Requester {
    /// Tries a GET until `meaning` finds in its answer what was wanted, or why there is no point.
    pub(super) async fn read<T>(
        &self,
        url: &Url,
        kind: Get,
        meaning: impl Fn(Answer) -> GetOutcome<T>,
        notes: &mut Notes,
    ) -> Result<T, FetchError> {
        let (began, limit) = (Instant::now(), self.shared.limit(kind));
        let mut passes = 0;
        loop {
            let pass = self.pass(Purpose::Get(kind), url).await?;
            passes += 1;
            let refused = AtomicU16::new(0);
            let exchange = || reading(url, &pass, limit);
            let wanted = Wanted { url, get: Some(kind), exchange: &exchange, copies: self.shared.limits.hedge_copies };
            let noted = |answer: Answer| {
                match answer.status {
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                        refused.store(answer.status.as_u16(), Ordering::Relaxed);
                    }
                    status if status.is_success() => pass.is_taken(),
                    _ => {}
                }
                meaning(answer)
            };
            let result = self.tried(&wanted, noted, notes).await;
            let again = StatusCode::from_u16(refused.load(Ordering::Relaxed))
                .is_ok_and(|status| passes < MOST_PASSES && self.shared.credentials.refused(&pass, status, began));
            if !again {
                return result;
            }
        }
    }

    /// A text made of what a server said, without the secrets of this process.
    #[must_use]
    pub fn redact(&self, text: String) -> String {
        self.shared.credentials.redactor.text(text)
    }

    /// What a request carries to tell who asks. Where that is a token and there is none, one request fetches it and all
    /// others wait for that.
    pub(super) async fn pass(&self, purpose: Purpose, url: &Url) -> Result<Arc<Pass>, FetchError> {
        if let Some(pass) = self.shared.credentials.pass(purpose, url) {
            return Ok(pass);
        }
        // In a box, like all that seldom happens: else the future of each request would have room for it.
        Box::pin(self.pass_by_token(purpose, url)).await
    }

    /// The same, once somebody has fetched a token.
    async fn pass_by_token(&self, purpose: Purpose, url: &Url) -> Result<Arc<Pass>, FetchError> {
        let credentials = &self.shared.credentials;
        let _turn = credentials.keys(purpose.side()).fetching.lock().await;
        if let Some(pass) = credentials.pass(purpose, url) {
            return Ok(pass);
        }
        self.fetch_token(purpose).await?;
        let lost = || FetchError::NoCredentials { reason: "the token is refused before it was used".to_owned() };
        credentials.issued(purpose).ok_or_else(lost)
    }

    /// Fetches a token as a GET would be read: it changes nothing that matters. It is not hedged: that would be two tokens.
    async fn fetch_token(&self, purpose: Purpose) -> Result<(), FetchError> {
        let no_credentials = |reason: String| FetchError::NoCredentials { reason };
        let credentials = &self.shared.credentials;
        let client = credentials.client(purpose.side()).map_err(no_credentials)?;
        let exchange = || client.exchange();
        let wanted = Wanted { url: &client.url, get: None, exchange: &exchange, copies: 1 };
        let fetched = self.tried(&wanted, |answer| client.read(&answer), &mut Notes::default()).await;
        let token = fetched.map_err(|error| match error {
            FetchError::NoCredentials { .. } => error,
            other => client.no_token(&other.to_string()),
        })?;
        let mut url = client.url.clone();
        url.set_query(None);
        tracing::debug!(url.full = %url, "token fetched");
        credentials.take(purpose.side(), &token).map_err(no_credentials)
    }
}

/// A GET.
pub(super) fn reading(url: &Url, pass: &Pass, limit: usize) -> Exchange {
    Exchange { method: Method::GET, url: pass.url(url), headers: pass.headers(), body: Bytes::new(), limit }
}
