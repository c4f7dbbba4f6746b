//! The worker as a program of its own.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use muster_telemetry::{Format, Logging};
use muster_worker::{WorkerArgs, WorkerError, serve};

/// See Cargo.toml.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = muster_telemetry::init(Logging { format: cli.log_format, ..Logging::default() }) {
        return fail(ErrorKind::ValueValidation, &error);
    }
    if let Err(error) = muster_telemetry::trace::start("muster-worker") {
        return fail(ErrorKind::ValueValidation, &error);
    }
    let ended = serve(cli.worker).await;
    muster_telemetry::trace::flush().await;
    match ended {
        Ok(code) => code,
        Err(error) => match error.downcast_ref() {
            Some(WorkerError::BadUrl { .. } | WorkerError::BadFile { .. } | WorkerError::BadSetting { .. }) => {
                fail(ErrorKind::ValueValidation, &error)
            }
            _ => fail(ErrorKind::Io, &error),
        },
    }
}

/// Says what is wrong on standard error, as for a wrong flag; gives 2 when it is one, 1 otherwise.
fn fail(kind: ErrorKind, error: &dyn std::fmt::Display) -> ExitCode {
    // Where standard error is closed there is nobody to tell.
    let _ = Cli::command().error(kind, format!("{error:#}")).print();
    ExitCode::from(if kind == ErrorKind::ValueValidation { 2 } else { 1 })
}
