//! What may be sent beyond the first copy of each request: retries, which are delayed, and hedges, which are not sent.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Retries that a host may see at once after a quiet time.
const RETRY_BURST: f64 = 10.0;
/// The most retries that can be saved up.
const RETRY_SAVINGS: f64 = 100.0;
/// Whatever the share, one retry a second probes whether the host is back.
const PROBES_PER_SECOND: f64 = 1.0;
/// How long a waiting retry sleeps at most before it looks whether new requests have paid for it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Hedges as a share of requests, beyond those that answered a stall.
const HEDGE_SHARE: f64 = 0.05;
/// Hedges that may be sent at once, and saved up.
const HEDGE_BURST: f64 = 10.0;

/// What is there to spend: the bits of a number. Every request pays in, so that is done without a lock.
#[derive(Debug)]
struct Tokens(AtomicU64);

impl Tokens {
    fn new(tokens: f64) -> Self {
        Self(AtomicU64::new(tokens.to_bits()))
    }

    fn left(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Adds so many, up to `most`. When there are that many nothing is written, which other threads would have to wait for.
    fn add(&self, amount: f64, most: f64) {
        let added = |bits| {
            let after = (f64::from_bits(bits) + amount).min(most).to_bits();
            (after != bits).then_some(after)
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    /// Takes one; gives how much there is when that is less.
    fn take(&self) -> Result<(), f64> {
        let taken = |bits| {
            let tokens = f64::from_bits(bits);
            // Five shares of 0.2 are a whole, whatever floating point says.
            (tokens >= 1.0 - 1e-9).then(|| (tokens - 1.0).to_bits())
        };
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        before.map(|_| ()).map_err(f64::from_bits)
    }
}

/// Delays retries, first come first served; it never refuses one.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    share: f64,
    tokens: Tokens,
    /// Until when there is in them what time has earned.
    filled: Mutex<Instant>,
    queue: tokio::sync::Mutex<()>,
}

impl RetryBudget {
    pub(crate) fn new(share: f64) -> Self {
        let (tokens, filled) = (Tokens::new(RETRY_BURST), Mutex::new(Instant::now()));
        Self { share, tokens, filled, queue: tokio::sync::Mutex::new(()) }
    }

    /// A new request pays its share.
    pub(crate) fn deposit(&self) {
        self.tokens.add(self.share, RETRY_SAVINGS);
    }

    /// Adds what time has earned.
    fn fill(&self) {
        let mut filled = super::lock(&self.filled);
        let now = Instant::now();
        self.tokens.add(now.duration_since(*filled).as_secs_f64() * PROBES_PER_SECOND, RETRY_SAVINGS);
        *filled = now;
    }

    /// Waits until there is room for one more retry.
    pub(crate) async fn take(&self) {
        let _turn = self.queue.lock().await;
        while let Err(wait) = self.try_take() {
            sleep(wait.min(LOOK_AGAIN)).await;
        }
    }

    /// How many may go out now.
    pub(crate) fn left(&self) -> f64 {
        self.fill();
        self.tokens.left()
    }

    fn try_take(&self) -> Result<(), Duration> {
        self.fill();
        // Never zero, so that a waiter always lets time pass.
        let wait = |left: f64| Duration::from_secs_f64((1.0 - left) / PROBES_PER_SECOND).max(Duration::from_millis(1));
        self.tokens.take().map_err(wait)
    }
}

/// Allows hedges; one that is not allowed is just not sent.
#[derive(Debug)]
pub(crate) struct HedgeBudget {
    tokens: Tokens,
}

impl HedgeBudget {
    pub(crate) fn new() -> Self {
        Self { tokens: Tokens::new(HEDGE_BURST) }
    }

    /// A new request pays its share.
    pub(crate) fn deposit(&self) {
        self.tokens.add(HEDGE_SHARE, HEDGE_BURST);
    }

    pub(crate) fn try_take(&self) -> bool {
        self.tokens.take().is_ok()
    }

    /// The n-th copy answered before those that were sent earlier: each hedge up to it answered a stall, and costs nothing.
    pub(crate) fn refund(&self, hedges: u32) {
        if hedges > 0 {
            self.tokens.add(hedges.into(), HEDGE_BURST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_requests_one_retry_a_second_goes_out() {
        let budget = RetryBudget::new(0.2);
        let start = Instant::now();
        for _ in 0..10 {
            budget.take().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "the burst is free");
        for _ in 0..5 {
            budget.take().await;
        }
        let waited = start.elapsed();
        assert!((Duration::from_secs(5)..Duration::from_millis(5600)).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_pay_for_retries() {
        let budget = RetryBudget::new(0.2);
        for _ in 0..10 {
            budget.take().await;
        }
        for _ in 0..50 {
            budget.deposit();
        }
        let start = Instant::now();
        for _ in 0..10 {
            budget.take().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        budget.take().await;
        assert!(start.elapsed() > Duration::ZERO, "the eleventh waits, it is not refused");
    }

    #[test]
    fn hedges_beyond_the_stalls_they_answer_are_a_twentieth() {
        let budget = HedgeBudget::new();
        let mut sent = 0;
        for _ in 0..10_000 {
            budget.deposit();
            sent += u32::from(budget.try_take());
        }
        assert!((500..=511).contains(&sent), "{sent}");
        // Half of all requests stall and each stall is answered by its hedge: none of them waits.
        let budget = HedgeBudget::new();
        for _ in 0..5_000 {
            assert!(budget.try_take());
            budget.refund(1);
        }
    }

    #[test]
    fn what_several_threads_pay_in_at_once_adds_up_to_the_most_there_may_be() {
        let (tokens, most) = (Tokens::new(0.0), 999.5);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..900).for_each(|_| tokens.add(0.25, most)));
            }
        });
        assert_eq!(tokens.left(), 900.0);
        tokens.add(100.0, most);
        assert_eq!(tokens.left(), most);
        let taken = (0..2_000).filter(|_| tokens.take().is_ok()).count();
        assert_eq!((taken, tokens.take()), (999, Err(0.5)));
    }
}
