//! Webhooks: a signed POST.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use muster_pipeline::{Messenger, Reply, excerpt};
use url::Url;

use super::address;
use super::sender::Sent;
use super::sign::Secrets;
use crate::store::Destination;

/// How long an answer is awaited.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest that a server's wish to be left alone is obeyed.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 3600);

/// Bytes of a part of a URL that may be a secret: fewer are words.
const SHORTEST_SECRET: usize = 8;

/// Where signed messages are posted.
pub(super) struct Webhook {
    pub url: Url,
    pub secrets: Secrets,
    pub messenger: Messenger,
}

impl std::fmt::Debug for Webhook {
    /// Without what stands behind the host: it may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("host", &address::shown(&self.url)).finish_non_exhaustive()
    }
}

impl Webhook {
    pub fn destination(&self) -> Destination {
        Destination { name: address::name("webhook", self.url.as_str().as_bytes()), shown: address::shown(&self.url) }
    }

    /// Posts a message, at this time by the wall: receivers hold it against theirs. The coordinator's own time only goes forward,
    /// and may be behind on a machine that slept.
    pub async fn send(&self, id: &str, at: SystemTime, body: Bytes) -> Sent {
        let timestamp = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let keys = match self.secrets.keys() {
            Ok(keys) => keys,
            // The file is being replaced, perhaps.
            Err(error) => return Sent::Failed { error, after: None },
        };
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let ours = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", keys.sign(id, timestamp, &body)),
        ];
        for (name, value) in ours {
            // Digits and letters all of them.
            let Ok(value) = HeaderValue::from_str(&value) else { continue };
            headers.insert(name, value);
        }
        match self.messenger.post(&self.url, headers, body, TIMEOUT).await {
            Ok(reply) => judge(&Reply { words: excerpt(&self.without_path(&reply.words)), ..reply }),
            Err(error) => Sent::Failed { error, after: None },
        }
    }
}

impl Webhook {
    /// What a server says, without what stands behind its host in the URL: some say back what they were asked for.
    fn without_path(&self, words: &str) -> String {
        let segments = self.url.path_segments().into_iter().flatten();
        let pairs = self.url.query().into_iter().flat_map(|query| query.split(['&', '=']));
        let mut words = words.to_owned();
        for part in segments.chain(pairs).filter(|part| part.len() >= SHORTEST_SECRET) {
            words = words.replace(part, "…");
        }
        words
    }
}

/// What an answer means. Whoever says 410, or refuses the message itself, does not want it a second time.
fn judge(reply: &Reply) -> Sent {
    let Reply { status, retry_after, words } = reply;
    if status.is_success() {
        return Sent::Accepted;
    }
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    let error = match status.is_redirection() {
        true => format!("it answers {}, and redirects are not followed", status.as_u16()),
        false => format!("it answers {}{said}", status.as_u16()),
    };
    let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    if status.is_client_error() && !again.contains(status) {
        return Sent::Refused { error };
    }
    Sent::Failed { error, after: retry_after.map(|wish| wish.min(LONGEST_WISH)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_back_of_the_url_is_not_repeated() {
        let url = Url::parse("https://hooks.example/to/hunter2hunter2?key=letmein-letmein").unwrap();
        let secrets = Secrets::File("none".into());
        let webhook = Webhook { url, secrets, messenger: Messenger::new("test").unwrap() };
        let words = webhook.without_path("no POST to /to/hunter2hunter2?key=letmein-letmein here");
        assert_eq!(words, "no POST to /to/…?key=… here");
        assert!(!format!("{webhook:?}").contains("hunter2"));
    }

    #[test]
    fn an_answer_says_whether_to_try_again() {
        let judged = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            judge(&Reply { status, retry_after: Some(Duration::from_secs(7)), words: "no".into() })
        };
        assert_eq!((judged(200), judged(204)), (Sent::Accepted, Sent::Accepted));
        for status in [400, 401, 403, 404, 410, 422] {
            assert_eq!(judged(status), Sent::Refused { error: format!("it answers {status}: no") });
        }
        for status in [302, 408, 425, 429, 500, 503] {
            let Sent::Failed { error, after } = judged(status) else { panic!("{status}") };
            assert!(error.contains(&status.to_string()), "{error}");
            assert_eq!(after, Some(Duration::from_secs(7)));
        }
    }
}
