//! A pipeline ready to run in this process, and what its requests come to in the words of a worker.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use muster_pipeline::{
    CompiledPipeline, FetchError, Get, Pipeline, PostOutcome, RecordId, Requester, RequesterConfig, Stage,
};
use muster_proto::v1::WorkStats;
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
    max_rejected_in_a_row: u32,
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
    Record(Bytes),
    /// The source says that it does not exist.
    Gone(Failure),
    /// It alone cannot be sent.
    Failed(Failure),
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
        let config = RequesterConfig { concurrency, seed, ..RequesterConfig::default() };
        let requester = Requester::new(pipeline.limits(), &config).map_err(|error| error.to_string())?;
        Ok(Self {
            name: pipeline.name().to_owned(),
            compiled,
            requester,
            concurrency: concurrency.unwrap_or(pipeline.limits().concurrency),
            max_rejected_in_a_row: pipeline.load().max_rejected_in_a_row,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Requests that it can have in flight at the same time.
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency
    }

    pub(crate) fn max_rejected_in_a_row(&self) -> u32 {
        self.max_rejected_in_a_row
    }

    /// How long one POST may take.
    pub(crate) fn post_timeout(&self) -> Duration {
        self.compiled.loader().timeout()
    }

    pub(crate) fn post_url(&self) -> &str {
        self.compiled.loader().url().as_str()
    }

    pub(crate) fn detail_url(&self, id: &RecordId) -> String {
        self.compiled.detail_url(id).to_string()
    }

    /// The body of a delivery of these records.
    pub(crate) fn body<'a>(&self, records: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
        self.compiled.body(records)
    }

    /// Fetches a record, validates and transforms it; and says what that cost.
    pub(crate) async fn fetch(&self, id: &RecordId) -> (Fetched, WorkStats) {
        match self.requester.get(&self.compiled.detail_url(id), Get::Detail).await {
            Ok(got) => (self.process(&got.body), stats(got.attempts, got.hedges, got.body.len())),
            Err(error) => (fetch_failed(&error), stats(attempts(&error), 0, 0)),
        }
    }

    /// Waits while the target wants to be left alone.
    pub(crate) async fn until_target_open(&self) {
        self.requester.until_open(self.compiled.loader().url()).await;
    }

    /// Sends a delivery: one attempt on the wire, with the whole POST timeout. Whether the lease covers that is for the
    /// caller to check.
    pub(crate) async fn post(&self, body: Bytes, key: &str) -> Posted {
        let deadline = Instant::now() + self.post_timeout();
        posted(self.requester.post(self.compiled.loader(), body, key, deadline).await)
    }

    fn process(&self, raw: &[u8]) -> Fetched {
        // A bug in the validator or the transform that one record meets must not take the others with it.
        let failed = match catch_unwind(AssertUnwindSafe(|| self.compiled.process(raw))) {
            Ok(Ok(record)) => return Fetched::Record(record),
            Ok(Err(error)) => (error.stage.as_str(), error.reason),
            Err(_) => (Stage::Transform.as_str(), "validating or transforming it panicked".to_owned()),
        };
        Fetched::Failed(Failure { stage: failed.0, reason: failed.1, http_status: 0, body: shown(raw) })
    }
}

fn fetch_failed(error: &FetchError) -> Fetched {
    let reason = error.to_string();
    let failure = |status: Option<u16>, body: &str| Failure {
        stage: FETCH,
        reason: reason.clone(),
        http_status: status.map_or(0, i32::from),
        body: clip(body, MAX_BODY).to_owned(),
    };
    match error {
        FetchError::Gone { status } => Fetched::Gone(failure(Some(*status), "")),
        FetchError::GivenUp { status, .. } => Fetched::Failed(failure(*status, "")),
        FetchError::ClientError { status, detail } => Fetched::Failed(failure(Some(*status), detail)),
        // JSON that is not taken is too large: that is this record's fault, not the pipeline's.
        FetchError::WrongContent { status, content_type: Some(kind), detail }
            if kind.to_ascii_lowercase().contains("json") =>
        {
            Fetched::Failed(failure(Some(*status), detail))
        }
        FetchError::Refused { .. } | FetchError::WrongContent { .. } => Fetched::PipelineWrong(reason),
    }
}

fn attempts(error: &FetchError) -> u32 {
    match error {
        FetchError::GivenUp { attempts, .. } => *attempts,
        _ => 1,
    }
}

fn stats(attempts: u32, hedges: u32, bytes: usize) -> WorkStats {
    WorkStats {
        requests: i64::from(attempts) + i64::from(hedges),
        retries: i64::from(attempts.saturating_sub(1)),
        hedges: i64::from(hedges),
        bytes_received: i64::try_from(bytes).unwrap_or(i64::MAX),
    }
}

/// Adds the cost of a record to that of its batch.
pub(crate) fn add_stats(sum: &mut WorkStats, more: &WorkStats) {
    sum.requests += more.requests;
    sum.retries += more.retries;
    sum.hedges += more.hedges;
    sum.bytes_received += more.bytes_received;
}

fn posted(outcome: PostOutcome) -> Posted {
    let (verdict, status, words) = match outcome {
        PostOutcome::NotSent { reason } => (Verdict::NotApplied { retry_after: None }, None, reason),
        PostOutcome::Applied { status } => (Verdict::Applied, Some(status), String::new()),
        PostOutcome::Rejected { status, detail } => (Verdict::Rejected, Some(status), detail),
        PostOutcome::PipelineWrong { status, detail } => {
            (Verdict::PipelineWrong, Some(status), format!("the target refuses the request with {status}: {detail}"))
        }
        PostOutcome::NotApplied { status, retry_after, detail } => {
            (Verdict::NotApplied { retry_after }, Some(status), detail)
        }
        PostOutcome::InDoubt { status, reason, detail } if detail.is_empty() => (Verdict::InDoubt, status, reason),
        PostOutcome::InDoubt { status, reason, detail } => (Verdict::InDoubt, status, format!("{reason}: {detail}")),
    };
    Posted { verdict, http_status: status.map_or(0, i32::from), words }
}

/// The beginning of a body, as text.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]);
    clip(&text, MAX_BODY).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(kind: Option<&str>) -> FetchError {
        FetchError::WrongContent { status: 200, content_type: kind.map(str::to_owned), detail: "x".repeat(3_000) }
    }

    #[test]
    fn a_page_of_html_is_the_pipelines_fault_a_large_record_its_own() {
        assert!(matches!(fetch_failed(&wrong(Some("text/html"))), Fetched::PipelineWrong(_)));
        assert!(matches!(fetch_failed(&wrong(None)), Fetched::PipelineWrong(_)));
        let Fetched::Failed(failure) = fetch_failed(&wrong(Some("application/JSON"))) else { panic!() };
        assert_eq!((failure.stage, failure.http_status, failure.body.len()), ("fetch", 200, 2_048));
    }

    #[test]
    fn refusals_stop_and_404_is_gone() {
        let refused = FetchError::Refused { status: 401, detail: "who?".into() };
        assert!(matches!(fetch_failed(&refused), Fetched::PipelineWrong(reason) if reason.contains("401")));
        assert!(matches!(fetch_failed(&FetchError::Gone { status: 410 }), Fetched::Gone(_)));
        let given_up = FetchError::GivenUp { attempts: 12, last: "reset".into(), status: None };
        assert!(matches!(fetch_failed(&given_up), Fetched::Failed(failure) if failure.http_status == 0));
        assert_eq!(attempts(&given_up), 12);
    }

    #[test]
    fn a_body_is_shown_bounded_and_as_text() {
        assert_eq!(shown(b"\xff\xfe"), "\u{fffd}\u{fffd}");
        assert!(shown("é".repeat(2_000).as_bytes()).len() <= MAX_BODY);
    }

    #[test]
    fn posts_in_the_words_of_the_ledger() {
        let doubt = posted(PostOutcome::InDoubt { status: None, reason: "timed out".into(), detail: String::new() });
        assert_eq!((doubt.verdict, doubt.http_status, doubt.words.as_str()), (Verdict::InDoubt, 0, "timed out"));
        let unsent = posted(PostOutcome::NotSent { reason: "refused".into() });
        assert_eq!(unsent.verdict, Verdict::NotApplied { retry_after: None });
    }
}
