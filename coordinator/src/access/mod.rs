//! Who may come in: what each call admits (`roles`), who has which role (`list`), what a call brings (`judge`), what a
//! browser keeps of it (`session`), and the ports at which connections are made (`doors`, `tls`).
//!
//! Everything is denied that is not allowed: a method without a role does not build, a caller without an entry is refused
//! in front of all services (`layer`), and whoever has shaken no hands costs a bounded amount for a bounded time.

mod coverage;
mod doors;
mod flags;
mod judge;
mod layer;
mod list;
mod roles;
mod session;
mod tls;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use muster_telemetry::names;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use doors::{Connection, Door, Guest};
pub use flags::AccessArgs;
pub(crate) use judge::{Identity, Refused};
pub(crate) use layer::{AccessLayer, Judged};
use list::AccessList;
#[cfg(test)]
pub(crate) use roles::METHODS;
pub(crate) use roles::{Admits, NAMES as METHOD_NAMES, of_path};
pub(crate) use session::Opened;
pub(crate) use tls::Speaks;
use tls::{TlsBytes, TlsConfigs, TlsFiles};

/// How often files are looked at. They are read, not asked for their times: a file that is replaced by a symlink's change,
/// as Kubernetes does, or by one of the same age is another file all the same.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Who may come in, and how: kept up to date while `keep_up` runs.
pub struct Access {
    list: Option<Kept<AccessFile>>,
    tls: Option<Kept<TlsFiles>>,
    max_connections: usize,
}

/// Why it cannot be said who may come in.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Of --tls-cert, --tls-key or --tls-client-ca.
    #[error("TLS cannot be served: {0}")]
    Tls(String),
    /// Of --tokens.
    #[error("nobody knows who may come in (--tokens): {0}")]
    List(String),
}

impl Access {
    /// Reads the files of these flags.
    ///
    /// # Errors
    /// One cannot be used: says which and why.
    pub fn of(args: &AccessArgs) -> Result<Self, AccessError> {
        let list = args.tokens.clone().map(|path| Kept::read(AccessFile(path)).map_err(AccessError::List));
        let tls = args.tls_files().map(|files| Kept::read(files).map_err(AccessError::Tls));
        Ok(Self { list: list.transpose()?, tls: tls.transpose()?, max_connections: args.max_connections })
    }

    /// Reads the files again as they change, until `stop`.
    pub(crate) async fn keep_up(&self, stop: &CancellationToken) {
        let mut ticker = tokio::time::interval(LOOK_EVERY);
        ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticker.tick()).await.is_some() {
            if let Some(list) = &self.list {
                list.look().await;
            }
            if let Some(tls) = &self.tls {
                tls.look().await;
            }
        }
    }

    /// What stands in front of gRPC services.
    pub(crate) fn layer(&self) -> AccessLayer {
        AccessLayer { list: self.list.as_ref().map(|list| list.current.subscribe()) }
    }

    /// Whether a request that needs to read may be answered: the same as for calls that admit viewers.
    pub(crate) fn may_read(&self, headers: &HeaderMap, guest: &Guest) -> Result<(), Refused> {
        let Some(list) = &self.list else { return Ok(()) };
        let credentials = judge::Credentials::of(headers, guest.certificate.clone());
        credentials.judge(&list.current.borrow(), roles::VIEWER, SystemTime::now()).map(drop)
    }

    /// Whether whoever sends this may make a call, `/package.Service/Method`.
    pub(crate) fn may_call(&self, path: &str, headers: &HeaderMap, guest: &Guest) -> Result<(), Refused> {
        let Some(list) = &self.list else { return Ok(()) };
        let admits = of_path(path).ok_or(Refused::Unknown)?;
        let credentials = judge::Credentials::of(headers, guest.certificate.clone());
        credentials.judge(&list.current.borrow(), admits, SystemTime::now()).map(drop)
    }

    /// A token as a browser keeps it; none where nobody is asked for one.
    pub(crate) fn seal(&self, token: &str) -> Option<String> {
        self.list.as_ref().and_then(|_| session::seal(token, SystemTime::now()))
    }

    /// What a browser has kept.
    pub(crate) fn open(&self, sealed: &str) -> Option<Opened> {
        let list = self.list.as_ref()?;
        session::open(sealed, &list.current.borrow(), SystemTime::now())
    }

    /// Whether anybody is asked who he is.
    pub(crate) fn asks(&self) -> bool {
        self.list.is_some()
    }

    /// Whether ports speak TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// A port with all this in front.
    pub(crate) fn door(&self, listener: TcpListener, speaks: Speaks) -> Door {
        let tls = self.tls.as_ref().map(|tls| tls.current.subscribe());
        Door { listener, speaks, tls, max_connections: self.max_connections }
    }
}

/// Something that is read from files, again and again.
trait Source: Clone + Send + 'static {
    type Bytes: PartialEq + Send + 'static;
    type Made: Send + Sync + 'static;
    fn read(&self) -> Result<Self::Bytes, String>;
    fn make(&self, bytes: &Self::Bytes) -> Result<Self::Made, String>;
    /// Says what is in use now.
    fn say(&self, made: &Self::Made);
    /// What the files are, in words.
    const WHAT: &'static str;
}

/// What was made of files, as long as nothing better can be made of them.
struct Kept<S: Source> {
    source: S,
    current: watch::Sender<S::Made>,
    /// What was read last, good or bad: each content is told of once.
    last: tokio::sync::Mutex<Result<S::Bytes, String>>,
}

impl<S: Source> Kept<S> {
    fn read(source: S) -> Result<Self, String> {
        let bytes = source.read()?;
        let made = source.make(&bytes)?;
        source.say(&made);
        Ok(Self { source, current: watch::Sender::new(made), last: tokio::sync::Mutex::new(Ok(bytes)) })
    }

    /// Reads the files, and takes over what they say if that can be used.
    async fn look(&self) {
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let read = read.unwrap_or_else(|error| Err(error.to_string()));
        let mut last = self.last.lock().await;
        if *last == read {
            return;
        }
        match read.as_ref().map_err(Clone::clone).and_then(|bytes| self.source.make(bytes)) {
            Ok(made) => {
                self.source.say(&made);
                self.current.send_replace(made);
            }
            Err(reason) => tracing::error!(
                { names::REASON } = reason,
                { names::NEXT } = "what was read before stays in force; mend the file, and it is taken up by itself",
                "{} cannot be used",
                S::WHAT
            ),
        }
        *last = read;
    }
}

/// The access file.
#[derive(Debug, Clone)]
struct AccessFile(PathBuf);

impl Source for AccessFile {
    type Bytes = Vec<u8>;
    type Made = Arc<AccessList>;
    const WHAT: &'static str = "the access file (--tokens)";

    fn read(&self) -> Result<Vec<u8>, String> {
        read_bounded(&self.0)
    }

    fn make(&self, bytes: &Vec<u8>) -> Result<Arc<AccessList>, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text in UTF-8".to_owned());
        let parsed = text.and_then(AccessList::parse).map(Arc::new);
        parsed.map_err(|reason| format!("{}: {reason}", self.0.display()))
    }

    fn say(&self, made: &Arc<AccessList>) {
        let (tokens, certificates) = made.sizes();
        tracing::info!(tokens, certificates, file = %self.0.display(), "the access file says who may come in");
    }
}

impl Source for TlsFiles {
    type Bytes = TlsBytes;
    type Made = TlsConfigs;
    const WHAT: &'static str = "the certificate or key";

    fn read(&self) -> Result<TlsBytes, String> {
        TlsFiles::read(self)
    }

    fn make(&self, bytes: &TlsBytes) -> Result<TlsConfigs, String> {
        self.configs(bytes)
    }

    fn say(&self, _: &TlsConfigs) {
        tracing::info!(certificate = %self.certificate.display(), "new connections are made with this certificate");
    }
}

/// A small file. An error names it.
fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(list::MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > list::MAX_FILE {
        return Err(format!("{} is larger than {} KiB", path.display(), list::MAX_FILE >> 10));
    }
    Ok(bytes)
}
