//! Who a client is: its flags, and the token that goes with each call.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use muster_telemetry::names;
use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::WorkerError;

/// Of a token given by the environment, which no list of processes shows.
const TOKEN_VARIABLE: &str = "MUSTER_TOKEN";
/// The longest token there is; ours have 50 characters.
const MAX_TOKEN: usize = 512;
/// How often a token's file is read while calls are made: a new token is used within that time, also after a refusal.
const READ_EVERY: Duration = Duration::from_secs(1);

/// How to be let in by a coordinator that asks who comes.
///
/// The variables are not those of a coordinator's own flags of the same name: in its container, what asks it for its health
/// would come with the server's certificate.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialArgs {
    /// Authority (PEM) that the certificate of an https:// coordinator must come from [default: the system's]
    #[arg(long, env = "MUSTER_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Client certificate (PEM) to show to the coordinator; read anew for each connection
    #[arg(long, env = "MUSTER_CLIENT_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, env = "MUSTER_CLIENT_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// File with the token for the coordinator, read again when it changes; or the token itself in MUSTER_TOKEN
    #[arg(long, env = "MUSTER_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl CredentialArgs {
    /// The same as flags of a command line, a blank before each.
    #[must_use]
    pub fn flags(&self) -> String {
        let flags = [
            ("--tls-ca", &self.tls_ca),
            ("--tls-cert", &self.tls_cert),
            ("--tls-key", &self.tls_key),
            ("--token-file", &self.token_file),
        ];
        flags.iter().filter_map(|(flag, file)| Some(format!(" {flag} {}", file.as_ref()?.display()))).collect()
    }
}

/// Puts the token, if there is one, into each call.
#[derive(Clone, Debug)]
pub struct Bearer(Arc<Source>);

enum Source {
    None,
    Fixed(SecretString),
    File(PathBuf, Mutex<Read>),
}

/// A token's file as it was read.
struct Read {
    token: SecretString,
    at: Instant,
    /// It could not be read again, and that was said.
    failing: bool,
}

impl fmt::Debug for Source {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::None => f.write_str("none"),
            Source::Fixed(_) => f.write_str(TOKEN_VARIABLE),
            Source::File(path, _) => write!(f, "{}", path.display()),
        }
    }
}

impl Bearer {
    /// No token.
    pub(crate) fn none() -> Self {
        Self(Arc::new(Source::None))
    }

    /// Of these flags; a file wins over the environment.
    pub(crate) fn of(credentials: &CredentialArgs) -> Result<Self, WorkerError> {
        let variable = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        Ok(Self(Arc::new(match (&credentials.token_file, variable) {
            (Some(path), _) => {
                let token = read(path).map_err(|why| WorkerError::BadFile { file: path.clone(), why })?;
                Source::File(path.clone(), Mutex::new(Read { token, at: Instant::now(), failing: false }))
            }
            (None, Some(token)) => {
                Source::Fixed(usable(&token).map_err(|why| WorkerError::BadFile { file: TOKEN_VARIABLE.into(), why })?)
            }
            (None, None) => Source::None,
        })))
    }

    /// Whether there is a token.
    pub(crate) fn has_token(&self) -> bool {
        !matches!(*self.0, Source::None)
    }

    fn token(&self) -> Option<SecretString> {
        match &*self.0 {
            Source::None => None,
            Source::Fixed(token) => Some(token.clone()),
            Source::File(path, read) => Some(read.lock().unwrap_or_else(PoisonError::into_inner).now(path)),
        }
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = self.token() {
            let value = format!("Bearer {}", token.expose_secret()).parse::<MetadataValue<Ascii>>();
            // It was looked at when it was read.
            let mut value = value.map_err(|_| Status::internal("the token is no metadata"))?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

impl Read {
    /// The token, read again if that was a while ago. What can be used no more is none; the one before may still do.
    fn now(&mut self, path: &Path) -> SecretString {
        if self.at.elapsed() >= READ_EVERY {
            self.at = Instant::now();
            match read(path) {
                Ok(token) => (self.token, self.failing) = (token, false),
                Err(why) if !std::mem::replace(&mut self.failing, true) => tracing::warn!(
                    { names::REASON } = why,
                    { names::NEXT } = "the token that was there before is used",
                    file = %path.display(),
                    "the token's file cannot be used"
                ),
                Err(_) => {}
            }
        }
        self.token.clone()
    }
}

fn read(path: &Path) -> Result<SecretString, String> {
    let text = super::tls::read_bounded(path)?;
    usable(std::str::from_utf8(&text).unwrap_or_default())
}

/// A token, if it can be one. It is not repeated.
fn usable(text: &str) -> Result<SecretString, String> {
    let token = text.trim();
    if (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(token.into());
    }
    Err("it has no token: one line is expected, as `muster token` printed it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
        let folder = std::env::temp_dir().join(format!("muster-token-{}", fastrand::u64(..)));
        std::fs::write(&folder, "one\n").unwrap();
        let mut kept = Read { token: read(&folder).unwrap(), at: Instant::now(), failing: false };
        let mut now = |text: &str| {
            std::fs::write(&folder, text).unwrap();
            kept.at = Instant::now().checked_sub(READ_EVERY).unwrap();
            kept.now(&folder).expose_secret().to_owned()
        };
        assert_eq!(now("two"), "two");
        for unusable in ["", " \n", "two words", "three\nfour"] {
            assert_eq!(now(unusable), "two", "{unusable}");
        }
        assert_eq!(now(" three\n"), "three");
        std::fs::remove_file(&folder).unwrap();
    }

    #[test]
    fn a_token_is_never_shown() {
        let bearer = Bearer(Arc::new(Source::Fixed("canary".into())));
        let request = bearer.clone().call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer canary");
        assert!(!format!("{bearer:?} {request:?}").contains("canary"));
    }
}
