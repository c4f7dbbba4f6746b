//! Who asks, with the secrets of this process: what each request carries, and when that is made anew.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::{Origin, Url};

use super::access::{Access, Process, Purpose, Side};
use super::redact::Redactor;
use super::token::{Client, Token};

/// Room for what else stands in the headers of a request when it is sent, in their index: a copy keeps its size, and would be
/// indexed anew several times while they are added.
const ROOM: usize = 5;

/// `Basic …` (RFC 7617).
pub(crate) fn basic(user: &str, password: &str) -> SecretString {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))).into()
}

/// One side's secrets as they are now.
#[derive(Default)]
pub(crate) struct Resolved {
    /// What each kind of request carries, and where to alone.
    pub(crate) requests: Vec<(Purpose, Origin, HeaderMap)>,
    pub(crate) proof: Proof,
    /// All that must never be shown.
    pub(crate) secrets: Vec<SecretString>,
}

/// What tells a host who asks.
#[derive(Default)]
pub(crate) enum Proof {
    #[default]
    None,
    Header(HeaderName, HeaderValue),
    Query(String, SecretString),
    /// A token that must be got first.
    Client(Box<Client>),
}

impl Resolved {
    /// Whether requests would carry the same. A client's token is another matter.
    fn is_same(&self, other: &Self) -> bool {
        let proof = match (&self.proof, &other.proof) {
            (Proof::Header(_, one), Proof::Header(_, other)) => one == other,
            (Proof::Query(_, one), Proof::Query(_, other)) => one.expose_secret() == other.expose_secret(),
            _ => true,
        };
        proof && self.requests == other.requests
    }
}

/// What one request carries to tell who asks. It is never shown.
pub(crate) struct Pass {
    side: Side,
    /// Which in the order in which they were made.
    number: u64,
    since: Instant,
    headers: HeaderMap,
    query: Option<(String, SecretString)>,
    /// Whether a host took it.
    proven: AtomicBool,
}

impl Pass {
    fn plain(side: Side) -> Self {
        let mut headers = HeaderMap::with_capacity(1 + ROOM);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let proven = AtomicBool::new(false);
        Self { side, number: 0, since: Instant::now(), headers, query: None, proven }
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    /// The URL as it is sent. A key in its query is put there last of all, so that nobody else ever sees it.
    pub(crate) fn url(&self, shown: &Url) -> Url {
        let Some((name, value)) = &self.query else { return shown.clone() };
        let mut url = without(shown, name);
        url.query_pairs_mut().append_pair(name, value.expose_secret());
        url
    }

    /// A host took it: it is no fault of this pass when the next does not.
    pub(crate) fn is_taken(&self) {
        if !self.proven.load(Ordering::Relaxed) {
            self.proven.store(true, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A URL without a parameter of its query: a host may have given its own link with the key in it.
fn without(url: &Url, name: &str) -> Url {
    let mut rest = url.clone();
    if url.query_pairs().any(|(known, _)| known == name) {
        let kept: Vec<_> = url.query_pairs().filter(|(known, _)| known != name).collect();
        rest.set_query(None);
        if !kept.is_empty() {
            rest.query_pairs_mut().extend_pairs(kept);
        }
    }
    rest
}

/// Whether this is the origin of a URL; that is not made for it, since it would have a copy of the host.
fn goes_to(url: &Url, origin: &Origin) -> bool {
    match origin {
        Origin::Tuple(scheme, host, port) => {
            url.scheme() == scheme
                && url.port_or_known_default() == Some(*port)
                && url.host().is_some_and(|known| known == *host)
        }
        // Equal to itself alone.
        Origin::Opaque(_) => false,
    }
}

/// The credentials of one process for one pipeline.
pub(crate) struct Credentials {
    source: Keys,
    target: Keys,
    pub(crate) redactor: Redactor,
}

/// One side's credentials.
pub(crate) struct Keys {
    side: Side,
    /// What a request carries that tells nothing of who asks.
    plain: Arc<Pass>,
    /// Where secrets are looked up again; nothing for a requester that asks as nobody.
    access: Option<(Arc<Access>, Process)>,
    state: Mutex<State>,
    /// Held while a token is fetched: all others wait for that one.
    pub(crate) fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    number: u64,
    resolved: Resolved,
    passes: Vec<(Purpose, Arc<Pass>)>,
    /// When a new token is to be fetched.
    renew_at: Option<Instant>,
}

impl Credentials {
    /// Of somebody who says nothing of who it is.
    pub(crate) fn nobody() -> Self {
        let keys = |side| Keys {
            side,
            plain: Arc::new(Pass::plain(side)),
            access: None,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        };
        Self { source: keys(Side::Source), target: keys(Side::Target), redactor: Redactor::default() }
    }

    /// Looks up all secrets that this process needs.
    pub(crate) fn of(access: &Arc<Access>, process: Process) -> Result<Self, String> {
        let mut all = Self::nobody();
        for keys in [&mut all.source, &mut all.target] {
            let resolved = access.resolve(keys.side, process)?;
            all.redactor.keep(&resolved.secrets);
            keys.access = Some((Arc::clone(access), process));
            super::lock(&keys.state).install(keys.side, resolved);
        }
        Ok(all)
    }

    pub(crate) fn keys(&self, side: Side) -> &Keys {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// What a request carries; nothing when a token must be fetched first. Another host than the pipeline's own is told
    /// nothing.
    pub(crate) fn pass(&self, purpose: Purpose, url: &Url) -> Option<Arc<Pass>> {
        let keys = self.keys(purpose.side());
        let plain = || Some(Arc::clone(&keys.plain));
        // Who asks as nobody has no state that could change.
        if keys.access.is_none() {
            return plain();
        }
        let state = super::lock(&keys.state);
        let own = state.resolved.requests.iter().find(|(known, ..)| *known == purpose);
        if own.is_none_or(|(_, origin, _)| !goes_to(url, origin)) {
            return plain();
        }
        if state.renew_at.is_some_and(|at| at <= Instant::now()) {
            return None;
        }
        state.pass(purpose)
    }

    /// The pass of a token that was just fetched, however soon that runs out.
    pub(crate) fn issued(&self, purpose: Purpose) -> Option<Arc<Pass>> {
        super::lock(&self.keys(purpose.side()).state).pass(purpose)
    }

    /// What a question carries whether a host is back: as things are, for it must wait for nothing.
    pub(crate) fn as_known(&self, purpose: Purpose, url: &Url) -> Arc<Pass> {
        self.pass(purpose, url).unwrap_or_else(|| Arc::clone(&self.keys(purpose.side()).plain))
    }

    /// The host refused a request of somebody who is known to it by this pass: is there another, or can there be one?
    ///
    /// A token that was good, or that was there before the request `began`, may have run out: the next request fetches
    /// another. A secret may have been exchanged since it was looked up.
    pub(crate) fn refused(&self, pass: &Pass, status: StatusCode, began: Instant) -> bool {
        let keys = self.keys(pass.side);
        let mut state = super::lock(&keys.state);
        if pass.number == 0 {
            return false;
        }
        if state.number != pass.number {
            return true;
        }
        if matches!(state.resolved.proof, Proof::Client(_)) {
            let was_good = pass.proven.load(Ordering::Relaxed) || pass.since < began;
            if status != StatusCode::UNAUTHORIZED || !was_good {
                return false;
            }
            state.number += 1;
            state.passes.clear();
            return true;
        }
        let Some((access, process)) = &keys.access else { return false };
        // One that cannot be had any more says no more than that the old one is refused.
        let Ok(resolved) = access.resolve(keys.side, *process) else { return false };
        if resolved.is_same(&state.resolved) {
            return false;
        }
        self.redactor.keep(&resolved.secrets);
        state.install(keys.side, resolved);
        true
    }

    /// The client that fetches a token for this side, with its secrets as they are now.
    pub(crate) fn client(&self, side: Side) -> Result<Client, String> {
        let keys = self.keys(side);
        let nobody = || "nobody can ask for a token here".to_owned();
        let (access, process) = keys.access.as_ref().ok_or_else(nobody)?;
        let resolved = access.resolve(side, *process)?;
        self.redactor.keep(&resolved.secrets);
        let Proof::Client(client) = &resolved.proof else { return Err(nobody()) };
        let client = Client::clone(client);
        super::lock(&keys.state).resolved = resolved;
        Ok(client)
    }

    /// Takes a fetched token into use.
    pub(crate) fn take(&self, side: Side, token: &Token) -> Result<(), String> {
        let text = format!("Bearer {}", token.text.expose_secret());
        let mut value = HeaderValue::from_str(&text).map_err(|_| "the token cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        self.redactor.keep_token(&token.text);
        let mut state = super::lock(&self.keys(side).state);
        state.issue(side, Some((&AUTHORIZATION, &value)), None);
        state.renew_at = Some(token.renew_at);
        Ok(())
    }
}

impl State {
    fn pass(&self, purpose: Purpose) -> Option<Arc<Pass>> {
        self.passes.iter().find(|(known, _)| *known == purpose).map(|(_, pass)| Arc::clone(pass))
    }

    fn install(&mut self, side: Side, resolved: Resolved) {
        let proof = match &resolved.proof {
            Proof::Header(name, value) => (Some((name.clone(), value.clone())), None),
            Proof::Query(name, value) => (None, Some((name.clone(), value.clone()))),
            Proof::None => (None, None),
            Proof::Client(_) => {
                self.resolved = resolved;
                return;
            }
        };
        self.resolved = resolved;
        self.issue(side, proof.0.as_ref().map(|(name, value)| (name, value)), proof.1.as_ref());
    }

    /// Makes passes for all kinds of requests.
    fn issue(
        &mut self,
        side: Side,
        header: Option<(&HeaderName, &HeaderValue)>,
        query: Option<&(String, SecretString)>,
    ) {
        self.number += 1;
        let (number, since) = (self.number, Instant::now());
        let passes = self.resolved.requests.iter().map(|(purpose, _, headers)| {
            let mut headers = headers.clone();
            headers.reserve(ROOM);
            if let Some((name, value)) = header {
                headers.insert(name.clone(), value.clone());
            }
            let proven = AtomicBool::new(false);
            let pass = Pass { side, number, since, headers, query: query.cloned(), proven };
            (*purpose, Arc::new(pass))
        });
        self.passes = passes.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Get;
    use super::*;

    #[test]
    fn a_url_goes_to_the_origin_that_it_has() {
        let urls = [
            "http://host.test/a?b#c",
            "http://HOST.test:80/",
            "http://host.test:8080/",
            "https://host.test/",
            "https://host.test:443/",
            "http://other.test/",
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://[::1]:80/",
            "http://me:secret@host.test/",
            "data:text/plain,x",
            "file:///host.test/",
        ]
        .map(|url| Url::parse(url).unwrap());
        for one in &urls {
            for other in &urls {
                assert_eq!(goes_to(one, &other.origin()), one.origin() == other.origin(), "{one} and {other}");
            }
        }
    }

    #[test]
    fn who_asks_as_nobody_carries_the_same_each_time_and_has_room_for_what_is_added() {
        let (credentials, url) = (Credentials::nobody(), Url::parse("http://host.test/").unwrap());
        let pass = |purpose| credentials.pass(purpose, &url).unwrap();
        let (one, other) = (pass(Purpose::Get(Get::Detail)), pass(Purpose::Get(Get::List)));
        assert!(Arc::ptr_eq(&one, &other));
        assert!(!Arc::ptr_eq(&one, &pass(Purpose::Load)), "that is another side");
        assert!(one.headers().capacity() > ROOM);
        assert!(!credentials.refused(&one, StatusCode::UNAUTHORIZED, Instant::now()));
    }
}
