//! Webhooks: a signed POST.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use muster_pipeline::{Messenger, NoReply, Reply, excerpt};
use url::Url;

use super::address;
use super::sender::Sent;
use super::sign::Secrets;
use crate::store::Destination;

/// How long an answer is awaited.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest that a server's wish to be left alone is obeyed.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 3600);

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
            Ok(reply) => judge(reply),
            Err(none) => Sent::Failed { error: self.unanswered(id, none), after: None },
        }
    }

    /// What the ledger has of it; the reason is for the log: it comes from this machine's libraries, which do not know the path.
    fn unanswered(&self, id: &str, none: NoReply) -> String {
        let (what, reason) = match none {
            NoReply::Late => return format!("no answer within {} s", TIMEOUT.as_secs()),
            NoReply::Unreached(reason) => ("it cannot be reached: the log says why", reason),
            NoReply::Broken(reason) => ("the connection broke before an answer: the log says how", reason),
        };
        let (destination, reason) = (address::shown(&self.url), excerpt(&reason));
        tracing::warn!(destination, id, reason, "a webhook did not answer");
        what.to_owned()
    }
}

/// What an answer means: any failure is tried again, but whoever says 410 (gone) wants no more, by the specification.
fn judge(Reply { status, retry_after }: Reply) -> Sent {
    if status.is_success() {
        return Sent::Accepted;
    }
    let words = status.canonical_reason().map(|words| format!(" {words}")).unwrap_or_default();
    let unfollowed = if status.is_redirection() { ", and redirects are not followed" } else { "" };
    let error = format!("it answers {}{words}{unfollowed}", status.as_u16());
    if status == StatusCode::GONE {
        return Sent::Refused { error };
    }
    Sent::Failed { error, after: retry_after.map(|wish| wish.min(LONGEST_WISH)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_host_is_not_shown() {
        let url = Url::parse("https://hooks.example/to/hunter2hunter2?key=hunter2").unwrap();
        let secrets = Secrets::File("none".into());
        let webhook = Webhook { url, secrets, messenger: Messenger::new("test", None).unwrap() };
        assert!(!format!("{webhook:?}").contains("hunter2"));
    }

    #[test]
    fn all_but_gone_is_tried_again() {
        let judged = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            judge(Reply { status, retry_after: Some(Duration::from_secs(7)) })
        };
        assert_eq!((judged(200), judged(204)), (Sent::Accepted, Sent::Accepted));
        assert_eq!(judged(410), Sent::Refused { error: "it answers 410 Gone".into() });
        for status in [302, 400, 401, 403, 404, 408, 413, 422, 425, 429, 500, 503] {
            let Sent::Failed { error, after } = judged(status) else { panic!("{status}") };
            assert!(error.starts_with(&format!("it answers {status} ")), "{error}");
            assert_eq!(after, Some(Duration::from_secs(7)));
        }
        let Sent::Failed { error, .. } = judged(799) else { panic!("799") };
        assert_eq!(error, "it answers 799");
    }
}
