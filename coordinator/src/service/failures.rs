//! Dead letters, doubts and exported rows: from the store to the wire.

use muster_proto::v1;

use super::render::{count, record_state, small, timestamp, trace};
use crate::store::{DeadLetter, DeadLetterGroup, Doubt, DoubtPlan, LedgerRow};

/// A record given up on.
pub(super) fn dead_letter(letter: DeadLetter) -> v1::DeadLetter {
    v1::DeadLetter {
        record_id: letter.record_id,
        round: small(letter.place.round),
        batch: letter.place.batch,
        position: small(letter.place.position),
        stage: letter.stage,
        reason: letter.reason,
        http_status: letter.http_status.into(),
        body: letter.body,
        at: Some(timestamp(letter.at)),
        redriven_in_round: letter.redriven.map_or(0, small),
        trace_id: trace(letter.trace),
    }
}

/// Some with the same reason.
pub(super) fn group(group: DeadLetterGroup) -> v1::DeadLetterGroup {
    v1::DeadLetterGroup {
        stage: group.stage,
        reason: group.reason,
        http_status: group.http_status.into(),
        count: count(group.count),
        sample_record_id: group.sample,
        sample_trace_id: trace(group.sample_trace),
        sample_record_ids: group.samples,
        redriven: count(group.redriven),
    }
}

/// A delivery in doubt.
pub(super) fn doubt(doubt: Doubt) -> v1::DeliveryInDoubt {
    v1::DeliveryInDoubt {
        number: doubt.number,
        round: small(doubt.round),
        batch: doubt.batch,
        begun_at: Some(timestamp(doubt.begun_at)),
        settles_at: Some(timestamp(doubt.settles_at)),
        http_status: doubt.http_status.into(),
        detail: doubt.detail,
        records: small(doubt.records),
        record_ids: doubt.record_ids,
        plan: match doubt.plan {
            DoubtPlan::Held => v1::DoubtPlan::Held,
            DoubtPlan::Retry => v1::DoubtPlan::Retry,
            DoubtPlan::Probe => v1::DoubtPlan::Probe,
        }
        .into(),
        retry_of: doubt.retry_of,
        trace_id: trace(doubt.trace),
    }
}

/// A record in one round.
pub(super) fn ledger_row(row: LedgerRow) -> v1::LedgerRow {
    let (stage, reason, http_status) = row.exception.unwrap_or_default();
    v1::LedgerRow {
        record_id: row.record_id,
        round: small(row.round),
        state: record_state(row.state).into(),
        listed_on_page: count(row.page),
        batch: row.place.map(|(batch, _)| batch),
        position: row.place.map_or(0, |(_, position)| small(position)),
        delivery_number: row.delivery,
        deliveries: small(row.deliveries),
        possible_copies: i32::try_from(row.possible_copies).unwrap_or(i32::MAX),
        stage,
        reason,
        http_status: http_status.into(),
    }
}
