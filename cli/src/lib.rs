//! The program `muster`: a thin gRPC client, and `muster run`, which has coordinator and workers inside.
//!
//! A command parses ([`args`]), makes its calls ([`client`]), and renders ([`render`]) to standard output; progress,
//! logs and failures go to standard error. Exit codes are in [`exit`].

pub mod args;
pub mod client;
pub mod commands;
pub mod dashboard;
pub mod display;
pub mod embedded;
pub mod execute;
pub mod exit;
pub mod failure;
pub mod files_audit;
pub mod follow;
pub mod help;
pub mod interrupt;
pub mod manner;
pub mod manual;
pub mod output;
pub mod panel;
pub mod panics;
pub mod pipeline_choice;
pub mod render;
pub mod whole_file;
pub mod writing;

use std::ffi::OsString;
use std::process::ExitCode;

use muster_telemetry::{Format, Logging, Stderr};
use muster_worker::WorkerError;

use crate::args::{Cli, Command};
use crate::commands::{
    access, change, delete, demo, export, health, lists, look, pipeline, redrive, report, run, settle, shell, start,
    troubles, verify, watch,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::panel::Panel;

/// Runs one command line to its exit code.
pub fn main(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line: Vec<OsString> = line.into_iter().collect();
    manner::choose_colours(manner::wished(&line, std::env::var_os("MUSTER_COLOR").as_deref()));
    let cli = match Cli::parse_from(line) {
        Ok(cli) => cli,
        Err(told) => return tell(&told),
    };
    manner::settle(cli.manner.color, cli.manner.quiet);
    let stderr = Stderr::default();
    panics::tell_around_the_display(&stderr);
    let ended = start_logging(&cli, &stderr).and_then(|()| in_runtime(cli.command, &stderr));
    ended.unwrap_or_else(|failure| {
        stderr.write_lines(format!("{}\n", failure.painted()).as_bytes());
        failure.exit().into()
    })
}

/// Prints what clap has to say: help and version to standard output, errors to standard error.
fn tell(told: &clap::Error) -> ExitCode {
    // A reader that left, as in `muster --help | head -1`, is no reason to fail.
    let _ = told.print();
    if told.use_stderr() { Exit::Usage.into() } else { Exit::Fine.into() }
}

/// A live display counts dead letters and records that are gone: a log line for each would drive it off the screen.
const BESIDE_A_DISPLAY: &str = "warn,muster_worker::fetch=error,muster_worker::delivery=error";

/// Servers tell what they do; the others speak up when something is wrong, and show the rest on their display.
fn start_logging(cli: &Cli, stderr: &Stderr) -> Result<(), Failure> {
    let (format, filter) = match (&cli.command, manner::is_quiet()) {
        (Command::Coordinator(_) | Command::Worker(_), false) => (Format::Auto, "info"),
        (Command::Coordinator(_) | Command::Worker(_), true) => (Format::Auto, "warn"),
        (Command::Run(_) | Command::Demo(_) | Command::Redrive(_), false) if Panel::is_possible() => {
            (Format::Text, BESIDE_A_DISPLAY)
        }
        (_, false) => (Format::Text, "warn"),
        (_, true) => (Format::Text, "error"),
    };
    let format = cli.manner.log_format.unwrap_or(format);
    let coloured = Some(manner::of_this_process().coloured_err);
    let logging = Logging { format, default_filter: filter.to_owned(), coloured, writer: stderr.clone() };
    muster_telemetry::init(logging).map_err(|error| Failure::usage(error.to_string()))
}

fn in_runtime(command: Command, stderr: &Stderr) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start threads: {error}")))?;
    let ended = runtime.block_on(Box::pin(dispatch(command, stderr)));
    // What is left has been told to stop or does not matter: a blocked thread must not keep the process.
    runtime.shutdown_background();
    ended
}

async fn dispatch(command: Command, stderr: &Stderr) -> Result<ExitCode, Failure> {
    let Some(service) = service(&command) else { return carry_out(command, stderr).await };
    muster_telemetry::trace::start(service).map_err(|error| Failure::usage(error.to_string()))?;
    let ended = carry_out(command, stderr).await;
    muster_telemetry::trace::flush().await;
    ended
}

/// Who this process is among those that export traces: a coordinator is one, whichever program it is in. A command that only
/// asks one exports none: it would wait for the collector at its end.
fn service(command: &Command) -> Option<&'static str> {
    match command {
        Command::Coordinator(_) => Some("muster-coordinator"),
        Command::Worker(_) => Some("muster-worker"),
        // Given a file, redriving has coordinator and workers inside as well.
        Command::Run(_) | Command::Demo(_) | Command::Redrive(_) => Some("muster"),
        _ => None,
    }
}

async fn carry_out(command: Command, stderr: &Stderr) -> Result<ExitCode, Failure> {
    let exit = match command {
        Command::Coordinator(args) => return served(muster_coordinator::serve(args).await.map(|()| ExitCode::SUCCESS)),
        Command::Worker(args) => return served(muster_worker::serve(args).await),
        Command::Run(args) => run::run(args, stderr).await,
        Command::Demo(args) => demo::demo(args, stderr).await,
        Command::Start(args) => start::start(args, stderr).await,
        Command::Watch(args) => watch::watch(args, stderr).await,
        Command::Runs(args) => lists::runs(args).await,
        Command::Show(args) => look::show(args).await,
        Command::Pause(args) => change::pause(args).await,
        Command::Share(args) => change::share(args).await,
        Command::Resume(args) => change::resume(args).await,
        Command::Cancel(args) => change::cancel(args).await,
        Command::Record(args) => look::record(args).await,
        Command::Verify(args) => verify::verify(args).await,
        Command::Report(args) => report::report(args, stderr).await,
        Command::Compare(args) => report::compare(args).await,
        Command::DeadLetters(args) => troubles::dead_letters(args, stderr).await,
        Command::InDoubt(args) => troubles::in_doubt(args, stderr).await,
        Command::Settle(args) => settle::settle(args, stderr).await,
        Command::Redrive(args) => redrive::redrive(args, stderr).await,
        Command::Export(args) => export::export(args, stderr).await,
        Command::Delete(args) => delete::delete(args, stderr).await,
        Command::Workers(args) => lists::workers(args).await,
        Command::Health(args) => health::health(args).await,
        Command::Token(args) => access::token(&args, stderr),
        Command::DevCerts(args) => access::dev_certs(&args),
        Command::Pipelines(args) => lists::pipelines(args).await,
        Command::Pipeline(args) => pipeline::pipeline(args, stderr).await,
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(&args),
    };
    exit.map(ExitCode::from)
}

/// How a server ended. Its error carries its causes.
fn served(ended: Result<ExitCode, anyhow::Error>) -> Result<ExitCode, Failure> {
    ended.map_err(|error| {
        let bad_flag = |error: &WorkerError| {
            matches!(error, WorkerError::BadUrl { .. } | WorkerError::BadFile { .. } | WorkerError::BadSetting { .. })
        };
        let usage = muster_coordinator::is_usage(&error) || error.downcast_ref().is_some_and(bad_flag);
        let said = format!("{error:#}");
        if usage { Failure::usage(said) } else { Failure::new(said) }
    })
}
