//! What comes of a POST.

use muster_pipeline::{Oddity, PostOutcome, RecordAnswer, excerpt};

use super::without_query;
use crate::plan::PostEnd;

/// What came of one POST.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) end: PostEnd,
    /// 0 when there was no answer.
    pub(crate) http_status: i32,
    /// What happened, in words.
    pub(crate) words: String,
}

impl Posted {
    /// A POST that was announced but not sent.
    pub(crate) fn not_sent(why: &str) -> Self {
        Self { end: PostEnd::NotApplied { retry_after: None }, http_status: 0, words: why.to_owned() }
    }
}

/// The outcome of a POST to this URL, in the words of the ledger.
pub(super) fn posted(outcome: PostOutcome, url: &str) -> Posted {
    let (end, status, words) = match outcome {
        PostOutcome::NotSent { reason } => (PostEnd::NotSent, None, reason),
        PostOutcome::NoCredentials { reason } => {
            let words = format!("nothing can be sent to the target: {reason}; check load.auth in the pipeline");
            (PostEnd::PipelineWrong, None, words)
        }
        PostOutcome::Applied { status } => (PostEnd::Applied, Some(status), String::new()),
        PostOutcome::PerRecord { status, answers, retry_after } => {
            let words = summary(&answers);
            (PostEnd::PerRecord { answers, retry_after }, Some(status), words)
        }
        PostOutcome::Rejected { status, detail } => (PostEnd::Rejected, Some(status), detail),
        // Not by HTTP: it says itself what to do.
        PostOutcome::PipelineWrong { status: 0, detail } => (PostEnd::PipelineWrong, None, detail),
        PostOutcome::PipelineWrong { status, detail } => {
            let (url, told) = (without_query(url), excerpt(&detail));
            let words = format!(
                "the target refuses any records at {url} with {status}: {told}; check load.request in the pipeline, and \
                 what credentials the target wants (load.auth)"
            );
            (PostEnd::PipelineWrong, Some(status), words)
        }
        PostOutcome::NotApplied { status, retry_after, detail } => {
            (PostEnd::NotApplied { retry_after }, Some(status), detail)
        }
        PostOutcome::WrongContent { status, oddity, per_record, detail } => {
            let answer = format!("something answers a POST to {} with {status}", without_query(url));
            (PostEnd::WrongContent, Some(status), format!("{answer}{}", odd(oddity, per_record, &detail)))
        }
        PostOutcome::InDoubt { status, reason, detail } if detail.is_empty() => (PostEnd::InDoubt, status, reason),
        PostOutcome::InDoubt { status, reason, detail } => (PostEnd::InDoubt, status, format!("{reason}: {detail}")),
    };
    Posted { end, http_status: status.map_or(0, i32::from), words }
}

/// What is wrong with an answer, and what to do about it.
fn odd(oddity: Oddity, per_record: bool, detail: &str) -> String {
    let check = "check load.request in the pipeline, and what credentials the target wants";
    // What says what became of each record has to be read.
    let any = match per_record {
        true => "",
        false => "if that is how the target says yes, write load.answer: any into the pipeline, else ",
    };
    let told = match excerpt(detail) {
        told if told.is_empty() => told,
        told => format!(": {told}"),
    };
    match oddity {
        Oddity::Html => format!(" and HTML, not JSON{told}; {check}"),
        Oddity::Text => format!(" and what is not JSON{told}; {any}{check}"),
        Oddity::Nothing => format!(" and nothing, where JSON was to be; {any}{check}"),
        Oddity::TooLarge { limit } => {
            format!(" and more than {limit} bytes{told}; {any}raise limits.record_size in the pipeline")
        }
        Oddity::Redirect => format!(
            ", as after one that was applied{told}; {check}; if it applies nothing when it answers so, write its status under \
             load.not_applied"
        ),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://host.test/animals/7?key=canary";

    #[test]
    fn posts_in_the_words_of_the_ledger() {
        let doubt =
            posted(PostOutcome::InDoubt { status: None, reason: "timed out".into(), detail: String::new() }, URL);
        assert_eq!((doubt.end, doubt.http_status, doubt.words.as_str()), (PostEnd::InDoubt, 0, "timed out"));
        let answers = vec![
            RecordAnswer::NotApplied { reason: String::new() },
            RecordAnswer::Rejected { reason: "no colour".into() },
            RecordAnswer::Applied,
        ];
        let each = posted(PostOutcome::PerRecord { status: 207, answers, retry_after: None }, URL);
        assert_eq!(each.words, "1 records applied, 1 refused, 1 not applied; the first reason: no colour");
        let unsent = posted(PostOutcome::NotSent { reason: "refused".into() }, URL);
        assert_eq!(unsent.end, PostEnd::NotSent);
    }

    #[test]
    fn an_answer_that_settles_nothing_says_what_to_do() {
        let words = |oddity, per_record, detail: &str| {
            let detail = detail.to_owned();
            let odd = posted(PostOutcome::WrongContent { status: 200, oddity, per_record, detail }, URL);
            assert_eq!((odd.end, odd.http_status), (PostEnd::WrongContent, 200));
            let answer = "something answers a POST to http://host.test/animals/7 with 200";
            odd.words.strip_prefix(answer).unwrap().to_owned()
        };
        let large = Oddity::TooLarge { limit: 1_024 };
        let any = "if that is how the target says yes, write load.answer: any into the pipeline, else ";
        let check = "check load.request in the pipeline, and what credentials the target wants";
        let raise = "raise limits.record_size in the pipeline";
        let declare = "if it applies nothing when it answers so, write its status under load.not_applied";
        for (oddity, per_record, detail, expected) in [
            (Oddity::Html, false, "<html>", format!(" and HTML, not JSON: <html>; {check}")),
            (Oddity::Text, false, "OK", format!(" and what is not JSON: OK; {any}{check}")),
            (Oddity::Text, true, "OK", format!(" and what is not JSON: OK; {check}")),
            (Oddity::Nothing, false, "", format!(" and nothing, where JSON was to be; {any}{check}")),
            (large, false, "[1,", format!(" and more than 1024 bytes: [1,; {any}{raise}")),
            (large, true, "[1,", format!(" and more than 1024 bytes: [1,; {raise}")),
            (Oddity::Redirect, false, "", format!(", as after one that was applied; {check}; {declare}")),
        ] {
            assert_eq!(words(oddity, per_record, detail), expected);
        }
    }
}
