//! Records in doubt: the target is asked for each whether it has it. Nothing is fetched for them and nothing is sent.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use muster_pipeline::{ProbeOutcome, RecordId};
use muster_proto::v1::{LeasedPart, ProbeReport};
use muster_telemetry::names;
use tracing::{debug, error, warn};

use crate::batch::Work;
use crate::fetch::Interrupted;
use crate::held::Stop;
use crate::trace::RecordNotes;

/// The pause before the target is asked again for records of which it said nothing that can be relied on.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What the target said so far: kept outside of the asking, so that an interruption loses none of it.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    reports: Mutex<Vec<ProbeReport>>,
    /// For how many records nothing came of it, and why for the last.
    unknown: Mutex<(usize, String)>,
}

impl Answers {
    fn reports(&self) -> MutexGuard<'_, Vec<ProbeReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(&self) -> MutexGuard<'_, (usize, String)> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, delivery: i64, position: u32, outcome: &ProbeOutcome) {
        let mut reports = self.reports();
        let known = reports.iter_mut().find(|report| report.delivery_number == delivery);
        let Some(report) = known else { return };
        match outcome {
            ProbeOutcome::Present => report.present.push(position),
            ProbeOutcome::Absent => report.absent.push(position),
            ProbeOutcome::NoCredentials { .. } | ProbeOutcome::PipelineWrong { .. } | ProbeOutcome::Unknown { .. } => {}
        }
    }

    /// What the coordinator is told, with places ascending; and the pause it is asked for when something is left to ask.
    pub(crate) fn into_reports(self) -> (Vec<ProbeReport>, Option<Duration>) {
        let (unknown, _) = self.unknown.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut reports = self.reports.into_inner().unwrap_or_else(PoisonError::into_inner);
        for report in &mut reports {
            report.present.sort_unstable();
            report.absent.sort_unstable();
        }
        (reports, (unknown > 0).then_some(ASK_AGAIN))
    }
}

/// A record to be asked for.
struct Spot<'a> {
    delivery: i64,
    position: u32,
    text: &'a str,
}

/// Asks for all records of the parts that say so, at the same time and within the worker's slots.
pub(crate) async fn ask(work: &Work, parts: &[LeasedPart], answers: &Answers) -> Result<(), Interrupted> {
    let parts: Vec<&LeasedPart> = parts.iter().filter(|part| part.probe).collect();
    if parts.is_empty() {
        return Ok(());
    }
    let empty = |part: &&LeasedPart| ProbeReport { delivery_number: part.retry_of, ..ProbeReport::default() };
    answers.reports().extend(parts.iter().map(empty));
    let spots = parts.iter().flat_map(|part| {
        let places = part.positions.iter().zip(&part.record_ids);
        places.map(|(&position, text)| Spot { delivery: part.retry_of, position, text })
    });
    let mut asking: FuturesUnordered<_> = spots.map(|spot| ask_one(work, spot)).collect();
    let mut stopped = std::pin::pin!(work.lease.stopped(Stop::Wanted));
    loop {
        let next = tokio::select! {
            biased;
            _ = &mut stopped => return Err(Interrupted::Stopped),
            next = asking.next() => next,
        };
        let Some((spot, outcome)) = next else { break };
        work.lease.record_fetched();
        answers.note(spot.delivery, spot.position, &outcome);
        match outcome {
            ProbeOutcome::Present | ProbeOutcome::Absent => {}
            ProbeOutcome::PipelineWrong { status, detail } => {
                let reason = format!("the target refuses to say what it has, with {status}: {detail}");
                return Err(Interrupted::PipelineWrong(reason));
            }
            ProbeOutcome::NoCredentials { reason } => {
                let reason =
                    format!("the target cannot be asked what it has: {reason}; check load.auth in the pipeline");
                return Err(Interrupted::PipelineWrong(reason));
            }
            ProbeOutcome::Unknown { reason } => {
                debug!({ names::RECORD } = spot.text, { names::REASON } = reason, "record could not be asked for");
                let mut unknown = answers.unknown();
                *unknown = (unknown.0 + 1, reason);
            }
        }
    }
    log_asked(work, answers);
    Ok(())
}

async fn ask_one<'a>(work: &Work, spot: Spot<'a>) -> (Spot<'a>, ProbeOutcome) {
    let Ok(id) = RecordId::from_text(spot.text) else {
        return (spot, ProbeOutcome::Unknown { reason: "this is not a record ID".to_owned() });
    };
    let mut notes = work.lease.trace().map(|_| RecordNotes::default());
    let slot = work.slot().await;
    let asked = work.pipeline.probe(&id, &mut notes).await;
    drop(slot);
    if let (Some(trace), Some(notes)) = (work.lease.trace(), notes) {
        trace.note_record(&id, notes);
    }
    let outcome = asked.unwrap_or_else(|| {
        error!({ names::RUN } = work.lease.run_id(), "the coordinator wants to probe, but the pipeline says not where");
        ProbeOutcome::Unknown { reason: "the pipeline has no load.probe".to_owned() }
    });
    (spot, outcome)
}

fn log_asked(work: &Work, answers: &Answers) {
    for report in answers.reports().iter() {
        debug!(
            { names::RUN } = work.lease.run_id(),
            { names::BATCH } = work.lease.batch(),
            { names::DELIVERY } = report.delivery_number,
            present = report.present.len(),
            absent = report.absent.len(),
            { names::NEXT } = "what is absent is leased again, to be sent",
            "target asked for records in doubt"
        );
    }
    let unknown = answers.unknown();
    if unknown.0 > 0 {
        warn!(
            { names::RUN } = work.lease.run_id(),
            { names::BATCH } = work.lease.batch(),
            { names::ATTEMPT } = work.lease.attempt(),
            { names::RECORDS } = unknown.0,
            { names::REASON } = unknown.1,
            { names::NEXT } = "they stay in doubt and are asked for again",
            "the target does not say whether it has records in doubt"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_in_order_and_ask_for_a_pause_only_when_something_is_left() {
        let answers = Answers::default();
        answers.reports().extend([4, 9].map(|number| ProbeReport { delivery_number: number, ..Default::default() }));
        for position in [7, 3, 5] {
            answers.note(9, position, &ProbeOutcome::Absent);
        }
        answers.note(4, 2, &ProbeOutcome::Present);
        answers.note(4, 0, &ProbeOutcome::Present);
        answers.note(4, 1, &ProbeOutcome::Unknown { reason: String::new() });
        let (reports, pause) = answers.into_reports();
        assert_eq!((&reports[0].present[..], &reports[0].absent[..]), (&[0, 2][..], &[][..]));
        assert_eq!((&reports[1].present[..], &reports[1].absent[..]), (&[][..], &[3, 5, 7][..]));
        assert_eq!(pause, None);
        let answers = Answers::default();
        answers.unknown().0 = 1;
        assert_eq!(answers.into_reports(), (vec![], Some(ASK_AGAIN)));
    }
}
