//! Secrets are taken out of whatever a server says, before it reaches a log, the ledger or a person.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use super::classify::GetOutcome;
use super::reading::MAX_REASON;
use super::{FetchError, PostOutcome, ProbeOutcome};
use crate::load::RecordAnswer;

/// What stands in the place of a secret.
const INSTEAD: &str = "[secret]";
/// Shorter ones are in every second word.
const SHORTEST: usize = 4;
/// Tokens that are looked for: an answer may be about an earlier one.
const TOKENS: usize = 8;

/// The secrets of one process, and what finds them.
#[derive(Default)]
pub(crate) struct Redactor {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    lasting: Vec<SecretString>,
    tokens: VecDeque<SecretString>,
    search: Option<Arc<Search>>,
}

struct Search {
    needles: Vec<String>,
    automaton: AhoCorasick,
}

impl Redactor {
    /// From now on these are secret.
    pub(crate) fn keep(&self, secrets: &[SecretString]) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.lasting.len();
        for secret in secrets {
            let is_known = known.lasting.iter().any(|other| other.expose_secret() == secret.expose_secret());
            if secret.expose_secret().chars().count() >= SHORTEST && !is_known {
                known.lasting.push(secret.clone());
            }
        }
        if known.lasting.len() > before {
            known.prepare();
        }
    }

    /// From now on this token is secret, until it is long over.
    pub(crate) fn keep_token(&self, token: &SecretString) {
        if token.expose_secret().chars().count() < SHORTEST {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.tokens.len() >= TOKENS {
            known.tokens.pop_front();
        }
        known.tokens.push_back(token.clone());
        known.prepare();
    }

    /// A text without secrets.
    pub(crate) fn text(&self, text: String) -> String {
        let search = self.known.read().unwrap_or_else(PoisonError::into_inner).search.clone();
        match search {
            Some(search) => search.replaced(&text).unwrap_or(text),
            None => text,
        }
    }

    /// An error without secrets.
    pub(crate) fn error(&self, error: FetchError) -> FetchError {
        match error {
            FetchError::Gone { status } => FetchError::Gone { status },
            FetchError::Refused { status, detail } => FetchError::Refused { status, detail: self.text(detail) },
            FetchError::WrongContent { status, content_type, detail } => {
                let content_type = content_type.map(|kind| self.text(kind));
                FetchError::WrongContent { status, content_type, detail: self.text(detail) }
            }
            FetchError::TooLarge { status, kind, limit, detail } => {
                FetchError::TooLarge { status, kind, limit, detail: self.text(detail) }
            }
            FetchError::GivenUp { attempts, last, status, silent } => {
                FetchError::GivenUp { attempts, last: self.text(last), status, silent }
            }
            FetchError::ClientError { status, detail } => FetchError::ClientError { status, detail: self.text(detail) },
            FetchError::NoCredentials { reason } => FetchError::NoCredentials { reason: self.text(reason) },
        }
    }

    /// What came of a try of a GET, without secrets in what is to be told of it.
    pub(crate) fn outcome<T>(&self, outcome: GetOutcome<T>) -> GetOutcome<T> {
        match outcome {
            GetOutcome::Fetched(found) => GetOutcome::Fetched(found),
            GetOutcome::Again { status, reason } => GetOutcome::Again { status, reason: self.text(reason) },
            GetOutcome::Failed(error) => GetOutcome::Failed(self.error(error)),
        }
    }

    /// What came of a POST, without secrets.
    pub(crate) fn posted(&self, outcome: PostOutcome) -> PostOutcome {
        match outcome {
            PostOutcome::Applied { status } => PostOutcome::Applied { status },
            PostOutcome::PerRecord { status, answers, retry_after } => {
                let answer = |answer| match answer {
                    RecordAnswer::Applied => RecordAnswer::Applied,
                    RecordAnswer::Rejected { reason } => RecordAnswer::Rejected { reason: self.text(reason) },
                    RecordAnswer::NotApplied { reason } => RecordAnswer::NotApplied { reason: self.text(reason) },
                };
                PostOutcome::PerRecord { status, answers: answers.into_iter().map(answer).collect(), retry_after }
            }
            PostOutcome::NotSent { reason } => PostOutcome::NotSent { reason: self.text(reason) },
            PostOutcome::NoCredentials { reason } => PostOutcome::NoCredentials { reason: self.text(reason) },
            PostOutcome::Rejected { status, detail } => PostOutcome::Rejected { status, detail: self.text(detail) },
            PostOutcome::PipelineWrong { status, detail } => {
                PostOutcome::PipelineWrong { status, detail: self.text(detail) }
            }
            PostOutcome::NotApplied { status, retry_after, detail } => {
                PostOutcome::NotApplied { status, retry_after, detail: self.text(detail) }
            }
            PostOutcome::WrongContent { status, oddity, per_record, detail } => {
                PostOutcome::WrongContent { status, oddity, per_record, detail: self.text(detail) }
            }
            PostOutcome::InDoubt { status, reason, detail } => {
                PostOutcome::InDoubt { status, reason: self.text(reason), detail: self.text(detail) }
            }
        }
    }

    /// What the target says of a record, without secrets.
    pub(crate) fn probed(&self, outcome: ProbeOutcome) -> ProbeOutcome {
        match outcome {
            ProbeOutcome::Present | ProbeOutcome::Absent => outcome,
            ProbeOutcome::NoCredentials { reason } => ProbeOutcome::NoCredentials { reason: self.text(reason) },
            ProbeOutcome::PipelineWrong { status, detail } => {
                ProbeOutcome::PipelineWrong { status, detail: self.text(detail) }
            }
            ProbeOutcome::Unknown { reason } => ProbeOutcome::Unknown { reason: self.text(reason) },
        }
    }
}

impl Known {
    fn prepare(&mut self) {
        let mut needles: Vec<String> = self.lasting.iter().chain(&self.tokens).flat_map(forms).collect();
        needles.sort();
        needles.dedup();
        let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&needles);
        // It fails beyond two thousand million bytes of needles. A secret has at most 64 KiB.
        self.search = built.ok().map(|automaton| Arc::new(Search { needles, automaton }));
    }
}

/// How a secret may be said back: as it is, as JSON, as a part of a URL, in base64.
fn forms(secret: &SecretString) -> Vec<String> {
    let secret = secret.expose_secret();
    let json = serde_json::Value::from(secret).to_string();
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    vec![
        secret.to_owned(),
        json[1..json.len() - 1].to_owned(),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        lower_hex(&percent),
        percent,
        BASE64_STANDARD_NO_PAD.encode(secret),
        BASE64_URL_SAFE_NO_PAD.encode(secret),
    ]
}

/// `%2f` for `%2F`.
fn lower_hex(encoded: &str) -> String {
    let mut left = 0;
    let lower = encoded.chars().map(|letter| {
        left = if letter == '%' { 3_u8 } else { left };
        let is_hex = left > 0;
        left = left.saturating_sub(1);
        if is_hex { letter.to_ascii_lowercase() } else { letter }
    });
    lower.collect()
}

impl Search {
    /// The text with its secrets replaced; nothing when there are none.
    fn replaced(&self, text: &str) -> Option<String> {
        let cut = self.cut(text);
        if cut.is_none() && !self.automaton.is_match(text) {
            return None;
        }
        let mut clean = String::with_capacity(text.len());
        self.automaton.replace_all_with(&text[..cut.unwrap_or(text.len())], &mut clean, |_, _, clean| {
            clean.push_str(INSTEAD);
            true
        });
        if cut.is_some() {
            clean.push_str(INSTEAD);
        }
        Some(clean)
    }

    /// Where a secret begins that goes on where the text was cut off.
    fn cut(&self, text: &str) -> Option<usize> {
        // A character that was cut in two counts for three bytes as text, and spaces around it are gone.
        if text.len() + 2 * SHORTEST < MAX_REASON {
            return None;
        }
        let begins = |needle: &String| {
            let lengths = (SHORTEST..needle.len()).rev().filter(|length| needle.is_char_boundary(*length));
            lengths.map(|length| &needle[..length]).find(|begin| text.ends_with(begin)).map(str::len)
        };
        self.needles.iter().filter_map(begins).max().map(|length| text.len() - length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        let redactor = Redactor::default();
        redactor.keep(&secrets.iter().map(|secret| (*secret).into()).collect::<Vec<_>>());
        redactor
    }

    #[test]
    fn secrets_are_found_in_each_of_their_forms() {
        let redactor = redactor(&["s3cr/t \"x\"", "me:s3cr/t \"x\"", "abc"]);
        for (said, told) in [
            ("who is s3cr/t \"x\"?", "who is [secret]?"),
            (r#"{"got":"s3cr/t \"x\""}"#, r#"{"got":"[secret]"}"#),
            ("?key=s3cr%2Ft+%22x%22&a=b", "?key=[secret]&a=b"),
            ("?key=s3cr%2Ft%20%22x%22", "?key=[secret]"),
            ("?key=s3cr%2ft%20%22x%22", "?key=[secret]"),
            ("Basic bWU6czNjci90ICJ4Ig==", "Basic [secret]=="),
            ("abc is too short, and nothing else is here", "abc is too short, and nothing else is here"),
        ] {
            assert_eq!(redactor.text(said.to_owned()), told);
        }
    }

    #[test]
    fn a_secret_that_was_cut_off_is_found() {
        let redactor = redactor(&["canary-of-many-letters"]);
        let said = format!("{}canary-of-ma", "x".repeat(MAX_REASON - 12));
        assert_eq!(redactor.text(said), format!("{}[secret]", "x".repeat(MAX_REASON - 12)));
        assert_eq!(redactor.text("canary-of-ma".to_owned()), "canary-of-ma", "short texts were not cut");
    }

    #[test]
    fn tokens_come_and_go_and_secrets_stay() {
        let redactor = redactor(&["lasting"]);
        for number in 0..2 * TOKENS {
            redactor.keep_token(&format!("token-{number:02}").into());
        }
        let said = "lasting token-00 token-15".to_owned();
        assert_eq!(redactor.text(said), "[secret] token-00 [secret]");
    }
}
