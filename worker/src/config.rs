//! What can be set about a worker.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use muster_pipeline::proxy_url;
use url::Url;

use crate::WorkerError;
use crate::connect::CredentialArgs;

/// Fetch slots until a pipeline says how many.
const DEFAULT_CONCURRENCY: usize = 128;
/// Leases held at most when nothing else is said.
const DEFAULT_MAX_LEASES: usize = 32;

/// How a worker is to work.
#[derive(Clone)]
pub struct WorkerConfig {
    /// What the worker calls itself, for people; at most 128 characters. Default: the host's name and the process ID.
    pub name: String,
    /// The session's ID, 16 to 64 characters of `[A-Za-z0-9_-]`; `None` makes a random one. A secret: whoever has it can
    /// speak for the session.
    pub session_id: Option<String>,
    /// Records fetched at the same time; `None` is as many as the pipelines' own limits say.
    pub concurrency: Option<usize>,
    /// A proxy for all requests to source and target.
    pub proxy: Option<Url>,
    /// Leases held at the same time, at least 1 and at most 1,000: enough that a few stalled POSTs stop nobody. Beside as many
    /// that wait for a source or target that is down.
    pub max_leases: usize,
    /// How long one acquisition may wait for work.
    pub acquire_wait: Duration,
    /// How long a drain may take before what is still under way is abandoned.
    pub drain_timeout: Duration,
    /// Seed of all jitter. Default: random.
    pub seed: u64,
}

impl fmt::Debug for WorkerConfig {
    /// All but the session's ID, and the proxy's URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, session_id: _, proxy: _, concurrency, max_leases, acquire_wait, drain_timeout, seed } = self;
        f.debug_struct("WorkerConfig")
            .field("name", name)
            .field("concurrency", concurrency)
            .field("max_leases", max_leases)
            .field("acquire_wait", acquire_wait)
            .field("drain_timeout", drain_timeout)
            .field("seed", seed)
            .finish_non_exhaustive()
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            name: default_name(),
            session_id: None,
            concurrency: None,
            proxy: None,
            max_leases: DEFAULT_MAX_LEASES,
            acquire_wait: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(60),
            seed: fastrand::u64(..),
        }
    }
}

impl WorkerConfig {
    pub(crate) fn slots(&self) -> usize {
        self.concurrency.unwrap_or(DEFAULT_CONCURRENCY)
    }

    pub(crate) fn check(&self) -> Result<(), WorkerError> {
        let bad = |setting, value: &dyn ToString, why| {
            Err(WorkerError::BadSetting { setting, value: value.to_string(), why })
        };
        if !(1..=10_000).contains(&self.slots()) {
            return bad("--concurrency", &self.slots(), "it must be from 1 to 10,000");
        }
        if !(1..=1_000).contains(&self.max_leases) {
            return bad("--max-leases", &self.max_leases, "it must be from 1 to 1,000");
        }
        if self.name.is_empty() || self.name.chars().count() > 128 {
            return bad("--name", &self.name, "it must have 1 to 128 characters");
        }
        let Some(id) = &self.session_id else { return Ok(()) };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !(16..=64).contains(&id.len()) || !id.bytes().all(fits) {
            // Not even an unusable one is shown: it may be a usable one with a blank too many.
            return bad("the session's ID", &"what was given", "it must have 16 to 64 characters of A-Z a-z 0-9 _ -");
        }
        Ok(())
    }
}

/// The flags of a worker process.
#[derive(Args, Clone, Debug)]
pub struct WorkerArgs {
    /// The coordinator to work for; several that share one ledger with commas between them, or one flag each: when one does
    /// not answer, the next is asked
    #[arg(
        long,
        env = "MUSTER_COORDINATOR",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7470"
    )]
    pub coordinator: Vec<String>,
    /// Who it is.
    #[command(flatten)]
    pub credentials: CredentialArgs,
    /// What the worker calls itself [default: the host's name and the process ID]
    #[arg(long, env = "MUSTER_WORKER_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Records to fetch at the same time [default: as the pipeline's limits say]
    #[arg(long, env = "MUSTER_CONCURRENCY", value_name = "N")]
    pub concurrency: Option<usize>,
    /// A proxy for all requests to source and target: http://HOST:PORT. With a name and a password in it, better given in
    /// MUSTER_PROXY: whoever lists processes sees flags. Proxies that other variables name are not used
    #[arg(long, env = "MUSTER_PROXY", hide_env_values = true, value_name = "URL", value_parser = proxy_url)]
    pub proxy: Option<Url>,
    /// Batches to hold at the same time
    #[arg(long, env = "MUSTER_MAX_LEASES", value_name = "N", default_value_t = DEFAULT_MAX_LEASES)]
    pub max_leases: usize,
    /// Where to serve HTTP (/metrics, /healthz); nowhere unless given
    #[arg(long, env = "MUSTER_HTTP_LISTEN", value_name = "ADDRESS")]
    pub http_listen: Option<SocketAddr>,
    /// Serve HTTP on other addresses than loopback although nothing protects it there: whoever reaches the port sees the
    /// metrics
    #[arg(long, env = "MUSTER_INSECURE", value_parser = clap::builder::BoolishValueParser::new())]
    pub insecure: bool,
    /// Seconds that the work under way may take after SIGTERM or SIGINT
    #[arg(long, env = "MUSTER_DRAIN_TIMEOUT", value_name = "SECONDS", default_value_t = 60)]
    pub drain_timeout: u64,
}

impl WorkerArgs {
    /// The settings that these flags stand for.
    #[must_use]
    pub fn config(&self) -> WorkerConfig {
        let defaults = WorkerConfig::default();
        WorkerConfig {
            name: self.name.clone().unwrap_or(defaults.name),
            concurrency: self.concurrency,
            proxy: self.proxy.clone(),
            max_leases: self.max_leases,
            drain_timeout: Duration::from_secs(self.drain_timeout),
            ..WorkerConfig::default()
        }
    }
}

fn default_name() -> String {
    let host = std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map(|name| name.trim().chars().take(100).collect::<String>())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "worker".to_owned());
    format!("{host}-{}", std::process::id())
}

/// A session's ID: 128 random bits in hex.
pub(crate) fn random_session_id() -> Result<String, WorkerError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_usable() {
        WorkerConfig::default().check().unwrap();
        let config = WorkerConfig { session_id: Some(random_session_id().unwrap()), ..WorkerConfig::default() };
        config.check().unwrap();
    }

    #[test]
    fn the_id_of_a_session_is_never_shown() {
        let secret = "0123456789abcdef0123";
        let config = WorkerConfig { session_id: Some(secret.into()), ..WorkerConfig::default() };
        assert!(!format!("{config:?}").contains(secret));
        let unusable = WorkerConfig { session_id: Some(format!("{secret} ")), ..config };
        assert!(!unusable.check().unwrap_err().to_string().contains(secret));
    }

    #[test]
    fn unusable_settings_are_refused() {
        for config in [
            WorkerConfig { concurrency: Some(0), ..WorkerConfig::default() },
            WorkerConfig { max_leases: 1_001, ..WorkerConfig::default() },
            WorkerConfig { name: String::new(), ..WorkerConfig::default() },
            WorkerConfig { session_id: Some("short".into()), ..WorkerConfig::default() },
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains("must have") || error.contains("must be"), "{error}");
        }
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        let command = WorkerArgs::augment_args(clap::Command::new("worker"));
        for arg in command.get_arguments() {
            assert!(arg.get_env().is_some(), "{}", arg.get_id());
        }
    }
}
