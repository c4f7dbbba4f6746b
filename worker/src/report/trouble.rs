//! What makes a batch's trace worth looking at, once it is known what the batch came to.

use muster_proto::v1::{DeliveryOutcome, RecordOutcome};

use super::{Book, End};
use crate::held::Stop;

/// Why somebody will want to see the batch's trace, in a word or two.
pub(super) fn trouble(book: &Book, end: &End, stop: Stop) -> Option<&'static str> {
    let is = |outcome: DeliveryOutcome| book.deliveries.iter().any(|delivery| delivery.outcome() == outcome);
    if is(DeliveryOutcome::InDoubt) || !book.probes.is_empty() {
        Some("doubt")
    } else if end.pause_reason.is_some() {
        Some("pipeline does not work")
    } else if stop == Stop::Lost {
        Some("lease lost")
    } else if book.records.iter().any(|record| record.outcome() == RecordOutcome::DeadLetter) {
        Some("dead letter")
    } else if is(DeliveryOutcome::Rejected) || is(DeliveryOutcome::PartlyApplied) {
        Some("rejected")
    } else {
        end.retry_after.map(|_| "given back")
    }
}
