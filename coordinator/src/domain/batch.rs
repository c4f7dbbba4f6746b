//! What became of the records of one batch, and what is left to do: derived from its deliveries and exceptions.

use std::collections::HashSet;
use std::time::Duration;

use super::{DeliveryFact, DeliveryState, ExceptionFact, ExceptionKind, OnDoubt, Positions, RecordState, Timestamp};

/// How a run wants its doubts handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Repeat deliveries in doubt, or hold them for an operator.
    pub on_doubt: OnDoubt,
    /// How long after its announcement the target may still act on a delivery.
    pub settle_after: Duration,
    /// How often the same records are sent before they are split.
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

/// Records that are still to be delivered together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPart {
    /// Which.
    pub positions: Positions,
    /// The delivery in doubt that they repeat; 0 for none.
    pub retry_of: i64,
    /// Its body; zeros for none.
    pub body_sha256: [u8; 32],
}

/// What is left of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remaining {
    /// Parts to be delivered, each by deliveries of its own. Empty: the batch is finished.
    pub parts: Vec<OpenPart>,
    /// Before this, the target may still act on one of the doubts.
    pub not_before: Option<Timestamp>,
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
        for (state, derived) in [
            (DeliveryState::InDoubt, Derived::InDoubt),
            (DeliveryState::Applied, Derived::Loaded),
            (DeliveryState::Open, Derived::Delivering),
        ] {
            for delivery in self.deliveries.iter().filter(|delivery| delivery.state == state) {
                delivery.positions.iter().for_each(|position| set(position, derived));
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

    /// What is left to do, once no delivery is open.
    pub fn remaining(&self, rules: &Rules) -> Remaining {
        let states = self.derive();
        let places = (0u32..).zip(&states);
        let fresh = places.clone().filter(|(_, state)| **state == Derived::Unresolved).map(|(place, _)| place);
        let mut remaining = Remaining::default();
        if let Some(positions) = Positions::from_ascending(fresh).filter(|positions| !positions.is_empty()) {
            remaining.parts.push(OpenPart { positions, retry_of: 0, body_sha256: [0; 32] });
        }
        if rules.on_doubt == OnDoubt::Hold {
            return remaining;
        }
        for doubt in self.deliveries.iter().filter(|delivery| delivery.state == DeliveryState::InDoubt) {
            let stubborn = doubt.tries >= rules.max_attempts;
            let still = places.clone().filter(|(place, state)| {
                **state == Derived::InDoubt && self.latest_doubt(*place) == Some(doubt.number) && !self.excepted(*place)
            });
            let positions = Positions::from_ascending(still.map(|(place, _)| place)).unwrap_or_default();
            let parts = match positions.len() {
                0 => continue,
                // A single that stays doubtful ends in doubt.
                1 if stubborn => continue,
                _ if stubborn => <[_; 2]>::from(positions.halves()).to_vec(),
                _ => vec![positions],
            };
            let settles = doubt.begun_at + rules.settle_after;
            remaining.not_before = remaining.not_before.max(Some(settles));
            remaining.parts.extend(parts.into_iter().map(|positions| OpenPart {
                positions,
                retry_of: doubt.number,
                body_sha256: doubt.body_sha256,
            }));
        }
        remaining
    }

    /// Number of the last delivery in doubt that carried this record.
    fn latest_doubt(&self, place: u32) -> Option<i64> {
        let doubts = self.deliveries.iter().filter(|delivery| delivery.state == DeliveryState::InDoubt);
        doubts.filter(|delivery| delivery.positions.contains(place)).map(|delivery| delivery.number).max()
    }

    /// Was the record given up on after all? One in doubt stays in doubt, but there is nothing left to send.
    fn excepted(&self, place: u32) -> bool {
        self.exceptions.iter().any(|exception| exception.position == place)
    }

    /// May these records be announced now, as a first delivery (`retry_of` 0) or as a repetition of a doubt?
    pub fn may_begin(&self, positions: &Positions, retry_of: i64, rules: &Rules) -> bool {
        let states = self.derive();
        let wanted = positions.iter().all(|place| match states.get(place as usize) {
            Some(Derived::Unresolved) => retry_of == 0,
            Some(Derived::InDoubt) => self.latest_doubt(place) == Some(retry_of),
            _ => false,
        });
        wanted && (retry_of == 0 || self.may_repeat(positions, retry_of, rules))
    }

    /// Is a doubt one to be repeated at all? Held ones are an operator's, and what was tried often enough goes on in
    /// parts only.
    fn may_repeat(&self, positions: &Positions, retry_of: i64, rules: &Rules) -> bool {
        let doubt = self.deliveries.iter().find(|delivery| delivery.number == retry_of);
        rules.on_doubt == OnDoubt::Retry
            && doubt.is_some_and(|doubt| doubt.tries < rules.max_attempts || positions.len() < doubt.positions.len())
    }

    /// The `tries` of a delivery that repeats `retry_of` with these records.
    pub fn next_tries(&self, positions: &Positions, retry_of: i64, rules: &Rules) -> u32 {
        match self.deliveries.iter().find(|delivery| delivery.number == retry_of) {
            None => 1,
            Some(doubt) if doubt.tries >= rules.max_attempts && positions.len() < doubt.positions.len() => 1,
            Some(doubt) => doubt.tries + 1,
        }
    }

    /// Copies that the target may hold beyond the first of each record: applied and doubtful deliveries.
    pub fn possible_copies(&self) -> u64 {
        let may_be_there =
            |delivery: &&DeliveryFact| matches!(delivery.state, DeliveryState::Applied | DeliveryState::InDoubt);
        let mut copies = vec![0u64; self.size as usize];
        for place in self.deliveries.iter().filter(may_be_there).flat_map(|delivery| delivery.positions.iter()) {
            if let Some(count) = copies.get_mut(place as usize) {
                *count += 1;
            }
        }
        copies.into_iter().map(|count| count.saturating_sub(1)).sum()
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
        let before: Vec<&DeliveryFact> = earlier.iter().filter_map(|number| find(*number)).collect();
        let new = |place: &u32| !before.iter().any(|delivery| delivery.positions.contains(*place));
        find(number).map(|delivery| delivery.positions.iter().filter(new).collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
