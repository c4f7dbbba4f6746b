//! How several runs share the workers: whose batch is leased next.

use std::ops::RangeInclusive;

/// A run's share of the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Higher ones come first, strictly.
    pub priority: i32,
    /// Among runs of one priority: leases are held in proportion to it.
    pub weight: u32,
    /// At most so many sessions hold leases of the run at once; 0: no bound.
    pub max_workers: u32,
}

impl Share {
    /// Enough classes for anybody, and few enough to be read.
    pub const PRIORITIES: RangeInclusive<i32> = -100..=100;
    /// From a hundredth of what a run has by itself to ten times that.
    pub const WEIGHTS: RangeInclusive<u32> = 1..=1_000;
    /// More workers than anybody has.
    pub const MAX_WORKERS: RangeInclusive<u32> = 0..=10_000;
}

impl Default for Share {
    fn default() -> Self {
        Self { priority: 0, weight: 100, max_workers: 0 }
    }
}

/// What is to be another; the rest stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShareChange {
    /// The new priority.
    pub priority: Option<i32>,
    /// The new weight.
    pub weight: Option<u32>,
    /// The new bound of workers.
    pub max_workers: Option<u32>,
}

impl ShareChange {
    /// What becomes of a share.
    pub fn of(self, before: Share) -> Share {
        Share {
            priority: self.priority.unwrap_or(before.priority),
            weight: self.weight.unwrap_or(before.weight),
            max_workers: self.max_workers.unwrap_or(before.max_workers),
        }
    }
}

/// A run that has batches to lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contender {
    /// Its number: the older of two that are level comes first.
    pub run: i64,
    /// Its share.
    pub share: Share,
    /// Batches of it that are leased, to anybody.
    pub leased: u64,
}

/// Deals grants out, one after another: each to the run of the highest priority that has the fewest leased batches for its
/// weight, counting what was dealt before. Gives places in `contenders`, in the order of the grants; nothing goes to runs of
/// a lower priority as long as one of a higher has batches. Stateless: what was granted before counts by what is leased now,
/// so every coordinator decides the same, and a run that just began has no debt and no credit.
pub fn deal(contenders: &[Contender], grants: u32) -> Vec<usize> {
    let Some(highest) = contenders.iter().map(|contender| contender.share.priority).max() else { return Vec::new() };
    let mut leased: Vec<(usize, u64)> = contenders
        .iter()
        .enumerate()
        .filter(|(_, contender)| contender.share.priority == highest)
        .map(|(place, contender)| (place, contender.leased))
        .collect();
    let mut dealt = Vec::new();
    for _ in 0..grants {
        // leased/weight without fractions: a/b < c/d as a*d < c*b.
        let next = leased.iter_mut().min_by(|(a, leased_a), (b, leased_b)| {
            let (a, b) = (&contenders[*a], &contenders[*b]);
            let (level_a, level_b) = (*leased_a * u64::from(b.share.weight), *leased_b * u64::from(a.share.weight));
            level_a.cmp(&level_b).then(a.run.cmp(&b.run))
        });
        let Some((place, leased)) = next else { break };
        *leased += 1;
        dealt.push(*place);
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(run: i64, priority: i32, weight: u32, leased: u64) -> Contender {
        Contender { run, share: Share { priority, weight, max_workers: 0 }, leased }
    }

    /// How many each gets.
    fn counts(contenders: &[Contender], grants: u32) -> Vec<usize> {
        let dealt = deal(contenders, grants);
        (0..contenders.len()).map(|place| dealt.iter().filter(|to| **to == place).count()).collect()
    }

    #[test]
    fn equal_weights_get_equal_leases_and_what_is_held_counts() {
        assert_eq!(counts(&[run(1, 0, 100, 0), run(2, 0, 100, 0)], 5), [3, 2]);
        assert_eq!(deal(&[run(1, 0, 100, 64), run(2, 0, 100, 0)], 3), [1, 1, 1]);
        assert_eq!(counts(&[run(1, 0, 100, 3), run(2, 0, 100, 0)], 5), [1, 4]);
    }

    #[test]
    fn leases_follow_weights() {
        assert_eq!(counts(&[run(1, 0, 100, 0), run(2, 0, 300, 0)], 40), [10, 30]);
        assert_eq!(counts(&[run(1, 0, 1, 0), run(2, 0, 1_000, 0)], 64), [1, 63]);
    }

    #[test]
    fn whoever_has_nothing_comes_before_whoever_has_something() {
        assert_eq!(deal(&[run(1, 0, 1_000, 1), run(2, 0, 1, 0)], 1), [1]);
    }

    #[test]
    fn a_higher_priority_comes_first_whatever_it_holds() {
        assert_eq!(deal(&[run(1, 0, 1_000, 0), run(2, 1, 1, 99), run(3, -5, 9, 0)], 2), [1, 1]);
    }

    #[test]
    fn nobody_to_deal_to() {
        assert!(deal(&[], 3).is_empty());
        assert!(deal(&[run(1, 0, 1, 0)], 0).is_empty());
    }
}
