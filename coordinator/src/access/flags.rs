//! The flags that say who may come in.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::tls::TlsFiles;

/// Connections at once where nobody says otherwise: below the 1,024 open files that many systems allow a process.
const MAX_CONNECTIONS: usize = 900;

/// Who may come in, by flags.
#[derive(Debug, Clone, clap::Args)]
pub struct AccessArgs {
    /// Certificate (chain) in PEM to serve TLS with, on both ports. Read again when it changes, like the other files
    #[arg(long, env = "MUSTER_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key in PEM
    #[arg(long, env = "MUSTER_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Authority in PEM whose client certificates are believed; --tokens says what each may do
    #[arg(long, env = "MUSTER_TLS_CLIENT_CA", value_name = "FILE", requires_all = ["tls_cert", "tokens"])]
    pub tls_client_ca: Option<PathBuf>,
    /// Who may come in: a YAML list of names, their roles (viewer, operator, worker) and the hashes of their tokens or the
    /// names in their client certificates; `muster token` writes an entry. Without it nobody is asked
    #[arg(long, env = "MUSTER_TOKENS", value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Connections at once on each port; more are turned away. A worker needs one, and so does each command that runs
    #[arg(
        long,
        env = "MUSTER_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = MAX_CONNECTIONS,
        value_parser = max_connections
    )]
    pub max_connections: usize,
    /// Listen on other addresses than loopback although nothing protects the coordinator there (without TLS and
    /// --tokens): whoever reaches the port may start and cancel runs
    #[arg(long, env = "MUSTER_INSECURE", value_parser = clap::builder::BoolishValueParser::new())]
    pub insecure: bool,
}

fn max_connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err("expected 1 to 1000000".to_owned()),
    }
}

impl AccessArgs {
    /// Why an address must not be listened on, if nobody said that it may.
    pub(crate) fn refuses(&self, flag: &str, address: SocketAddr) -> Option<String> {
        let asks = self.tls_cert.is_some() && self.tokens.is_some();
        if address.ip().is_loopback() || self.insecure || asks {
            return None;
        }
        let missing = match (&self.tls_cert, &self.tokens) {
            (None, None) => "--tls-cert, --tls-key and --tokens",
            (None, Some(_)) => "--tls-cert and --tls-key, so that nobody reads the tokens on their way",
            (Some(_), _) => "--tokens",
        };
        Some(format!(
            "{flag} {address} is reachable from other machines and nothing protects it there: give {missing} \
             (`muster dev-certs` makes files to try it with), listen on 127.0.0.1, or say --insecure"
        ))
    }

    pub(super) fn tls_files(&self) -> Option<TlsFiles> {
        let (certificate, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(TlsFiles { certificate, key, client_authority: self.tls_client_ca.clone() })
    }
}
