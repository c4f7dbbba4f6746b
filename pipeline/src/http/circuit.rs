//! A circuit per host: while a host serves nothing, it is asked by one request at a time and the others wait.
//!
//! The pattern is M. Nygard's (*Release It!*, "Circuit Breaker"). What sets this one apart from those of Finagle
//! (failure accrual), Envoy (outlier detection) and resilience4j is that it must neither be opened by chance nor ever end
//! a record, so it opens on the absence of any success and not on a rate of failures:
//!
//! 1. **Suspected** when nothing was served since [`PATIENCE`] and failures of a weight of [`ENOUGH`] came meanwhile
//!    (Finagle: 5 in a row; Envoy: 5 5xx in a row), or when one request has used up its tries and nothing was served
//!    since its first. From then on only questions go out.
//! 2. A **question** is one request: one that the host has served before, so that a few requests that fail always do not
//!    look like an outage; every second time (where a POST waits every eighth: it is a row in a ledger), and when there is
//!    none, it is whatever waits. Only a question that fails
//!    makes the suspicion an **outage**, which people hear of. The next goes out [`QUESTIONS_EVERY`] later (Finagle marks
//!    a node dead for 5 s and more; here a question is one request for all that wait, so it can be asked more often).
//! 3. **Closed** by the first success of any request. All that waited go on, as fast as the adaptive limit lets them,
//!    which starts anew as for a host nobody knows.
//! 4. Tries are **counted anew** after each question that failed: what met an outage says nothing about a record, and
//!    what waited it out is no retry to the budget. So a record is given up on only when the host served others meanwhile.
//! 5. A host that never served anything is no outage to those who are not told to wait for it
//!    ([`RequesterConfig::wait_for_first`](super::RequesterConfig)): its address may be wrong, and that is to be heard.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::Get;
use super::transport::{Answer, TransportError};

/// How long a host must have failed, without one success, before it is suspected.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many failures in a row are no chance: a host that fails one request in five fails so many once in 390,000 times.
const ENOUGH: u32 = 8;
/// A connection that is refused says as much as so many requests that fail.
const UNREACHED: u32 = 4;
/// From one question to the next, on average; half as long at least, half as long again at most.
const QUESTIONS_EVERY: Duration = Duration::from_secs(1);
/// A witness is exchanged after so many successes: one that is old may be no more.
const WITNESS_FOR: u64 = 64;

/// What is news about a host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It serves nothing; why the last request failed.
    Down(String),
    /// It serves again, after so long.
    Up(Duration),
}

#[derive(Debug)]
pub(crate) struct Circuit {
    state: Mutex<State>,
    /// Whether it is open; sent anew whenever who waits should look again.
    open: watch::Sender<bool>,
    /// The same, for who only looks.
    is_open: AtomicBool,
    /// One more success changes nothing but the count: the circuit is closed, nothing failed since the last success, and
    /// there is a witness, which a host that is only posted to never has.
    quiet: AtomicBool,
    served: AtomicU64,
    in_vain: AtomicU64,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    /// Failures since the last success.
    row: Option<Row>,
    open: Option<Open>,
    /// How often it has opened.
    opened: u64,
    witness: Option<(Url, Get)>,
}

#[derive(Debug)]
struct Row {
    since: Instant,
    weight: u32,
    last: String,
}

#[derive(Debug)]
struct Open {
    /// Which opening of the circuit it is.
    number: u64,
    /// A question failed.
    outage: bool,
    /// A question is on its way.
    asking: bool,
    /// When the next may go out.
    next: Instant,
    questions: u32,
}

/// What a host has done so far; the difference of two says what happened between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Requests that it served.
    pub(crate) served: u64,
    /// Questions that failed.
    pub(crate) in_vain: u64,
}

/// What a request does next.
#[derive(Debug)]
pub(crate) enum Look {
    /// It goes out.
    Closed,
    /// It is the next question, or asks it.
    Ask {
        /// For this, or else for what it wants itself.
        witness: Option<(Url, Get)>,
        /// Which opening of the circuit it belongs to.
        number: u64,
    },
    /// It waits: until then, or until a question is answered.
    Wait(Option<Instant>),
}

impl Circuit {
    pub(crate) fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let state = State { random, row: None, open: None, opened: 0, witness: None };
        Self {
            state: Mutex::new(state),
            open: watch::Sender::new(false),
            is_open: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            served: AtomicU64::new(0),
            in_vain: AtomicU64::new(0),
        }
    }

    /// Notes what came of a request; `get` is what a GET was for.
    pub(crate) fn saw(&self, get: Option<(&Url, Get)>, result: &Result<Answer, TransportError>) -> Option<News> {
        match result {
            Ok(answer) if answer.status.is_server_error() => {
                self.failed(1, format!("it answers {}", answer.status));
                None
            }
            Ok(_) => self.served(get),
            Err(TransportError::NotSent(reason)) => {
                self.failed(UNREACHED, reason.clone());
                None
            }
            Err(TransportError::Broken(reason)) => {
                self.failed(1, reason.clone());
                None
            }
        }
    }

    fn served(&self, get: Option<(&Url, Get)>) -> Option<News> {
        let is_turn = self.served.fetch_add(1, Ordering::Relaxed).is_multiple_of(WITNESS_FOR);
        // A failure that is noted just now comes after this success.
        if self.quiet.load(Ordering::Acquire) && (get.is_none() || !is_turn) {
            return None;
        }
        let mut state = super::lock(&self.state);
        let row = state.row.take();
        if let Some((url, kind)) = get
            && (state.witness.is_none() || is_turn)
        {
            state.witness = Some((url.clone(), kind));
        }
        self.quiet.store(state.witness.is_some(), Ordering::Release);
        let open = state.open.take()?;
        self.is_open.store(false, Ordering::Release);
        self.open.send_replace(false);
        (open.outage).then(|| News::Up(row.map_or(Duration::ZERO, |row| row.since.elapsed())))
    }

    fn failed(&self, weight: u32, reason: String) {
        let now = Instant::now();
        let mut state = super::lock(&self.state);
        self.quiet.store(false, Ordering::Release);
        let row = state.row.get_or_insert(Row { since: now, weight: 0, last: String::new() });
        row.weight = row.weight.saturating_add(weight);
        row.last = reason;
        if row.weight >= ENOUGH && now.duration_since(row.since) >= PATIENCE {
            self.suspect_at(&mut state, now);
        }
    }

    /// A request has used up its tries and nothing was served since its first.
    pub(crate) fn suspect(&self) {
        self.suspect_at(&mut super::lock(&self.state), Instant::now());
    }

    fn suspect_at(&self, state: &mut State, now: Instant) {
        if state.open.is_none() {
            state.opened += 1;
            let number = state.opened;
            state.open = Some(Open { number, outage: false, asking: false, next: now, questions: 0 });
            self.quiet.store(false, Ordering::Release);
            self.is_open.store(true, Ordering::Release);
            self.open.send_replace(true);
        }
    }

    /// `every`: of so many questions one is what the request itself wants, when there is a witness.
    pub(crate) fn look(&self, every: u32) -> Look {
        let mut state = super::lock(&self.state);
        let State { open, witness, .. } = &mut *state;
        let Some(open) = open else { return Look::Closed };
        if open.asking {
            return Look::Wait(None);
        }
        if open.next > Instant::now() {
            return Look::Wait(Some(open.next));
        }
        open.asking = true;
        open.questions += 1;
        let is_own = open.questions.is_multiple_of(every);
        Look::Ask { witness: witness.clone().filter(|_| !is_own), number: open.number }
    }

    /// The question is over: it was asked and failed, unless the circuit is closed by now; or it was never asked. One of
    /// an earlier time says nothing of this one.
    pub(crate) fn answered(&self, asked: bool, number: u64) -> Option<News> {
        let mut state = super::lock(&self.state);
        let pause = QUESTIONS_EVERY.mul_f64(0.5 + state.random.f64());
        let State { open, row, .. } = &mut *state;
        let open = open.as_mut().filter(|open| open.number == number)?;
        open.asking = false;
        let mut news = None;
        if asked {
            self.in_vain.fetch_add(1, Ordering::Relaxed);
            open.next = Instant::now() + pause;
            if !std::mem::replace(&mut open.outage, true) {
                news = Some(News::Down(row.as_ref().map(|row| row.last.clone()).unwrap_or_default()));
            }
        }
        self.open.send_replace(true);
        news
    }

    /// Waits while a request that is not a question must not go out.
    pub(crate) async fn enter(&self, every: u32) -> Look {
        if !self.is_open() {
            return Look::Closed;
        }
        let mut open = self.open.subscribe();
        loop {
            open.mark_unchanged();
            match self.look(every) {
                Look::Wait(Some(until)) => tokio::select! {
                    _ = open.changed() => {}
                    () = sleep_until(until) => {}
                },
                // The sender lives in self.
                Look::Wait(None) => drop(open.changed().await),
                passes => return passes,
            }
        }
    }

    /// Is the host known to serve nothing?
    pub(crate) fn is_outage(&self) -> bool {
        super::lock(&self.state).open.as_ref().is_some_and(|open| open.outage)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Waits until it opens.
    pub(crate) async fn opened(&self) {
        drop(self.open.subscribe().wait_for(|open| *open).await);
    }

    /// What the host has done so far. The two numbers may be of moments that lie a little apart: each only grows.
    pub(crate) fn count(&self) -> Count {
        Count { served: self.served.load(Ordering::Relaxed), in_vain: self.in_vain.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;
    use http::{HeaderMap, StatusCode};

    use super::super::transport::BodyEnd;
    use super::*;

    fn serve(circuit: &Circuit, path: &str) -> Option<News> {
        let url = Url::parse("http://host.test/").unwrap().join(path).unwrap();
        let (status, headers, body) = (StatusCode::OK, HeaderMap::new(), Bytes::new());
        circuit.saw(Some((&url, Get::Detail)), &Ok(Answer { status, headers, body, end: BodyEnd::Whole }))
    }

    fn fail(circuit: &Circuit, times: u32) {
        (0..times).for_each(|_| circuit.failed(1, "reset".to_owned()));
    }

    fn witness(circuit: &Circuit) -> String {
        circuit.suspect();
        match circuit.look(2) {
            Look::Ask { witness: Some((url, _)), .. } => url.path().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_witness_is_exchanged_after_so_many_successes() {
        let circuit = Circuit::new(7);
        for number in 0..=WITNESS_FOR {
            assert_eq!(circuit.quiet.load(Ordering::Relaxed), number > 0);
            serve(&circuit, &number.to_string());
        }
        assert_eq!(witness(&circuit), "/64");
        (1..WITNESS_FOR).for_each(|_| assert_eq!(serve(&circuit, "other"), None));
        assert_eq!(witness(&circuit), "/64");
        assert_eq!(circuit.count(), Count { served: 2 * WITNESS_FOR, in_vain: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn one_success_ends_a_row_of_failures_and_what_fails_after_it_is_another() {
        let circuit = Circuit::new(7);
        serve(&circuit, "1");
        fail(&circuit, ENOUGH - 1);
        tokio::time::advance(PATIENCE).await;
        serve(&circuit, "2");
        fail(&circuit, ENOUGH - 1);
        assert!(!circuit.is_open());
        tokio::time::advance(PATIENCE).await;
        fail(&circuit, 1);
        assert!(circuit.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn all_go_through_a_closed_circuit_and_one_asks_while_it_is_open() {
        let circuit = Circuit::new(7);
        serve(&circuit, "1");
        assert!(matches!(circuit.enter(2).now_or_never(), Some(Look::Closed)));
        circuit.suspect();
        let Some(Look::Ask { number, .. }) = circuit.enter(2).now_or_never() else { panic!("nobody asks") };
        let mut waiting = Box::pin(circuit.enter(2));
        assert!((&mut waiting).now_or_never().is_none());
        assert!(matches!(circuit.answered(true, number), Some(News::Down(_))));
        assert_eq!(circuit.count(), Count { served: 1, in_vain: 1 });
        assert!(circuit.is_open() && (&mut waiting).now_or_never().is_none());
        assert_eq!(serve(&circuit, "2"), Some(News::Up(Duration::ZERO)));
        assert!(matches!(waiting.now_or_never(), Some(Look::Closed)));
        assert!(!circuit.is_open() && circuit.quiet.load(Ordering::Relaxed));
    }

    #[test]
    fn successes_of_several_threads_are_all_counted() {
        let circuit = Circuit::new(7);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| assert_eq!(serve(&circuit, "1"), None)));
            }
        });
        assert_eq!(circuit.count().served, 2_000);
    }
}
