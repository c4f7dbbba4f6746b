//! Records that the target never takes although it refuses none of them: it says each time that it has done nothing.

use std::time::Duration;

use super::{BatchLedger, Derived, Rules};
use crate::domain::{DeliveryFact, DeliveryState, Timestamp};

/// What a target has declined again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declined {
    /// A record of the batch.
    pub place: u32,
    /// So many deliveries that carried it were not applied.
    pub tries: u32,
    /// It was alone in so many of them.
    pub alone: u32,
    /// Number of the first.
    pub first: i64,
}

impl Declined {
    /// Is it time to see whether the target declines this record or just everything at the moment? Twice what a delivery
    /// may be tried: a target that is throttling says so several times in a row, too.
    pub fn is_stubborn(&self, rules: &Rules, singles: bool) -> bool {
        let tries = if singles { self.alone } else { self.tries };
        tries >= rules.max_attempts.saturating_mul(2)
    }
}

impl BatchLedger {
    /// Of the records without an outcome those that were sent in vain, and how often.
    pub fn declined(&self) -> Vec<Declined> {
        let unresolved = (0u32..).zip(self.derive()).filter(|(_, state)| *state == Derived::Unresolved);
        unresolved.filter_map(|(place, _)| self.declined_of(place)).collect()
    }

    fn declined_of(&self, place: u32) -> Option<Declined> {
        let mut own =
            self.deliveries.iter().filter(|delivery| is_declined(delivery) && delivery.positions.contains(place));
        let first = own.next()?;
        let alone = |delivery: &DeliveryFact| u32::from(delivery.positions.len() == 1);
        let start = Declined { place, tries: 1, alone: alone(first), first: first.number };
        Some(own.fold(start, |so_far, delivery| Declined {
            tries: so_far.tries + 1,
            alone: so_far.alone + alone(delivery),
            ..so_far
        }))
    }

    /// The delivery in vain of this record alone that was the `nth`, counted from 1.
    pub fn alone(&self, place: u32, nth: u32) -> Option<&DeliveryFact> {
        let alone = |delivery: &&DeliveryFact| delivery.positions.len() == 1 && delivery.positions.contains(place);
        self.deliveries
            .iter()
            .filter(|delivery| is_declined(delivery))
            .filter(alone)
            .nth(nth.saturating_sub(1) as usize)
    }

    /// The last delivery in vain that was announced at least so long ago, and not before `from`.
    pub fn declined_for(&self, time: Duration, from: Timestamp, now: Timestamp) -> Option<&DeliveryFact> {
        let is_old = |begun_at: Timestamp| begun_at >= from && begun_at + time <= now;
        self.deliveries.iter().rfind(|delivery| is_declined(delivery) && is_old(delivery.begun_at))
    }

    /// Of these records the one that is to be sent alone next: the first, but one that is never taken lets the others go
    /// first after each `max_attempts` tries.
    pub(super) fn next_alone(&self, places: impl Iterator<Item = u32>, rules: &Rules) -> Option<u32> {
        let turns = |place| self.declined_of(place).map_or(0, |declined| declined.alone / rules.max_attempts.max(1));
        places.min_by_key(|place| turns(*place))
    }
}

/// Statuses that say that the pipeline is wrong: the run has paused.
const PIPELINE_WRONG: [u16; 5] = [401, 403, 404, 405, 415];

/// Did the target say so? Not when it was not sent at all, and not when a probe or an operator said so of a doubt.
fn is_declined(delivery: &DeliveryFact) -> bool {
    let answered = delivery.http_status != 0 && !PIPELINE_WRONG.contains(&delivery.http_status);
    delivery.state == DeliveryState::NotApplied && answered && delivery.absent.is_empty()
}
