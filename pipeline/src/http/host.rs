//! What is known about a host: how much it bears, how fast it answers, and whether it asked to be left alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::budget::{HedgeBudget, RetryBudget};
use super::circuit::{Circuit, Look, News};
use super::fleet::host_of;
use super::held::held_back;
use super::latency::Latency;
use super::limit::{Limiter, Place};
use super::measures::{Measures, Wait};
use super::rate::RateLimiter;
use super::shared::SharedRate;
use super::transport::{Answer, TransportError};
use super::{Fleet, Get};
use crate::spec::Limits;

#[derive(Debug)]
pub(crate) struct Host {
    scheme: String,
    name: String,
    port: Option<u16>,
    /// All that, as a fleet has it.
    origin: String,
    pub(crate) limiter: Limiter,
    rate: Permission,
    fleet: Option<Arc<dyn Fleet>>,
    pub(crate) retries: RetryBudget,
    pub(crate) hedges: HedgeBudget,
    pub(crate) latency: Latency,
    pub(crate) circuit: Circuit,
    pub(crate) measures: Measures,
    /// How many hosts of the requester are down, and whether this one is counted.
    down: Arc<watch::Sender<usize>>,
    counted: Mutex<bool>,
    closed_until: Mutex<Option<Instant>>,
}

/// Who says when one more request may go out.
#[derive(Debug)]
enum Permission {
    /// Nobody has to.
    Free,
    /// This process alone.
    Own(RateLimiter),
    /// The fleet.
    Shared(SharedRate),
}

impl Permission {
    fn of(origin: &str, limits: &Limits, fleet: Option<&Arc<dyn Fleet>>) -> Self {
        match (limits.rate, fleet) {
            (None, _) => Self::Free,
            (Some(rate), None) => Self::Own(RateLimiter::new(rate)),
            (Some(rate), Some(fleet)) => Self::Shared(SharedRate::new(origin.to_owned(), rate, Arc::clone(fleet))),
        }
    }
}

impl Host {
    pub(crate) fn new(
        url: &Url,
        limits: &Limits,
        fleet: Option<&Arc<dyn Fleet>>,
        seed: u64,
        down: &Arc<watch::Sender<usize>>,
    ) -> Self {
        let origin = host_of(url);
        Self {
            scheme: url.scheme().to_owned(),
            name: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default(),
            limiter: match limits.fixed_concurrency {
                true => Limiter::fixed(limits.concurrency),
                false => Limiter::new(limits.concurrency),
            },
            rate: Permission::of(&origin, limits, fleet),
            fleet: fleet.cloned(),
            origin,
            retries: RetryBudget::new(limits.retry_budget),
            hedges: HedgeBudget::new(),
            latency: Latency::new(),
            circuit: Circuit::new(seed),
            measures: Measures::of(url),
            down: Arc::clone(down),
            counted: Mutex::new(false),
            closed_until: Mutex::new(None),
        }
    }

    pub(crate) fn serves(&self, url: &Url) -> bool {
        url.host_str() == Some(&self.name) && url.port_or_known_default() == self.port && url.scheme() == self.scheme
    }

    /// Notes what came of a request; `get` is what a GET was for.
    pub(crate) fn saw(&self, get: Option<(&Url, Get)>, result: &Result<Answer, TransportError>) {
        self.tell(self.circuit.saw(get, result));
    }

    /// Says when the host stops serving requests, and when it serves them again.
    fn tell(&self, news: Option<News>) {
        let Some(news) = news else { return };
        self.count_down();
        // Made of what a person needs to find the host: no path, no query and nothing secret.
        let url = self.origin.as_str();
        match news {
            News::Down(reason) => {
                tracing::warn!(
                    url.full = url,
                    muster.reason = reason,
                    muster.next = "about one request a second asks whether it is back, the others wait; \
                                   a line tells when it answers again",
                    "a host does not serve requests"
                );
            }
            News::Up(after) => {
                self.limiter.start_anew();
                self.latency.start_anew();
                tracing::info!(url.full = url, muster.seconds = after.as_secs_f64(), "a host serves requests again");
            }
        }
    }

    /// News may be told in another order than it happened: what counts is how the circuit is now.
    fn count_down(&self) {
        let mut counted = super::lock(&self.counted);
        let is_down = self.circuit.is_outage();
        if is_down != *counted {
            *counted = is_down;
            self.down.send_modify(|hosts| *hosts = if is_down { *hosts + 1 } else { hosts.saturating_sub(1) });
        }
    }

    /// Leaves the host alone for a while, and lets the fleet know; a longer wish that it uttered before stays.
    pub(crate) fn close_for(&self, time: Duration) {
        if let Some(fleet) = &self.fleet {
            fleet.pressed(&self.origin, time);
        }
        let until = Instant::now() + time;
        let mut closed = super::lock(&self.closed_until);
        *closed = Some(closed.map_or(until, |before| before.max(until)));
    }

    /// How much longer the host wants to be left alone.
    pub(crate) fn closed_for(&self) -> Option<Duration> {
        let told = self.fleet.as_ref().and_then(|fleet| fleet.closed_until(&self.origin));
        let mut closed = super::lock(&self.closed_until);
        let now = Instant::now();
        *closed = closed.filter(|until| *until > now);
        let until = closed.into_iter().chain(told).max()?;
        Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Waits until the rate allows one more request.
    pub(crate) async fn rate(&self) {
        let measures = &self.measures;
        match &self.rate {
            Permission::Free => return,
            Permission::Own(rate) => measures.waiting(Wait::Rate, rate.take()).await,
            Permission::Shared(rate) => measures.waiting(Wait::Rate, rate.take()).await,
        }
        measures.allowed();
    }

    /// Waits until the budget of retries has room for one more.
    pub(crate) async fn retry(&self) {
        self.measures.waiting(Wait::RetryBudget, self.retries.take()).await;
    }

    /// Waits until one more request may go out now: for the rate, while the host does not want to be left alone.
    pub(crate) async fn permission(&self) {
        loop {
            self.until_open().await;
            self.rate().await;
            // Whoever waited for the rate may have been overtaken by an answer that closed the host.
            if self.closed_for().is_none() {
                return;
            }
        }
    }

    /// Whether a copy of a slow request may go out, once the rate allows it.
    pub(crate) fn may_hedge(&self) -> bool {
        self.closed_for().is_none() && self.hedges.try_take()
    }

    /// Waits for a place among the requests in flight, at a time when the host may be asked, and for the rate: nothing
    /// else is waited for after it. Adds to `waited` all but the wait for a place.
    pub(crate) async fn place(&self, waited: &mut Duration) -> Place<'_> {
        loop {
            held_back(waited, self.until_open()).await;
            let place = self.measures.waiting(Wait::Concurrency, self.limiter.place()).await;
            held_back(waited, self.rate()).await;
            // Whoever waited in the queue may have been overtaken by an answer that closed the host.
            if self.closed_for().is_none() {
                return place;
            }
        }
    }

    /// Waits while the host wants to be left alone.
    pub(crate) async fn until_open(&self) {
        while let Some(left) = self.closed_for() {
            self.measures.waiting(Wait::LeftAlone, sleep_until(Instant::now() + left)).await;
        }
    }
}

/// The right to ask a host that is suspected or down. While it lives nobody else asks.
#[derive(Debug)]
pub(crate) struct Question {
    host: Arc<Host>,
    witness: Option<(Url, Get)>,
    number: u64,
    asked: bool,
}

impl Question {
    /// Waits until a request may go out; gives the right to ask when it goes out as a question.
    pub(crate) async fn or_pass(host: &Arc<Host>, every: u32) -> Option<Self> {
        host.until_open().await;
        match host.circuit.enter(every).await {
            Look::Ask { witness, number } => Some(Self { host: Arc::clone(host), witness, number, asked: false }),
            Look::Closed | Look::Wait(_) => None,
        }
    }

    /// The right to ask now, if nobody else has it and it is time.
    pub(crate) fn at_once(host: &Arc<Host>) -> Option<Self> {
        match host.circuit.look(1) {
            Look::Ask { witness, number } => Some(Self { host: Arc::clone(host), witness, number, asked: false }),
            Look::Closed | Look::Wait(_) => None,
        }
    }

    /// What is to be asked for, in place of what the request itself wants.
    pub(crate) fn witness(&self) -> Option<(&Url, Get)> {
        self.witness.as_ref().map(|(url, kind)| (url, *kind))
    }

    /// It was sent, and its answer or its failure has come.
    pub(crate) fn asked(&mut self) {
        self.asked = true;
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.host.tell(self.host.circuit.answered(self.asked, self.number));
    }
}
