//! What requests to a host come to, for whoever watches many of them.

use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

use http::{Method, StatusCode};
use muster_telemetry::metrics::{
    Counter, Histogram, Label, Observed, SecondsCounter, kept, label, names as metrics, number,
};
use muster_telemetry::names;
use tokio::time::Instant;
use url::Url;

use super::Get;
use super::host::Host;
use super::transport::{Answer, TransportError};

/// From an answer of the same machine to the longest that a POST may be waited for.
const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0];
/// Less is no waiting, but the time it takes to find out that there is nothing to wait for.
const LEAST_WAIT: Duration = Duration::from_millis(1);

static DURATION: LazyLock<Histogram> = LazyLock::new(|| metrics::HTTP_DURATION.histogram(SECONDS));
static RETRIES: LazyLock<Counter> = LazyLock::new(|| metrics::HTTP_RETRIES.counter());
static HEDGES: LazyLock<Counter> = LazyLock::new(|| metrics::HTTP_HEDGES.counter());
static THROTTLED: LazyLock<Counter> = LazyLock::new(|| metrics::HTTP_THROTTLED.counter());
static WAITED: LazyLock<SecondsCounter> = LazyLock::new(|| metrics::HTTP_WAITED.seconds());
static RECEIVED: LazyLock<Counter> = LazyLock::new(|| metrics::HTTP_RECEIVED.counter());
static SENT: LazyLock<Counter> = LazyLock::new(|| metrics::HTTP_SENT.counter());
static ALLOWED: LazyLock<Counter> = LazyLock::new(|| metrics::RATE_ALLOWED.counter());

/// The hosts of this process.
static HOSTS: LazyLock<Mutex<Vec<Weak<Host>>>> = LazyLock::new(|| {
    for (metric, all) in OF_ALL {
        metric.observe(move |now| all(&live(), now));
    }
    Mutex::default()
});

/// What a request is for, as far as that is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Get(Get),
    Load,
    Token,
}

impl Request {
    fn word(self) -> &'static str {
        match self {
            Self::Get(Get::List) => "list",
            Self::Get(Get::Detail) => "detail",
            Self::Get(Get::Enrich(_)) => "enrich",
            Self::Get(Get::Probe) => "probe",
            Self::Load => "load",
            Self::Token => "token",
        }
    }
}

/// What a request waits for before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Rate,
    LeftAlone,
    RetryBudget,
    Concurrency,
}

impl Wait {
    const ALL: [Self; 4] = [Self::Rate, Self::LeftAlone, Self::RetryBudget, Self::Concurrency];

    fn word(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::LeftAlone => "left_alone",
            Self::RetryBudget => "retry_budget",
            Self::Concurrency => "concurrency",
        }
    }
}

/// The labels of one host, made once.
#[derive(Debug)]
pub(crate) struct Measures {
    of_host: [Label; 2],
}

impl Measures {
    pub(crate) fn of(url: &Url) -> Self {
        let name: Arc<str> = url.host_str().unwrap_or_default().into();
        let port = url.port_or_known_default().unwrap_or_default();
        let measures = Self { of_host: [label(metrics::SERVER, name), number(metrics::PORT, port.into())] };
        // There from the beginning, so that a rate of them has one.
        for counter in [&RETRIES, &THROTTLED, &RECEIVED, &SENT, &ALLOWED] {
            counter.add(0, &measures.of_host);
        }
        measures.hedged(0, false);
        Wait::ALL.into_iter().for_each(|wait| WAITED.add(0.0, &measures.with(metrics::WAIT, wait.word())));
        measures
    }

    /// An attempt of a request has ended.
    pub(crate) fn tried(
        &self,
        request: Request,
        method: &Method,
        took: Duration,
        result: &Result<Answer, TransportError>,
    ) {
        if !kept() {
            return;
        }
        let [server, port] = self.of_host.clone();
        let method = label(metrics::METHOD, word_of(method));
        let request = label(metrics::REQUEST, request.word());
        let came_to = match result {
            Ok(answer) => number(names::HTTP_STATUS, answer.status.as_u16().into()),
            Err(TransportError::NotSent(_)) => label(names::ERROR, "not_sent"),
            Err(TransportError::Broken(_)) => label(names::ERROR, "broken"),
        };
        let failed = |status: StatusCode| status.is_client_error() || status.is_server_error();
        match result {
            // As the conventions have it: a status that is an error is its own kind of error.
            Ok(answer) if failed(answer.status) => {
                let error = label(names::ERROR, answer.status.as_str().to_owned());
                DURATION.record(took.as_secs_f64(), &[method, server, port, request, came_to, error]);
            }
            _ => DURATION.record(took.as_secs_f64(), &[method, server, port, request, came_to]),
        }
    }

    /// A GET is sent again.
    pub(crate) fn retried(&self) {
        RETRIES.add(1, &self.of_host);
    }

    /// So many copies of a slow GET were sent, and whether one of them answered first.
    pub(crate) fn hedged(&self, sent: u32, won: bool) {
        HEDGES.add(sent.into(), &self.with(metrics::HEDGE, "sent"));
        HEDGES.add(won.into(), &self.with(metrics::HEDGE, "won"));
    }

    pub(crate) fn throttled(&self) {
        THROTTLED.add(1, &self.of_host);
    }

    pub(crate) fn received(&self, bytes: usize) {
        RECEIVED.add(bytes as u64, &self.of_host);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        SENT.add(bytes as u64, &self.of_host);
    }

    /// The host's rate allowed one more request of this process.
    pub(crate) fn allowed(&self) {
        ALLOWED.add(1, &self.of_host);
    }

    /// What this future gives, which a request waits for.
    pub(crate) async fn waiting<T>(&self, wait: Wait, future: impl Future<Output = T>) -> T {
        if !kept() {
            return future.await;
        }
        let began = Instant::now();
        let given = future.await;
        let waited = began.elapsed();
        if waited >= LEAST_WAIT {
            WAITED.add(waited.as_secs_f64(), &self.with(metrics::WAIT, wait.word()));
        }
        given
    }

    fn with(&self, name: &'static str, word: &'static str) -> [Label; 3] {
        let [server, port] = self.of_host.clone();
        [server, port, label(name, word)]
    }
}

/// Shows the state of a host for as long as it lives.
pub(crate) fn show(host: &Arc<Host>) {
    if kept() {
        let mut hosts = super::lock(&HOSTS);
        hosts.retain(|host| host.strong_count() > 0);
        hosts.push(Arc::downgrade(host));
    }
}

fn live() -> Vec<Arc<Host>> {
    super::lock(&HOSTS).iter().filter_map(Weak::upgrade).collect()
}

type ShowAll = fn(&[Arc<Host>], &Observed<'_>);

const OF_ALL: [(metrics::Metric, ShowAll); 4] = [
    (metrics::HTTP_LIMIT, |hosts, now| each(hosts, now, |host| host.limiter.limit() as f64, |a, b| a + b)),
    (metrics::HTTP_ACTIVE, |hosts, now| each(hosts, now, |host| host.limiter.taken() as f64, |a, b| a + b)),
    (metrics::HTTP_RETRY_BUDGET, |hosts, now| each(hosts, now, |host| host.retries.left(), f64::min)),
    (metrics::HOST_DOWN, |hosts, now| each(hosts, now, |host| f64::from(u8::from(host.circuit.is_outage())), f64::max)),
];

/// Shows a value of each host; what several pipelines know of the same host is put together.
fn each(hosts: &[Arc<Host>], now: &Observed<'_>, value: fn(&Host) -> f64, together: fn(f64, f64) -> f64) {
    let mut shown: Vec<(&[Label; 2], f64)> = Vec::new();
    for host in hosts {
        let (labels, value) = (&host.measures.of_host, value(host));
        match shown.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, known)) => *known = together(*known, value),
            None => shown.push((labels, value)),
        }
    }
    shown.into_iter().for_each(|(labels, value)| now.is(value, labels));
}

/// A method as a word that is there for ever: pipelines know only a few.
fn word_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        // As the conventions call whatever is not known.
        _ => "_OTHER",
    }
}
