//! How many requests a host gets in how much time: a token bucket without a count of tokens (the generic cell rate
//! algorithm, ITU-T I.371).
//!
//! Of its own rather than the crate governor's: that one waits by a timer that does not know of tokio's clock, which the
//! tests stop, and its waiters have no order.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::spec::Rate;

/// Lets requests through one by one, first come first served.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    /// From one request to the next, in the long run.
    apart: Duration,
    /// So much of it can be saved up.
    saved: Duration,
    /// When all that was saved up is there again.
    full_at: Mutex<Instant>,
    queue: tokio::sync::Mutex<()>,
}

impl RateLimiter {
    pub(crate) fn new(rate: Rate) -> Self {
        let apart = rate.per / rate.requests.max(1);
        let saved = apart.saturating_mul(rate.burst.saturating_sub(1));
        Self { apart, saved, full_at: Mutex::new(Instant::now()), queue: tokio::sync::Mutex::default() }
    }

    /// Waits until one more request may go out. Whoever stops waiting has taken nothing.
    pub(crate) async fn take(&self) {
        let _turn = self.queue.lock().await;
        while let Err(at) = self.try_take() {
            sleep_until(at).await;
        }
    }

    /// Whether one more may go out now; else when.
    fn try_take(&self) -> Result<(), Instant> {
        let now = Instant::now();
        let mut full_at = super::lock(&self.full_at);
        let from = (*full_at).max(now);
        if from > now + self.saved {
            return Err(from - self.saved);
        }
        *full_at = from + self.apart;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(requests: u32, burst: u32) -> RateLimiter {
        RateLimiter::new(Rate { requests, per: Duration::from_secs(1), burst })
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_burst_one_goes_out_at_a_time() {
        let limiter = limiter(10, 3);
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..6 {
            limiter.take().await;
            times.push(start.elapsed().as_millis());
        }
        assert_eq!(times, [0, 0, 0, 100, 200, 300]);
        tokio::time::advance(Duration::from_secs(60)).await;
        for _ in 0..3 {
            assert!(limiter.try_take().is_ok());
        }
        assert!(limiter.try_take().is_err(), "no more than the burst is saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stops_waiting_takes_nothing() {
        let limiter = limiter(1, 1);
        limiter.take().await;
        let start = Instant::now();
        for _ in 0..5 {
            assert!(tokio::time::timeout(Duration::from_millis(10), limiter.take()).await.is_err());
        }
        limiter.take().await;
        assert_eq!(start.elapsed().as_secs(), 1);
    }
}
