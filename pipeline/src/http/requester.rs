//! The requester: what ties host, race and classification together.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tower::Service;
use url::Url;

use super::access::{Process, Purpose};
use super::asking::reading;
use super::circuit::Count;
use super::classify::{self, GetOutcome, PostOutcome, ProbeOutcome};
use super::counters::Counters;
use super::credentials::{Credentials, Pass};
use super::host::{Host, Question};
use super::limit::Signal;
use super::race::{self, Race};
use super::transport::{self, Answer, Exchange, MAX_REASON, Transport, TransportConfig, TransportError};
use super::tries::Tries;
use super::turn::{Ready, Turn};
use super::{Cost, FetchError, Get, RequesterConfig, RequesterError, RequesterStats};
use crate::compiled::CompiledPipeline;
use crate::list::ListAnswer;
use crate::load::{Loader, Prober};
use crate::record_id::RecordId;
use crate::spec::Limits;
use crate::target::Delivery;

/// The how-manieth question whether a host is back is what waits itself, for a GET and for a POST.
const OWN_GET: u32 = 2;
const OWN_POST: u32 = 8;

/// Sends the requests of one pipeline from one process. Cheap to clone; clones share what they know of each host.
#[derive(Clone)]
pub struct Requester {
    pub(super) shared: Arc<Shared>,
    transport: Transport,
}

/// A request that is tried until it is answered as it should be.
pub(super) struct Wanted<'a> {
    /// Where it goes, as it may be shown.
    pub(super) url: &'a Url,
    /// What it is for; nothing when nobody else may ask for the same.
    pub(super) get: Option<Get>,
    pub(super) exchange: &'a (dyn Fn() -> Exchange + Sync),
    /// The most in flight of it.
    pub(super) copies: u32,
}

pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) credentials: Credentials,
    proxied: bool,
    wait_for_first: bool,
    random: Mutex<fastrand::Rng>,
    hosts: RwLock<Vec<Arc<Host>>>,
    /// How many of the hosts are down.
    down: Arc<watch::Sender<usize>>,
    counters: Counters,
}

impl Requester {
    /// Makes the requester of one process for a pipeline: with its limits, and as whom it says, for which the secrets that
    /// this process needs are looked up here.
    pub fn of(pipeline: &CompiledPipeline, process: Process, config: &RequesterConfig) -> Result<Self, RequesterError> {
        let credentials = Credentials::of(pipeline.access(), process).map_err(RequesterError)?;
        Self::make(pipeline.limits(), credentials, config)
    }

    /// Makes a requester with these limits that asks as nobody.
    pub fn new(limits: &Limits, config: &RequesterConfig) -> Result<Self, RequesterError> {
        Self::make(limits, Credentials::nobody(), config)
    }

    fn make(limits: &Limits, credentials: Credentials, config: &RequesterConfig) -> Result<Self, RequesterError> {
        let mut limits = limits.clone();
        limits.concurrency = config.concurrency.unwrap_or(limits.concurrency).max(1);
        let transport = transport::over_reqwest(&TransportConfig {
            user_agent: &config.user_agent,
            proxy: config.proxy.as_ref(),
            connections: limits.concurrency * 2,
            connect_timeout: limits.get_timeout,
        })?;
        Ok(Self::with(transport, limits, credentials, config))
    }

    pub(super) fn with(
        transport: Transport,
        limits: Limits,
        credentials: Credentials,
        config: &RequesterConfig,
    ) -> Self {
        let shared = Shared {
            limits,
            credentials,
            proxied: config.proxy.is_some(),
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
        let result = self.read(url, kind, |answer| classify::get(answer, kind, limit), &mut cost).await;
        (result, cost)
    }

    /// Gets a page of a list as [`Requester::get`] gets JSON, with the headers that came with it.
    pub(crate) async fn list_page(&self, url: &Url) -> Result<ListAnswer, FetchError> {
        let limit = self.shared.limit(Get::List);
        let meaning = |answer: Answer| {
            let headers = answer.headers.clone();
            match classify::get(answer, Get::List, limit) {
                GetOutcome::Fetched(body) => GetOutcome::Fetched(ListAnswer { headers, body }),
                GetOutcome::Again { status, reason } => GetOutcome::Again { status, reason },
                GetOutcome::Failed(error) => GetOutcome::Failed(error),
            }
        };
        self.read(url, Get::List, meaning, &mut Cost::default()).await
    }

    /// Asks the target whether it has a record, through failures, stalls and refusals as [`Requester::get`]; and says
    /// what that cost.
    ///
    /// Dropping the future stops it at once; a GET changes nothing.
    pub async fn probe(&self, prober: &Prober, id: &RecordId) -> (ProbeOutcome, Cost) {
        let mut cost = Cost::default();
        let meaning = |answer: Answer| classify::probe(prober, &answer);
        let result = self.read(&prober.url(id), Get::Probe, meaning, &mut cost).await;
        let outcome = result.unwrap_or_else(|error| match error {
            FetchError::NoCredentials { reason } => ProbeOutcome::NoCredentials { reason },
            error => ProbeOutcome::Unknown { reason: error.to_string() },
        });
        (self.shared.credentials.redactor.probed(outcome), cost)
    }

    /// Tries a request until `meaning` finds in its answer what was wanted, or why there is no point.
    pub(super) async fn tried<T>(
        &self,
        wanted: &Wanted<'_>,
        meaning: impl Fn(Answer) -> GetOutcome<T>,
        cost: &mut Cost,
    ) -> Result<T, FetchError> {
        let shared = &*self.shared;
        let url = wanted.url;
        let host = shared.host(url);
        let limits = Limits { hedge_copies: wanted.copies, ..shared.limits.clone() };
        let get = wanted.get.map(|kind| (url, kind));
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
            let race = race::run(&mut transport, &host, &limits, wanted.exchange).await;
            drop(place);
            shared.count(&race, cost);
            let outcome = shared.judge(&host, get, race.result, &meaning);
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
            let Some((url, kind)) = question.witness().map(|(url, kind)| (url.clone(), kind)) else {
                return Some(question);
            };
            let pass = shared.credentials.as_known(Purpose::Get(kind), &url);
            host.rate().await;
            cost.questions += 1;
            shared.counters.requests.fetch_add(1, Ordering::Relaxed);
            let answering = self.transport.clone().call(reading(&url, &pass, MAX_REASON));
            let answer = tokio::time::timeout(shared.limits.get_timeout, answering).await;
            let result = answer.unwrap_or_else(|_| Err(race::silence_of(shared.limits.get_timeout)));
            let _: GetOutcome<()> = shared.judge(host, Some((&url, kind)), result, |_| GetOutcome::Fetched(()));
            question.asked();
        }
    }

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
        let mut transport = self.transport.clone();
        let silence = || race::silence_of(until.duration_since(now));
        let result = timeout_at(until, transport.call(exchange)).await.unwrap_or_else(|_| Err(silence()));
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
            true => host.retries.take().await,
            false => host.retries.deposit(),
        }
        // Before the right to ask is taken: whoever has it must wait for nobody.
        let began = Instant::now();
        let pass = self.pass(Purpose::Load, url).await;
        let question = self.admitted(&host, OWN_POST, &mut Cost::default()).await;
        host.rate().await;
        Turn::at_host(question, Ready { began, pass })
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
    pub(super) fn limit(&self, kind: Get) -> usize {
        match kind {
            Get::List => self.limits.page_size,
            Get::Detail | Get::Enrich(_) => self.limits.record_size,
            Get::Probe => MAX_REASON,
        }
    }

    /// What follows from a try of a GET, for this record and for the host.
    fn judge<T>(
        &self,
        host: &Host,
        get: Option<(&Url, Get)>,
        result: Result<Answer, TransportError>,
        meaning: impl Fn(Answer) -> GetOutcome<T>,
    ) -> GetOutcome<T> {
        host.saw(get, &result);
        let outcome = match result {
            Ok(answer) => {
                self.heed(host, &answer);
                meaning(answer)
            }
            Err(error) => {
                host.limiter.learn(Signal::Lost);
                GetOutcome::Again { status: None, reason: error.reason().to_owned() }
            }
        };
        self.credentials.redactor.outcome(outcome)
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

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
