//! Resilient HTTP: GETs that get through, POSTs that are sent once and understood.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use url::Url;

use credentials::Credentials;

use crate::spec::types::TargetSpec;

mod access;
mod asking;
mod budget;
mod cassette;
mod circuit;
pub(crate) mod classify;
mod connect;
mod connections;
mod counters;
mod credentials;
mod fleet;
mod held;
mod host;
mod hosts;
mod latency;
mod limit;
mod look;
mod measures;
mod message;
mod notes;
mod pace;
mod posting;
mod race;
mod rate;
mod reading;
mod redact;
mod requester;
mod roots;
mod shared;
mod token;
mod transport;
mod tries;
mod turn;

pub(crate) use access::Access;
pub use access::Process;
pub use cassette::{Cassette, CassetteError, Played, Player, Recorder};
pub use classify::{Oddity, PostOutcome, ProbeOutcome};
pub use connect::proxy_url;
pub use fleet::{ClosedHosts, Fleet, host_of};
pub use look::{LookError, Looked, look};
pub use message::{Messenger, NoReply, Reply};
pub use notes::{Sent, SentEnding};
pub use requester::Requester;
pub(crate) use transport::{Answer, Exchange, TransportError};
pub use turn::Turn;

/// What a process wants of its requests, beside the pipeline's limits.
#[derive(Debug, Clone)]
pub struct RequesterConfig {
    /// The most requests at once to a host, in place of the pipeline's limit.
    pub concurrency: Option<usize>,
    /// Where randomness comes from: the same seed jitters the same.
    pub seed: u64,
    /// How the process names itself to servers.
    pub user_agent: String,
    /// Whether a host that never served anything is waited for as one that is down. Else it is given up like any request
    /// that fails: its address may be wrong.
    pub wait_for_first: bool,
    /// A proxy for all requests. Those of the environment are not looked at.
    pub proxy: Option<Url>,
    /// With whom the process shares what hosts allow. Nobody: a rate holds for its own requests.
    pub fleet: Option<Arc<dyn Fleet>>,
}

impl Default for RequesterConfig {
    fn default() -> Self {
        Self {
            concurrency: None,
            seed: 0,
            wait_for_first: false,
            user_agent: concat!("muster/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxy: None,
            fleet: None,
        }
    }
}

/// A requester that cannot be made: the proxy or the trusted certificates are unusable, or a secret is missing; it says
/// which, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RequesterError(String);

/// Whether this process has all secrets that it needs.
pub(crate) fn check_secrets(access: &Arc<Access>, target: &TargetSpec, process: Process) -> Result<(), RequesterError> {
    let requests = Credentials::of(access, process).map(drop);
    requests.and_then(|()| access.check_target(target, process)).map_err(RequesterError)
}

/// What a GET is for; it decides what the request carries and how large the answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Get {
    /// A page of the list.
    List,
    /// One record.
    Detail,
    /// A further part of a record: which one under `source.enrich`, counted from 0.
    Enrich(usize),
    /// Whether the target has a record: the status is the answer, the body is not looked at.
    Probe,
}

/// What a GET cost, whatever came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// How many tries there were.
    pub attempts: u32,
    /// How many further copies were sent because an earlier one was slow.
    pub hedges: u32,
    /// Questions whether the host is back, asked on behalf of all that waited.
    pub questions: u32,
    /// Bytes of bodies received in all tries, decompressed.
    pub bytes: u64,
    /// How long it was held back before it was sent: until the rate allowed it, while the host wanted to be left alone or
    /// served nothing, before it was sent again. Not: for a place among the requests in flight, nor for answers.
    pub waited: Duration,
}

/// Why a GET came to nothing, by what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// 404 or 410: of a detail, the record is no more.
    #[error("the source says {status}: there is nothing at this URL")]
    Gone {
        /// The status.
        status: u16,
    },
    /// 401 or 403: nothing can be read until a person mends it.
    #[error("the source refuses with {status}: {}", excerpt(detail))]
    Refused {
        /// The status.
        status: u16,
        /// The beginning of what the source said.
        detail: String,
    },
    /// A 2xx that is no JSON: more likely all are so than this one alone.
    #[error("the source answered {status} with {}, not JSON: {}", content_type.as_deref().unwrap_or("no content type"), excerpt(detail))]
    WrongContent {
        /// The status.
        status: u16,
        /// What the source calls it.
        content_type: Option<String>,
        /// The beginning of the answer.
        detail: String,
    },
    /// A 2xx with JSON beyond the limit of its kind: this one alone.
    #[error("the answer is larger than {limit} bytes after decompression; {} says how large it may be", match kind { Get::List => "limits.page_size", _ => "limits.record_size" })]
    TooLarge {
        /// The status.
        status: u16,
        /// What the GET was for.
        kind: Get,
        /// How large it may be, in bytes after decompression.
        limit: usize,
        /// The beginning of the answer.
        detail: String,
    },
    /// Tried as often as the limits allow.
    #[error("given up after {attempts} attempt{}, the last: {}", if *attempts == 1 { "" } else { "s" }, excerpt(last))]
    GivenUp {
        /// How many tries there were.
        attempts: u32,
        /// What came of the last one.
        last: String,
        /// The status of the last one, if it had one.
        status: Option<u16>,
        /// Whether the last one was sent, and not answered in time.
        silent: bool,
    },
    /// The source wants to know who asks, and that cannot be told: nothing was sent.
    #[error("{reason}")]
    NoCredentials {
        /// Which secret or token is missing, and why.
        reason: String,
    },
    /// Another 3xx or 4xx: the same request would fare the same.
    #[error("the source refuses the request with {status}: {}", excerpt(detail))]
    ClientError {
        /// The status.
        status: u16,
        /// The beginning of what the source said.
        detail: String,
    },
}

impl FetchError {
    /// What a person may do about it when a whole run cannot go on.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            FetchError::Gone { .. } | FetchError::ClientError { .. } => {
                "check the pipeline's URL, and the parameters that go into it"
            }
            FetchError::Refused { .. } => {
                "it wants credentials, or other ones: check auth in the pipeline, and what that refers to"
            }
            FetchError::NoCredentials { .. } => "check auth in the pipeline, and what that refers to",
            FetchError::WrongContent { .. } => {
                "is this the API's address, or does a web page or a proxy's sign-in stand there?"
            }
            FetchError::TooLarge { .. } => "raise that limit in the pipeline, or let the source answer with less",
            FetchError::GivenUp { silent: true, .. } => {
                "it takes connections, but is slower than limits.get_timeout: raise that (and limits.hedge_after, if \
                 only some of its answers are slow); or is it another program's port?"
            }
            FetchError::GivenUp { status: None, .. } => "are host and port right, and does the source run there?",
            FetchError::GivenUp { status: Some(_), .. } => "it is there, but it fails: its own log may say why",
        }
    }
}

/// The beginning of what a server said, in one line: whole pages of HTML tell nobody more.
#[must_use]
pub fn excerpt(text: &str) -> String {
    const MOST: usize = 200;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

/// What a requester did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequesterStats {
    /// Requests on the wire, retries and hedges included.
    pub requests: u64,
    /// GETs sent again after they failed.
    pub retries: u64,
    /// Second and third copies of slow GETs.
    pub hedges: u64,
    /// Hedges that answered before their original.
    pub hedges_won: u64,
    /// Answers that asked to be left alone: 429, and 503 with `Retry-After`.
    pub throttled: u64,
    /// Bytes of bodies received, decompressed.
    pub bytes_in: u64,
    /// Bytes of bodies sent.
    pub bytes_out: u64,
}

/// The guard of a mutex, also after a panic elsewhere: what these guard is counters, valid at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
