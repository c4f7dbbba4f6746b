//! One record: read with all its parts, validated, transformed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use futures::future::join_all;
use muster_pipeline::{Cost, EnrichPart, FetchError, Get, Processed, RecordError, RecordId, Sent, Stage};
use tokio::time::Instant;

use super::{ReadyPipeline, without_query};
use crate::items::Item;
use crate::report::{Failure, Spent, clip};
use crate::trace::{Processing, RecordNotes};

/// The most of a record's body that goes into a dead letter, in bytes.
pub(crate) const MAX_BODY: usize = 2_048;
/// The stage at which a record is fetched.
pub(crate) const FETCH: &str = "fetch";

/// What came of one record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// It is ready to be sent.
    Record(Processed),
    /// The source says that it does not exist.
    Gone(Failure),
    /// It alone cannot be sent.
    Failed(Failure),
    /// It came as something else than JSON: as all others do, or it alone.
    WrongContent {
        failure: Failure,
        /// Why the run pauses when all others do.
        pause: String,
    },
    /// It has fields that its schema does not know, and the pipeline wants no such record: what they are.
    Strange(String),
    /// None can be fetched: the reason in words.
    PipelineWrong(String),
}

impl ReadyPipeline {
    /// Reads a record with all its parts, validates and transforms it; and adds to `spent` what that cost. `item` is what came
    /// of it with the list, where that is the record itself. What is in `notes` wants to know all about it.
    pub(crate) async fn fetch(
        &self,
        id: &RecordId,
        item: Option<&Item>,
        notes: &mut Option<RecordNotes>,
        spent: &mut Spent,
    ) -> Fetched {
        let note = notes.is_some();
        let body = match self.compiled.detail_url(id) {
            Some(url) => {
                let (answer, cost, sent) = self.requester.get_noting(&url, Get::Detail, note).await;
                spent.add(cost);
                take_down(notes, Get::Detail, sent);
                match answer {
                    Ok(body) => body,
                    Err(error) => return fetch_failed(error, url.as_str()),
                }
            }
            None => match taken(item) {
                Ok(body) => body,
                Err(failure) => return Fetched::Failed(self.redacted(failure)),
            },
        };
        if self.compiled.enrich().is_empty() {
            return self.process(&body, notes);
        }
        let reading = self.compiled.enrich().iter().enumerate().map(|(index, part)| self.part(index, part, id, note));
        // All are awaited, so that what they cost is known whichever fails.
        let mut parts = Vec::with_capacity(self.compiled.enrich().len());
        for (index, (part, cost, sent)) in join_all(reading).await.into_iter().enumerate() {
            spent.add(cost);
            parts.push(part);
            take_down(notes, Get::Enrich(index), sent);
        }
        let parts: Result<Vec<_>, Fetched> = parts.into_iter().collect();
        match parts.map(|parts| self.compiled.join(&body, &parts)) {
            Ok(Ok(joined)) => self.process(&joined, notes),
            Ok(Err(error)) => Fetched::Failed(self.redacted(invalid(error, &body))),
            Err(failed) => failed,
        }
    }

    /// Fetches a further part of a record; nothing where there need be none.
    async fn part<'a>(
        &self,
        index: usize,
        part: &'a EnrichPart,
        id: &RecordId,
        note: bool,
    ) -> (Result<Part<'a>, Fetched>, Cost, Vec<Sent>) {
        let url = part.url(id);
        let (answer, cost, sent) = self.requester.get_noting(&url, Get::Enrich(index), note).await;
        let fetched = match answer {
            Ok(body) => Ok((part.name(), Some(body))),
            Err(FetchError::Gone { .. }) if part.is_optional() => Ok((part.name(), None)),
            Err(error) => Err(part_failed(part.name(), error, url.as_str())),
        };
        (fetched, cost, sent)
    }

    fn process(&self, raw: &[u8], notes: &mut Option<RecordNotes>) -> Fetched {
        let Some(notes) = notes else { return self.processed(raw) };
        let from = Instant::now();
        let fetched = self.processed(raw);
        let until = Instant::now();
        notes.processing = Some(Processing { from, until, busy: until - from });
        fetched
    }

    fn processed(&self, raw: &[u8]) -> Fetched {
        // A bug in the validator or the transform that one record meets must not take the others with it.
        match catch_unwind(AssertUnwindSafe(|| self.compiled.process(raw))) {
            Ok(Ok(Processed { body, unknown })) => {
                let unknown = unknown.into_iter().map(|path| self.requester.redact(path)).collect();
                Fetched::Record(Processed { body, unknown })
            }
            Ok(Err(error)) if error.pauses => Fetched::Strange(self.requester.redact(error.reason)),
            Ok(Err(error)) => Fetched::Failed(self.redacted(invalid(error, raw))),
            Err(_) => {
                let reason = "validating or transforming it panicked".to_owned();
                let stage = Stage::Transform.as_str();
                Fetched::Failed(self.redacted(Failure { stage, reason, http_status: 0, body: shown(raw) }))
            }
        }
    }

    /// The source may have said in a record what it was told.
    fn redacted(&self, failure: Failure) -> Failure {
        let (reason, body) = (self.requester.redact(failure.reason), self.requester.redact(failure.body));
        Failure { reason, body, ..failure }
    }
}

/// Takes requests down, for whoever wants to know of them.
pub(super) fn take_down(notes: &mut Option<RecordNotes>, get: Get, sent: Vec<Sent>) {
    if let Some(notes) = notes {
        notes.sent.extend(sent.into_iter().map(|sent| (get, sent)));
    }
}

/// A record that came whole with the list.
fn taken(item: Option<&Item>) -> Result<Bytes, Failure> {
    let failed = |reason, body| Failure { stage: FETCH, reason, http_status: 0, body };
    match item {
        Some(Item::Whole(body)) => Ok(body.clone()),
        Some(Item::TooLarge { why, beginning }) => Err(failed(why.to_string(), shown(beginning))),
        None => Err(failed("the ledger has no item of this record: start a new run".to_owned(), String::new())),
    }
}

/// A further part of a record: its name, and what was read.
type Part<'a> = (&'a str, Option<Bytes>);

/// A record that is not as its pipeline wants it.
fn invalid(error: RecordError, raw: &[u8]) -> Failure {
    Failure { stage: error.stage.as_str(), reason: error.reason, http_status: 0, body: shown(raw) }
}

/// A part that cannot be had: as a record that cannot, naming the part. That it is not there is no sign that the record is
/// gone.
fn part_failed(name: &str, error: FetchError, url: &str) -> Fetched {
    let named = |failure: Failure| Failure { reason: format!("enrich.{name}: {}", failure.reason), ..failure };
    match fetch_failed(error, url) {
        Fetched::Gone(failure) => {
            let reason = format!("{} (optional: true would make it null)", failure.reason);
            Fetched::Failed(named(Failure { reason, ..failure }))
        }
        Fetched::Failed(failure) => Fetched::Failed(named(failure)),
        Fetched::WrongContent { failure, pause } => {
            Fetched::WrongContent { failure: named(failure), pause: format!("enrich.{name}: {pause}") }
        }
        Fetched::PipelineWrong(reason) => Fetched::PipelineWrong(format!("enrich.{name}: {reason}")),
        other => other,
    }
}

fn fetch_failed(error: FetchError, url: &str) -> Fetched {
    let (reason, gone) = (error.to_string(), matches!(error, FetchError::Gone { .. }));
    let (status, body) = match error {
        FetchError::Refused { .. } | FetchError::NoCredentials { .. } | FetchError::WrongContent { .. } => {
            let (url, advice) = (without_query(url), error.advice());
            let pause = format!("records cannot be fetched, as {url} shows: {reason}; {advice}");
            let FetchError::WrongContent { status, detail, .. } = error else { return Fetched::PipelineWrong(pause) };
            let failure = Failure { stage: FETCH, reason, http_status: i32::from(status), body: detail };
            return Fetched::WrongContent { failure, pause };
        }
        FetchError::Gone { status } => (Some(status), String::new()),
        FetchError::GivenUp { status, .. } => (status, String::new()),
        FetchError::ClientError { status, detail } | FetchError::TooLarge { status, detail, .. } => {
            (Some(status), detail)
        }
    };
    let failure = Failure { stage: FETCH, reason, http_status: status.map_or(0, i32::from), body };
    if gone { Fetched::Gone(failure) } else { Fetched::Failed(failure) }
}

/// The beginning of a body, as text.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]);
    clip(&text, MAX_BODY).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://host.test/animals/7?key=canary";

    #[test]
    fn what_is_no_json_is_told_from_a_large_record() {
        for kind in [None, Some("text/html".to_owned()), Some("application/json".to_owned())] {
            let wrong = FetchError::WrongContent { status: 200, content_type: kind, detail: "<html>".into() };
            assert!(
                matches!(fetch_failed(wrong, URL), Fetched::WrongContent { pause, .. } if pause.contains("<html>"))
            );
        }
        let large = FetchError::TooLarge { status: 200, kind: Get::Detail, limit: 7, detail: "[[[[[[[".into() };
        let Fetched::Failed(failure) = fetch_failed(large, URL) else { panic!() };
        assert_eq!((failure.stage, failure.http_status, failure.body.as_str()), ("fetch", 200, "[[[[[[["));
        assert!(failure.reason.contains("7 bytes"), "{}", failure.reason);
    }

    #[test]
    fn refusals_stop_and_404_is_gone() {
        let refused = FetchError::Refused { status: 401, detail: "who?".into() };
        assert!(matches!(fetch_failed(refused, URL), Fetched::PipelineWrong(reason)
            if reason.contains("401") && reason.contains("/animals/7") && !reason.contains("canary")));
        assert!(matches!(fetch_failed(FetchError::Gone { status: 410 }, URL), Fetched::Gone(_)));
        let given_up = FetchError::GivenUp { attempts: 12, last: "reset".into(), status: None, silent: false };
        assert!(matches!(fetch_failed(given_up, URL), Fetched::Failed(failure) if failure.http_status == 0));
    }

    #[test]
    fn a_part_that_cannot_be_had_is_named_and_is_no_sign_that_the_record_is_gone() {
        let failed = |error| part_failed("visits", error, URL);
        let gone = failed(FetchError::Gone { status: 404 });
        assert!(matches!(gone, Fetched::Failed(failure) if failure.reason.starts_with("enrich.visits: ")
            && failure.reason.contains("optional: true") && failure.http_status == 404 && failure.stage == FETCH));
        let refused = failed(FetchError::Refused { status: 403, detail: String::new() });
        assert!(matches!(refused, Fetched::PipelineWrong(reason) if reason.starts_with("enrich.visits: ")));
        let wrong = failed(FetchError::WrongContent { status: 200, content_type: None, detail: "<html>".into() });
        assert!(matches!(wrong, Fetched::WrongContent { failure, pause }
            if failure.reason.starts_with("enrich.visits: ") && pause.starts_with("enrich.visits: ")));
    }

    #[test]
    fn a_body_is_shown_bounded_and_as_text() {
        assert_eq!(shown(b"\xff\xfe"), "\u{fffd}\u{fffd}");
        assert!(shown("é".repeat(2_000).as_bytes()).len() <= MAX_BODY);
    }
}
