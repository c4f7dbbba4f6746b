//! Deliveries: announced when their turn comes, sent once, and what became of them.

use std::sync::atomic::Ordering;

use http::header::HeaderValue;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tower::Service;
use url::Url;

use super::Cost;
use super::access::Purpose;
use super::classify::{self, PostOutcome};
use super::credentials::Pass;
use super::host::{Host, Question};
use super::measures::Request;
use super::race;
use super::requester::Requester;
use super::transport::{Answer, Exchange, TransportError};
use super::turn::{Ready, Turn};
use crate::load::Loader;
use crate::target::Delivery;

/// Of so many questions whether a host is back, one is the POST that waits itself.
const OWN_POST: u32 = 8;

impl Requester {
    /// Sends one delivery, once, and says what became of it.
    ///
    /// `deadline` is when the caller's right to send ends: nothing is sent or waited for beyond it. While the host
    /// wants to be left alone nothing is sent either; see [`Requester::turn`]. Dropping the future leaves the delivery in doubt.
    pub async fn post(
        &self,
        loader: &Loader,
        delivery: &Delivery<'_>,
        deadline: Instant,
        mut turn: Turn,
    ) -> PostOutcome {
        let shared = &*self.shared;
        let host = shared.host(loader.url());
        let Ready { began, pass } = match turn.ready.take() {
            Some(ready) => ready,
            None => match timeout_at(deadline, self.ready(loader.url(), &host)).await {
                Ok(ready) => ready,
                Err(_) => return PostOutcome::NotSent { reason: "the deadline passed before it was ready".to_owned() },
            },
        };
        let pass = match pass {
            Ok(pass) => pass,
            Err(error) => return PostOutcome::NoCredentials { reason: error.to_string() },
        };
        let exchange = match delivering(loader, delivery, &pass) {
            Ok(exchange) => exchange,
            Err(reason) => return PostOutcome::NotSent { reason },
        };
        let until = deadline.min(Instant::now() + loader.timeout);
        let result = self.once(exchange, until, turn).await;
        let status = result.as_ref().map(|answer| answer.status).ok();
        if status.is_some_and(|status| status.is_success()) {
            pass.is_taken();
        }
        let refused = status.filter(|status| matches!(status.as_u16(), 401 | 403));
        let anew = refused.is_some_and(|status| shared.credentials.refused(&pass, status, began));
        match shared.credentials.redactor.posted(classify::post(loader, delivery.ids.len(), result)) {
            // A token ran out, say: the next POST goes out with another, and is announced for itself.
            PostOutcome::PipelineWrong { status, detail } if anew => {
                PostOutcome::NotApplied { status, retry_after: None, detail }
            }
            outcome => outcome,
        }
    }

    /// Sends a request, once, and gives its answer; no answer is waited for beyond `until`.
    pub(crate) async fn once(&self, exchange: Exchange, until: Instant, turn: Turn) -> Result<Answer, TransportError> {
        let shared = &*self.shared;
        let host = shared.host(&exchange.url);
        if let Some(left) = host.closed_for() {
            let reason = format!("the host asked to be left alone for another {} ms", left.as_millis());
            return Err(TransportError::NotSent(reason));
        }
        let now = Instant::now();
        if until <= now {
            return Err(TransportError::NotSent("the deadline had passed before it was sent".to_owned()));
        }
        let counters = &shared.counters;
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.bytes_out.fetch_add(exchange.body.len() as u64, Ordering::Relaxed);
        host.measures.sent(exchange.body.len());
        let method = exchange.method.clone();
        let mut transport = self.transport.clone();
        let silence = || race::silence_of(until.duration_since(now));
        let result = timeout_at(until, transport.call(exchange)).await.unwrap_or_else(|_| Err(silence()));
        host.measures.tried(Request::Load, &method, now.elapsed(), &result);
        host.saw(None, &result);
        turn.sent();
        if let Ok(answer) = &result {
            shared.heed(&host, answer);
        }
        result
    }

    /// All that a POST waits for by itself: who asks, and the rate.
    async fn ready(&self, url: &Url, host: &Host) -> Ready {
        let began = Instant::now();
        let pass = self.pass(Purpose::Load, url).await;
        host.rate().await;
        Ready { began, pass }
    }

    /// Waits until a POST to this URL may be announced: while its host wants to be left alone (`Retry-After`) or serves
    /// nothing, for a token where it wants one, for the rate, and, for a POST that `repeats` another, until the host's
    /// budget of retries has room.
    pub async fn turn(&self, url: &Url, repeats: bool) -> Turn {
        let host = self.shared.host(url);
        match repeats {
            true => host.retry().await,
            false => host.retries.deposit(),
        }
        // Before the right to ask is taken: whoever has it must wait for nobody.
        let began = Instant::now();
        let pass = self.pass(Purpose::Load, url).await;
        let question = self.admitted(&host, OWN_POST, &mut Cost::default()).await;
        host.rate().await;
        Turn::at_host(question, Ready { began, pass })
    }

    /// Whether a connection to the host of this URL comes about, without sending anything: before a delivery to a host
    /// that could not be reached is announced again. Behind a proxy only a request can tell, so the answer is yes.
    pub async fn reachable(&self, url: &Url) -> bool {
        let shared = &*self.shared;
        let (Some(name), Some(port), false) = (url.host_str(), url.port_or_known_default(), shared.proxied) else {
            return true;
        };
        let host = shared.host(url);
        let question = Question::at_once(&host);
        // An IPv6 address stands in brackets in a URL.
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let within = shared.limits.connect_timeout();
        let connecting = tokio::time::timeout(within, TcpStream::connect((name, port)));
        let reason = match connecting.await {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {} ms", within.as_millis()),
        };
        host.saw(None, &Err(TransportError::NotSent(reason)));
        question.into_iter().for_each(|mut question| question.asked());
        false
    }
}

/// The request that carries a delivery, as whoever has this pass. What the pipeline's headers say of the content goes
/// before what fits its form.
fn delivering(loader: &Loader, delivery: &Delivery<'_>, pass: &Pass) -> Result<Exchange, String> {
    let mut headers = pass.headers();
    for (name, value) in &loader.headers {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if let Some(name) = &loader.key_header {
        let key = HeaderValue::from_str(delivery.key)
            .map_err(|_| "the idempotency key cannot stand in a header".to_owned())?;
        headers.insert(name, key);
    }
    let body = loader.wire(&delivery.body).map_err(|error| format!("its body cannot be compressed: {error}"))?;
    let url = pass.url(&loader.url_of(&delivery.ids));
    Ok(Exchange { method: loader.method.clone(), url, headers, body, limit: loader.answer_size })
}
