//! The coordinator as a program of its own: the same as `muster coordinator`.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use muster_coordinator::{CoordinatorArgs, is_usage, serve};
use muster_telemetry::{Format, Logging};

/// See Cargo.toml.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Muster's coordinator: lists sources, leases batches to workers, keeps the ledger.
///
/// Exit codes: 0 after a signal, 1 when something failed, 2 for a wrong flag, 130 after a second signal.
#[derive(Parser)]
#[command(name = "muster-coordinator", version)]
struct Cli {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// How log lines look: text, json, or auto (text on a terminal)
    #[arg(long, env = "MUSTER_LOG_FORMAT", value_name = "FORMAT", default_value = "auto")]
    log_format: Format,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = muster_telemetry::init(Logging { format: cli.log_format, ..Logging::default() }) {
        return fail(ErrorKind::ValueValidation, &error);
    }
    if let Err(error) = muster_telemetry::trace::start("muster-coordinator") {
        return fail(ErrorKind::ValueValidation, &error);
    }
    let ended = serve(cli.coordinator).await;
    muster_telemetry::trace::flush().await;
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_usage(&error) => fail(ErrorKind::ValueValidation, &error),
        Err(error) => fail(ErrorKind::Io, &error),
    }
}

/// Says what is wrong on standard error, as for a wrong flag; gives 2 when it is one, 1 otherwise.
fn fail(kind: ErrorKind, error: &dyn std::fmt::Display) -> ExitCode {
    // Where standard error is closed there is nobody to tell.
    let _ = Cli::command().error(kind, format!("{error:#}")).print();
    ExitCode::from(if kind == ErrorKind::ValueValidation { 2 } else { 1 })
}
