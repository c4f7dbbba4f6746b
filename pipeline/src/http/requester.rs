//! The requester: what ties host, race and classification together.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tower::Service;
use url::Url;

use super::circuit::Count;
use super::classify::{self, GetOutcome, PostOutcome, ProbeOutcome};
use super::counters::Counters;
use super::host::{Host, Question};
use super::limit::Signal;
use super::race::{self, Race};
use super::transport::{self, Answer, Exchange, MAX_REASON, Transport, TransportConfig, TransportError};
use super::tries::Tries;
use super::turn::Turn;
use super::{Cost, FetchError, Get, RequesterConfig, RequesterError, RequesterStats};
use crate::load::{Loader, Prober};
use crate::record_id::RecordId;
use crate::spec::Limits;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The how-manieth question whether a host is back is what waits itself, for a GET and for a POST.
const OWN_GET: u32 = 2;
const OWN_POST: u32 = 8;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Sends the requests of one pipeline from one process. Cheap to clone; clones share what they know of each host.
#[derive(Clone)]
pub struct Requester {
    shared: Arc<Shared>,
    transport: Transport,
}

struct Shared {
    limits: Limits,
    proxied: bool,
    get_headers: HeaderMap,
    wait_for_first: bool,
    random: Mutex<fastrand::Rng>,
    hosts: RwLock<Vec<Arc<Host>>>,
    /// How many of the hosts are down.
    down: Arc<watch::Sender<usize>>,
    counters: Counters,
}

impl Requester {
    /// Makes a requester for the limits of one pipeline.
    pub fn new(limits: &Limits, config: &RequesterConfig) -> Result<Self, RequesterError> {
        let mut limits = limits.clone();
        limits.concurrency = config.concurrency.unwrap_or(limits.concurrency).max(1);
        let transport = transport::over_reqwest(&TransportConfig {
            user_agent: &config.user_agent,
            proxy: config.proxy.as_ref(),
            connections: limits.concurrency * 2,
            connect_timeout: limits.get_timeout,
        })?;
        Ok(Self::with(transport, limits, config))
    }

    pub(super) fn with(transport: Transport, limits: Limits, config: &RequesterConfig) -> Self {
        let shared = Shared {
            limits,
            proxied: config.proxy.is_some(),
            get_headers: HeaderMap::from_iter([(ACCEPT, JSON)]),
            wait_for_first: config.wait_for_first,
            random: Mutex::new(fastrand::Rng::with_seed(config.seed)),
            hosts: RwLock::default(),
            down: Arc::new(watch::Sender::new(0)),
            counters: Counters::default(),
        };
        Self { shared: Arc::new(shared), transport }
    }

    /// Gets JSON, through failures, stalls and refusals, within the limits of the pipeline; and says what that cost.
    ///
    /// Dropping the future stops it at once; a GET changes nothing.
    pub async fn get(&self, url: &Url, kind: Get) -> (Result<Bytes, FetchError>, Cost) {
        let mut cost = Cost::default();
        let limit = self.shared.limit(kind);
        let result = self.read(url, limit, |answer| classify::get(answer, kind, limit), &mut cost).await;
        (result, cost)
    }

    /// Asks the target whether it has a record, through failures, stalls and refusals as [`Requester::get`]; and says
    /// what that cost.
    ///
    /// Dropping the future stops it at once; a GET changes nothing.
    pub async fn probe(&self, prober: &Prober, id: &RecordId) -> (ProbeOutcome, Cost) {
        let mut cost = Cost::default();
        let meaning = |answer: Answer| classify::probe(prober, &answer);
        let result = self.read(&prober.url(id), self.shared.limit(Get::Probe), meaning, &mut cost).await;
        (result.unwrap_or_else(|error| ProbeOutcome::Unknown { reason: error.to_string() }), cost)
    }

    /// Tries a GET until `meaning` finds in its answer what was wanted, or why there is no point.
    async fn read<T>(
        &self,
        url: &Url,
        limit: usize,
        meaning: impl Fn(Answer) -> GetOutcome<T>,
        cost: &mut Cost,
    ) -> Result<T, FetchError> {
        let shared = &*self.shared;
        let host = shared.host(url);
        let exchange = || shared.reading(url, limit);
        let mut transport = self.transport.clone();
        let mut tries = Tries::new(host.circuit.count());
        host.retries.deposit();
        loop {
            let mut question = self.admitted(&host, OWN_GET, cost).await;
            tries.count_anew(host.circuit.count(), shared.wait_for_first);
            // Whoever may ask whether the host is back does so before it gives up.
            let waits = question.is_some() && (shared.wait_for_first || host.circuit.count().served > 0);
            if !waits && tries.count >= shared.limits.get_attempts {
                return Err(tries.given_up());
            }
            if question.is_none() && tries.count > 0 && !shared.pause(&host, tries.count).await {
                continue;
            }
            let place = host.place().await;
            if question.is_none() && host.circuit.is_open() {
                continue;
            }
            cost.attempts += 1;
            tries.count += 1;
            let race = race::run(&mut transport, &host, &shared.limits, exchange).await;
            drop(place);
            shared.count(&race, cost);
            let outcome = shared.judge(&host, url, race.result, &meaning);
            if let Some(question) = &mut question {
                question.asked();
            }
            tries.last = match outcome {
                GetOutcome::Fetched(found) => return Ok(found),
                GetOutcome::Failed(error) => return Err(error),
                GetOutcome::Again { status, reason } => (status, reason),
            };
            if question.is_some() && tries.is_ill(host.circuit.count(), shared.limits.get_attempts) {
                return Err(tries.given_up());
            }
            drop(question);
            tracing::debug!(
                url.full = %url, http.response.status_code = tries.last.0, error.type = tries.last.1,
                http.request.resend_count = cost.attempts, "http.get.again"
            );
            if tries.count >= shared.limits.get_attempts {
                if !shared.may_be_down(&host, tries.since) {
                    return Err(tries.given_up());
                }
                host.circuit.suspect();
            }
        }
    }

    /// Waits until a request may go out. While the host serves nothing, asks whether it is back when it is this one's
    /// turn; gives the right to ask when the request itself is the question.
    async fn admitted(&self, host: &Arc<Host>, every: u32, cost: &mut Cost) -> Option<Question> {
        let shared = &*self.shared;
        loop {
            let mut question = Question::or_pass(host, every).await?;
            let Some(witness) = question.witness().cloned() else { return Some(question) };
            cost.questions += 1;
            shared.counters.requests.fetch_add(1, Ordering::Relaxed);
            let answering = self.transport.clone().call(shared.reading(&witness, MAX_REASON));
            let answer = tokio::time::timeout(shared.limits.get_timeout, answering).await;
            let result = answer.unwrap_or_else(|_| Err(race::silence_of(shared.limits.get_timeout)));
            let _: GetOutcome<()> = shared.judge(host, &witness, result, |_| GetOutcome::Fetched(()));
            question.asked();
        }
    }

    /// Sends one POST, once, and says what became of it.
    ///
    /// `deadline` is when the caller's right to send ends: nothing is sent or waited for beyond it. While the host
    /// wants to be left alone nothing is sent either; see [`Requester::turn`]. Dropping the future leaves the delivery in doubt.
    pub async fn post(
        &self,
        loader: &Loader,
        body: Bytes,
        idempotency_key: &str,
        deadline: Instant,
        turn: Turn,
    ) -> PostOutcome {
        let shared = &*self.shared;
        let host = shared.host(&loader.url);
        if let Some(left) = host.closed_for() {
            let reason = format!("the host asked to be left alone for another {} ms", left.as_millis());
            return PostOutcome::NotSent { reason };
        }
        let now = Instant::now();
        let until = deadline.min(now + loader.timeout);
        if until <= now {
            return PostOutcome::NotSent { reason: "the deadline had passed before it was sent".to_owned() };
        }
        let Ok(key) = HeaderValue::from_str(idempotency_key) else {
            return PostOutcome::NotSent { reason: "the idempotency key cannot stand in a header".to_owned() };
        };
        let exchange = Exchange {
            method: Method::POST,
            url: loader.url.clone(),
            headers: HeaderMap::from_iter([(ACCEPT, JSON), (CONTENT_TYPE, JSON), (IDEMPOTENCY_KEY, key)]),
            body,
            limit: loader.answer_size,
        };
        let counters = &shared.counters;
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.bytes_out.fetch_add(exchange.body.len() as u64, Ordering::Relaxed);
        let mut transport = self.transport.clone();
        let silence = || race::silence_of(until.duration_since(now));
        let result = timeout_at(until, transport.call(exchange)).await.unwrap_or_else(|_| Err(silence()));
        host.saw(None, &result);
        turn.sent();
        if let Ok(answer) = &result {
            shared.heed(&host, answer);
        }
        classify::post(loader, result)
    }

    /// Waits until a POST to this URL may be announced: while its host wants to be left alone (`Retry-After`) or serves
    /// nothing, and, for a POST that `repeats` another, until the host's budget of retries has room.
    pub async fn turn(&self, url: &Url, repeats: bool) -> Turn {
        let host = self.shared.host(url);
        match repeats {
            true => host.retries.take().await,
            false => host.retries.deposit(),
        }
        Turn { question: self.admitted(&host, OWN_POST, &mut Cost::default()).await }
    }

    /// How many hosts are down at the moment: they serve nothing, and requests to them wait.
    #[must_use]
    pub fn hosts_down(&self) -> watch::Receiver<usize> {
        self.shared.down.subscribe()
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
        let connecting = tokio::time::timeout(shared.limits.get_timeout, TcpStream::connect((name, port)));
        let reason = match connecting.await {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {} ms", shared.limits.get_timeout.as_millis()),
        };
        host.saw(None, &Err(TransportError::NotSent(reason)));
        question.into_iter().for_each(|mut question| question.asked());
        false
    }

    /// What this requester and its clones did so far.
    #[must_use]
    pub fn stats(&self) -> RequesterStats {
        self.shared.counters.read()
    }
}

impl Shared {
    fn host(&self, url: &Url) -> Arc<Host> {
        let known = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = known.iter().find(|host| host.serves(url)) {
            return Arc::clone(host);
        }
        drop(known);
        let mut known = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = known.iter().find(|host| host.serves(url)) {
            return Arc::clone(host);
        }
        let seed = super::lock(&self.random).u64(..);
        let host = Arc::new(Host::new(url, &self.limits, seed, &self.down));
        known.push(Arc::clone(&host));
        host
    }

    /// Counts a try of a GET, its hedges included.
    fn count(&self, race: &Race, cost: &mut Cost) {
        cost.hedges += race.hedges;
        if let Ok(answer) = &race.result {
            cost.bytes += answer.body.len() as u64;
        }
        let counters = &self.counters;
        counters.requests.fetch_add(1 + u64::from(race.hedges), Ordering::Relaxed);
        if cost.attempts > 1 {
            counters.retries.fetch_add(1, Ordering::Relaxed);
        }
        if race.hedges > 0 {
            counters.hedges.fetch_add(race.hedges.into(), Ordering::Relaxed);
            counters.hedges_won.fetch_add(race.hedge_won.into(), Ordering::Relaxed);
        }
    }

    /// The most bytes of an answer, after decompression.
    fn limit(&self, kind: Get) -> usize {
        match kind {
            Get::List => self.limits.page_size,
            Get::Detail => self.limits.record_size,
            Get::Probe => MAX_REASON,
        }
    }

    /// What follows from a try of a GET, for this record and for the host.
    fn judge<T>(
        &self,
        host: &Host,
        url: &Url,
        result: Result<Answer, TransportError>,
        meaning: impl Fn(Answer) -> GetOutcome<T>,
    ) -> GetOutcome<T> {
        host.saw(Some(url), &result);
        match result {
            Ok(answer) => {
                self.heed(host, &answer);
                meaning(answer)
            }
            Err(error) => {
                host.limiter.learn(Signal::Lost);
                GetOutcome::Again { status: None, reason: error.reason().to_owned() }
            }
        }
    }

    /// Counts an answer, and obeys a host that says it has too much to do.
    fn heed(&self, host: &Host, answer: &Answer) {
        self.counters.bytes_in.fetch_add(answer.body.len() as u64, Ordering::Relaxed);
        if !classify::is_overload(answer) {
            host.limiter.learn(Signal::Answered);
            return;
        }
        self.counters.throttled.fetch_add(1, Ordering::Relaxed);
        host.limiter.learn(Signal::Overload);
        if let Some(wished) = classify::retry_after(&answer.headers) {
            host.close_for(wished.min(self.limits.retry_after_max));
        }
    }

    fn reading(&self, url: &Url, limit: usize) -> Exchange {
        let headers = self.get_headers.clone();
        Exchange { method: Method::GET, url: url.clone(), headers, body: Bytes::new(), limit }
    }

    /// Whether a request that failed says less about itself than about its host: it served nothing since `before`.
    fn may_be_down(&self, host: &Host, before: Count) -> bool {
        let now = host.circuit.count();
        now.served == before.served && (now.served > 0 || self.wait_for_first)
    }

    /// Waits before a request is sent again; false when the host's circuit opened meanwhile.
    async fn pause(&self, host: &Host, tries: u32) -> bool {
        let delay = self.backoff(tries);
        let paid = async {
            sleep(delay).await;
            host.retries.take().await;
        };
        tokio::select! {
            biased;
            () = host.circuit.opened() => false,
            () = paid => true,
        }
    }

    /// Full jitter over an exponentially growing span: AWS Architecture Blog, "Exponential Backoff And Jitter".
    fn backoff(&self, attempt: u32) -> Duration {
        let span = self.limits.backoff.saturating_mul(1 << (attempt - 1).min(16)).min(self.limits.backoff_max);
        span.mul_f64(super::lock(&self.random).f64())
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
