//! What is known about a host: how much it bears, how fast it answers, and whether it asked to be left alone.

use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Whether there is such a time.
    is_closed: AtomicBool,
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
            is_closed: AtomicBool::new(false),
        }
    }

    /// Whether a URL is of this host, as that which it was made of is.
    pub(crate) fn serves(&self, url: &Url) -> bool {
        let name = url.host_str().unwrap_or_default();
        name == self.name && url.port_or_known_default() == self.port && url.scheme() == self.scheme
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
        self.is_closed.store(true, Ordering::Release);
    }

    /// How much longer the host wants to be left alone.
    pub(crate) fn closed_for(&self) -> Option<Duration> {
        let told = self.fleet.as_ref().and_then(|fleet| fleet.closed_until(&self.origin));
        if told.is_none() && !self.is_closed.load(Ordering::Acquire) {
            return None;
        }
        let mut closed = super::lock(&self.closed_until);
        let now = Instant::now();
        *closed = closed.filter(|until| *until > now);
        self.is_closed.store(closed.is_some(), Ordering::Release);
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

    /// Whether it is taken to serve requests, and does not want to be left alone.
    pub(crate) fn is_free(&self) -> bool {
        !self.circuit.is_open() && self.closed_for().is_none()
    }

    /// Waits for a place among the requests in flight, at a time when the host may be asked, and for the rate: nothing
    /// else is waited for after it. Adds to `waited` all but the wait for a place.
    pub(crate) async fn place(&self, waited: &mut Duration) -> Place<'_> {
        if let Some(place) = self.place_at_once() {
            return place;
        }
        // In a box: else the future of each request would have room for all that may be waited for.
        Box::pin(self.place_in_turn(waited)).await
    }

    /// Where there is nothing to wait for.
    fn place_at_once(&self) -> Option<Place<'_>> {
        match self.rate {
            Permission::Free if self.closed_for().is_none() => self.limiter.place_at_once(),
            _ => None,
        }
    }

    async fn place_in_turn(&self, waited: &mut Duration) -> Place<'_> {
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;

    /// A fleet that was told of one wish.
    #[derive(Debug)]
    struct Told(Instant);

    impl Fleet for Told {
        fn reserve(&self, _: &str, _: u32, _: Duration) -> BoxFuture<'static, Vec<Instant>> {
            std::future::pending().boxed()
        }

        fn pressed(&self, _: &str, _: Duration) {}

        fn closed_until(&self, _: &str) -> Option<Instant> {
            Some(self.0).filter(|until| *until > Instant::now())
        }
    }

    fn host(url: &str, fleet: Option<&Arc<dyn Fleet>>) -> Host {
        let limits = Limits { concurrency: 1, ..Limits::default() };
        Host::new(&Url::parse(url).unwrap(), &limits, fleet, 7, &Arc::new(watch::Sender::new(0)))
    }

    #[test]
    fn a_host_serves_its_urls_and_no_others() {
        let urls = ["http://a.test/", "http://b.test/", "https://a.test/", "http://a.test:81/", "data:,x"];
        for (at, url) in urls.iter().enumerate() {
            let host = host(url, None);
            for (other_at, other) in urls.iter().enumerate() {
                assert_eq!(host.serves(&Url::parse(other).unwrap()), at == other_at, "{url} {other}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_left_alone_as_long_as_it_wished_by_what_it_or_the_fleet_was_told() {
        let seconds = Duration::from_secs;
        let own = host("http://a.test/", None);
        assert_eq!(own.closed_for(), None);
        own.close_for(seconds(5));
        own.close_for(seconds(3));
        assert_eq!(own.closed_for(), Some(seconds(5)));
        tokio::time::advance(seconds(5)).await;
        assert_eq!(own.closed_for(), None);
        own.close_for(seconds(2));
        assert_eq!(own.closed_for(), Some(seconds(2)));

        let fleet: Arc<dyn Fleet> = Arc::new(Told(Instant::now() + seconds(4)));
        let told = host("http://a.test/", Some(&fleet));
        assert_eq!(told.closed_for(), Some(seconds(4)));
        told.close_for(seconds(6));
        assert_eq!(told.closed_for(), Some(seconds(6)));
        tokio::time::advance(seconds(6)).await;
        assert_eq!(told.closed_for(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_had_at_once_where_nothing_is_to_be_waited_for() {
        let host = host("http://a.test/", None);
        let mut waited = Duration::ZERO;
        let place = host.place(&mut waited).now_or_never();
        assert!(place.is_some() && host.place_at_once().is_none());
        drop(place);
        host.close_for(Duration::from_secs(5));
        assert!(host.place_at_once().is_none() && !host.is_free());
        drop(host.place(&mut waited).await);
        // A timer rings at the end of its millisecond.
        assert!((5_000..=5_001).contains(&waited.as_millis()), "{waited:?}");
        assert!(host.is_free());
        host.circuit.suspect();
        assert!(!host.is_free());
    }
}
