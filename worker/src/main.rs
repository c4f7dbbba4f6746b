//! The worker as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use muster_telemetry::{Format, Logging};
use muster_worker::{WorkerArgs, serve};

/// Works for a Muster coordinator: fetches the records of leased batches, delivers them and reports.
///
/// Exit codes: 0 after a clean drain, 1 when something failed or work was abandoned, 2 for a wrong flag, 128 + the
/// signal's number after a second signal.
#[derive(Parser)]
#[command(name = "muster-worker", version)]
struct Cli {
    #[command(flatten)]
    worker: WorkerArgs,
    /// How log lines look: text, json, or auto (text on a terminal)
    #[arg(long, env = "MUSTER_LOG_FORMAT", value_name = "FORMAT", default_value = "auto")]
    log_format: Format,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    muster_telemetry::init(Logging { format: cli.log_format, ..Logging::default() })?;
    serve(cli.worker).await
}
