//! What an answer means: to a GET, and to a POST.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use super::reading::MAX_REASON;
use super::transport::{Answer, BodyEnd, TransportError};
use super::{FetchError, Get};
use crate::load::{Loader, Prober, RecordAnswer};
use crate::spec::types;

/// What happened to a POST, in terms of what the target did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostOutcome {
    /// No byte of the request was sent: the target did nothing.
    NotSent {
        /// Why.
        reason: String,
    },
    /// Nothing was sent: the target wants to know who asks, and that cannot be told.
    NoCredentials {
        /// Which secret or token is missing, and why.
        reason: String,
    },
    /// 2xx with an answer that could be read.
    Applied {
        /// The status.
        status: u16,
    },
    /// 2xx with an answer that says of each record, in their order, what became of it; not of all that it was applied.
    PerRecord {
        /// The status.
        status: u16,
        /// What it says.
        answers: Vec<RecordAnswer>,
        /// How long it asks to be left alone, if it does.
        retry_after: Option<Duration>,
    },
    /// The target refuses these records.
    Rejected {
        /// The status.
        status: u16,
        /// The beginning of what the target said.
        detail: String,
    },
    /// The target refuses the request, whatever its records.
    PipelineWrong {
        /// The status.
        status: u16,
        /// The beginning of what the target said.
        detail: String,
    },
    /// The target did nothing and may be asked again.
    NotApplied {
        /// The status.
        status: u16,
        /// How long it asks to be left alone, if it does.
        retry_after: Option<Duration>,
        /// The beginning of what the target said.
        detail: String,
    },
    /// An answer that leaves open whether it was applied, and to the next would be the same: it is not the target that
    /// answers so, or not as the pipeline has it.
    WrongContent {
        /// The status.
        status: u16,
        /// What is wrong with it.
        oddity: Oddity,
        /// Whether it was to say what became of each record, so that it has to be read.
        per_record: bool,
        /// The beginning of the answer.
        detail: String,
    },
    /// The target may or may not have applied it.
    InDoubt {
        /// The status, if there was one.
        status: Option<u16>,
        /// Why nothing is certain.
        reason: String,
        /// The beginning of what the target said.
        detail: String,
    },
}

/// What is wrong with an answer that leaves open whether a POST was applied, and to the next would be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// 2xx with a page of HTML.
    Html,
    /// 2xx with other words that are no JSON.
    Text,
    /// 2xx with nothing, which does not say that this is all.
    Nothing,
    /// 2xx with more than is read.
    TooLarge {
        /// How much is, in bytes after decompression.
        limit: usize,
    },
    /// A redirect as after a POST that was applied: 302 or 303.
    Redirect,
}

/// What the target says of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// It has it.
    Present,
    /// It does not have it.
    Absent,
    /// It was not asked: it wants to know who asks, and that cannot be told.
    NoCredentials {
        /// Which secret or token is missing, and why.
        reason: String,
    },
    /// It would tell nobody: the reason in words.
    PipelineWrong {
        /// The status.
        status: u16,
        /// What it means and the beginning of what the target said.
        detail: String,
    },
    /// Nothing that can be relied on.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// What happened to one try of a GET.
#[derive(Debug)]
pub(crate) enum GetOutcome<T = Bytes> {
    /// It is there.
    Fetched(T),
    /// To be tried again.
    Again { status: Option<u16>, reason: String },
    /// No further try would change it.
    Failed(FetchError),
}

/// The meaning of an answer to the question whether the target has a record.
pub(crate) fn probe(prober: &Prober, answer: &Answer) -> GetOutcome<ProbeOutcome> {
    let (status, detail) = (answer.status.as_u16(), refusal(answer));
    if (answer.status.is_success() && is_html(answer)) || matches!(status, 401 | 403) {
        // A page for people (to log in, say) comes with a 200 for every record, and would make all of them present.
        let detail = match answer.status.is_success() {
            true => format!("it answers with a page of HTML when asked for a record: {detail}"),
            false => detail,
        };
        return GetOutcome::Fetched(ProbeOutcome::PipelineWrong { status, detail });
    }
    if prober.present.contains(&status) {
        return GetOutcome::Fetched(ProbeOutcome::Present);
    }
    if prober.absent.contains(&status) && is_html(answer) {
        // It may be another server's, in front of the target while that is away: no ground to send records again.
        let reason = format!("it answers {status} with a page of HTML, which may not be the target's own: {detail}");
        return GetOutcome::Fetched(ProbeOutcome::Unknown { reason });
    }
    if prober.absent.contains(&status) {
        return GetOutcome::Fetched(ProbeOutcome::Absent);
    }
    let reason = format!("{status} {detail}").trim_end().to_owned();
    match status {
        408 | 425 | 429 | 500..=599 => GetOutcome::Again { status: Some(status), reason },
        _ => {
            let reason = format!("it is neither under load.probe.present nor under load.probe.absent: {reason}");
            GetOutcome::Fetched(ProbeOutcome::Unknown { reason })
        }
    }
}

/// The meaning of an answer to a GET of JSON.
pub(crate) fn get(answer: Answer, kind: Get, limit: usize) -> GetOutcome {
    let status = answer.status.as_u16();
    match status {
        200..=299 => match &answer.end {
            BodyEnd::Broken(reason) => {
                let reason = format!("the answer broke off: {reason}");
                GetOutcome::Again { status: Some(status), reason }
            }
            _ if !looks_like_json(&answer) => {
                let (content_type, detail) = (content_type(&answer.headers), told(&answer.body));
                GetOutcome::Failed(FetchError::WrongContent { status, content_type, detail })
            }
            BodyEnd::TooLarge => {
                GetOutcome::Failed(FetchError::TooLarge { status, kind, limit, detail: told(&answer.body) })
            }
            BodyEnd::Whole => GetOutcome::Fetched(answer.body),
        },
        404 | 410 => GetOutcome::Failed(FetchError::Gone { status }),
        401 | 403 => GetOutcome::Failed(FetchError::Refused { status, detail: told(&answer.body) }),
        408 | 425 | 429 | 500..=599 => {
            let reason = format!("{status} {}", told(&answer.body)).trim_end().to_owned();
            GetOutcome::Again { status: Some(status), reason }
        }
        _ => GetOutcome::Failed(FetchError::ClientError { status, detail: refusal(&answer) }),
    }
}

/// The meaning of what came back from a POST of so many records.
pub(crate) fn post(loader: &Loader, records: usize, result: Result<Answer, TransportError>) -> PostOutcome {
    let answer = match result {
        Ok(answer) => answer,
        Err(TransportError::NotSent(reason)) => return PostOutcome::NotSent { reason },
        Err(TransportError::Broken(reason)) => {
            return PostOutcome::InDoubt { status: None, reason, detail: String::new() };
        }
    };
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        return said(loader, records, &answer).unwrap_or_else(|reason| unread(loader, &answer, reason));
    }
    let retry_after = retry_after(&answer.headers);
    let detail = refusal(&answer);
    // What the pipeline declares comes first: it knows this target.
    let declared = loader.not_applied.iter().any(|pattern| {
        pattern.status.contains(&status) && pattern.body.as_ref().is_none_or(|body| body.is_match(&answer.body))
    });
    if declared || status == 429 || (status == 503 && retry_after.is_some()) {
        return PostOutcome::NotApplied { status, retry_after, detail };
    }
    if loader.rejected.contains(&status) {
        return PostOutcome::Rejected { status, detail };
    }
    if status == 408 || answer.status.is_server_error() {
        let reason = "the answer does not say whether it was applied".to_owned();
        return PostOutcome::InDoubt { status: Some(status), reason, detail };
    }
    if matches!(answer.status, StatusCode::FOUND | StatusCode::SEE_OTHER) {
        // The latter leads to what came of a POST (RFC 9110, section 15.4.4), and the former is used so by many.
        let detail = leads_to(&answer).map_or(detail, |location| format!("it leads to {location}"));
        return PostOutcome::WrongContent { status, oddity: Oddity::Redirect, per_record: false, detail };
    }
    // Every other 3xx and 4xx: the request itself is wrong, and so it would be with other records.
    PostOutcome::PipelineWrong { status, detail }
}

/// What a 2xx says; or why that cannot be taken for a promise.
fn said(loader: &Loader, records: usize, answer: &Answer) -> Result<PostOutcome, String> {
    let status = answer.status.as_u16();
    if let BodyEnd::Broken(reason) = &answer.end {
        return Err(format!("the answer broke off: {reason}"));
    }
    if !loader.reads(status) {
        return Ok(PostOutcome::Applied { status });
    }
    if answer.end == BodyEnd::TooLarge {
        return Err(format!("the answer is larger than {} bytes", loader.answer_size));
    }
    if loader.answer == types::Answer::Json {
        check_json(answer)?;
    }
    let Some(per_record) = loader.about_each(status) else { return Ok(PostOutcome::Applied { status }) };
    let answers = per_record.read(&answer.body, records)?;
    if answers.iter().all(|answer| *answer == RecordAnswer::Applied) {
        return Ok(PostOutcome::Applied { status });
    }
    Ok(PostOutcome::PerRecord { status, answers, retry_after: retry_after(&answer.headers) })
}

/// Whether an answer says that there is nothing in it; `reading.rs` notes every way to say so as a length.
fn says_empty(answer: &Answer) -> bool {
    matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT)
        || answer.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0")
}

/// Whether an answer is JSON, or nothing and says so.
fn check_json(answer: &Answer) -> Result<(), String> {
    if answer.body.is_empty() && says_empty(answer) {
        return Ok(());
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(&answer.body)
        .map(drop)
        .map_err(|error| format!("the answer is not JSON: {error}"))
}

/// What follows from a 2xx that cannot be read, for this reason.
fn unread(loader: &Loader, answer: &Answer, reason: String) -> PostOutcome {
    let (status, detail) = (answer.status.as_u16(), told(&answer.body));
    match oddity(loader, answer) {
        Some(oddity) => {
            let per_record = loader.about_each(status).is_some();
            PostOutcome::WrongContent { status, oddity, per_record, detail }
        }
        None => PostOutcome::InDoubt { status: Some(status), reason, detail },
    }
}

/// What is wrong with a 2xx that cannot be read, where the next would be the same: what is said so once is always said
/// so, whereas JSON that cannot be read may have been cut on its way.
fn oddity(loader: &Loader, answer: &Answer) -> Option<Oddity> {
    let first = answer.body.iter().find(|byte| !byte.is_ascii_whitespace());
    match (&answer.end, first) {
        (BodyEnd::Broken(_), Some(b'<')) if is_html(answer) && loader.reads(answer.status.as_u16()) => {
            Some(Oddity::Html)
        }
        (BodyEnd::Broken(_), _) => None,
        (_, Some(b'<')) => Some(Oddity::Html),
        (BodyEnd::TooLarge, _) => Some(Oddity::TooLarge { limit: loader.answer_size }),
        // Where the end of the connection was the end of the answer, it may have come too soon.
        (BodyEnd::Whole, None) if answer.body.is_empty() && !says_empty(answer) => None,
        (BodyEnd::Whole, None) => Some(Oddity::Nothing),
        (BodyEnd::Whole, Some(b'{' | b'[' | b'"')) if !is_html(answer) => None,
        // A number, or null: it tells nothing of each record.
        (BodyEnd::Whole, Some(_)) if check_json(answer).is_ok() => None,
        (BodyEnd::Whole, Some(_)) => Some(Oddity::Text),
    }
}

/// Whether an answer says that the host has too much to do.
pub(crate) fn is_overload(answer: &Answer) -> bool {
    answer.status == StatusCode::TOO_MANY_REQUESTS
        || (answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.headers.contains_key(RETRY_AFTER))
}

/// `Retry-After` in seconds or as an HTTP date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn looks_like_json(answer: &Answer) -> bool {
    let first = answer.body.iter().find(|byte| !byte.is_ascii_whitespace());
    let kind = answer.headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    match kind {
        Some(kind) if kind.windows(4).any(|part| part == b"json") => true,
        // Some servers send JSON as text/plain, as text/html (PHP does unless told), or under no name at all.
        _ => matches!(first, Some(b'{' | b'[')),
    }
}

fn is_html(answer: &Answer) -> bool {
    let kind = answer.headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    kind.is_some_and(|kind| kind.windows(4).any(|part| part == b"html"))
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned)
}

/// The beginning of a body, as text.
pub(crate) fn told(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(MAX_REASON)]).trim().to_owned()
}

fn refusal(answer: &Answer) -> String {
    match leads_to(answer) {
        Some(location) if answer.status.is_redirection() => {
            format!("it redirects to {location}; redirects are not followed: put the final URL into the pipeline")
        }
        _ => told(&answer.body),
    }
}

/// Where an answer says to look on, without what may be secret.
fn leads_to(answer: &Answer) -> Option<String> {
    let location = answer.headers.get(LOCATION)?.to_str().ok()?;
    Some(location.split(['?', '#']).next().unwrap_or("").chars().take(200).collect())
}
