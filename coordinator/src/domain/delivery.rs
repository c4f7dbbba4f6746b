//! Deliveries and exceptions: the facts that decide what became of a record.

use super::{Positions, Timestamp};

/// Where a delivery is. docs/STATES.md draws the arrows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryState {
    /// Announced; nothing is known of it yet.
    #[default]
    Open,
    /// The target acknowledged all of its records.
    Applied,
    /// Certainly not applied.
    NotApplied,
    /// Refused because of its records.
    Rejected,
    /// It may or may not have been applied.
    InDoubt,
    /// Part of its records was applied: `present` names them. The target's answer says so of each record, or it was in
    /// doubt and turned out to be so.
    PartlyApplied,
}

impl DeliveryState {
    /// May this become `next`? Knowledge only grows: open turns into anything, a doubt into certainty, and what is
    /// certain stays.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Open => next != Self::Open,
            Self::InDoubt => matches!(next, Self::Applied | Self::NotApplied | Self::Rejected | Self::PartlyApplied),
            Self::Applied | Self::NotApplied | Self::Rejected | Self::PartlyApplied => false,
        }
    }
}

/// What a worker learnt of a POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Anything but `Open`.
    pub state: DeliveryState,
    /// HTTP status; 0 when there was no answer.
    pub http_status: u16,
    /// The reason in words.
    pub detail: String,
    /// With `PartlyApplied`: the records that the target has. It has none of the others by this delivery.
    pub present: Positions,
}

/// Evidence for one delivery of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReport {
    /// Which delivery of the lease, from 1.
    pub ordinal: u32,
    /// What came of it.
    pub evidence: Evidence,
}

/// What a probe or an operator found out about records of a delivery in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finding {
    /// Number of the delivery in its run.
    pub number: i64,
    /// The target has these.
    pub present: Positions,
    /// The target does not have these.
    pub absent: Positions,
}

/// What a delivery says of one of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The target has it.
    Applied,
    /// The target may have it.
    Doubtful,
    /// It is on its way.
    Open,
    /// Nothing: the target does not have it by this delivery.
    Nothing,
}

/// What the ledger says of a delivery, as far as outcomes depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryFact {
    /// Number in its run, in the order of announcement.
    pub number: i64,
    /// Grant under which it was announced.
    pub epoch: u32,
    /// Which delivery of that grant.
    pub ordinal: u32,
    /// What it carried.
    pub positions: Positions,
    /// Where it is.
    pub state: DeliveryState,
    /// How many deliveries of these records ended in doubt, this one included if it did; starts again after a split.
    pub tries: u32,
    /// When it was last announced: the target may act for some time after.
    pub begun_at: Timestamp,
    /// SHA-256 of its body.
    pub body_sha256: [u8; 32],
    /// The delivery in doubt that it repeats; 0 for none.
    pub retry_of: i64,
    /// Records that the target has, of a delivery that was partly applied or that is or was in doubt. They count once all
    /// are known, so that an acknowledgement is never added to.
    pub present: Positions,
    /// Records that it turned out not to have. They count at once.
    pub absent: Positions,
    /// How often the target was asked for its records.
    pub probes: u32,
    /// The round that took its records over, because an operator said that none was applied; 0 for none.
    pub withdrawn: u32,
    /// Its worker learnt something else of the target, after a probe or an operator had settled it.
    pub contradicted: bool,
    /// HTTP status of the target's answer; 0 when there was none.
    pub http_status: u16,
}

impl DeliveryFact {
    /// What it says of a record that it carried.
    pub fn says(&self, place: u32) -> Said {
        match self.state {
            DeliveryState::Open => Said::Open,
            DeliveryState::Applied => Said::Applied,
            DeliveryState::NotApplied | DeliveryState::Rejected => Said::Nothing,
            DeliveryState::PartlyApplied if self.present.contains(place) => Said::Applied,
            DeliveryState::InDoubt | DeliveryState::PartlyApplied if self.absent.contains(place) => Said::Nothing,
            DeliveryState::InDoubt | DeliveryState::PartlyApplied => Said::Doubtful,
        }
    }

    /// Records of which nobody knows whether the target has them.
    pub fn unknown(&self) -> Positions {
        if self.state == DeliveryState::InDoubt {
            self.positions.without(&self.present).without(&self.absent)
        } else {
            Positions::default()
        }
    }

    /// Adds what was found out, and becomes certain when that was all. Knowledge only grows: what is known stays.
    #[must_use]
    pub fn with(&self, finding: &Finding) -> Self {
        let unknown = self.unknown();
        let present = self.present.with(&unknown.within(&finding.present));
        let absent = self.absent.with(&unknown.within(&finding.absent).without(&finding.present));
        let mut next = Self { present, absent, ..self.clone() };
        if self.state == DeliveryState::InDoubt && next.unknown().is_empty() {
            next.state = match (next.present.is_empty(), next.absent.is_empty()) {
                (true, _) => DeliveryState::NotApplied,
                (false, true) => DeliveryState::Applied,
                (false, false) => DeliveryState::PartlyApplied,
            };
        }
        next
    }
}

/// Why a record is not sent (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExceptionKind {
    /// Given up on.
    DeadLetter,
    /// The source says that it does not exist.
    Gone,
}

/// What the ledger says of a record that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExceptionFact {
    /// Place in the batch.
    pub position: u32,
    /// What it is.
    pub kind: ExceptionKind,
}

#[cfg(test)]
mod tests {
    use super::DeliveryState::*;
    use super::*;

    #[test]
    fn knowledge_only_grows() {
        for state in [Open, Applied, NotApplied, Rejected, InDoubt, PartlyApplied] {
            assert!(!state.may_become(Open), "{state:?} was settled once");
            assert!(!state.may_become(state), "{state:?} again is no change");
            assert_eq!(Open.may_become(state), state != Open);
            assert_eq!(InDoubt.may_become(state), !matches!(state, Open | InDoubt));
            assert!(!Applied.may_become(state) && !Rejected.may_become(state) && !NotApplied.may_become(state));
            assert!(!PartlyApplied.may_become(state));
        }
    }

    fn positions(places: &[u32]) -> Positions {
        Positions::from_ascending(places.iter().copied()).unwrap()
    }

    fn doubt() -> DeliveryFact {
        DeliveryFact { number: 1, positions: positions(&[0, 1, 2, 3]), state: InDoubt, ..DeliveryFact::default() }
    }

    fn found(present: &[u32], absent: &[u32]) -> Finding {
        Finding { number: 1, present: positions(present), absent: positions(absent) }
    }

    #[test]
    fn a_doubt_becomes_certain_when_all_of_its_records_are_known() {
        assert_eq!(doubt().with(&found(&[0, 1, 2, 3], &[])).state, Applied);
        assert_eq!(doubt().with(&found(&[], &[0, 1, 2, 3])).state, NotApplied);
        assert_eq!(doubt().with(&found(&[1], &[0, 2, 3])).state, PartlyApplied);
        let half = doubt().with(&found(&[1], &[0]));
        assert_eq!((half.state, half.unknown()), (InDoubt, positions(&[2, 3])));
        let said: Vec<Said> = (0..4).map(|place| half.says(place)).collect();
        assert_eq!(said, [Said::Nothing, Said::Doubtful, Said::Doubtful, Said::Doubtful], "present waits for the rest");
        let whole = half.with(&found(&[2], &[3]));
        let said: Vec<Said> = (0..4).map(|place| whole.says(place)).collect();
        assert_eq!(said, [Said::Nothing, Said::Applied, Said::Applied, Said::Nothing]);
    }

    #[test]
    fn what_is_known_of_a_record_stays() {
        let half = doubt().with(&found(&[1], &[0]));
        assert_eq!(half.with(&found(&[0], &[1])), half);
        assert_eq!(doubt().with(&found(&[2], &[2])).absent, Positions::default(), "what was seen there is there");
        assert_eq!(doubt().with(&found(&[9], &[8])), doubt(), "not of this delivery");
        let applied = DeliveryFact { state: Applied, ..doubt() };
        assert_eq!(applied.with(&found(&[], &[0, 1, 2, 3])), applied);
    }
}
