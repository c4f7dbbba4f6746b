//! Deliveries and exceptions: the facts that decide what became of a record.

use super::{Positions, Timestamp};

/// Where a delivery is. docs/STATES.md draws the arrows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Announced; nothing is known of it yet.
    Open,
    /// The target acknowledged all of its records.
    Applied,
    /// Certainly not applied.
    NotApplied,
    /// Refused because of its records.
    Rejected,
    /// It may or may not have been applied.
    InDoubt,
}

impl DeliveryState {
    /// May this become `next`? Knowledge only grows: open turns into anything, a doubt into certainty, and what is
    /// certain stays.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Open => next != Self::Open,
            Self::InDoubt => matches!(next, Self::Applied | Self::NotApplied | Self::Rejected),
            Self::Applied | Self::NotApplied | Self::Rejected => false,
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
}

/// Evidence for one delivery of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReport {
    /// Which delivery of the lease, from 1.
    pub ordinal: u32,
    /// What came of it.
    pub evidence: Evidence,
}

/// What the ledger says of a delivery, as far as outcomes depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    #[test]
    fn knowledge_only_grows() {
        for state in [Open, Applied, NotApplied, Rejected, InDoubt] {
            assert!(!state.may_become(Open), "{state:?} was settled once");
            assert!(!state.may_become(state), "{state:?} again is no change");
            assert_eq!(Open.may_become(state), state != Open);
            assert_eq!(InDoubt.may_become(state), !matches!(state, Open | InDoubt));
            assert!(!Applied.may_become(state) && !Rejected.may_become(state) && !NotApplied.may_become(state));
        }
    }
}
