//! What became of the records of one batch, and what is left to do: derived from its deliveries and exceptions.

mod declined;
mod remaining;

use std::collections::HashSet;
use std::time::Duration;

use super::{DeliveryFact, DeliveryState, ExceptionFact, ExceptionKind, OnDoubt, RecordState, Said};
pub use declined::Declined;
pub use remaining::{OpenPart, Remaining};

/// How a run wants its doubts handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What to do with deliveries in doubt.
    pub on_doubt: OnDoubt,
    /// How long after its announcement the target may still act on a delivery.
    pub settle_after: Duration,
    /// How often the same records are sent before they are split, and how often a probe is made.
    pub max_attempts: u32,
}

/// The facts about one batch.
#[derive(Debug, Clone, Default)]
pub struct BatchLedger {
    /// How many records it has.
    pub size: u32,
    /// All deliveries of the batch in this round, in the order of announcement.
    pub deliveries: Vec<DeliveryFact>,
    /// At most one for each record.
    pub exceptions: Vec<ExceptionFact>,
}

/// How the records of a batch stand, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// No outcome yet.
    pub unresolved: u32,
    /// In an open delivery.
    pub delivering: u32,
    /// Acknowledged by the target.
    pub loaded: u32,
    /// Given up on.
    pub dead_letter: u32,
    /// Not there any more.
    pub gone: u32,
    /// In doubt.
    pub in_doubt: u32,
}

/// What the deliveries and exceptions say of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Derived {
    Unresolved,
    Delivering,
    Loaded,
    DeadLetter,
    Gone,
    InDoubt,
}

impl BatchLedger {
    /// Any applied -> loaded; else any doubtful -> in doubt (a doubtful record never becomes a dead letter); else what
    /// the worker reported. An open delivery comes first: what it brings counts when it is settled.
    fn derive(&self) -> Vec<Derived> {
        let mut states = vec![Derived::Unresolved; self.size as usize];
        let mut set = |position: u32, state| {
            if let Some(slot) = states.get_mut(position as usize) {
                *slot = state;
            }
        };
        for exception in &self.exceptions {
            set(
                exception.position,
                match exception.kind {
                    ExceptionKind::DeadLetter => Derived::DeadLetter,
                    ExceptionKind::Gone => Derived::Gone,
                },
            );
        }
        for (said, derived) in
            [(Said::Doubtful, Derived::InDoubt), (Said::Applied, Derived::Loaded), (Said::Open, Derived::Delivering)]
        {
            for delivery in &self.deliveries {
                let places = delivery.positions.iter().filter(|place| delivery.says(*place) == said);
                places.for_each(|place| set(place, derived));
            }
        }
        states
    }

    /// Each record's one state. `unresolved` is what a record without an outcome is: it depends on the batch (in the
    /// queue or leased) and on the run (going on or cancelled).
    pub fn states(&self, unresolved: RecordState) -> Vec<RecordState> {
        let state = |derived| match derived {
            Derived::Unresolved => unresolved,
            Derived::Delivering => RecordState::Delivering,
            Derived::Loaded => RecordState::Loaded,
            Derived::DeadLetter => RecordState::DeadLetter,
            Derived::Gone => RecordState::Gone,
            Derived::InDoubt => RecordState::InDoubt,
        };
        self.derive().into_iter().map(state).collect()
    }

    /// The same in numbers.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for state in self.derive() {
            *match state {
                Derived::Unresolved => &mut tally.unresolved,
                Derived::Delivering => &mut tally.delivering,
                Derived::Loaded => &mut tally.loaded,
                Derived::DeadLetter => &mut tally.dead_letter,
                Derived::Gone => &mut tally.gone,
                Derived::InDoubt => &mut tally.in_doubt,
            } += 1;
        }
        tally
    }

    /// The delivery that is announced and not settled; a batch has at most one.
    pub fn open_delivery(&self) -> Option<&DeliveryFact> {
        self.deliveries.iter().find(|delivery| delivery.state == DeliveryState::Open)
    }

    /// Is a record in several open deliveries? It must never be.
    pub fn is_delivered_twice_at_once(&self) -> bool {
        let open = self.deliveries.iter().filter(|delivery| delivery.state == DeliveryState::Open);
        let mut seen = HashSet::new();
        open.flat_map(|delivery| delivery.positions.iter()).any(|place| !seen.insert(place))
    }

    /// Copies that the target may hold beyond the first of each record: applied and doubtful deliveries.
    pub fn possible_copies(&self) -> u64 {
        (0..self.size).map(|place| self.copies_of(place)).sum()
    }

    /// The same of one record.
    pub fn copies_of(&self, place: u32) -> u64 {
        let may_be_there = |delivery: &&DeliveryFact| {
            delivery.positions.contains(place) && matches!(delivery.says(place), Said::Applied | Said::Doubtful)
        };
        (self.deliveries.iter().filter(may_be_there).count() as u64).saturating_sub(1)
    }

    /// Records of deliveries that repeated a doubt with the same records and another body.
    pub fn changed(&self) -> u64 {
        let repeats = |delivery: &&DeliveryFact| {
            let doubt = self.deliveries.iter().find(|doubt| doubt.number == delivery.retry_of);
            doubt
                .is_some_and(|doubt| doubt.positions == delivery.positions && doubt.body_sha256 != delivery.body_sha256)
        };
        self.deliveries.iter().filter(repeats).map(|delivery| u64::from(delivery.positions.len())).sum()
    }

    /// The records of an applied delivery that no earlier acknowledgement covers: those that its audit file names.
    /// `earlier` are the numbers of the batch's deliveries that were acknowledged before.
    pub fn first_applied(&self, number: i64, earlier: &[i64]) -> Vec<u32> {
        let find = |wanted: i64| self.deliveries.iter().find(move |delivery| delivery.number == wanted);
        let applied = |delivery: &DeliveryFact, place: u32| {
            delivery.positions.contains(place) && delivery.says(place) == Said::Applied
        };
        let before: Vec<&DeliveryFact> = earlier.iter().filter_map(|number| find(*number)).collect();
        let Some(delivery) = find(number) else { return Vec::new() };
        let new = |place: &u32| applied(delivery, *place) && !before.iter().any(|earlier| applied(earlier, *place));
        delivery.positions.iter().filter(new).collect()
    }
}

#[cfg(test)]
mod tests;
