//! The coordinator as a process of its own: its flags, its signals.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use muster_pipeline::proxy_url;
use muster_telemetry::metrics::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::access::{Access, AccessArgs};
use crate::coordinator::{Config, Coordinator, OpenError, shown};
use crate::notify::NotifyArgs;
use crate::planted::Planted;
use crate::store::postgres;
use crate::web::{HttpOptions, TRACE_ID};

/// Flags of a coordinator.
#[derive(Debug, Clone, clap::Args)]
pub struct CoordinatorArgs {
    /// Where to serve gRPC; port 0 picks a free one and prints it.
    #[arg(long, env = "MUSTER_LISTEN", default_value = "127.0.0.1:7470", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where to serve HTTP: the dashboard, its API below /api/v1, /metrics, /healthz and /readyz; nowhere unless given.
    #[arg(long, env = "MUSTER_HTTP_LISTEN", value_name = "ADDRESS")]
    pub http_listen: Option<SocketAddr>,
    /// A name under which people reach the dashboard, such as that of a proxy in front of it; several are separated by
    /// commas. Addresses and localhost need not be named.
    #[arg(long, env = "MUSTER_HTTP_HOSTS", value_name = "NAME", value_delimiter = ',', value_parser = host_name)]
    pub http_host: Vec<String>,
    /// Where people look at traces: a URL in which {trace_id} stands for the ID of one, so that the dashboard leads there.
    #[arg(long, env = "MUSTER_TRACE_URL", value_name = "URL", value_parser = trace_url)]
    pub trace_url: Option<String>,
    /// The ledger: sqlite://FILE, or postgres://USER@HOST/DATABASE, which several coordinators may share. A URL with a
    /// password is better given in MUSTER_DATABASE_URL, or the password in ~/.pgpass: whoever lists processes sees flags.
    /// [default: sqlite://muster.db]
    #[arg(long, env = "MUSTER_DATABASE", hide_env_values = true, value_name = "URL")]
    pub database: Option<String>,
    /// Serve although the PostgreSQL database runs with fsync or synchronous_commit off: after a power loss the ledger may
    /// lack what it had acknowledged. Every verdict says durability=degraded.
    #[arg(long, env = "MUSTER_ACCEPT_DATA_LOSS", value_parser = clap::builder::BoolishValueParser::new())]
    pub accept_data_loss: bool,
    /// A proxy for all requests to sources: http://HOST:PORT. With a name and a password in it, better given in MUSTER_PROXY:
    /// whoever lists processes sees flags. Proxies that other variables name are not used.
    #[arg(long, env = "MUSTER_PROXY", hide_env_values = true, value_name = "URL", value_parser = proxy_url)]
    pub proxy: Option<Url>,
    /// Folder for the files of runs in audit mode.
    #[arg(long, env = "MUSTER_AUDIT_DIR", value_name = "DIR")]
    pub audit_dir: Option<PathBuf>,
    /// Folder of pipelines (*.yaml) besides the built-in ones.
    #[arg(long, env = "MUSTER_PIPELINES", value_name = "DIR")]
    pub pipelines: Option<PathBuf>,
    /// Where people reach the dashboard: notices of runs lead there.
    #[arg(long, env = "MUSTER_DASHBOARD_URL", value_name = "URL", value_parser = dashboard_url)]
    pub dashboard_url: Option<Url>,
    /// Who is told when a run ends or stalls.
    #[command(flatten)]
    pub notify: NotifyArgs,
    /// Who may come in.
    #[command(flatten)]
    pub access: AccessArgs,
}

fn trace_url(text: &str) -> Result<String, String> {
    let is_web = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    if is_web && text.contains(TRACE_ID) {
        return Ok(text.to_owned());
    }
    Err(format!("expected a URL with {TRACE_ID} in it, such as https://traces.example/trace/{TRACE_ID}"))
}

fn dashboard_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && !url.cannot_be_a_base());
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none() && url.query().is_none());
    url.ok_or_else(|| "expected a URL without user and query, such as https://muster.example".to_owned())
}

/// The ledger, where nobody says otherwise.
const DATABASE: &str = "sqlite://muster.db";

impl CoordinatorArgs {
    /// The database's URL, by flag or environment. Of the flag's own variable, `MUSTER_DATABASE`, clap knows; the other is
    /// the one that other programs' URLs with passwords are called by.
    fn database(&self) -> String {
        let from_environment = || std::env::var("MUSTER_DATABASE_URL").ok().filter(|url| !url.is_empty());
        self.database.clone().or_else(from_environment).unwrap_or_else(|| DATABASE.to_owned())
    }
}

/// The flags cannot mean anything: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Is this error of `serve` one of usage (exit code 2)?
pub fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<Usage>()
        || matches!(
            error.downcast_ref(),
            Some(OpenError::Database(_) | OpenError::Postgres(postgres::OpenError::Url(_)))
        )
}

/// Runs a coordinator until SIGTERM or Ctrl-C.
pub async fn serve(args: CoordinatorArgs) -> anyhow::Result<()> {
    for (flag, address) in [("--listen", Some(args.listen)), ("--http-listen", args.http_listen)] {
        if let Some(why) = address.and_then(|address| args.access.refuses(flag, address)) {
            bail!(Usage(why));
        }
    }
    let access = Arc::new(Access::of(&args.access)?);
    let ports = [Some(args.listen), args.http_listen];
    let is_open = ports.into_iter().flatten().any(|address| !address.ip().is_loopback());
    if access.asks() && !access.has_tls() && is_open {
        tracing::warn!(
            { muster_telemetry::names::NEXT } = "give --tls-cert and --tls-key",
            "tokens come over the network in clear, and can be read on their way"
        );
    }
    let database = args.database();
    if shown(&database) != database && std::env::args().any(|argument| argument.contains(&database)) {
        tracing::warn!(
            { muster_telemetry::names::NEXT } = "give the URL in MUSTER_DATABASE_URL, or the password in ~/.pgpass",
            "whoever lists the processes of this machine sees the database's URL as it was given"
        );
    }
    let grpc = bind("--listen", args.listen).await?;
    let http = match args.http_listen {
        Some(address) => Some(bind("--http-listen", address).await?),
        None => None,
    };
    let notify = args.notify.notify().map_err(Usage)?.leading_to(args.dashboard_url);
    let config = Config {
        database: database.clone(),
        accept_data_loss: args.accept_data_loss,
        audit_dir: args.audit_dir,
        proxy: args.proxy,
        notify,
        pipelines_dir: args.pipelines,
        planted: Planted::from_environment(),
        ..Config::default()
    };
    // Before anything is counted.
    let metrics = Metrics::start("muster-coordinator", http.is_some()).map_err(|error| Usage(error.to_string()))?;
    let mut coordinator = Coordinator::open(config).await?;
    coordinator.start();
    let stop = stop_on_signal()?;
    let (tls, asks) = (access.has_tls(), access.asks());
    let http_listen = http.as_ref().map(TcpListener::local_addr).transpose()?.map(tracing::field::display);
    let listen = grpc.local_addr()?;
    tracing::info!(%listen, http_listen, database = shown(&database), tls, asks, "the coordinator serves");
    if let Some(metrics) = &metrics {
        coordinator.tell_metrics(metrics);
    }
    let serve_http = async {
        if let Some(listener) = http {
            let options = HttpOptions { hosts: args.http_host, trace_url: args.trace_url };
            coordinator.serve_http(listener, Arc::clone(&access), options, stop.clone(), stop.clone()).await;
        }
        Ok(())
    };
    let serve_grpc =
        async { coordinator.serve_grpc(grpc, &access, stop.clone()).await.context("gRPC cannot be served") };
    let keep_up = async {
        access.keep_up(&stop).await;
        Ok(())
    };
    let served = Box::pin(async { tokio::try_join!(serve_grpc, serve_http, keep_up) }).await;
    coordinator.shutdown().await;
    if let Some(metrics) = metrics {
        metrics.end().await;
    }
    tracing::info!("the coordinator has stopped");
    served.map(drop)
}

/// A name as browsers send it, without port.
fn host_name(text: &str) -> Result<String, &'static str> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if text.is_empty() || !is_name {
        return Err("give the name alone, such as muster.example: no scheme, port or path");
    }
    Ok(text.to_owned())
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    use std::io::ErrorKind as Kind;
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            Kind::AddrInUse => {
                "is another coordinator running there? Stop it, or take another port; 0 picks a free one"
            }
            Kind::PermissionDenied => "ports below 1024 are for root: take a higher one; 0 picks a free one",
            Kind::AddrNotAvailable => "this machine has no such address: 127.0.0.1 is always there",
            _ => "take another address",
        };
        anyhow!("{flag} {address} cannot be listened on: {error}; {advice}")
    })
}

/// Cancelled by SIGTERM or Ctrl-C; a second one ends the process at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = stop.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!({ muster_telemetry::names::NEXT } = "a second signal ends at once", "stopping");
                cancelled.cancel();
            }
        }
        std::process::exit(130);
    });
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::trace_url;

    #[test]
    fn a_traces_url_is_one_of_the_web_and_has_a_place_for_its_id() {
        assert!(trace_url("https://traces.example/trace/{trace_id}").is_ok());
        for wrong in ["https://traces.example/trace", "javascript:alert('{trace_id}')", "{trace_id}", ""] {
            assert!(trace_url(wrong).is_err(), "{wrong}");
        }
    }
}
