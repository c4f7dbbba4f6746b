//! The requester: what ties host, race and classification together.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tower::Service;
use url::Url;

use super::access::{Process, Purpose};
use super::asking::reading;
use super::circuit::Count;
use super::classify::{self, GetOutcome, ProbeOutcome};
use super::counters::Counters;
use super::credentials::Credentials;
use super::held::held_back;
use super::host::{Host, Question};
use super::hosts::Hosts;
use super::limit::Signal;
use super::measures::{self, Request};
use super::notes::{Notes, Sent};
use super::race::{self, Race};
use super::reading::MAX_REASON;
use super::transport::{self, Answer, Exchange, Transport, TransportConfig, TransportError};
use super::tries::Tries;
use super::{Cost, FetchError, Fleet, Get, RequesterConfig, RequesterError, RequesterStats};
use crate::compiled::CompiledPipeline;
use crate::list::ListAnswer;
use crate::load::Prober;
use crate::record_id::RecordId;
use crate::spec::Limits;

/// Of so many questions whether a host is back, one is the GET that waits itself.
const OWN_GET: u32 = 2;

/// Sends the requests of one pipeline from one process. Cheap to clone; clones share what they know of each host.
#[derive(Clone)]
pub struct Requester {
    pub(super) shared: Arc<Shared>,
    pub(super) transport: Transport,
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
    pub(super) proxied: bool,
    wait_for_first: bool,
    fleet: Option<Arc<dyn Fleet>>,
    random: Mutex<fastrand::Rng>,
    hosts: Hosts<Host>,
    /// How many of the hosts are down.
    down: Arc<watch::Sender<usize>>,
    pub(super) counters: Counters,
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
        let transport = transport::over_hyper(&TransportConfig {
            user_agent: &config.user_agent,
            proxy: config.proxy.as_ref(),
            connections: limits.concurrency * 2,
            connect_timeout: limits.connect_timeout(),
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
            fleet: config.fleet.clone(),
            random: Mutex::new(fastrand::Rng::with_seed(config.seed)),
            hosts: Hosts::default(),
            down: Arc::new(watch::Sender::new(0)),
            counters: Counters::default(),
        };
        Self { shared: Arc::new(shared), transport }
    }

    /// Gets JSON, through failures, stalls and refusals, within the limits of the pipeline; and says what that cost.
    ///
    /// Dropping the future stops it at once; a GET changes nothing.
    pub async fn get(&self, url: &Url, kind: Get) -> (Result<Bytes, FetchError>, Cost) {
        let (result, cost, _) = self.get_noting(url, kind, false).await;
        (result, cost)
    }

    /// The same; with `note` also each request that went over the wire, in the order of their sending.
    pub async fn get_noting(&self, url: &Url, kind: Get, note: bool) -> (Result<Bytes, FetchError>, Cost, Vec<Sent>) {
        let mut notes = Notes { sent: note.then(Vec::new), ..Notes::default() };
        let limit = self.shared.limit(kind);
        let result = self.read(url, kind, |answer| classify::get(answer, kind, limit), &mut notes).await;
        (result, notes.cost, notes.sent.unwrap_or_default())
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
        self.read(url, Get::List, meaning, &mut Notes::default()).await
    }

    /// Asks the target whether it has a record, through failures, stalls and refusals as [`Requester::get`]; and says
    /// what that cost; with `note` also each request that went over the wire, in the order of their sending.
    ///
    /// Dropping the future stops it at once; a GET changes nothing.
    pub async fn probe(&self, prober: &Prober, id: &RecordId, note: bool) -> (ProbeOutcome, Cost, Vec<Sent>) {
        let mut notes = Notes { sent: note.then(Vec::new), ..Notes::default() };
        let meaning = |answer: Answer| classify::probe(prober, &answer);
        let result = self.read(&prober.url(id), Get::Probe, meaning, &mut notes).await;
        let outcome = result.unwrap_or_else(|error| match error {
            FetchError::NoCredentials { reason } => ProbeOutcome::NoCredentials { reason },
            error => ProbeOutcome::Unknown { reason: error.to_string() },
        });
        (self.shared.credentials.redactor.probed(outcome), notes.cost, notes.sent.unwrap_or_default())
    }

    /// Tries a request until `meaning` finds in its answer what was wanted, or why there is no point.
    pub(super) async fn tried<T>(
        &self,
        wanted: &Wanted<'_>,
        meaning: impl Fn(Answer) -> GetOutcome<T>,
        Notes { cost, sent }: &mut Notes,
    ) -> Result<T, FetchError> {
        let shared = &*self.shared;
        let url = wanted.url;
        let host = shared.host_at(url);
        let get = wanted.get.map(|kind| (url, kind));
        let mut transport = self.transport.clone();
        let mut tries = Tries::new(host.circuit.count());
        host.retries.deposit();
        loop {
            let mut question = self.admitted(host, OWN_GET, cost).await;
            tries.count_anew(host.circuit.count(), shared.wait_for_first);
            // Whoever may ask whether the host is back does so before it gives up.
            let waits = question.is_some() && (shared.wait_for_first || host.circuit.count().served > 0);
            if !waits && tries.count >= shared.limits.get_attempts {
                return Err(tries.given_up());
            }
            if question.is_none() && tries.count > 0 && !Box::pin(shared.pause(host, tries.count, cost)).await {
                continue;
            }
            let place = host.place(&mut cost.waited).await;
            if question.is_none() && host.circuit.is_open() {
                continue;
            }
            cost.attempts += 1;
            tries.count += 1;
            let (limits, exchange) = (&shared.limits, wanted.exchange);
            let race = race::run(&mut transport, host, limits, wanted.copies, exchange, sent.as_mut()).await;
            let request = wanted.get.map_or(Request::Token, Request::Get);
            let method = if wanted.get.is_some() { Method::GET } else { Method::POST };
            host.measures.tried(request, &method, race.took, &race.result);
            drop(place);
            shared.count(host, &race, cost);
            tries.silent = race.silent;
            let outcome = shared.judge(host, get, race.result, &meaning);
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
                if !shared.may_be_down(host, tries.since) {
                    return Err(tries.given_up());
                }
                host.circuit.suspect();
            }
        }
    }

    /// Waits until a request may go out. While the host serves nothing, asks whether it is back when it is this one's
    /// turn; gives the right to ask when the request itself is the question.
    pub(super) async fn admitted(&self, host: &Arc<Host>, every: u32, cost: &mut Cost) -> Option<Question> {
        if host.is_free() {
            return None;
        }
        // In a box, like all that seldom happens: else the future of each request would have room for it.
        Box::pin(self.admitted_in_turn(host, every, cost)).await
    }

    async fn admitted_in_turn(&self, host: &Arc<Host>, every: u32, cost: &mut Cost) -> Option<Question> {
        let shared = &*self.shared;
        loop {
            let mut question = held_back(&mut cost.waited, Question::or_pass(host, every)).await?;
            let Some((url, kind)) = question.witness().map(|(url, kind)| (url.clone(), kind)) else {
                return Some(question);
            };
            let pass = shared.credentials.as_known(Purpose::Get(kind), &url);
            held_back(&mut cost.waited, host.permission()).await;
            cost.questions += 1;
            shared.counters.requests.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            let answering = self.transport.clone().call(reading(&url, &pass, MAX_REASON));
            let answer = tokio::time::timeout(shared.limits.get_timeout, answering).await;
            let result = answer.unwrap_or_else(|_| Err(race::silence_of(shared.limits.get_timeout)));
            host.measures.tried(Request::Get(kind), &Method::GET, began.elapsed(), &result);
            let _: GetOutcome<()> = shared.judge(host, Some((&url, kind)), result, |_| GetOutcome::Fetched(()));
            question.asked();
        }
    }

    /// How many hosts are down at the moment: they serve nothing, and requests to them wait.
    #[must_use]
    pub fn hosts_down(&self) -> watch::Receiver<usize> {
        self.shared.down.subscribe()
    }

    /// What this requester and its clones did so far.
    #[must_use]
    pub fn stats(&self) -> RequesterStats {
        self.shared.counters.read()
    }
}

impl Shared {
    pub(super) fn host(&self, url: &Url) -> Arc<Host> {
        Arc::clone(self.host_at(url))
    }

    fn host_at(&self, url: &Url) -> &Arc<Host> {
        let make = || {
            let seed = super::lock(&self.random).u64(..);
            let host = Arc::new(Host::new(url, &self.limits, self.fleet.as_ref(), seed, &self.down));
            measures::show(&host);
            host
        };
        self.hosts.find_or_make(|host| host.serves(url), make)
    }

    /// Counts a try of a GET, its hedges included.
    fn count(&self, host: &Host, race: &Race, cost: &mut Cost) {
        cost.hedges += race.hedges;
        if let Ok(answer) = &race.result {
            cost.bytes += answer.body.len() as u64;
        }
        let counters = &self.counters;
        counters.requests.fetch_add(1 + u64::from(race.hedges), Ordering::Relaxed);
        if cost.attempts > 1 {
            counters.retries.fetch_add(1, Ordering::Relaxed);
            host.measures.retried();
        }
        if race.hedges > 0 {
            counters.hedges.fetch_add(race.hedges.into(), Ordering::Relaxed);
            counters.hedges_won.fetch_add(race.hedge_won.into(), Ordering::Relaxed);
            host.measures.hedged(race.hedges, race.hedge_won);
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
    pub(super) fn heed(&self, host: &Host, answer: &Answer) {
        self.counters.bytes_in.fetch_add(answer.body.len() as u64, Ordering::Relaxed);
        host.measures.received(answer.body.len());
        if !classify::is_overload(answer) {
            host.limiter.learn(Signal::Answered(host.latency.pace()));
            return;
        }
        self.counters.throttled.fetch_add(1, Ordering::Relaxed);
        host.measures.throttled();
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
    async fn pause(&self, host: &Host, tries: u32, cost: &mut Cost) -> bool {
        let delay = self.backoff(tries);
        let paid = async {
            sleep(delay).await;
            host.retry().await;
        };
        let paused = async {
            tokio::select! {
                biased;
                () = host.circuit.opened() => false,
                () = paid => true,
            }
        };
        held_back(&mut cost.waited, paused).await
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
