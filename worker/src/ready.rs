//! A pipeline ready to run in this process, and what its requests come to in the words of a worker.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use muster_pipeline::{
    CompiledPipeline, Cost, Delivery, EnrichPart, FetchError, Get, Pipeline, PostOutcome, ProbeOutcome, Process,
    Processed, RecordAnswer, RecordError, RecordId, Requester, RequesterConfig, Stage, Turn, excerpt,
};
use tokio::time::Instant;

use crate::plan::Verdict;
use crate::report::{Failure, clip};

/// The most of a record's body that goes into a dead letter, in bytes.
const MAX_BODY: usize = 2_048;
/// The stage at which a record is fetched.
pub(crate) const FETCH: &str = "fetch";

/// A compiled pipeline with a requester of its own.
pub(crate) struct ReadyPipeline {
    name: String,
    compiled: CompiledPipeline,
    requester: Requester,
    concurrency: usize,
}

impl fmt::Debug for ReadyPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyPipeline").field("name", &self.name).finish_non_exhaustive()
    }
}

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

/// What came of one POST.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) verdict: Verdict,
    /// 0 when there was no answer.
    pub(crate) http_status: i32,
    /// What happened, in words.
    pub(crate) words: String,
}

impl Posted {
    /// A POST that was announced but not sent.
    pub(crate) fn not_sent(why: &str) -> Self {
        Self { verdict: Verdict::NotApplied { retry_after: None }, http_status: 0, words: why.to_owned() }
    }
}

impl ReadyPipeline {
    /// Compiles `pipeline`; `concurrency` takes the place of its own limit.
    pub(crate) fn new(
        pipeline: &Pipeline,
        parameters: &BTreeMap<String, String>,
        concurrency: Option<usize>,
        seed: u64,
    ) -> Result<Self, String> {
        let compiled = pipeline.compile(parameters).map_err(|error| error.to_string())?;
        // What was listed is there: a source that serves nothing is down, not wrong.
        let config = RequesterConfig { concurrency, seed, wait_for_first: true, ..RequesterConfig::default() };
        let requester = Requester::of(&compiled, Process::Worker, &config).map_err(|error| error.to_string())?;
        Ok(Self {
            name: pipeline.name().to_owned(),
            compiled,
            requester,
            concurrency: concurrency.unwrap_or(pipeline.limits().concurrency),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Requests that it can have in flight at the same time.
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// How long one POST may take.
    pub(crate) fn post_timeout(&self) -> Duration {
        self.compiled.target().timeout()
    }

    /// Where records go, as it may be shown.
    pub(crate) fn target(&self) -> Cow<'_, str> {
        self.compiled.target().shown()
    }

    pub(crate) fn detail_url(&self, id: &RecordId) -> String {
        without_query(self.compiled.detail_url(id).as_str()).to_owned()
    }

    /// Whether the target may say what became of each record of a delivery.
    pub(crate) fn is_per_record(&self) -> bool {
        self.compiled.target().is_per_record()
    }

    /// The body of a delivery of these records.
    pub(crate) fn body<'a>(&self, records: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
        self.compiled.target().body(records)
    }

    /// Fetches a record with all its parts, validates and transforms it; and says what that cost.
    pub(crate) async fn fetch(&self, id: &RecordId) -> (Fetched, Vec<Cost>) {
        let url = self.compiled.detail_url(id);
        let (body, cost) = match self.requester.get(&url, Get::Detail).await {
            (Ok(body), cost) => (body, cost),
            (Err(error), cost) => return (fetch_failed(error, url.as_str()), vec![cost]),
        };
        if self.compiled.enrich().is_empty() {
            return (self.process(&body), vec![cost]);
        }
        let parts =
            join_all(self.compiled.enrich().iter().enumerate().map(|(index, part)| self.part(index, part, id))).await;
        // All are awaited, so that what they cost is known whichever fails.
        let costs = std::iter::once(cost).chain(parts.iter().map(|(_, cost)| *cost)).collect();
        let parts: Result<Vec<_>, Fetched> = parts.into_iter().map(|(part, _)| part).collect();
        let fetched = match parts.map(|parts| self.compiled.join(&body, &parts)) {
            Ok(Ok(joined)) => self.process(&joined),
            Ok(Err(error)) => Fetched::Failed(self.redacted(invalid(error, &body))),
            Err(failed) => failed,
        };
        (fetched, costs)
    }

    /// Fetches a further part of a record; nothing where there need be none.
    async fn part<'a>(&self, index: usize, part: &'a EnrichPart, id: &RecordId) -> (Result<Part<'a>, Fetched>, Cost) {
        let url = part.url(id);
        let (answer, cost) = self.requester.get(&url, Get::Enrich(index)).await;
        let fetched = match answer {
            Ok(body) => Ok((part.name(), Some(body))),
            Err(FetchError::Gone { .. }) if part.is_optional() => Ok((part.name(), None)),
            Err(error) => Err(part_failed(part.name(), error, url.as_str())),
        };
        (fetched, cost)
    }

    /// Asks the target whether it has a record; nothing when the pipeline does not say where.
    pub(crate) async fn probe(&self, id: &RecordId) -> Option<ProbeOutcome> {
        let prober = self.compiled.target().prober()?;
        Some(self.requester.probe(prober, id).await.0)
    }

    /// Waits until a POST may be announced: while the target wants to be left alone or serves nothing, and, for one that
    /// `repeats` another, until the budget of retries has room.
    pub(crate) async fn target_turn(&self, repeats: bool) -> Turn {
        self.compiled.target().turn(&self.requester, repeats).await
    }

    /// Whether source or target serve nothing at the moment.
    pub(crate) fn is_down(&self) -> bool {
        *self.requester.hosts_down().borrow() > 0
    }

    /// Waits until source and target serve.
    pub(crate) async fn until_up(&self) {
        // The sender lives as long as the requester, and so does self.
        drop(self.requester.hosts_down().wait_for(|hosts| *hosts == 0).await);
    }

    /// Waits until source or target have served nothing for so long.
    pub(crate) async fn down_for(&self, time: Duration) {
        let mut down = self.requester.hosts_down();
        while down.wait_for(|hosts| *hosts > 0).await.is_ok() {
            if tokio::time::timeout(time, down.wait_for(|hosts| *hosts == 0)).await.is_err() {
                return;
            }
        }
    }

    /// Whether the target can be reached, without sending it anything.
    pub(crate) async fn target_reachable(&self) -> bool {
        self.compiled.target().reachable(&self.requester).await
    }

    /// Sends a delivery: one attempt on the wire, with the whole POST timeout. Whether the lease covers that is for the
    /// caller to check.
    pub(crate) async fn deliver(&self, delivery: Delivery<'_>, turn: Turn) -> Posted {
        let deadline = Instant::now() + self.post_timeout();
        let outcome = self.compiled.target().deliver(&self.requester, delivery, deadline, turn).await;
        posted(outcome, &self.target())
    }

    fn process(&self, raw: &[u8]) -> Fetched {
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

fn posted(outcome: PostOutcome, url: &str) -> Posted {
    let (verdict, status, words) = match outcome {
        PostOutcome::NotSent { reason } => (Verdict::NotSent, None, reason),
        PostOutcome::NoCredentials { reason } => {
            let words = format!("nothing can be sent to the target: {reason}; check load.auth in the pipeline");
            (Verdict::PipelineWrong, None, words)
        }
        PostOutcome::Applied { status } => (Verdict::Applied, Some(status), String::new()),
        PostOutcome::PerRecord { status, answers, retry_after } => {
            let words = summary(&answers);
            (Verdict::PerRecord { answers, retry_after }, Some(status), words)
        }
        PostOutcome::Rejected { status, detail } => (Verdict::Rejected, Some(status), detail),
        // Not by HTTP: it says itself what to do.
        PostOutcome::PipelineWrong { status: 0, detail } => (Verdict::PipelineWrong, None, detail),
        PostOutcome::PipelineWrong { status, detail } => {
            let (url, told) = (without_query(url), excerpt(&detail));
            let words = format!(
                "the target refuses any records at {url} with {status}: {told}; check load.request in the pipeline, and \
                 what credentials the target wants (load.auth)"
            );
            (Verdict::PipelineWrong, Some(status), words)
        }
        PostOutcome::NotApplied { status, retry_after, detail } => {
            (Verdict::NotApplied { retry_after }, Some(status), detail)
        }
        PostOutcome::WrongContent { status, detail } => {
            let (url, told) = (without_query(url), excerpt(&detail));
            let words = format!(
                "something answers a POST to {url} with {status} and HTML, not JSON: {told}; check load.request in the \
                 pipeline, and what credentials the target wants"
            );
            (Verdict::WrongContent, Some(status), words)
        }
        PostOutcome::InDoubt { status, reason, detail } if detail.is_empty() => (Verdict::InDoubt, status, reason),
        PostOutcome::InDoubt { status, reason, detail } => (Verdict::InDoubt, status, format!("{reason}: {detail}")),
    };
    Posted { verdict, http_status: status.map_or(0, i32::from), words }
}

/// What the target says of all records together, with its first reason.
fn summary(answers: &[RecordAnswer]) -> String {
    let (mut applied, mut rejected, mut not_applied, mut told) = (0, 0, 0, "");
    for answer in answers {
        let reason = match answer {
            RecordAnswer::Applied => {
                applied += 1;
                continue;
            }
            RecordAnswer::Rejected { reason } => (&mut rejected, reason),
            RecordAnswer::NotApplied { reason } => (&mut not_applied, reason),
        };
        *reason.0 += 1;
        told = if told.is_empty() { reason.1 } else { told };
    }
    let words = format!("{applied} records applied, {rejected} refused, {not_applied} not applied");
    if told.is_empty() { words } else { format!("{words}; the first reason: {}", excerpt(told)) }
}

/// A URL as it may be shown: what stands in its query may be nobody's business.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
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
        let given_up = FetchError::GivenUp { attempts: 12, last: "reset".into(), status: None };
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

    #[test]
    fn posts_in_the_words_of_the_ledger() {
        let doubt =
            posted(PostOutcome::InDoubt { status: None, reason: "timed out".into(), detail: String::new() }, URL);
        assert_eq!((doubt.verdict, doubt.http_status, doubt.words.as_str()), (Verdict::InDoubt, 0, "timed out"));
        let answers = vec![
            RecordAnswer::NotApplied { reason: String::new() },
            RecordAnswer::Rejected { reason: "no colour".into() },
            RecordAnswer::Applied,
        ];
        let each = posted(PostOutcome::PerRecord { status: 207, answers, retry_after: None }, URL);
        assert_eq!(each.words, "1 records applied, 1 refused, 1 not applied; the first reason: no colour");
        let unsent = posted(PostOutcome::NotSent { reason: "refused".into() }, URL);
        assert_eq!(unsent.verdict, Verdict::NotSent);
    }
}
