//! What befalls a request: a limit, an outage, an error, a stall, or nothing but latency.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

use crate::bits::Bits;
use crate::knobs::Knobs;
use crate::limits::Limiter;

/// What kind of request it is, as far as chaos and counters care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    List,
    Detail,
    /// A further part of an animal.
    Part,
    Post,
    /// Whether an animal has found home.
    Asked,
    Other,
}

/// What befalls one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fortune {
    /// First it waits, latency and stall together.
    pub(crate) wait: Duration,
    /// The stall in it.
    pub(crate) stall: Option<Duration>,
    pub(crate) outcome: Outcome,
}

/// What comes after the wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    Processed,
    /// A POST of which only some animals are stored, drawn by these bits, and whose answer does not say so.
    InPart(u64),
    /// `Sorry!`, drawn by chaos.
    Sorry(StatusCode),
    /// `Sorry!`, because nothing works right now.
    Outage,
    /// 429; come again after this.
    Limited(Duration),
}

/// The seeded dice and the limits.
#[derive(Debug)]
pub(crate) struct Chaos {
    seed: u64,
    drawn: AtomicU64,
    pub(crate) limiter: Limiter,
}

const ERRORS: [StatusCode; 4] = [
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

impl Chaos {
    pub(crate) fn new(seed: u64) -> Chaos {
        // Not the stream of an animal: those go up from 0.
        let seed = Bits::new(seed, u64::MAX - 1).next();
        Chaos { seed, drawn: AtomicU64::new(0), limiter: Limiter::new() }
    }

    /// Draws for the next request. The n-th draw of a seed is always the same; which request is the n-th is not.
    pub(crate) fn draw(&self, knobs: &Knobs, kind: Kind) -> Fortune {
        let mut bits = Bits::new(self.seed, self.drawn.fetch_add(1, Ordering::Relaxed));
        let (chance, share) = (bits.unit(), bits.unit());
        let jitter = if knobs.jitter_ms == 0 { 0 } else { bits.below(knobs.jitter_ms.saturating_add(1)) };
        let latency = Duration::from_millis(knobs.latency_ms.saturating_add(jitter));
        let plain = |outcome| Fortune { wait: latency, stall: None, outcome };
        if let Err(wait) = self.limiter.take(knobs, kind) {
            return plain(Outcome::Limited(wait));
        }
        if knobs.outage {
            return plain(Outcome::Outage);
        }
        // Bits of its own: whoever does not turn this knob gets the same draws as ever.
        let mut parts = Bits::new(bits.clone().next(), 1);
        if kind == Kind::Post && knobs.partial > 0.0 && parts.unit() < knobs.partial {
            return plain(Outcome::InPart(parts.next()));
        }
        if !knobs.chaos_on.means(kind) || chance >= knobs.chaos {
            plain(Outcome::Processed)
        } else if share < knobs.stall_share {
            let stall = stall(&mut bits, knobs.stall_ms);
            Fortune { wait: latency + stall, stall: Some(stall), outcome: Outcome::Processed }
        } else {
            plain(Outcome::Sorry(bits.pick(&ERRORS)))
        }
    }

    /// Draws which of so many animals the home is too busy for.
    pub(crate) fn draw_busy(&self, share: f64, animals: usize) -> Vec<bool> {
        if share <= 0.0 {
            return vec![false; animals];
        }
        // Bits of its own, as above.
        let mut bits = Bits::new(self.seed ^ 1, self.drawn.fetch_add(1, Ordering::Relaxed));
        (0..animals).map(|_| bits.unit() < share).collect()
    }
}

/// Whole seconds between whole seconds, as the real API; else whole milliseconds.
fn stall(bits: &mut Bits, [low, high]: [u64; 2]) -> Duration {
    let unit = if low % 1000 == 0 && high % 1000 == 0 { 1000 } else { 1 };
    Duration::from_millis((low / unit + bits.below(high.saturating_sub(low) / unit + 1)) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ChaosOn, Config};

    fn draws(config: &Config, kind: Kind, count: usize) -> Vec<Fortune> {
        let (chaos, knobs) = (Chaos::new(config.seed), Knobs::new(config));
        (0..count).map(|_| chaos.draw(&knobs, kind)).collect()
    }

    #[test]
    fn two_to_three_percent_half_of_them_stalls_of_whole_seconds() {
        let fortunes = draws(&Config::default(), Kind::List, 100_000);
        let stalls: Vec<Duration> = fortunes.iter().filter_map(|fortune| fortune.stall).collect();
        let errors = fortunes.iter().filter(|fortune| matches!(fortune.outcome, Outcome::Sorry(_))).count();
        assert!((1_000..1_500).contains(&stalls.len()), "{} stalls", stalls.len());
        assert!((1_000..1_500).contains(&errors), "{errors} errors");
        for seconds in 5..=15 {
            assert!(stalls.contains(&Duration::from_secs(seconds)), "no stall of {seconds} s");
        }
        assert!(stalls.iter().all(|stall| stall.subsec_nanos() == 0 && (5..=15).contains(&stall.as_secs())));
        for status in ERRORS {
            assert!(fortunes.iter().any(|fortune| fortune.outcome == Outcome::Sorry(status)), "no {status}");
        }
    }

    #[test]
    fn draws_repeat_by_seed() {
        let seeded = |seed| draws(&Config::seeded(seed), Kind::Post, 1000);
        assert_eq!(seeded(3), seeded(3));
        assert_ne!(seeded(3), seeded(4));
    }

    #[test]
    fn chaos_keeps_to_its_requests() {
        let posts = Config { chaos: 1.0, chaos_on: ChaosOn::Posts, ..Config::default() };
        let calm = |fortune: &Fortune| fortune.outcome == Outcome::Processed && fortune.wait.is_zero();
        assert!(draws(&posts, Kind::Detail, 100).iter().all(calm));
        assert!(!draws(&posts, Kind::Post, 100).iter().any(calm));
        let reads = Config { chaos_on: ChaosOn::Reads, ..posts };
        assert!(draws(&reads, Kind::Post, 100).iter().all(calm));
    }

    #[test]
    fn short_stalls_are_drawn_in_milliseconds() {
        let stall = Duration::from_millis(20)..=Duration::from_millis(60);
        let config = Config { chaos: 1.0, stall_share: 1.0, stall, ..Config::default() };
        let stalls: Vec<u128> =
            draws(&config, Kind::Post, 1000).iter().flat_map(|f| f.stall).map(|stall| stall.as_millis()).collect();
        assert_eq!(stalls.len(), 1000);
        assert_eq!((stalls.iter().min(), stalls.iter().max()), (Some(&20), Some(&60)));
    }

    #[test]
    fn latency_has_its_jitter() {
        let latency = Duration::from_millis(10);
        let config = Config { latency, jitter: Duration::from_millis(5), ..Config::calm(1) };
        let waits: Vec<Duration> = draws(&config, Kind::List, 1000).iter().map(|fortune| fortune.wait).collect();
        assert_eq!(waits.iter().min(), Some(&latency));
        assert_eq!(waits.iter().max(), Some(&Duration::from_millis(15)));
    }
}
