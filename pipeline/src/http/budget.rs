//! What may be sent beyond the first copy of each request: retries, which are delayed, and hedges, which are not sent.

use std::sync::Mutex;
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

/// Delays retries, first come first served; it never refuses one.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    share: f64,
    purse: Mutex<Purse>,
    queue: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Purse {
    tokens: f64,
    filled: Instant,
}

impl Purse {
    /// Adds what time has earned, and gives all that is there.
    fn fill(&mut self) -> f64 {
        let now = Instant::now();
        let earned = now.duration_since(self.filled).as_secs_f64() * PROBES_PER_SECOND;
        self.tokens = (self.tokens + earned).min(RETRY_SAVINGS);
        self.filled = now;
        self.tokens
    }
}

impl RetryBudget {
    pub(crate) fn new(share: f64) -> Self {
        let purse = Mutex::new(Purse { tokens: RETRY_BURST, filled: Instant::now() });
        Self { share, purse, queue: tokio::sync::Mutex::new(()) }
    }

    /// A new request pays its share.
    pub(crate) fn deposit(&self) {
        let mut purse = super::lock(&self.purse);
        purse.tokens = (purse.tokens + self.share).min(RETRY_SAVINGS);
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
        super::lock(&self.purse).fill()
    }

    fn try_take(&self) -> Result<(), Duration> {
        let mut purse = super::lock(&self.purse);
        purse.fill();
        // Five shares of 0.2 are a whole, whatever floating point says.
        if purse.tokens >= 1.0 - 1e-9 {
            purse.tokens -= 1.0;
            return Ok(());
        }
        // Never zero, so that a waiter always lets time pass.
        Err(Duration::from_secs_f64((1.0 - purse.tokens) / PROBES_PER_SECOND).max(Duration::from_millis(1)))
    }
}

/// Allows hedges; one that is not allowed is just not sent.
#[derive(Debug)]
pub(crate) struct HedgeBudget {
    tokens: Mutex<f64>,
}

impl HedgeBudget {
    pub(crate) fn new() -> Self {
        Self { tokens: Mutex::new(HEDGE_BURST) }
    }

    /// A new request pays its share.
    pub(crate) fn deposit(&self) {
        self.add(HEDGE_SHARE);
    }

    pub(crate) fn try_take(&self) -> bool {
        let mut tokens = super::lock(&self.tokens);
        let allowed = *tokens >= 1.0 - 1e-9;
        if allowed {
            *tokens -= 1.0;
        }
        allowed
    }

    /// The n-th copy answered before those that were sent earlier: each hedge up to it answered a stall, and costs nothing.
    pub(crate) fn refund(&self, hedges: u32) {
        if hedges > 0 {
            self.add(hedges.into());
        }
    }

    fn add(&self, amount: f64) {
        let mut tokens = super::lock(&self.tokens);
        *tokens = (*tokens + amount).min(HEDGE_BURST);
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
}
