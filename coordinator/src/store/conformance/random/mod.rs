//! Random sequences of calls by several workers, with deaths, delays, repetitions and cancels: after every call the
//! ledger must be balanced and must not claim what nobody reported.

mod invariants;
mod lister;
mod operator;
mod sequence;
mod shares;
mod workers;

use std::collections::BTreeSet;

use super::Backend;
use sequence::Sequence;
pub use shares::{assert_all_shares_seen, random_shares};

/// What a campaign must have met, or it proves nothing.
const TO_BE_SEEN: [&str; 30] = [
    "applied in part",
    "applied in part, told late",
    "lost answer",
    "second grant",
    "announced",
    "lease lost",
    "superseded",
    "not yet",
    "run paused",
    "run cancelled",
    "delivery conflict",
    "late report",
    "report conflict",
    "repeated report",
    "doubt repeated",
    "doubt after an expiry",
    "settled as applied",
    "settled as not applied",
    "settled as partly applied",
    "settled too early",
    "unchanged",
    "unknown field told again",
    "listed by cursors",
    "listed twice",
    "listing taken up",
    "listed too late",
    "CURSOR_REPEATED",
    "MISSED_BY_FIRST_LISTING",
    "VANISHED_FROM_LIST",
    "PAGE_GIVEN_UP",
];

/// Runs the sequences of these seeds; gives what they met.
pub async fn random(backend: &dyn Backend, seeds: std::ops::Range<u64>) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    for seed in seeds {
        let named = Named(seed);
        seen.extend(Sequence::new(backend, seed).await.play().await);
        drop(named);
    }
    seen
}

/// Has a campaign met all that it should?
pub fn assert_all_seen(seen: &[&str]) {
    let missed: Vec<_> = TO_BE_SEEN.iter().filter(|what| !seen.contains(what)).collect();
    assert!(missed.is_empty(), "the random sequences never met {missed:?}");
}

/// Names the seed of a sequence that fails.
struct Named(u64);

impl Drop for Named {
    #[expect(clippy::print_stderr, reason = "whoever reads of the failure needs the seed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the random sequence of seed {} failed", self.0);
        }
    }
}

/// SplitMix64: small, and the same everywhere (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}
