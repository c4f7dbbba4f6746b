//! Tokens of OAuth2 client credentials (RFC 6749, section 4.4): how they are asked for, and what the answer says.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::FetchError;
use super::classify::{GetOutcome, told};
use super::credentials::basic;
use super::transport::{Answer, BodyEnd, Exchange};
use crate::spec::types::SendSecret;

/// How long a token is used whose server does not say how long it lives.
const UNKNOWN: Duration = Duration::from_secs(300);
/// A token is exchanged when a fifth of its life is left, and at most this long before its end.
const EARLY: Duration = Duration::from_secs(60);
/// The largest answer with a token that is read: some carry much of what they are about in themselves.
const MAX_ANSWER: usize = 64 << 10;

/// Who asks for tokens, and where.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) url: Url,
    pub(crate) id: SecretString,
    pub(crate) secret: SecretString,
    pub(crate) scope: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) send: SendSecret,
}

/// A token and when it is to be exchanged for another.
pub(crate) struct Token {
    pub(crate) text: SecretString,
    pub(crate) renew_at: Instant,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Refused {
    error: Option<String>,
    error_description: Option<String>,
}

impl Client {
    /// The client's credentials as `send: basic` sends them. Both parts are encoded first (RFC 6749, section 2.3.1).
    pub(crate) fn basic(&self) -> SecretString {
        let encoded = |text: &SecretString| byte_serialize(text.expose_secret().as_bytes()).collect::<String>();
        basic(&encoded(&self.id), &encoded(&self.secret))
    }

    /// The request for a token.
    pub(crate) fn exchange(&self) -> Exchange {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::from_iter([(ACCEPT, json), (CONTENT_TYPE, form)]);
        let mut body = Serializer::new(String::new());
        body.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", &self.scope), ("audience", &self.audience)] {
            if let Some(value) = value {
                body.append_pair(name, value);
            }
        }
        match self.send {
            // Base64 can stand in any header.
            SendSecret::Basic => {
                if let Ok(mut value) = HeaderValue::from_str(self.basic().expose_secret()) {
                    value.set_sensitive(true);
                    headers.insert(AUTHORIZATION, value);
                }
            }
            SendSecret::Body => {
                body.append_pair("client_id", self.id.expose_secret());
                body.append_pair("client_secret", self.secret.expose_secret());
            }
        }
        let body = Bytes::from(body.finish());
        Exchange { method: Method::POST, url: self.url.clone(), headers, body, limit: MAX_ANSWER }
    }

    /// What the answer to it means.
    pub(crate) fn read(&self, answer: &Answer) -> GetOutcome<Token> {
        let status = answer.status.as_u16();
        match status {
            200..=299 => match &answer.end {
                BodyEnd::Broken(reason) => {
                    GetOutcome::Again { status: Some(status), reason: format!("the answer broke off: {reason}") }
                }
                BodyEnd::TooLarge => self.failed(&format!("its answer is larger than {MAX_ANSWER} bytes")),
                BodyEnd::Whole => self.granted(status, &answer.body),
            },
            408 | 425 | 429 | 500..=599 => {
                let reason = format!("{status} {}", told(&answer.body)).trim_end().to_owned();
                GetOutcome::Again { status: Some(status), reason }
            }
            _ => self.failed(&format!("it answers {status}, {}", refusal(&answer.body))),
        }
    }

    fn granted(&self, status: u16, body: &[u8]) -> GetOutcome<Token> {
        // What serde says of a token that it cannot read might quote it.
        let Ok(granted) = serde_json::from_slice::<Granted>(body) else {
            return self.failed(&format!("it answers {status} without an access_token in JSON"));
        };
        if let Some(kind) = granted.token_type.filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            let kind: String = kind.chars().take(40).collect();
            return self.failed(&format!("it gives a token of type {kind}, and only bearer tokens are understood"));
        }
        let lives = granted.expires_in.and_then(|seconds| match seconds {
            serde_json::Value::Number(seconds) => seconds.as_f64(),
            // Some write the number as a text.
            serde_json::Value::String(seconds) => seconds.parse().ok(),
            _ => None,
        });
        let lives = lives.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let used = lives.map_or(UNKNOWN, |lives| lives.saturating_sub((lives / 5).min(EARLY)));
        // A day is long enough for any token, and short enough for any clock.
        let used = used.min(Duration::from_hours(24));
        GetOutcome::Fetched(Token { text: granted.access_token.into(), renew_at: Instant::now() + used })
    }

    fn failed(&self, what: &str) -> GetOutcome<Token> {
        GetOutcome::Failed(self.no_token(what))
    }

    /// That there is no token, where it was asked for, and why.
    pub(crate) fn no_token(&self, what: &str) -> FetchError {
        let mut url = self.url.clone();
        url.set_query(None);
        FetchError::NoCredentials { reason: format!("no token can be had from {url}: {what}") }
    }
}

/// What a token endpoint says in its `error` field, as RFC 6749, section 5.2, has it; else the beginning of its answer.
fn refusal(body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(Refused { error: Some(error), error_description: Some(more) }) => {
            super::excerpt(&format!("{error}: {more}"))
        }
        Ok(Refused { error: Some(error), error_description: None }) => super::excerpt(&error),
        _ => super::excerpt(&told(body)),
    }
}
