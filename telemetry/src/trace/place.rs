//! Where rounds and batches stand among traces.
//!
//! Their IDs follow from what they are, by a hash. So whoever works on a batch knows the trace of its run and those of its
//! earlier attempts, and nobody has to store or to send them.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use sha2::{Digest, Sha256};

/// The root span of a trace, or of a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
}

impl Place {
    /// A round of a run. All rounds of a run are in one trace.
    #[must_use]
    pub fn of_round(run_id: &str, round: i32) -> Self {
        let (trace, _) = ids(&format!("run {run_id}"));
        let (_, span) = ids(&format!("round {round} of {run_id}"));
        Self { trace, span }
    }

    /// One lease of a batch. Each is a trace of its own.
    #[must_use]
    pub fn of_batch(run_id: &str, round: i32, batch: i64, epoch: i32) -> Self {
        let (trace, span) = ids(&format!("lease {epoch} of batch {batch} in round {round} of {run_id}"));
        Self { trace, span }
    }

    /// As it is pointed to and passed on.
    pub(super) fn context(self, sampled: bool) -> SpanContext {
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        SpanContext::new(self.trace, self.span, flags, false, TraceState::NONE)
    }
}

/// Both IDs are random, as W3C wants them, as far as anybody can tell who does not know the text. That either is zero, which
/// would be none, is as likely as that two are the same.
fn ids(text: &str) -> (TraceId, SpanId) {
    let digest = Sha256::digest(text.as_bytes());
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&digest[..16]);
    span.copy_from_slice(&digest[16..24]);
    (TraceId::from_bytes(trace), SpanId::from_bytes(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lease_has_a_trace_of_its_own_and_all_rounds_of_a_run_have_one() {
        let lease = Place::of_batch("animals-1x2y", 1, 7, 2);
        assert_eq!(lease, Place::of_batch("animals-1x2y", 1, 7, 2));
        for other in [("animals-1x2z", 1, 7, 2), ("animals-1x2y", 2, 7, 2), ("animals-1x2y", 1, 8, 2)] {
            assert_ne!(lease.trace, Place::of_batch(other.0, other.1, other.2, other.3).trace);
        }
        assert_ne!(lease.trace, Place::of_batch("animals-1x2y", 1, 7, 3).trace);
        let (first, second) = (Place::of_round("animals-1x2y", 1), Place::of_round("animals-1x2y", 2));
        assert_eq!(first.trace, second.trace);
        assert_ne!(first.span, second.span);
        assert!(first.context(true).is_valid() && lease.context(false).is_valid());
    }
}
