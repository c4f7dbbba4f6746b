//! Growing, jittered pauses between tries.

use std::time::Duration;

/// The pauses between tries of one thing: each up to twice as long as the one before, half of it by chance.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    tries: u32,
    rng: fastrand::Rng,
}

impl Backoff {
    /// Pauses from `base` up to `cap`.
    pub(crate) fn new(base: Duration, cap: Duration, rng: fastrand::Rng) -> Self {
        Self { base, cap, tries: 0, rng }
    }

    /// The next pause: between half of the step and all of it, so that it never is nothing and workers spread out.
    pub(crate) fn next(&mut self) -> Duration {
        let step = self.base.saturating_mul(1 << self.tries.min(16)).min(self.cap);
        self.tries = self.tries.saturating_add(1);
        step / 2 + (step / 2).mul_f64(self.rng.f64())
    }

    /// Starts again with the shortest pause.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_start_again() {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(base, cap, fastrand::Rng::with_seed(7));
        for step in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.next();
            let step = Duration::from_millis(step);
            assert!(pause >= step / 2 && pause <= step, "{pause:?} of {step:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= base);
    }

    #[test]
    fn many_tries_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5), fastrand::Rng::with_seed(7));
        backoff.tries = u32::MAX;
        assert!(backoff.next() <= Duration::from_secs(5));
    }
}
