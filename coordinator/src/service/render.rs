//! From the domain to the wire.

use std::time::{Duration, Instant};

use muster_proto::v1;

use super::share;
use crate::domain::{
    Counts, DeliveryState, DiscrepancyKind, Progress, RecordState, Run, RunState, Timestamp, TraceId, UnknownField,
    Verdict,
};
use crate::store::{
    Completion, DeliveryStory, Ending, GrantedLease, LeaseStory, Notice, NoticeState, RecordStory, Refusal, Reserved,
    Round, WorkerRow,
};
use crate::traces;

/// A number of things.
pub(super) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A small number of things.
pub(super) fn small(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A point in time.
pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let millis = time.as_millis();
    let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: millis.div_euclid(1000), nanos }
}

/// A span of time.
pub(super) fn duration(span: Duration) -> prost_types::Duration {
    span.try_into().unwrap_or_default()
}

/// Places on a host's timetable, in microseconds from when they were asked for.
pub(super) fn places(reserved: &Reserved, asked: Instant) -> Vec<u64> {
    let micros = |place: &Duration| {
        // On SQLite the clock may have been looked at just before, with others' transitions.
        let place = (reserved.as_of + *place).saturating_duration_since(asked);
        u64::try_from(place.as_micros()).unwrap_or(u64::MAX)
    };
    reserved.after.iter().map(micros).collect()
}

/// A run with its progress and its rounds.
pub(super) fn run(
    run: &Run,
    progress: &Progress,
    rounds: &[Round],
    unknown_fields: &[UnknownField],
    now: Timestamp,
) -> v1::Run {
    v1::Run {
        run_id: run.id.to_string(),
        pipeline: run.pipeline.clone(),
        pipeline_revision: run.revision.clone(),
        parameters: run.parameters.clone().into_iter().collect(),
        audit_mode: run.audit_mode,
        state: match run.state {
            RunState::Running => v1::RunState::Running,
            RunState::Paused => v1::RunState::Paused,
            RunState::Cancelling => v1::RunState::Cancelling,
            RunState::Cancelled => v1::RunState::Cancelled,
            RunState::Finished => v1::RunState::Finished,
        }
        .into(),
        state_reason: run.state_reason.clone(),
        round: small(run.round),
        created_at: Some(timestamp(run.created_at)),
        finished_at: run.finished_at.map(timestamp),
        elapsed: Some(duration(run.finished_at.unwrap_or(now).since(run.opened_at))),
        progress: Some(self::progress(progress)),
        verdict: run.verdict.as_ref().map(|found| verdict(run, found)),
        rounds: rounds.iter().map(|round| self::round(run, round)).collect(),
        overall: overall(rounds).as_ref().map(counts),
        since_run: run.since.as_ref().map(ToString::to_string).unwrap_or_default(),
        unknown_fields: unknown_fields.iter().map(unknown_field).collect(),
        share: Some(share::render(run.share)),
        trace_id: traces::of_run(run),
        notices: Vec::new(),
    }
}

/// A notice.
pub(super) fn notice(notice: &Notice) -> v1::Notice {
    let (state, at) = match notice.state {
        NoticeState::Waiting(at) => (v1::NoticeState::Waiting, Some(at)),
        NoticeState::Sending => (v1::NoticeState::Sending, None),
        NoticeState::Delivered(at) => (v1::NoticeState::Delivered, Some(at)),
        NoticeState::GivenUp(at) => (v1::NoticeState::GivenUp, Some(at)),
    };
    v1::Notice {
        notice_id: notice.id.clone(),
        event: notice.event.name().to_owned(),
        round: small(notice.round),
        occurred_at: Some(timestamp(notice.at)),
        destination: notice.shown.clone(),
        state: state.into(),
        tries: small(notice.tries),
        error: notice.error.clone(),
        at: at.map(timestamp),
    }
}

/// A trace's ID, if there is a trace.
pub(super) fn trace(id: Option<TraceId>) -> String {
    id.map(hex::encode).unwrap_or_default()
}

/// What each round made of its records, without what a later one took over; nothing while a round goes on.
fn overall(rounds: &[Round]) -> Option<Counts> {
    let add = |sum: Counts, round: &Round| {
        let found = round.verdict.as_ref()?;
        Some(sum.with(&found.counts).without(&round.taken_over))
    };
    rounds.iter().try_fold(Counts::default(), add)
}

fn round(run: &Run, round: &Round) -> v1::Round {
    v1::Round {
        round: small(round.round),
        pipeline_revision: round.revision.clone(),
        opened_at: Some(timestamp(round.opened_at)),
        opened_by: round.opened_by.clone(),
        taken_over: count(round.taken_over.listed),
        finished_at: round.finished_at.map(timestamp),
        verdict: round.verdict.as_ref().map(|found| verdict(run, found)),
    }
}

/// Records by state.
pub(super) fn counts(counts: &Counts) -> v1::Counts {
    v1::Counts {
        listed: count(counts.listed),
        pending: count(counts.pending),
        leased: count(counts.leased),
        delivering: count(counts.delivering),
        loaded: count(counts.loaded),
        dead_letter: count(counts.dead_letter),
        gone: count(counts.gone),
        unchanged: count(counts.unchanged),
        in_doubt: count(counts.in_doubt),
        cancelled: count(counts.cancelled),
    }
}

fn progress(progress: &Progress) -> v1::Progress {
    v1::Progress {
        listing_closed: progress.listing_closed,
        pages_committed: progress.pages_committed,
        pages_total: progress.pages_total,
        listed: progress.listed,
        unchanged: progress.unchanged,
        fetched: progress.fetched,
        loaded: progress.loaded,
        dead_letter: progress.dead_letter,
        gone: progress.gone,
        in_doubt: progress.in_doubt,
        batches_ready: progress.batches_ready,
        batches_leased: progress.batches_leased,
        batches_done: progress.batches_done,
        deliveries_open: progress.deliveries_open,
        workers: i32::try_from(progress.workers).unwrap_or(i32::MAX),
    }
}

/// A verdict.
pub(super) fn verdict(run: &Run, verdict: &Verdict) -> v1::Verdict {
    v1::Verdict {
        run_id: run.id.to_string(),
        round: small(verdict.round),
        complete: verdict.is_complete(),
        balanced: verdict.is_balanced(),
        counts: Some(self::counts(&verdict.counts)),
        possible_copies: count(verdict.possible_copies),
        changed: count(verdict.changed),
        durability: (if verdict.degraded { v1::Durability::Degraded } else { v1::Durability::Full }).into(),
        discrepancies: verdict
            .discrepancies
            .iter()
            .map(|found| v1::Discrepancy {
                code: found.code.clone(),
                detail: found.detail.clone(),
                kind: match found.kind {
                    DiscrepancyKind::Incomplete => v1::DiscrepancyKind::Incomplete,
                    DiscrepancyKind::Unbalanced => v1::DiscrepancyKind::Unbalanced,
                }
                .into(),
            })
            .collect(),
        audited_at: Some(timestamp(verdict.audited_at)),
        unknown_fields: verdict.unknown_fields.iter().map(unknown_field).collect(),
    }
}

fn unknown_field(field: &UnknownField) -> v1::UnknownField {
    v1::UnknownField { path: field.path.clone(), records: count(field.records), sample_record_id: field.sample.clone() }
}

/// What happened to one record in one round.
pub(super) fn story(record_id: &str, story: &RecordStory) -> v1::RecordStory {
    v1::RecordStory {
        record_id: record_id.to_owned(),
        round: small(story.round),
        state: record_state(story.state).into(),
        listed_on_page: count(story.page),
        batch: story.batch,
        position: small(story.position),
        leases: story.leases.iter().map(lease_story).collect(),
        deliveries: story.deliveries.iter().map(delivery_story).collect(),
        exception: story.exception.as_ref().map(|exception| v1::ExceptionStory {
            stage: exception.stage.clone(),
            reason: exception.reason.clone(),
            http_status: i32::from(exception.http_status),
            body: exception.body.clone(),
            at: Some(timestamp(exception.at)),
        }),
        unchanged: story.unchanged.as_ref().map(|unchanged| v1::UnchangedStory {
            version: unchanged.version.clone(),
            since_run: unchanged.since.to_string(),
            loaded_by_run: unchanged.loaded_by.as_ref().map(ToString::to_string).unwrap_or_default(),
        }),
    }
}

pub(super) fn record_state(state: RecordState) -> v1::RecordState {
    match state {
        RecordState::Pending => v1::RecordState::Pending,
        RecordState::Leased => v1::RecordState::Leased,
        RecordState::Delivering => v1::RecordState::Delivering,
        RecordState::Loaded => v1::RecordState::Loaded,
        RecordState::DeadLetter => v1::RecordState::DeadLetter,
        RecordState::Gone => v1::RecordState::Gone,
        RecordState::InDoubt => v1::RecordState::InDoubt,
        RecordState::Cancelled => v1::RecordState::Cancelled,
        RecordState::Unchanged => v1::RecordState::Unchanged,
    }
}

fn lease_story(lease: &LeaseStory) -> v1::LeaseStory {
    let ending = match lease.ending {
        None => "",
        Some(Ending::Completed) => "completed",
        Some(Ending::Released) => "released",
        Some(Ending::Expired) => "expired",
    };
    v1::LeaseStory {
        epoch: small(lease.epoch),
        attempt: small(lease.attempt),
        worker: lease.worker.clone(),
        worker_id: lease.worker_id,
        granted_at: Some(timestamp(lease.granted_at)),
        ended_at: lease.ended_at.map(timestamp),
        ending: ending.to_owned(),
        trace_id: trace(lease.trace),
    }
}

fn delivery_story(delivery: &DeliveryStory) -> v1::DeliveryStory {
    let fact = &delivery.fact;
    let state = match fact.state {
        DeliveryState::Open => "open",
        DeliveryState::Applied => "applied",
        DeliveryState::NotApplied => "not_applied",
        DeliveryState::Rejected => "rejected",
        DeliveryState::InDoubt => "in_doubt",
        DeliveryState::PartlyApplied => "partly_applied",
    };
    v1::DeliveryStory {
        number: fact.number,
        epoch: small(fact.epoch),
        ordinal: small(fact.ordinal),
        state: state.to_owned(),
        http_status: i32::from(delivery.fact.http_status),
        detail: delivery.detail.clone(),
        begun_at: Some(timestamp(fact.begun_at)),
        settled_at: delivery.settled_at.map(timestamp),
        body_sha256: hex::encode(fact.body_sha256),
        retry_of: fact.retry_of,
        settled_by: delivery.settled_by.clone(),
        note: delivery.note.clone(),
        trace_id: trace(delivery.trace),
        applied_number: delivery.acknowledged.unwrap_or(0),
        records: small(fact.positions.len()),
    }
}

/// A lease as it goes to a worker.
pub(super) fn lease(lease: GrantedLease) -> v1::Lease {
    let at = lease.token.lease();
    let parts = lease.parts.into_iter().map(|(part, record_ids)| v1::LeasedPart {
        positions: part.positions.iter().collect(),
        record_ids,
        retry_of: part.retry_of,
        body_sha256: if part.retry_of == 0 { Vec::new() } else { part.body_sha256.to_vec() },
        probe: part.probe,
    });
    v1::Lease {
        lease_token: lease.token.to_text(),
        run_id: lease.run_id.to_string(),
        round: small(at.batch.round),
        batch: at.batch.batch,
        epoch: small(at.epoch),
        attempt: small(lease.attempt),
        ttl: Some(duration(lease.ttl)),
        parts: parts.collect(),
    }
}

/// Why a delivery was refused.
pub(super) fn refusal(refusal: Refusal) -> v1::DeliveryRefusal {
    match refusal {
        Refusal::LeaseLost => v1::DeliveryRefusal::LeaseLost,
        Refusal::RunPaused => v1::DeliveryRefusal::RunPaused,
        Refusal::RunCancelled => v1::DeliveryRefusal::RunCancelled,
        Refusal::Superseded => v1::DeliveryRefusal::Superseded,
        Refusal::NotYet => v1::DeliveryRefusal::NotYet,
    }
}

/// How a report was taken.
pub(super) fn completion(completion: Completion) -> v1::CompletionState {
    match completion {
        Completion::Done => v1::CompletionState::Done,
        Completion::Requeued => v1::CompletionState::Requeued,
        Completion::Late => v1::CompletionState::Late,
    }
}

/// A worker's session.
pub(super) fn worker(row: &WorkerRow) -> v1::Worker {
    v1::Worker {
        worker_id: row.row,
        name: row.session.name.clone(),
        version: row.session.version.clone(),
        embedded: row.session.embedded,
        started_at: Some(timestamp(row.started_at)),
        last_seen_at: Some(timestamp(row.seen_at)),
        leases_held: i32::try_from(row.leases_held).unwrap_or(i32::MAX),
        batches_completed: row.batches_completed,
    }
}
