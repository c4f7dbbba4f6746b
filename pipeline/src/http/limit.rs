//! How many requests a host bears at once: slow start, then additive increase, multiplicative decrease; what tells that it is
//! enough are refusals, lost requests in bulk, and answers that take longer the more there are.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::pace::Pace;

/// Where the number starts, if the maximum allows: a host that bears it is used well at once, and one that does not is
/// found out by its first refusal.
const START: usize = 64;
/// One overload is answered once: the requests that it met were all sent under the same limit.
const COOL_DOWN: Duration = Duration::from_secs(1);
/// How many answers a judgement of "in bulk" needs, and which share of them must be timeouts or failed connections.
const WINDOW: u32 = 20;
const BULK: u32 = 4;

/// An adaptive limit on requests in flight. Those who wait are served in their order.
#[derive(Debug)]
pub(crate) struct Limiter {
    places: Semaphore,
    state: Mutex<State>,
    /// The limit, for who only looks.
    limit: AtomicUsize,
    /// Places to be taken away as soon as they are given back. It changes only while the state is locked, and hardly ever is
    /// there one: so who gives a place back looks before it locks.
    debt: AtomicUsize,
    max: usize,
    /// The number does not adapt.
    fixed: bool,
}

#[derive(Debug)]
struct State {
    limit: usize,
    successes: usize,
    answers: u32,
    lost: u32,
    lowered: Option<Instant>,
    eased: Option<Instant>,
    enough: Enough,
}

/// Whether the host has shown what it bears, and how: from then on slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Enough {
    /// Not yet.
    No,
    /// By answers that took too long. As many more each round as the square root of what there are (Netflix's Gradient2): it
    /// finds back soon when it was not the host that was slow.
    Slow,
    /// By a refusal, or requests that were lost. One more each round: each of those costs.
    Refused,
}

impl State {
    fn new(limit: usize) -> Self {
        Self { limit, successes: 0, answers: 0, lost: 0, lowered: None, eased: None, enough: Enough::No }
    }

    fn found_out(&mut self, enough: Enough) {
        // What was refused once may be refused again, however fast the rest is answered.
        if self.enough != Enough::Refused {
            self.enough = enough;
        }
        self.successes = 0;
    }

    /// How many answers make room for how many more.
    fn answers_for_more(&self, pace: Pace) -> (usize, usize) {
        match self.enough {
            Enough::No if pace == Pace::Good => (1, 2),
            Enough::No => (1, 1),
            Enough::Slow => (self.limit.isqrt(), 1),
            Enough::Refused => (self.limit, 1),
        }
    }
}

/// A place among the requests in flight.
pub(crate) struct Place<'a> {
    limiter: &'a Limiter,
    permit: Option<SemaphorePermit<'a>>,
}

/// What a request says about how the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// It answered, while it answers at this pace; a 500 is an answer too.
    Answered(Pace),
    /// No answer in time, or no connection: an overload only when it comes in bulk.
    Lost,
    /// 429, or 503 with `Retry-After`: the host says so itself.
    Overload,
}

impl Limiter {
    pub(crate) fn new(max: usize) -> Self {
        let limit = max.clamp(1, START);
        Self::with(limit, max.max(1), false)
    }

    /// One that does not adapt: the pipeline knows better.
    pub(crate) fn fixed(number: usize) -> Self {
        Self::with(number.max(1), number.max(1), true)
    }

    fn with(limit: usize, max: usize, fixed: bool) -> Self {
        let state = Mutex::new(State::new(limit));
        let places = Semaphore::new(limit);
        Self { places, state, limit: AtomicUsize::new(limit), debt: AtomicUsize::new(0), max, fixed }
    }

    /// How many requests there may be in flight.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) async fn place(&self) -> Place<'_> {
        // The semaphore is never closed, so there always is a permit in the end.
        Place { limiter: self, permit: self.places.acquire().await.ok() }
    }

    /// A place, if one is free. Nobody who waits is passed by: what is given back is theirs.
    pub(crate) fn place_at_once(&self) -> Option<Place<'_>> {
        let permit = self.places.try_acquire().ok()?;
        Some(Place { limiter: self, permit: Some(permit) })
    }

    pub(crate) fn learn(&self, signal: Signal) {
        if self.fixed {
            return;
        }
        let mut state = super::lock(&self.state);
        state.answers += 1;
        match signal {
            Signal::Overload => self.lower(&mut state),
            Signal::Lost => state.lost += 1,
            Signal::Answered(Pace::Good) => self.raise(&mut state, Pace::Good),
            // What is borne best is a little more than what is borne at once.
            Signal::Answered(Pace::Crowded) if state.enough == Enough::No => self.raise(&mut state, Pace::Crowded),
            Signal::Answered(Pace::Crowded | Pace::Late) => state.successes = 0,
            Signal::Answered(Pace::Overrun(thousandths)) => self.ease(&mut state, thousandths),
        }
        if state.answers >= WINDOW {
            if state.lost * BULK >= state.answers {
                self.lower(&mut state);
            }
            (state.answers, state.lost) = (0, 0);
        }
    }

    /// Forgets that the host was found out once: it was not the load that it could not bear.
    pub(crate) fn start_anew(&self) {
        let mut state = super::lock(&self.state);
        *state = State::new(state.limit);
    }

    /// How many requests there are at the moment.
    pub(crate) fn taken(&self) -> usize {
        let state = super::lock(&self.state);
        (state.limit + self.debt.load(Ordering::Relaxed)).saturating_sub(self.places.available_permits())
    }

    /// Two places more for each answer as long as the host bears everything at ease, one while it is crowded, and one for
    /// several answers once it did not bear it; while places are what requests wait for.
    fn raise(&self, state: &mut State, pace: Pace) {
        state.successes += 1;
        let (answers, more) = state.answers_for_more(pace);
        let more = more.min(self.max.saturating_sub(state.limit));
        if state.successes < answers || more == 0 || self.places.available_permits() > 0 {
            return;
        }
        state.successes = 0;
        state.limit += more;
        self.limit.store(state.limit, Ordering::Relaxed);
        let paid = more.min(self.debt.load(Ordering::Relaxed));
        self.debt.fetch_sub(paid, Ordering::Relaxed);
        self.places.add_permits(more - paid);
    }

    /// As many as are answered in bearable time: more of them only wait for each other. Never below the start, which is no
    /// reason to be slow.
    fn ease(&self, state: &mut State, thousandths: u16) {
        let limit = (state.limit * usize::from(thousandths) / 1_000).max(START).min(state.limit);
        if is_over(&mut state.eased) {
            self.lower_to(state, limit, Enough::Slow);
        }
    }

    /// Half as many: whatever was eased before, a refusal counts by itself.
    fn lower(&self, state: &mut State) {
        if is_over(&mut state.lowered) {
            self.lower_to(state, (state.limit / 2).max(1), Enough::Refused);
        }
    }

    fn lower_to(&self, state: &mut State, limit: usize, enough: Enough) {
        state.found_out(enough);
        let fewer = state.limit - limit;
        state.limit = limit;
        self.limit.store(limit, Ordering::Relaxed);
        self.debt.fetch_add(fewer - self.places.forget_permits(fewer), Ordering::Relaxed);
    }
}

/// Whether what was done before was long enough ago to be done again, which it then is.
fn is_over(before: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_over = before.is_none_or(|before| now.duration_since(before) >= COOL_DOWN);
    if is_over {
        *before = Some(now);
    }
    is_over
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let debt = &self.limiter.debt;
        if debt.load(Ordering::Relaxed) == 0 {
            return;
        }
        let _state = super::lock(&self.limiter.state);
        if debt.load(Ordering::Relaxed) > 0
            && let Some(permit) = self.permit.take()
        {
            debt.fetch_sub(1, Ordering::Relaxed);
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn all_that_are_free(limiter: &Limiter) -> impl Iterator<Item = Place<'_>> {
        std::iter::from_fn(move || limiter.place_at_once())
    }

    #[tokio::test(start_paused = true)]
    async fn an_overload_halves_the_limit_once_and_it_grows_back() {
        let limiter = Limiter::new(128);
        let mut places = Vec::new();
        for _ in 0..START {
            places.push(limiter.place().await);
        }
        limiter.learn(Signal::Overload);
        limiter.learn(Signal::Overload);
        assert_eq!(limiter.limit(), START / 2);
        places.truncate(START / 2);
        assert_eq!(limiter.places.available_permits(), 0, "places given back pay the debt first");
        for _ in 0..START / 2 {
            limiter.learn(Signal::Answered(Pace::Good));
        }
        assert_eq!(limiter.limit(), START / 2 + 1);
        assert_eq!(limiter.places.available_permits(), 1);
        tokio::time::advance(COOL_DOWN).await;
        limiter.learn(Signal::Overload);
        assert_eq!(limiter.limit(), START / 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_triples_each_round_or_doubles_in_a_crowd_until_the_first_overload() {
        let limiter = Limiter::new(500);
        let mut places = Vec::new();
        for _ in 0..START {
            places.push(limiter.place().await);
        }
        for (pace, times) in [(Pace::Good, 3), (Pace::Crowded, 6)] {
            for _ in 0..limiter.limit() {
                limiter.learn(Signal::Answered(pace));
                places.extend(all_that_are_free(&limiter));
            }
            assert_eq!(limiter.limit(), times * START);
        }
        limiter.learn(Signal::Overload);
        limiter.learn(Signal::Answered(Pace::Good));
        assert_eq!(limiter.limit(), 3 * START);
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_ends_at_the_maximum() {
        let limiter = Limiter::new(START + 1);
        let mut places = Vec::new();
        for _ in 0..=START {
            places.extend(all_that_are_free(&limiter));
            limiter.learn(Signal::Answered(Pace::Good));
        }
        assert_eq!(limiter.limit(), START + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_lost_requests_are_no_overload_but_many_are() {
        let limiter = Limiter::new(64);
        for at in 0..1000 {
            limiter.learn(if at % 10 == 0 { Signal::Lost } else { Signal::Answered(Pace::Good) });
        }
        assert_eq!(limiter.limit(), 64);
        for _ in 0..WINDOW {
            limiter.learn(Signal::Lost);
        }
        assert_eq!(limiter.limit(), 32);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_take_longer_stop_the_growth_and_lower_the_limit_a_little() {
        let limiter = Limiter::new(1_000);
        let mut places = Vec::new();
        for _ in 0..2 * START {
            places.extend(all_that_are_free(&limiter));
            limiter.learn(Signal::Answered(Pace::Good));
        }
        let grown = limiter.limit();
        assert!(grown > 4 * START, "{grown}");
        places.extend(all_that_are_free(&limiter));
        limiter.learn(Signal::Answered(Pace::Crowded));
        assert_eq!(limiter.limit(), grown + 1, "at the start that is no reason to stop");
        limiter.learn(Signal::Answered(Pace::Overrun(800)));
        limiter.learn(Signal::Answered(Pace::Overrun(800)));
        let eased = (grown + 1) * 4 / 5;
        assert_eq!(limiter.limit(), eased);
        for pace in [Pace::Crowded, Pace::Late] {
            (0..2 * eased).for_each(|_| limiter.learn(Signal::Answered(pace)));
            assert_eq!(limiter.limit(), eased, "it stays there");
        }
        places.truncate(eased);
        for _ in 0..eased {
            limiter.learn(Signal::Answered(Pace::Good));
            places.extend(limiter.place().now_or_never());
        }
        let more = limiter.limit() - eased;
        assert!((eased.isqrt() - 1..=eased.isqrt()).contains(&more), "{more} in a round of {eased}");
        for _ in 0..100 {
            tokio::time::advance(COOL_DOWN).await;
            limiter.learn(Signal::Answered(Pace::Overrun(500)));
        }
        assert_eq!(limiter.limit(), START);
        limiter.learn(Signal::Overload);
        assert_eq!(limiter.limit(), START / 2, "a refusal counts although it was eased a moment ago");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fixed_limit_learns_nothing() {
        let limiter = Limiter::fixed(3);
        let _places = [limiter.place().await, limiter.place().await, limiter.place().await];
        assert_eq!(limiter.places.available_permits(), 0);
        for _ in 0..100 {
            limiter.learn(Signal::Answered(Pace::Good));
            limiter.learn(Signal::Overload);
            tokio::time::advance(COOL_DOWN).await;
        }
        assert_eq!((limiter.limit(), limiter.places.available_permits()), (3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_never_falls_below_one_nor_rises_above_its_maximum() {
        let limiter = Limiter::new(2);
        for _ in 0..5 {
            limiter.learn(Signal::Overload);
            tokio::time::advance(COOL_DOWN).await;
        }
        assert_eq!(limiter.limit(), 1);
        let _place = limiter.place().await;
        for _ in 0..100 {
            limiter.learn(Signal::Answered(Pace::Good));
        }
        assert_eq!(limiter.limit(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_given_back_is_had_by_who_waits_and_not_by_who_comes() {
        let limiter = Limiter::fixed(1);
        let place = limiter.place_at_once();
        assert!(place.is_some() && limiter.place_at_once().is_none());
        let mut waiting = Box::pin(limiter.place());
        assert!((&mut waiting).now_or_never().is_none());
        drop(place);
        assert!(limiter.place_at_once().is_none());
        drop(waiting.now_or_never().unwrap());
        assert!(limiter.place_at_once().is_some());
    }
}
