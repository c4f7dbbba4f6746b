//! The records of a batch: fetched at the same time, each with an outcome of its own.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use muster_pipeline::{Processed, RecordId};
use muster_proto::v1::{LeasedPart, RecordOutcome};
use muster_telemetry::names;
use tracing::warn;

use crate::batch::Work;
use crate::held::Stop;
use crate::items::{self, Item, Items};
use crate::plan::{Chunk, MAX_TRIES, ReadyRecord};
use crate::ready::{FETCH, Fetched};
use crate::report::{Book, Failure, Spent};
use crate::trace::RecordNotes;

/// Why not all records were fetched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// The lease is lost, the run stopped, the worker drains, or others want what no work has begun on.
    Stopped,
    /// Source or target have served nothing for too long.
    Down,
    /// No record can be fetched: the reason in words.
    PipelineWrong(String),
}

/// A record to be fetched and its place.
struct Spot<'a> {
    part: usize,
    position: u32,
    text: &'a str,
    retry_of: i64,
}

/// Fetches, validates and transforms all records; gives what is to be sent, part by part in the order of each, and notes
/// in `book` what is not. One that fails holds nobody else up.
pub(crate) async fn fetch(work: &Work, parts: &[LeasedPart], book: &mut Book) -> Result<Vec<Chunk>, Interrupted> {
    let mut stopped = std::pin::pin!(work.lease.stopped(Stop::Wanted));
    let items = tokio::select! {
        biased;
        _ = &mut stopped => return Err(Interrupted::Stopped),
        items = items::read(work, parts) => items?,
    };
    let mut fetching: FuturesUnordered<_> = spots(parts).map(|spot| fetch_one(work, spot, &items)).collect();
    let mut ready: Vec<Vec<ReadyRecord>> = parts.iter().map(|_| Vec::new()).collect();
    let mut odd: Vec<(Spot<'_>, Failure, String)> = Vec::new();
    loop {
        let next = tokio::select! {
            biased;
            _ = &mut stopped => return Err(Interrupted::Stopped),
            next = fetching.next() => next,
        };
        let Some((spot, id, fetched, spent)) = next else { break };
        work.lease.record_fetched();
        book.spent.add_all(spent);
        match fetched {
            Fetched::Record(Processed { body, unknown }) => {
                if let (Some(id), Some(part)) = (id, ready.get_mut(spot.part)) {
                    part.push(ReadyRecord { position: spot.position, id, body, unknown });
                }
            }
            Fetched::Gone(failure) => note(work, &spot, RecordOutcome::Gone, failure, book),
            Fetched::Failed(failure) => note(work, &spot, RecordOutcome::DeadLetter, failure, book),
            Fetched::WrongContent { failure, pause } => odd.push((spot, failure, pause)),
            Fetched::Strange(what) => {
                let reason = format!(
                    "record {}: {what}; add that to the pipeline's schema, or let on_schema_drift take it",
                    spot.text
                );
                return Err(Interrupted::PipelineWrong(reason));
            }
            Fetched::PipelineWrong(reason) => return Err(Interrupted::PipelineWrong(reason)),
        }
    }
    drop(fetching);
    let sound = ready.iter().flatten().next();
    if let Some(record) = sound {
        work.pipeline.keep_sound(record.id.clone(), items.get(&record.position).cloned());
    }
    if let Some((_, _, pause)) = odd.first() {
        // One of an earlier batch says little of many at once: more likely the source answers everybody so just now.
        if sound.is_none() && odd.len() > 1 {
            return Err(Interrupted::PipelineWrong(pause.clone()));
        }
        let alone = tokio::select! {
            biased;
            _ = &mut stopped => return Err(Interrupted::Stopped),
            alone = still_sound(work, book) => alone,
        };
        if !alone {
            return Err(Interrupted::PipelineWrong(pause.clone()));
        }
    }
    for (spot, failure, _) in odd {
        note(work, &spot, RecordOutcome::DeadLetter, failure, book);
    }
    Ok(chunks(parts, ready))
}

/// Whether the last record that came as JSON, of whichever batch, still does, so that those which did not are odd by
/// themselves. Where none did, more likely the source answers everybody so: nobody is judged.
async fn still_sound(work: &Work, book: &mut Book) -> bool {
    let Some((id, item)) = work.pipeline.last_sound() else { return false };
    matches!(read(work, &id, item.as_ref(), &mut book.spent).await, Fetched::Record(_))
}

fn spots(parts: &[LeasedPart]) -> impl Iterator<Item = Spot<'_>> {
    // Records of a part that is only asked for are not read from the source.
    let sent = parts.iter().enumerate().filter(|(_, leased)| !leased.probe);
    sent.flat_map(|(part, leased)| {
        let places = leased.positions.iter().zip(&leased.record_ids);
        places.map(move |(&position, text)| Spot { part, position, text, retry_of: leased.retry_of })
    })
}

/// One chunk for each part that has anything to send, each in the order of its positions.
fn chunks(parts: &[LeasedPart], ready: Vec<Vec<ReadyRecord>>) -> Vec<Chunk> {
    let ordered = ready.into_iter().map(|mut records| {
        records.sort_by_key(|record| record.position);
        records
    });
    let filled = parts.iter().zip(ordered).filter(|(_, records)| !records.is_empty());
    filled.map(|(part, records)| Chunk::new(records, part.retry_of)).collect()
}

async fn fetch_one<'a>(work: &Work, spot: Spot<'a>, items: &Items) -> (Spot<'a>, Option<RecordId>, Fetched, Spent) {
    let mut spent = Spent::default();
    let id = match RecordId::from_text(spot.text) {
        Ok(id) => id,
        Err(error) => {
            let reason = error.to_string();
            let failure = Failure { stage: FETCH, reason, http_status: 0, body: String::new() };
            return (spot, None, Fetched::Failed(failure), spent);
        }
    };
    let slot = work.slot().await;
    let fetched = read(work, &id, items.get(&spot.position), &mut spent).await;
    drop(slot);
    (spot, Some(id), fetched, spent)
}

/// Reads a record, adds to `spent` what that cost, and tells the batch's trace of it where there is one.
async fn read(work: &Work, id: &RecordId, item: Option<&Item>, spent: &mut Spent) -> Fetched {
    let mut notes = work.lease.trace().map(|_| RecordNotes::default());
    let fetched = work.pipeline.fetch(id, item, &mut notes, spent).await;
    if let (Some(trace), Some(notes)) = (work.lease.trace(), notes) {
        trace.note_record(id, notes);
    }
    fetched
}

/// Notes a record that is not sent.
fn note(work: &Work, spot: &Spot<'_>, outcome: RecordOutcome, failure: Failure, book: &mut Book) {
    let told = is_told(spot.retry_of, failure.stage, outcome, work.lease.attempt());
    let next = match (told, spot.retry_of) {
        (true, 0) => "the rest of the batch goes on",
        (true, _) => "it stays in doubt; the rest of the batch goes on",
        (false, _) => "it stays in doubt and is tried again; the rest of the batch goes on",
    };
    warn!(
        { names::RUN } = work.lease.run_id(),
        { names::BATCH } = work.lease.batch(),
        { names::ATTEMPT } = work.lease.attempt(),
        { names::RECORD } = spot.text,
        { names::OUTCOME } = if outcome == RecordOutcome::Gone { "gone" } else { "dead_letter" },
        { names::STAGE } = failure.stage,
        { names::HTTP_STATUS } = failure.http_status,
        { names::URL } = RecordId::from_text(spot.text).map(|id| work.pipeline.source_url(&id)).unwrap_or_default(),
        { names::REASON } = failure.reason,
        { names::NEXT } = next,
        "record cannot be sent"
    );
    if told {
        book.note_record(spot.position, outcome, failure);
    }
}

/// Whether the coordinator is told about a record that is not sent.
///
/// One that repeats a doubt may have been applied, so it becomes no dead letter whatever the worker says. Told so, the
/// coordinator stops trying and leaves it in doubt: right when another try would end the same, but not when the source
/// was merely ill, unless it was for too long.
fn is_told(retry_of: i64, stage: &str, outcome: RecordOutcome, attempt: i32) -> bool {
    let passing = stage == FETCH && outcome != RecordOutcome::Gone;
    retry_of == 0 || !passing || attempt >= MAX_TRIES.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_is_given_up_only_when_trying_again_is_useless() {
        let dead = RecordOutcome::DeadLetter;
        assert!(is_told(0, "fetch", dead, 1));
        assert!(is_told(4, "validate", dead, 1));
        assert!(is_told(4, "fetch", RecordOutcome::Gone, 1));
        assert!(!is_told(4, "fetch", dead, 7));
        assert!(is_told(4, "fetch", dead, 8));
    }

    #[test]
    fn parts_keep_their_order_and_empty_ones_vanish() {
        let part =
            |retry_of, positions: &[u32]| LeasedPart { retry_of, positions: positions.into(), ..LeasedPart::default() };
        let parts = [part(0, &[1, 5, 9]), part(7, &[2]), part(8, &[3, 4])];
        let record = |position: u32| ReadyRecord {
            position,
            id: RecordId::from(u64::from(position)),
            body: "{}".into(),
            unknown: Vec::new(),
        };
        let chunks = chunks(&parts, vec![vec![record(9), record(1)], vec![], vec![record(4), record(3)]]);
        let places = |chunk: &Chunk| chunk.records.iter().map(|record| record.position).collect::<Vec<_>>();
        assert_eq!(
            chunks.iter().map(|chunk| (chunk.retry_of, places(chunk))).collect::<Vec<_>>(),
            [(0, vec![1, 9]), (8, vec![3, 4])]
        );
    }
}
