//! Answers as JSON: the protocol's own names, numbers as numbers, enums as lower-case words, times as RFC 3339 text or
//! null, durations as seconds. Scripts rely on it: names are added, never changed.

use muster_proto::v1::{
    Counts, DeadLetter, DeadLetterGroup, DeliveryInDoubt, DeliveryStory, DiscrepancyKind, DoubtPlan, Durability,
    ExceptionStory, LeaseStory, Notice, NoticeState, PipelineSummary, Progress, RecordStory, Round, Run, RunShare,
    UnchangedStory, UnknownField, Verdict, Worker,
};
use prost_types::Timestamp;
use serde_json::{Map, Value, json};

use super::numbers::{from_wire, seconds};
use super::{record_state, run_state};

/// A run with its progress and, when it is over, its verdict.
pub fn run(run: &Run) -> Value {
    let mut parameters: Vec<_> = run.parameters.iter().collect();
    parameters.sort();
    let parameters: Map<String, Value> = parameters.into_iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    json!({
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "pipeline_revision": run.pipeline_revision,
        "parameters": parameters,
        "audit_mode": run.audit_mode,
        "since_run": run.since_run,
        "state": run_state(run.state()),
        "state_reason": run.state_reason,
        "round": run.round,
        "created_at": time(run.created_at.as_ref()),
        "finished_at": time(run.finished_at.as_ref()),
        "elapsed_seconds": seconds(from_wire(run.elapsed.as_ref())),
        "progress": run.progress.as_ref().map(progress),
        "verdict": run.verdict.as_ref().map(verdict),
        "rounds": run.rounds.iter().map(round).collect::<Vec<_>>(),
        "overall": run.overall.as_ref().map(counts),
        "unknown_fields": run.unknown_fields.iter().map(unknown_field).collect::<Vec<_>>(),
        "share": run.share.as_ref().map(share),
        "trace_id": run.trace_id,
        "notices": run.notices.iter().map(notice).collect::<Vec<_>>(),
    })
}

fn notice(notice: &Notice) -> Value {
    let state = match notice.state() {
        NoticeState::Unspecified => "unspecified",
        NoticeState::Waiting => "waiting",
        NoticeState::Sending => "sending",
        NoticeState::Delivered => "delivered",
        NoticeState::GivenUp => "given_up",
    };
    json!({
        "notice_id": notice.notice_id,
        "event": notice.event,
        "round": notice.round,
        "occurred_at": time(notice.occurred_at.as_ref()),
        "destination": notice.destination,
        "state": state,
        "tries": notice.tries,
        "error": notice.error,
        "at": time(notice.at.as_ref()),
    })
}

/// How it shares the workers; a coordinator from before there were shares tells of none.
fn share(share: &RunShare) -> Value {
    json!({ "priority": share.priority, "weight": share.weight, "max_workers": share.max_workers })
}

fn round(round: &Round) -> Value {
    json!({
        "round": round.round,
        "pipeline_revision": round.pipeline_revision,
        "opened_at": time(round.opened_at.as_ref()),
        "opened_by": round.opened_by,
        "taken_over": round.taken_over,
        "finished_at": time(round.finished_at.as_ref()),
        "verdict": round.verdict.as_ref().map(verdict),
    })
}

fn progress(progress: &Progress) -> Value {
    json!({
        "listing_closed": progress.listing_closed,
        "pages_committed": progress.pages_committed,
        "pages_total": progress.pages_total,
        "listed": progress.listed,
        "unchanged": progress.unchanged,
        "fetched": progress.fetched,
        "loaded": progress.loaded,
        "dead_letter": progress.dead_letter,
        "gone": progress.gone,
        "in_doubt": progress.in_doubt,
        "batches_ready": progress.batches_ready,
        "batches_leased": progress.batches_leased,
        "batches_done": progress.batches_done,
        "deliveries_open": progress.deliveries_open,
        "workers": progress.workers,
    })
}

fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::Unspecified => "unspecified",
        Durability::Full => "full",
        Durability::Degraded => "degraded",
    }
}

/// A verdict with everything that stands against it.
pub fn verdict(verdict: &Verdict) -> Value {
    let discrepancies: Vec<Value> = verdict
        .discrepancies
        .iter()
        .map(|discrepancy| {
            let kind = match discrepancy.kind() {
                DiscrepancyKind::Unspecified => "unspecified",
                DiscrepancyKind::Incomplete => "incomplete",
                DiscrepancyKind::Unbalanced => "unbalanced",
            };
            json!({ "code": discrepancy.code, "detail": discrepancy.detail, "kind": kind })
        })
        .collect();
    json!({
        "run_id": verdict.run_id,
        "round": verdict.round,
        "complete": verdict.complete,
        "balanced": verdict.balanced,
        "durability": durability(verdict.durability()),
        "counts": counts(&verdict.counts.unwrap_or_default()),
        "possible_copies": verdict.possible_copies,
        "changed": verdict.changed,
        "discrepancies": discrepancies,
        "audited_at": time(verdict.audited_at.as_ref()),
        "unknown_fields": verdict.unknown_fields.iter().map(unknown_field).collect::<Vec<_>>(),
    })
}

/// A field that the schema does not know. `sample_record_id` is JSON text; an empty path is of those not told apart.
fn unknown_field(field: &UnknownField) -> Value {
    json!({ "path": field.path, "records": field.records, "sample_record_id": field.sample_record_id })
}

/// Records by state.
pub fn counts(counts: &Counts) -> Value {
    json!({
        "listed": counts.listed,
        "pending": counts.pending,
        "leased": counts.leased,
        "delivering": counts.delivering,
        "loaded": counts.loaded,
        "dead_letter": counts.dead_letter,
        "gone": counts.gone,
        "unchanged": counts.unchanged,
        "in_doubt": counts.in_doubt,
        "cancelled": counts.cancelled,
    })
}

/// One record in one round. `record_id` is JSON text: `7` is the number, `"7"` with its quotes the string.
pub fn story(story: &RecordStory) -> Value {
    json!({
        "record_id": story.record_id,
        "round": story.round,
        "state": record_state(story.state()),
        "listed_on_page": story.listed_on_page,
        "batch": story.batch,
        "position": story.position,
        "leases": story.leases.iter().map(lease).collect::<Vec<_>>(),
        "deliveries": story.deliveries.iter().map(delivery).collect::<Vec<_>>(),
        "exception": story.exception.as_ref().map(exception),
        "unchanged": story.unchanged.as_ref().map(unchanged),
    })
}

fn unchanged(unchanged: &UnchangedStory) -> Value {
    json!({
        "version": unchanged.version,
        "since_run": unchanged.since_run,
        "loaded_by_run": unchanged.loaded_by_run,
    })
}

fn lease(lease: &LeaseStory) -> Value {
    json!({
        "epoch": lease.epoch,
        "attempt": lease.attempt,
        "worker": lease.worker,
        "worker_id": lease.worker_id,
        "granted_at": time(lease.granted_at.as_ref()),
        "ended_at": time(lease.ended_at.as_ref()),
        "ending": lease.ending,
        "trace_id": lease.trace_id,
    })
}

fn delivery(delivery: &DeliveryStory) -> Value {
    json!({
        "number": delivery.number,
        "epoch": delivery.epoch,
        "ordinal": delivery.ordinal,
        "state": delivery.state,
        "http_status": delivery.http_status,
        "detail": delivery.detail,
        "begun_at": time(delivery.begun_at.as_ref()),
        "settled_at": time(delivery.settled_at.as_ref()),
        "body_sha256": delivery.body_sha256,
        "retry_of": delivery.retry_of,
        "applied_number": delivery.applied_number,
        "records": delivery.records,
        "settled_by": delivery.settled_by,
        "note": delivery.note,
        "trace_id": delivery.trace_id,
    })
}

/// A record given up on. `record_id` is JSON text.
pub fn dead_letter(letter: &DeadLetter) -> Value {
    json!({
        "record_id": letter.record_id,
        "round": letter.round,
        "batch": letter.batch,
        "position": letter.position,
        "stage": letter.stage,
        "reason": letter.reason,
        "http_status": letter.http_status,
        "body": letter.body,
        "at": time(letter.at.as_ref()),
        "redriven_in_round": letter.redriven_in_round,
        "trace_id": letter.trace_id,
    })
}

/// Dead letters with the same reason.
pub fn dead_letter_group(group: &DeadLetterGroup) -> Value {
    json!({
        "stage": group.stage,
        "reason": group.reason,
        "http_status": group.http_status,
        "count": group.count,
        "sample_record_id": group.sample_record_id,
        "sample_trace_id": group.sample_trace_id,
        "sample_record_ids": group.sample_record_ids,
        "redriven": group.redriven,
    })
}

/// A delivery that the target may or may not have applied. `record_ids` are JSON texts.
pub fn delivery_in_doubt(delivery: &DeliveryInDoubt) -> Value {
    let plan = match delivery.plan() {
        DoubtPlan::Unspecified => "unspecified",
        DoubtPlan::Held => "held",
        DoubtPlan::Retry => "retry",
        DoubtPlan::Probe => "probe",
    };
    json!({
        "number": delivery.number,
        "round": delivery.round,
        "batch": delivery.batch,
        "begun_at": time(delivery.begun_at.as_ref()),
        "settles_at": time(delivery.settles_at.as_ref()),
        "http_status": delivery.http_status,
        "detail": delivery.detail,
        "records": delivery.records,
        "record_ids": delivery.record_ids,
        "plan": plan,
        "retry_of": delivery.retry_of,
        "trace_id": delivery.trace_id,
    })
}

fn exception(exception: &ExceptionStory) -> Value {
    json!({
        "stage": exception.stage,
        "reason": exception.reason,
        "http_status": exception.http_status,
        "body": exception.body,
        "at": time(exception.at.as_ref()),
    })
}

/// One session of a worker.
pub fn worker(worker: &Worker) -> Value {
    json!({
        "worker_id": worker.worker_id,
        "name": worker.name,
        "version": worker.version,
        "embedded": worker.embedded,
        "started_at": time(worker.started_at.as_ref()),
        "last_seen_at": time(worker.last_seen_at.as_ref()),
        "leases_held": worker.leases_held,
        "batches_completed": worker.batches_completed,
    })
}

/// What one needs to start a run. A parameter without a default value must be given.
pub fn pipeline(pipeline: &PipelineSummary) -> Value {
    let parameters: Vec<Value> = pipeline
        .parameters
        .iter()
        .map(|parameter| {
            json!({
                "name": parameter.name,
                "description": parameter.description,
                "default_value": parameter.default_value,
            })
        })
        .collect();
    json!({
        "name": pipeline.name,
        "revision": pipeline.revision,
        "description": pipeline.description,
        "parameters": parameters,
    })
}

fn time(time: Option<&Timestamp>) -> Option<String> {
    time.map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::RunState;

    use super::*;

    #[test]
    fn a_run_keeps_the_protocols_names() {
        let value = run(&Run {
            run_id: "animals-1".into(),
            state: RunState::Finished.into(),
            created_at: Some(Timestamp { seconds: 1_444_102_907, nanos: 778_000_000 }),
            elapsed: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            verdict: Some(Verdict { complete: true, ..Verdict::default() }),
            ..Run::default()
        });
        assert_eq!(value["run_id"], "animals-1");
        assert_eq!(value["state"], "finished");
        assert_eq!(value["created_at"], "2015-10-06T03:41:47.778Z");
        assert_eq!(value["finished_at"], Value::Null);
        assert_eq!(value["elapsed_seconds"], 1.5);
        assert_eq!(value["progress"], Value::Null);
        assert_eq!(value["verdict"]["complete"], true);
        assert_eq!(value["verdict"]["counts"]["listed"], 0);
    }
}
