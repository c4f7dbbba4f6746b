//! What is left of a batch, and what may be announced.

use super::{BatchLedger, Derived, Rules};
use crate::domain::{DeliveryFact, OnDoubt, Positions, Said, Timestamp};

/// Records that are to be worked on together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPart {
    /// Which.
    pub positions: Positions,
    /// The delivery in doubt that they repeat; 0 for none.
    pub retry_of: i64,
    /// Its body; zeros for none.
    pub body_sha256: [u8; 32],
    /// Send nothing: ask the target which of them it has.
    pub probe: bool,
}

/// What is left of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remaining {
    /// Parts to be delivered or probed, each on its own. Empty: the batch is finished.
    pub parts: Vec<OpenPart>,
    /// Before this, the target may still act on one of the doubts.
    pub not_before: Option<Timestamp>,
}

impl Remaining {
    fn add(&mut self, part: OpenPart, not_before: Option<Timestamp>) {
        self.parts.push(part);
        self.not_before = self.not_before.max(not_before);
    }
}

/// A part, and when the target can act no more on the delivery that it repeats.
type Timed = (OpenPart, Option<Timestamp>);

impl BatchLedger {
    /// What is left to do, once no delivery is open. With `singles` only one record of that: a batch that took its workers
    /// down, or that the target declines again and again, goes on record by record, so that the one which is the reason
    /// stands alone.
    pub fn remaining(&self, rules: &Rules, singles: bool) -> Remaining {
        let mut parts = self.parts(rules);
        let mut remaining = Remaining::default();
        if singles {
            parts.truncate(1);
            // To ask takes nobody down.
            if let Some((part, _)) = parts.first_mut().filter(|(part, _)| !part.probe) {
                part.positions =
                    Positions::from_ascending(self.next_alone(part.positions.iter(), rules)).unwrap_or_default();
            }
        }
        parts.into_iter().for_each(|(part, not_before)| remaining.add(part, not_before));
        remaining
    }

    /// Records without an outcome first, then the doubts in the order of their announcement.
    fn parts(&self, rules: &Rules) -> Vec<Timed> {
        let states = self.derive();
        let places = |wanted: Derived| (0u32..).zip(&states).filter(move |(_, state)| **state == wanted);
        let mut parts = Vec::new();
        let fresh = Positions::from_ascending(places(Derived::Unresolved).map(|(place, _)| place));
        if let Some(positions) = fresh.filter(|positions| !positions.is_empty()) {
            parts.push((OpenPart { positions, retry_of: 0, body_sha256: [0; 32], probe: false }, None));
        }
        for doubt in &self.deliveries {
            let still = places(Derived::InDoubt).map(|(place, _)| place);
            let still = still.filter(|place| self.latest_doubt(*place) == Some(doubt.number) && !self.excepted(*place));
            let positions = Positions::from_ascending(still).unwrap_or_default();
            let settles = Some(doubt.begun_at + rules.settle_after);
            let part = |positions, probe| {
                let body_sha256 = doubt.body_sha256;
                (OpenPart { positions, retry_of: doubt.number, body_sha256, probe }, settles)
            };
            match rules.on_doubt {
                OnDoubt::Hold => {}
                OnDoubt::Retry => parts.extend(again(doubt, positions, rules).into_iter().map(|p| part(p, false))),
                OnDoubt::Probe if doubt.probes >= rules.max_attempts => {}
                OnDoubt::Probe => {
                    let unknown = positions.within(&doubt.unknown());
                    parts
                        .extend(Some(unknown).filter(|unknown| !unknown.is_empty()).map(|unknown| part(unknown, true)));
                }
            }
        }
        parts
    }

    /// Number of the last delivery in doubt that carried this record.
    pub fn latest_doubt(&self, place: u32) -> Option<i64> {
        let doubtful =
            |delivery: &&DeliveryFact| delivery.positions.contains(place) && delivery.says(place) == Said::Doubtful;
        self.deliveries.iter().filter(doubtful).map(|delivery| delivery.number).max()
    }

    /// The records whose fate hangs on this delivery: in doubt, and by no later one.
    pub fn hanging_on(&self, number: i64) -> Positions {
        let states = self.derive();
        let hangs = |place: &u32| {
            states.get(*place as usize) == Some(&Derived::InDoubt) && self.latest_doubt(*place) == Some(number)
        };
        Positions::from_ascending((0..self.size).filter(hangs)).unwrap_or_default()
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

    /// Is a doubt one to be repeated at all? Held ones are an operator's, probed ones are asked for, and what was tried
    /// often enough goes on in parts only.
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
}

/// How the records of a doubt are sent again: as they were; in halves, once that was tried often enough; or not at all,
/// when a single was. One that is left of several was never alone.
fn again(doubt: &DeliveryFact, positions: Positions, rules: &Rules) -> Vec<Positions> {
    let stubborn = doubt.tries >= rules.max_attempts;
    match positions.len() {
        0 => Vec::new(),
        1 if stubborn && doubt.positions.len() == 1 => Vec::new(),
        2.. if stubborn => <[_; 2]>::from(positions.halves()).to_vec(),
        _ => vec![positions],
    }
}
