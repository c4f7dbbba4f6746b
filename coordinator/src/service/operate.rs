//! What operators ask of runs that are over or in doubt: from the wire and back.

use muster_pipeline::RecordId;
use muster_proto::v1;
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use super::error::{invalid, run_unknown, status};
use super::{parse, render};
use crate::domain::Run;
use crate::store::{Deleted, Outcomes, Redrive, Redriven, Settle, SettleRefusal, Settled};
use crate::words::numbers::moment;

/// Record IDs that one call may name.
const MAX_IDS: usize = 10_000;
/// Deliveries that one call may settle.
const MAX_DELIVERIES: usize = 1_000;

/// A redrive, under the terms as they are.
pub(super) fn redrive(request: &v1::RedriveRunRequest) -> Result<Redrive, Status> {
    let wrong = |what: &str| invalid("REDRIVE_INVALID", what);
    if request.request_id.len() > 128 {
        return Err(invalid("REQUEST_ID_INVALID", "request_id has at most 128 characters"));
    }
    let mut outcomes = Outcomes { dead_letter: request.outcomes.is_empty(), ..Outcomes::default() };
    for outcome in request.outcomes() {
        match outcome {
            v1::RedriveOutcome::DeadLetter => outcomes.dead_letter = true,
            v1::RedriveOutcome::Gone => outcomes.gone = true,
            v1::RedriveOutcome::Cancelled => outcomes.cancelled = true,
            v1::RedriveOutcome::Unspecified => {
                return Err(wrong("outcomes must be DEAD_LETTER, GONE or CANCELLED"));
            }
        }
    }
    let stages = ["", "fetch", "validate", "transform", "load", "worker"];
    if !stages.contains(&request.stage.as_str()) {
        return Err(wrong("stage must be fetch, validate, transform, load or worker"));
    }
    // The same request again is the same message but for what does not matter to it.
    let asked = v1::RedriveRunRequest { request_id: String::new(), ..request.clone() };
    Ok(Redrive {
        request_id: Some(request.request_id.clone()).filter(|id| !id.is_empty()),
        request_digest: Sha256::digest(prost::Message::encode_to_vec(&asked)).into(),
        outcomes,
        stage: request.stage.clone(),
        reason: parse::bounded(&request.reason),
        record_ids: record_ids(&request.record_ids, "REDRIVE_INVALID")?,
        terms: None,
        words: words(request, outcomes),
        dry_run: request.dry_run,
    })
}

/// What opened the round, for people.
fn words(request: &v1::RedriveRunRequest, outcomes: Outcomes) -> String {
    let kinds = [
        (outcomes.dead_letter, "dead letters"),
        (outcomes.gone, "gone records"),
        (outcomes.cancelled, "cancelled records"),
    ];
    let kinds: Vec<&str> = kinds.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect();
    let mut words = format!("{} redriven", kinds.join(", "));
    if !request.stage.is_empty() {
        words += &format!(", of stage {}", request.stage);
    }
    if !request.reason.is_empty() {
        words += &format!(", with reason {:?}", parse::bounded(&request.reason));
    }
    if !request.record_ids.is_empty() {
        words += &format!(", {} named", request.record_ids.len());
    }
    if request.mended_pipeline {
        words += ", under a mended pipeline";
    }
    words
}

/// IDs as the ledger writes them.
fn record_ids(texts: &[String], reason: &str) -> Result<Vec<String>, Status> {
    if texts.len() > MAX_IDS {
        return Err(invalid(reason, format!("at most {MAX_IDS} record IDs in one call")));
    }
    let id = |text: &String| match RecordId::from_text(text) {
        Ok(id) => Ok(id.as_text().to_owned()),
        Err(error) => Err(invalid(reason, format!("record ID {text:?}: {error}"))),
    };
    texts.iter().map(id).collect()
}

/// How a redrive is answered.
pub(super) fn redriven(id: &str, redriven: Option<Redriven>) -> Result<(Run, u64), Status> {
    match redriven {
        None => Err(run_unknown(id)),
        Some(Redriven::Opened(run, records)) => Ok((*run, records)),
        Some(Redriven::NotOver) => {
            Err(status(Code::FailedPrecondition, "RUN_NOT_OVER", format!("run {id} is not over: wait, or cancel it")))
        }
        Some(Redriven::Nothing) => Err(status(
            Code::FailedPrecondition,
            "NOTHING_TO_REDRIVE",
            format!("run {id} has no records that are so: nothing was changed"),
        )),
        Some(Redriven::Conflict) => Err(status(
            Code::AlreadyExists,
            "REQUEST_ID_REUSED",
            "a round was opened with this request_id and other arguments; use a new request_id",
        )),
    }
}

/// A settlement.
pub(super) fn settle(request: v1::SettleDeliveryRequest) -> Result<Settle, Status> {
    let wrong = |what: &str| invalid("SETTLEMENT_INVALID", what);
    let applied = match request.settlement() {
        v1::Settlement::Applied => true,
        v1::Settlement::NotApplied => false,
        v1::Settlement::Unspecified => return Err(wrong("settlement must be applied or not_applied")),
    };
    if !(1..=MAX_DELIVERIES).contains(&request.delivery_numbers.len()) {
        return Err(wrong("delivery_numbers must name 1 to 1,000 deliveries"));
    }
    if !applied && !request.applied_record_ids.is_empty() {
        return Err(wrong("applied_record_ids go with the settlement applied"));
    }
    let mut numbers = request.delivery_numbers;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(Settle {
        numbers,
        applied,
        applied_ids: record_ids(&request.applied_record_ids, "SETTLEMENT_INVALID")?,
        note: parse::bounded(&request.note),
    })
}

/// How a settlement is answered.
pub(super) fn settled(id: &str, settled: Option<Settled>) -> Result<(Run, u64, u64), Status> {
    let refused = |reason: &str, text: String| Err(status(Code::FailedPrecondition, reason, text));
    match settled {
        None => Err(run_unknown(id)),
        Some(Settled::Done { run, loaded, to_send }) => Ok((*run, loaded, to_send)),
        Some(Settled::Refused(refusal)) => match refusal {
            SettleRefusal::Unknown(number) => {
                Err(status(Code::NotFound, "DELIVERY_UNKNOWN", format!("run {id} has no delivery {number}")))
            }
            SettleRefusal::NotInDoubt(number, is) => {
                refused("DELIVERY_NOT_IN_DOUBT", format!("delivery {number} is {is}: there is no doubt to settle"))
            }
            SettleRefusal::Otherwise(number) => refused(
                "DELIVERY_SETTLED",
                format!("delivery {number} was settled before, otherwise; what an operator said stays"),
            ),
            SettleRefusal::TooEarly(number, at) => refused(
                "SETTLED_TOO_EARLY",
                format!(
                    "the target may still act on delivery {number}: settle it after {}",
                    moment(Some(&render::timestamp(at)))
                ),
            ),
            SettleRefusal::NotCarried(record) => {
                Err(invalid("SETTLEMENT_INVALID", format!("record {record} is in doubt by none of these deliveries")))
            }
        },
    }
}

/// How a deletion is answered.
pub(super) fn deleted(id: &str, deleted: Option<Deleted>) -> Result<(), Status> {
    match deleted {
        None => Err(run_unknown(id)),
        Some(Deleted::Done) => Ok(()),
        Some(Deleted::NotOver) => {
            Err(status(Code::FailedPrecondition, "RUN_NOT_OVER", format!("run {id} is not over: cancel it first")))
        }
    }
}
