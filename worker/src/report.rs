//! What a batch came to, and telling the coordinator until it knows.

mod spent;
mod trouble;

use std::time::Duration;

use muster_proto::v1::{
    CompleteBatchRequest, CompletionState, DeliveryOutcome, DeliveryReport, ProbeReport, RecordOutcome, RecordReport,
};
use muster_telemetry::{crash, names};
use tonic::Status;
use tracing::{debug, error, info, warn};

use crate::coordinator::is_final;
use crate::held::{HeldLease, Stop};
use crate::measures::{self, BatchEnd};
use crate::session::{Session, count};
pub(crate) use spent::Spent;
use trouble::trouble;

/// The longest text that goes into a report, in bytes.
const MAX_TEXT: usize = 2_048;
/// A whole report, in bytes: the coordinator takes messages of up to 1 MiB.
const MAX_REPORT: usize = 896 << 10;
/// What a record and a delivery in a report take at most beside their texts, in bytes.
const RECORD_FRAME: usize = 32;
const DELIVERY_FRAME: usize = 16;
/// What the place of a record that is present takes at most.
const PLACE: usize = 2;
/// The stage at which the target refuses a record.
pub(crate) const LOAD: &str = "load";
/// How often a draining worker tries to give one lease back: its goodbye frees the rest.
const DRAIN_RELEASE_TRIES: u32 = 3;

/// What is known of a batch under one lease.
#[derive(Debug, Default)]
pub(crate) struct Book {
    deliveries: Vec<DeliveryReport>,
    /// How many of the deliveries the coordinator has been told about.
    told: usize,
    records: Vec<RecordReport>,
    probes: Vec<ProbeReport>,
    /// What fetching its records cost, whether it succeeded or not.
    pub(crate) spent: Spent,
}

impl Book {
    /// The ordinal of the next delivery: every one announced is noted before the next begins.
    pub(crate) fn next_ordinal(&self) -> i32 {
        i32::try_from(self.deliveries.len() + 1).unwrap_or(i32::MAX)
    }

    /// Notes what came of the delivery with the ordinal [`Book::next_ordinal`].
    pub(crate) fn note_delivery(&mut self, outcome: DeliveryOutcome, http_status: i32, detail: &str) {
        let (ordinal, detail) = (self.next_ordinal(), clip(detail, MAX_TEXT).to_owned());
        self.deliveries.push(DeliveryReport {
            ordinal,
            outcome: outcome.into(),
            http_status,
            detail,
            present: Vec::new(),
        });
    }

    /// The target has these records, by their places, of the delivery noted last, and none of its others.
    pub(crate) fn note_present(&mut self, present: Vec<u32>) {
        if let Some(last) = self.deliveries.last_mut() {
            last.present = present;
        }
    }

    /// Notes what the target said of records in doubt.
    pub(crate) fn note_probes(&mut self, probes: Vec<ProbeReport>) {
        self.probes = probes;
    }

    /// Outcomes that the coordinator does not know yet.
    pub(crate) fn untold(&self) -> &[DeliveryReport] {
        &self.deliveries[self.told..]
    }

    /// The coordinator knows all deliveries noted so far.
    pub(crate) fn all_told(&mut self) {
        self.told = self.deliveries.len();
    }

    /// Notes a record that is not sent.
    pub(crate) fn note_record(&mut self, position: u32, outcome: RecordOutcome, failure: Failure) {
        self.records.push(RecordReport {
            position,
            outcome: outcome.into(),
            stage: failure.stage.to_owned(),
            reason: failure.reason,
            http_status: failure.http_status,
            body: failure.body,
        });
    }

    fn into_request(self, session_id: &str, lease: &HeldLease, end: &End) -> CompleteBatchRequest {
        let Self { mut deliveries, mut records, probes, spent, .. } = self;
        let places: usize = deliveries.iter().map(|delivery| delivery.present.len()).sum();
        let frames = RECORD_FRAME * records.len() + DELIVERY_FRAME * deliveries.len() + PLACE * places;
        let texts = 2 * records.len() + deliveries.len();
        let room = (MAX_REPORT.saturating_sub(frames) / texts.max(1)).min(MAX_TEXT);
        let shorten = |text: &mut String| text.truncate(clip(text, room).len());
        deliveries.iter_mut().for_each(|delivery| shorten(&mut delivery.detail));
        for record in &mut records {
            shorten(&mut record.reason);
            shorten(&mut record.body);
        }
        records.sort_by_key(|record| record.position);
        CompleteBatchRequest {
            session_id: session_id.to_owned(),
            lease_token: lease.token().to_owned(),
            deliveries,
            records,
            pause_reason: end.pause_reason.as_deref().map(|text| clip(text, MAX_TEXT).to_owned()).unwrap_or_default(),
            stats: Some(spent.stats()),
            retry_after: end.retry_after.and_then(|after| prost_types::Duration::try_from(after).ok()),
            probes,
            trace_id: lease.trace().and_then(|trace| trace.id_if_kept()).map(Vec::from).unwrap_or_default(),
        }
    }
}

/// Why a record is not sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// fetch, validate, transform or load.
    pub(crate) stage: &'static str,
    pub(crate) reason: String,
    /// 0 when no answer was the reason.
    pub(crate) http_status: i32,
    /// The offending body or the target's words.
    pub(crate) body: String,
}

/// How the work on a batch ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// Nothing of the batch was judged or sent: it may be given back as if it had never been leased.
    pub(crate) untouched: bool,
    /// The run should pause, because its pipeline is wrong.
    pub(crate) pause_reason: Option<String>,
    /// At least this long before what is left is leased again.
    pub(crate) retry_after: Option<Duration>,
}

/// How the end of a lease is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// There is nothing to tell: the lease is somebody else's.
    Silence,
    Release,
    Complete,
}

fn farewell(book: &Book, end: &End, stop: Stop) -> Farewell {
    if stop == Stop::Lost && book.untold().is_empty() {
        return Farewell::Silence;
    }
    let asked = book.probes.iter().any(|probe| !probe.present.is_empty() || !probe.absent.is_empty());
    let judged = !book.deliveries.is_empty() || asked || (!end.untouched && !book.records.is_empty());
    let nothing = !judged && end.pause_reason.is_none();
    // Giving back is for what was interrupted. What came to an end by itself is reported, even when it is nothing: a
    // report counts as an attempt, so that no batch goes round for ever.
    match nothing && stop != Stop::No {
        true => Farewell::Release,
        false => Farewell::Complete,
    }
}

/// Tells the coordinator what the batch came to, and does not rest before it knows.
pub(crate) async fn settle(session: &Session, lease: &HeldLease, book: Book, end: End) {
    lease.ending();
    let stop = lease.stop();
    if stop == Stop::Lost {
        count(&session.tally.leases_lost, 1);
        measures::lease_lost();
    }
    let trouble = lease.trace().and_then(|trace| {
        let trouble = trouble(&book, &end, stop)?;
        trace.tail().keep(trouble);
        Some(trouble)
    });
    match farewell(&book, &end, stop) {
        Farewell::Silence => {}
        Farewell::Release => release(session, lease).await,
        Farewell::Complete => complete(session, lease, book, &end).await,
    }
    if let Some(trace) = lease.trace() {
        trace.end(lease.pipeline(), &session.config.name, trouble);
    }
}

async fn complete(session: &Session, lease: &HeldLease, book: Book, end: &End) {
    if let Some(reason) = &end.pause_reason {
        warn!(
            { names::RUN } = lease.run_id(),
            { names::BATCH } = lease.batch(),
            { names::REASON } = reason,
            { names::NEXT } = "the run is paused until its pipeline or its credentials are mended",
            "pipeline does not work"
        );
    }
    let request = book.into_request(session.coordinator.session_id(), lease, end);
    let mut backoff = session.call_backoff();
    loop {
        match session.coordinator.complete(request.clone()).await {
            Ok(answer) => {
                crash::pass(crash::Point::AfterReport);
                return log_completed(session, lease, &request, answer.state());
            }
            Err(status) if is_final(&status) => {
                session.leases.refused(lease);
                measures::batch_ended(BatchEnd::Refused);
                if let Some(trace) = lease.trace() {
                    trace.tail().keep("report refused");
                }
                return log_refused(lease, &request, &status);
            }
            Err(status) => {
                debug!(
                    { names::RUN } = lease.run_id(),
                    { names::BATCH } = lease.batch(),
                    { names::ERROR } = ?status.code(),
                    "batch not reported yet"
                );
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

fn log_completed(session: &Session, lease: &HeldLease, request: &CompleteBatchRequest, state: CompletionState) {
    count(&session.tally.batches_completed, 1);
    measures::batch_ended(if state == CompletionState::Late { BatchEnd::Late } else { BatchEnd::Completed });
    debug!(
        { names::RUN } = lease.run_id(),
        { names::BATCH } = lease.batch(),
        { names::ATTEMPT } = lease.attempt(),
        deliveries = request.deliveries.len(),
        exceptions = request.records.len(),
        state = state.as_str_name(),
        "batch reported"
    );
    if state == CompletionState::Late {
        info!(
            { names::RUN } = lease.run_id(),
            { names::BATCH } = lease.batch(),
            { names::ATTEMPT } = lease.attempt(),
            { names::NEXT } = "what its deliveries came to is in the ledger; the rest is leased again",
            "batch reported after its lease was lost"
        );
    }
}

fn log_refused(lease: &HeldLease, request: &CompleteBatchRequest, status: &Status) {
    error!(
        { names::RUN } = lease.run_id(),
        { names::BATCH } = lease.batch(),
        { names::ATTEMPT } = lease.attempt(),
        { names::ERROR } = ?status.code(),
        { names::REASON } = status.message(),
        deliveries = request.deliveries.len(),
        { names::NEXT } = "its lease expires: what was announced becomes a doubt, the rest is leased again",
        "the coordinator refuses the report of a batch"
    );
}

async fn release(session: &Session, lease: &HeldLease) {
    let mut backoff = session.call_backoff();
    for tries in 1.. {
        match session.coordinator.release(vec![lease.token().to_owned()], false).await {
            Ok(_) => {
                count(&session.tally.batches_released, 1);
                measures::batch_ended(BatchEnd::Released);
                return debug!({ names::RUN } = lease.run_id(), { names::BATCH } = lease.batch(), "batch given back");
            }
            Err(status) if is_final(&status) || (lease.stop() == Stop::Draining && tries >= DRAIN_RELEASE_TRIES) => {
                return debug!(
                    { names::RUN } = lease.run_id(),
                    { names::BATCH } = lease.batch(),
                    { names::ERROR } = ?status.code(),
                    { names::NEXT } = "the end of the session or of its time frees it",
                    "batch not given back"
                );
            }
            Err(_) => tokio::time::sleep(backoff.next()).await,
        }
    }
}

/// The longest prefix of `text` that has at most `max` bytes and ends between two characters.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use muster_proto::v1::{Lease, LeasedRun};
    use tokio::time::Instant;

    use super::*;
    use crate::held::HeldLeases;

    fn lease() -> Arc<HeldLease> {
        let lease = Lease { lease_token: "token".into(), batch: 3, ..Lease::default() };
        HeldLeases::default().adopt(&lease, &LeasedRun::default(), Instant::now()).unwrap()
    }

    fn failure(text: &str) -> Failure {
        Failure { stage: "load", reason: text.to_owned(), http_status: 422, body: text.to_owned() }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(clip("animal", 3), "ani");
        assert_eq!(clip("aé", 2), "a");
        assert_eq!(clip("🦫🦫", 7), "🦫");
        assert_eq!(clip("short", 2_048), "short");
    }

    #[test]
    fn a_report_of_very_many_records_stays_small() {
        let mut book = Book::default();
        let text = "é".repeat(MAX_TEXT);
        for position in (0..10_000).rev() {
            book.note_record(position, RecordOutcome::DeadLetter, failure(&text));
            book.note_delivery(DeliveryOutcome::Rejected, 422, &text);
            book.note_delivery(DeliveryOutcome::Rejected, 422, &text);
        }
        let request = book.into_request("session", &lease(), &End::default());
        assert!(prost::Message::encoded_len(&request) < 1 << 20);
        assert!(request.records.is_sorted_by_key(|record| record.position));
        assert_eq!(request.deliveries.last().unwrap().ordinal, 20_000);
    }

    #[test]
    fn only_news_is_told_with_the_next_announcement() {
        let mut book = Book::default();
        book.note_delivery(DeliveryOutcome::Rejected, 422, "");
        book.note_delivery(DeliveryOutcome::Applied, 200, "");
        assert_eq!(book.untold().iter().map(|delivery| delivery.ordinal).collect::<Vec<_>>(), [1, 2]);
        book.all_told();
        book.note_delivery(DeliveryOutcome::InDoubt, 0, "");
        assert_eq!(book.untold().iter().map(|delivery| delivery.ordinal).collect::<Vec<_>>(), [3]);
        assert_eq!(book.next_ordinal(), 4);
    }

    #[test]
    fn farewells() {
        let interrupted = End { untouched: true, ..End::default() };
        let down = End { untouched: true, retry_after: Some(Duration::from_secs(60)), ..End::default() };
        let (mut dead, mut sent, mut told) = (Book::default(), Book::default(), Book::default());
        dead.note_record(1, RecordOutcome::DeadLetter, failure(""));
        sent.note_delivery(DeliveryOutcome::Applied, 200, "");
        told.note_delivery(DeliveryOutcome::Rejected, 422, "");
        told.all_told();
        let (mut asked, mut unanswered) = (Book::default(), Book::default());
        asked.note_probes(vec![ProbeReport { delivery_number: 4, present: vec![1], ..ProbeReport::default() }]);
        unanswered.note_probes(vec![ProbeReport { delivery_number: 4, ..ProbeReport::default() }]);
        for (book, end, stop, expected) in [
            (&Book::default(), &interrupted, Stop::Draining, Farewell::Release),
            (&Book::default(), &interrupted, Stop::RunStopped, Farewell::Release),
            (&dead, &interrupted, Stop::Draining, Farewell::Release),
            (&dead, &End::default(), Stop::RunStopped, Farewell::Complete),
            (&Book::default(), &End::default(), Stop::No, Farewell::Complete),
            (&sent, &End::default(), Stop::No, Farewell::Complete),
            (&sent, &End::default(), Stop::Lost, Farewell::Complete),
            (&dead, &End::default(), Stop::Lost, Farewell::Silence),
            (&dead, &down, Stop::No, Farewell::Complete),
            (&Book::default(), &down, Stop::Draining, Farewell::Release),
            (&sent, &down, Stop::No, Farewell::Complete),
            (&told, &End::default(), Stop::Lost, Farewell::Silence),
            (&told, &End::default(), Stop::RunStopped, Farewell::Complete),
            (&asked, &interrupted, Stop::Draining, Farewell::Complete),
            (&asked, &interrupted, Stop::Lost, Farewell::Silence),
            (&unanswered, &interrupted, Stop::RunStopped, Farewell::Release),
            (&unanswered, &End::default(), Stop::No, Farewell::Complete),
        ] {
            assert_eq!(farewell(book, end, stop), expected, "{book:?} {end:?} {stop:?}");
        }
        let wrong = End { pause_reason: Some("401".into()), ..End::default() };
        assert_eq!(farewell(&Book::default(), &wrong, Stop::Draining), Farewell::Complete);
    }
}
