//! Seeded numbers: a pure stream of bits, and a permutation of the IDs.

/// The increment and the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014). Passes the usual tests of randomness and needs no state beyond a counter.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of bits that depends on nothing but a seed and the number of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Bits(u64);

impl Bits {
    pub(crate) fn new(seed: u64, stream: u64) -> Bits {
        Bits(mix(seed) ^ mix(stream.wrapping_mul(GOLDEN)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number in `0..bound`. The bias of the remainder is far below what a test could see.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A number in `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits: all of them representable in the mantissa.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        let index = self.below(list.len() as u64);
        list[usize::try_from(index).unwrap_or(0)]
    }
}

/// A seeded permutation of `0..len`: which animals are special is a pure function of seed and ID, and yet their
/// number is exact. A Feistel network over the next even number of bits, walked until it lands inside.
#[derive(Clone, Debug)]
pub(crate) struct Permutation {
    len: u64,
    half: u32,
    keys: [u64; 4],
}

impl Permutation {
    pub(crate) fn new(seed: u64, len: u64) -> Permutation {
        let width = u64::BITS - len.saturating_sub(1).leading_zeros();
        let mut bits = Bits::new(seed, u64::MAX);
        Permutation { len, half: width.div_ceil(2).max(1), keys: std::array::from_fn(|_| bits.next()) }
    }

    /// Where `id` stands in the shuffled order.
    pub(crate) fn slot(&self, id: u64) -> u64 {
        self.walk(id, |(left, right), key| (right, left ^ self.round(right, key)), false)
    }

    /// Who stands at `slot`: the inverse of [`Permutation::slot`].
    pub(crate) fn id(&self, slot: u64) -> u64 {
        self.walk(slot, |(left, right), key| (right ^ self.round(left, key), left), true)
    }

    fn walk(&self, from: u64, step: impl Fn((u64, u64), u64) -> (u64, u64), backwards: bool) -> u64 {
        debug_assert!(from < self.len, "only 0..len is permuted");
        let mask = self.mask();
        let mut at = from;
        loop {
            let mut halves = (at >> self.half, at & mask);
            for round in 0..self.keys.len() {
                let round = if backwards { self.keys.len() - 1 - round } else { round };
                halves = step(halves, self.keys[round]);
            }
            at = (halves.0 << self.half) | halves.1;
            if at < self.len {
                return at;
            }
        }
    }

    fn round(&self, half: u64, key: u64) -> u64 {
        mix(half ^ key) & self.mask()
    }

    fn mask(&self) -> u64 {
        (1 << self.half) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_visits_everyone_once_and_can_be_inverted() {
        for len in [1, 2, 3, 10, 1000, 5432] {
            let permutation = Permutation::new(7, len);
            let mut slots: Vec<u64> = (0..len).map(|id| permutation.slot(id)).collect();
            for (id, slot) in (0..len).zip(&slots) {
                assert_eq!(permutation.id(*slot), id);
            }
            slots.sort_unstable();
            assert!(slots.into_iter().eq(0..len), "of {len}");
        }
    }

    #[test]
    fn streams_repeat_by_seed_and_differ_between_seeds() {
        let draw = |seed, stream| Bits::new(seed, stream).next();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert!((0..1000).map(|n| Bits::new(3, n).unit()).all(|unit| (0.0..1.0).contains(&unit)));
    }
}
