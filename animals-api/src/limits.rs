//! How many requests are taken in how much time: a token bucket, a fixed window, or a moment's wish to be left alone.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::chaos::Kind;
use crate::config::{BadValue, parse_duration};
use crate::knobs::Knobs;

/// Tokens per second and how many can be saved up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Requests per second in the long run; above 0.
    pub per_second: f64,
    /// Requests that may come at once after a rest; at least 1.
    pub burst: u32,
}

impl FromStr for RateLimit {
    type Err = BadValue;

    /// `100` or `100/20`: requests per second, and the burst (default: one second's worth).
    fn from_str(text: &str) -> Result<RateLimit, BadValue> {
        let bad = || BadValue("expected REQUESTS_PER_SECOND or REQUESTS_PER_SECOND/BURST, such as 100/20");
        let (rate, burst) = text.split_once('/').map_or((text, None), |(rate, burst)| (rate, Some(burst)));
        let per_second: f64 = rate.trim().parse().map_err(|_| bad())?;
        if !(per_second.is_finite() && per_second > 0.0) {
            return Err(bad());
        }
        let whole: u32 = per_second.ceil().to_string().parse().map_err(|_| bad())?;
        let burst = burst.map_or(Ok(whole), |burst| burst.trim().parse().map_err(|_| bad()))?;
        if burst == 0 {
            return Err(bad());
        }
        Ok(RateLimit { per_second, burst })
    }
}

/// So many requests in each window of time. Windows follow one another from the server's start on, whoever asks when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowLimit {
    /// So many; at least 1.
    pub requests: u32,
    /// In so many milliseconds; at least 1.
    pub window_ms: u64,
}

impl FromStr for WindowLimit {
    type Err = BadValue;

    /// `200/1s`: requests, and the window.
    fn from_str(text: &str) -> Result<WindowLimit, BadValue> {
        let bad = BadValue("expected REQUESTS/WINDOW, such as 200/1s");
        let (requests, window) = text.split_once('/').ok_or(bad)?;
        let window = parse_duration(window).map_err(|_| bad)?;
        let limit = WindowLimit {
            requests: requests.trim().parse().map_err(|_| bad)?,
            window_ms: u64::try_from(window.as_millis()).map_err(|_| bad)?,
        };
        if limit.is_possible() { Ok(limit) } else { Err(bad) }
    }
}

impl WindowLimit {
    pub(crate) fn is_possible(self) -> bool {
        self.requests > 0 && self.window_ms > 0
    }
}

/// The limits at work.
#[derive(Debug)]
pub(crate) struct Limiter {
    opened: Instant,
    /// When the bucket will be full again, in nanoseconds since `opened`: the generic cell rate algorithm, which is a
    /// token bucket without a token count and needs no lock.
    full_at: AtomicU64,
    /// Which window it is, and the requests in it so far.
    window: Mutex<(u64, u32)>,
    /// What the next request is told.
    wish: Mutex<Option<Duration>>,
}

impl Limiter {
    pub(crate) fn new() -> Limiter {
        Limiter { opened: Instant::now(), full_at: AtomicU64::new(0), window: Mutex::default(), wish: Mutex::default() }
    }

    /// The next request is told to leave the server alone for so long.
    pub(crate) fn wish(&self, time: Duration) {
        *lock(&self.wish) = Some(time);
    }

    /// Takes a request, or says when to come again.
    pub(crate) fn take(&self, knobs: &Knobs, kind: Kind) -> Result<(), Duration> {
        if !knobs.limit_on.means(kind) {
            return Ok(());
        }
        if let Some(time) = lock(&self.wish).take() {
            return Err(time);
        }
        knobs.window_limit.map_or(Ok(()), |limit| self.take_in_window(limit))?;
        knobs.rate_limit.map_or(Ok(()), |limit| self.take_token(limit))
    }

    fn take_token(&self, limit: RateLimit) -> Result<(), Duration> {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let apart = nanos(Duration::try_from_secs_f64(1.0 / limit.per_second).unwrap_or(Duration::MAX)).max(1);
        let ahead = apart.saturating_mul(u64::from(limit.burst.saturating_sub(1)));
        let now = nanos(self.opened.elapsed());
        let taken = self.full_at.fetch_update(Ordering::AcqRel, Ordering::Acquire, |full_at| {
            let from = full_at.max(now);
            (from - now <= ahead).then(|| from.saturating_add(apart))
        });
        taken.map(|_| ()).map_err(|full_at| Duration::from_nanos(full_at.saturating_sub(now).saturating_sub(ahead)))
    }

    fn take_in_window(&self, limit: WindowLimit) -> Result<(), Duration> {
        let mut window = lock(&self.window);
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let number = now / limit.window_ms;
        if window.0 != number {
            *window = (number, 0);
        }
        if window.1 >= limit.requests {
            return Err(Duration::from_millis((number + 1) * limit.window_ms - now));
        }
        window.1 += 1;
        Ok(())
    }
}

/// What these guard is whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ChaosOn, Config};

    fn taken(limiter: &Limiter, config: &Config, kind: Kind, times: usize) -> usize {
        (0..times).filter(|_| limiter.take(&Knobs::new(config), kind).is_ok()).count()
    }

    #[test]
    fn limits_are_read() {
        assert_eq!("100".parse(), Ok(RateLimit { per_second: 100.0, burst: 100 }));
        assert_eq!("0.5/3".parse(), Ok(RateLimit { per_second: 0.5, burst: 3 }));
        assert!("0".parse::<RateLimit>().is_err() && "5/0".parse::<RateLimit>().is_err());
        assert_eq!("200/1s".parse(), Ok(WindowLimit { requests: 200, window_ms: 1_000 }));
        for text in ["200", "0/1s", "5/0s", "x/1s", "5/"] {
            assert!(text.parse::<WindowLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bucket_holds_its_burst() {
        // So slow that no token comes back during the test.
        let config = Config { rate_limit: Some(RateLimit { per_second: 0.001, burst: 3 }), ..Config::calm(1) };
        let limiter = Limiter::new();
        assert_eq!(taken(&limiter, &config, Kind::List, 10), 3);
        let wait = limiter.take(&Knobs::new(&config), Kind::List).expect_err("an empty bucket");
        assert!(wait > Duration::from_secs(900) && wait <= Duration::from_secs(1000), "{wait:?}");
    }

    #[test]
    fn a_window_is_full_until_it_ends() {
        let hour = WindowLimit { requests: 3, window_ms: 3_600_000 };
        let config = Config { window_limit: Some(hour), limit_on: ChaosOn::Reads, ..Config::calm(1) };
        let limiter = Limiter::new();
        assert_eq!(taken(&limiter, &config, Kind::Detail, 10), 3);
        let wait = limiter.take(&Knobs::new(&config), Kind::Detail).expect_err("a full window");
        assert!(wait > Duration::from_secs(3_500) && wait <= Duration::from_hours(1), "{wait:?}");
        assert_eq!(taken(&limiter, &config, Kind::Post, 10), 10, "POSTs are not limited");
    }

    #[test]
    fn one_request_hears_of_a_wish() {
        let (limiter, config) = (Limiter::new(), Config::calm(1));
        limiter.wish(Duration::from_secs(3));
        let take = || limiter.take(&Knobs::new(&config), Kind::Detail);
        assert_eq!((take(), take()), (Err(Duration::from_secs(3)), Ok(())));
    }
}
