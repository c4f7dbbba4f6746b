//! The command line: what can be typed, and what the environment says in its place.

use muster_pipeline::proxy_url;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use url::Url;

use clap::builder::BoolishValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use muster_coordinator::{CoordinatorArgs, NotifyArgs};
use muster_worker::WorkerArgs;

use crate::render::paint;
use crate::{exit, help};

mod access;
mod fleet;
mod manner;
mod operate;
mod pipeline;
mod read;
mod report;
mod share;
mod shell;

pub use access::{DevCertsArgs, Role, TokenArgs};
pub use fleet::{HealthArgs, PipelinesArgs, WorkersArgs};
pub use manner::MannerArgs;
pub use operate::{
    DeadLettersArgs, DeleteArgs, Ended, ExportArgs, ExportFormat, InDoubtArgs, RedriveArgs, SettleArgs, Stage,
};
pub use pipeline::{
    CassetteArgs, CheckArgs, ExplainArgs, InitArgs, PipelineArgs, PipelineTool, SchemaArgs, TestArgs, TryArgs,
};
pub use read::{CoordinatorUrl, ReadArgs, Typed, Verified, VerifyArgs};
pub use report::{CompareArgs, ReportArgs, ReportFormat, ReportPlace};
pub use share::{ShareArgs, ShareFlags};
pub use shell::{CompletionsArgs, ManArgs};

/// Moves records from one HTTP API to another, and proves it
#[derive(Debug, Parser)]
#[command(name = "muster", version, about, max_term_width = 100, styles = paint::HELP)]
#[command(after_help = paint::headed(exit::HELP))]
pub struct Cli {
    /// How it speaks.
    #[command(flatten)]
    pub manner: MannerArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a pipeline here and now: coordinator and workers in this process, no server
    Run(RunArgs),
    /// Show it all: a stand-in API with 2% chaos, a run against it, and a check of the stand-in's own book
    Demo(DemoArgs),
    /// Serve as coordinator
    Coordinator(CoordinatorArgs),
    /// Serve as worker of a coordinator
    Worker(WorkerArgs),
    /// Start a run at a coordinator
    Start(StartArgs),
    /// Follow a run at a coordinator to its end
    Watch(WatchArgs),
    /// List runs, newest first
    Runs(RunsArgs),
    /// Show one run
    Show(ShowArgs),
    /// Stop leasing and sending until the run is resumed
    Pause(PauseArgs),
    /// Let a paused run go on
    Resume(OneRunArgs),
    /// Change how a run shares the workers with others
    Share(ShareArgs),
    /// End a run early; what is on its way is awaited
    Cancel(OneRunArgs),
    /// Tell the whole story of one record
    Record(RecordArgs),
    /// Audit a run's ledger, or a folder of audit files, to a verdict
    Verify(VerifyArgs),
    /// Write a report of a run: verdict, figures, plots, failures and cost, as a page, JSON or values
    Report(ReportArgs),
    /// Show what two runs came to and what they cost, side by side
    Compare(CompareArgs),
    /// List the records of a run that were given up on
    DeadLetters(DeadLettersArgs),
    /// List the deliveries of a run that the target may or may not have applied
    InDoubt(InDoubtArgs),
    /// Say what became of deliveries in doubt
    Settle(SettleArgs),
    /// Give dead letters of a run that is over another try, in a round of their own
    Redrive(RedriveArgs),
    /// Write every record of a run with its state
    Export(ExportArgs),
    /// Take runs that are over out of the ledger
    Delete(DeleteArgs),
    /// List workers
    Workers(WorkersArgs),
    /// Say whether a coordinator serves: what a container's health check runs
    Health(HealthArgs),
    /// Make a token that a coordinator lets somebody in by
    Token(TokenArgs),
    /// Make certificates to try TLS with: an authority, a server's and clients'
    DevCerts(DevCertsArgs),
    /// List the pipelines that a run can be started of
    Pipelines(PipelinesArgs),
    /// Tools for whoever writes a pipeline: check, explain, try, init, record, test
    Pipeline(PipelineArgs),
    /// Print the script that completes commands and flags in a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write all pages into a folder
    Man(ManArgs),
}

/// Parameters of a pipeline.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// Set a parameter of the pipeline; may be given more than once (in the environment: one a line)
    #[arg(long, env = "MUSTER_SET", value_name = "NAME=VALUE", value_delimiter = '\n')]
    pub set: Vec<String>,
}

/// Flags of `muster run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Name of a built-in pipeline, or path of a pipeline file
    pub pipeline: String,
    /// Values of parameters.
    #[command(flatten)]
    pub set: SetArgs,
    /// Go on from an earlier run: load only what is listed in another version than that one loaded; latest is the newest
    /// that will do, and without one everything is loaded
    #[arg(long, env = "MUSTER_SINCE", value_name = "RUN|latest")]
    pub since: Option<String>,
    /// Workers in this process
    #[arg(long, env = "MUSTER_WORKERS", value_name = "N", default_value_t = 1, value_parser = worker_count)]
    pub workers: usize,
    /// Records that each worker fetches at the same time; the pipeline's own limit may allow fewer
    #[arg(long, env = "MUSTER_CONCURRENCY", value_name = "N")]
    pub concurrency: Option<usize>,
    /// A proxy for all requests to source and target: http://HOST:PORT. With a name and a password in it, better given in
    /// MUSTER_PROXY: whoever lists processes sees flags. Proxies that other variables name are not used
    #[arg(long, env = "MUSTER_PROXY", hide_env_values = true, value_name = "URL", value_parser = proxy_url)]
    pub proxy: Option<Url>,
    /// The ledger's file; made if it is not there
    #[arg(long, env = "MUSTER_DB", value_name = "FILE", default_value = "muster.db")]
    pub db: PathBuf,
    /// Serve the dashboard at this address of this machine while it runs; port 0 picks a free one
    #[arg(long, env = "MUSTER_RUN_HTTP_LISTEN", value_name = "ADDRESS")]
    pub http_listen: Option<SocketAddr>,
    /// Go on with the run in that ledger which is not over; when it is over, show how it ended
    #[arg(long, env = "MUSTER_RESUME", value_parser = BoolishValueParser::new())]
    pub resume: bool,
    /// Also write the acknowledged IDs as files into DIR/RUN
    #[arg(long, env = "MUSTER_AUDIT", value_name = "DIR")]
    pub audit: Option<PathBuf>,
    /// Make the command repeatable: the same ID with the same arguments is the same run; together with --resume, a run
    /// that has not begun is started
    #[arg(long, env = "MUSTER_REQUEST_ID", value_name = "ID")]
    pub request_id: Option<String>,
    /// Who is told when it ends or stalls.
    #[command(flatten)]
    pub notify: NotifyArgs,
    /// Print one JSON object, and nothing else, on standard output
    #[arg(long, env = "MUSTER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Flags of `muster demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Same seed, same animals, same order of chaos [default: random]
    #[arg(long, env = "MUSTER_DEMO_SEED", value_name = "N")]
    pub seed: Option<u64>,
    /// How many animals [default: 5,000 to 6,000, by the seed]
    #[arg(long, env = "MUSTER_DEMO_ANIMALS", value_name = "N")]
    pub animals: Option<u64>,
    /// The chance, 0 to 1, that a request meets an error or a stall of 5 to 15 seconds
    #[arg(long, env = "MUSTER_DEMO_CHAOS", value_name = "SHARE", default_value_t = 0.02, value_parser = share)]
    pub chaos: f64,
    /// The stand-in refuses every animal that it was sent before
    #[arg(long, env = "MUSTER_DEMO_STRICT", value_parser = BoolishValueParser::new())]
    pub strict: bool,
    /// Workers in this process
    #[arg(long, env = "MUSTER_WORKERS", value_name = "N", default_value_t = 1, value_parser = worker_count)]
    pub workers: usize,
    /// Records that each worker fetches at the same time
    #[arg(long, env = "MUSTER_CONCURRENCY", value_name = "N")]
    pub concurrency: Option<usize>,
    /// The ledger's file [default: muster.db in a new temporary folder]
    #[arg(long, env = "MUSTER_DB", value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// Serve the dashboard at this address of this machine while it runs; port 0 picks a free one
    #[arg(long, env = "MUSTER_RUN_HTTP_LISTEN", value_name = "ADDRESS")]
    pub http_listen: Option<SocketAddr>,
    /// Print one JSON object, and nothing else, on standard output
    #[arg(long, env = "MUSTER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Flags of `muster start`.
#[derive(Args, Debug)]
pub struct StartArgs {
    /// Name of a pipeline of the coordinator
    pub pipeline: String,
    /// Values of parameters.
    #[command(flatten)]
    pub set: SetArgs,
    /// Go on from an earlier run: load only what is listed in another version than that one loaded; latest is the newest
    /// that will do, and without one everything is loaded
    #[arg(long, env = "MUSTER_SINCE", value_name = "RUN|latest")]
    pub since: Option<String>,
    /// Also write the acknowledged IDs as files into the coordinator's audit folder
    #[arg(long, env = "MUSTER_AUDIT_MODE", value_parser = BoolishValueParser::new())]
    pub audit_mode: bool,
    /// How it shares the workers.
    #[command(flatten)]
    pub share: ShareFlags,
    /// Make the command repeatable: the same ID with the same arguments is the same run
    #[arg(long, env = "MUSTER_REQUEST_ID", value_name = "ID")]
    pub request_id: Option<String>,
    /// Follow the run to its end; a pause does not end the watching
    #[arg(long, env = "MUSTER_WATCH", value_parser = BoolishValueParser::new())]
    pub watch: bool,
    /// With --watch: end with 1 when the run is paused, instead of waiting for somebody to resume it
    #[arg(long, env = "MUSTER_UNTIL_PAUSED", value_parser = BoolishValueParser::new())]
    pub until_paused: bool,
    /// The coordinator.
    #[command(flatten)]
    pub coordinator: CoordinatorUrl,
    /// Print the run as JSON, one line; with --watch a line for each change
    #[arg(long, env = "MUSTER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Flags of `muster watch`.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The run's ID, or latest
    pub run: String,
    /// End with 1 when the run is paused, instead of waiting for somebody to resume it
    #[arg(long, env = "MUSTER_UNTIL_PAUSED", value_parser = BoolishValueParser::new())]
    pub until_paused: bool,
    /// The coordinator.
    #[command(flatten)]
    pub coordinator: CoordinatorUrl,
    /// Print the run as JSON, a line for each change
    #[arg(long, env = "MUSTER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Flags of `muster runs`.
#[derive(Args, Debug)]
pub struct RunsArgs {
    /// At most this many; 0 for all
    #[arg(long, env = "MUSTER_LIMIT", value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// Where to read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Flags of `muster show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The run's ID, or latest
    pub run: String,
    /// Where to read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Flags of `muster pause`.
#[derive(Args, Debug)]
pub struct PauseArgs {
    /// The run, and where it is.
    #[command(flatten)]
    pub run: OneRunArgs,
    /// Why, for those who find the run paused
    #[arg(long, env = "MUSTER_REASON", value_name = "TEXT", default_value = "paused by an operator")]
    pub reason: String,
}

/// A run to be changed.
#[derive(Args, Debug)]
pub struct OneRunArgs {
    /// The run's ID, or latest
    pub run: String,
    /// Where it is.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Flags of `muster record`.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// The run's ID, or latest
    pub run: String,
    /// The record's ID as JSON text: 7, or '"7"' for the text
    #[arg(allow_negative_numbers = true)]
    pub id: String,
    /// Where to read.
    #[command(flatten)]
    pub read: ReadArgs,
}

impl Cli {
    /// Reads a command line.
    ///
    /// # Errors
    /// What clap says, also for `--help` and `--version`.
    pub fn parse_from(line: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let matches = help::with_examples(Cli::command()).try_get_matches_from(line)?;
        let mut cli = Cli::from_arg_matches(&matches)?;
        if let (Some(read), Some((_, matches))) = (cli.command.read_args(), matches.subcommand()) {
            read.typed = Typed::in_line(matches);
        }
        Ok(cli)
    }
}

impl Command {
    fn read_args(&mut self) -> Option<&mut ReadArgs> {
        match self {
            Command::Runs(args) => Some(&mut args.read),
            Command::Show(args) => Some(&mut args.read),
            Command::Record(args) => Some(&mut args.read),
            Command::Verify(args) => Some(&mut args.read),
            Command::Workers(args) => Some(&mut args.read),
            Command::Pipelines(args) => Some(&mut args.read),
            Command::Pause(args) => Some(&mut args.run.read),
            Command::Share(args) => Some(&mut args.read),
            Command::Resume(args) | Command::Cancel(args) => Some(&mut args.read),
            Command::Report(args) => Some(&mut args.read),
            Command::Compare(args) => Some(&mut args.read),
            Command::DeadLetters(args) => Some(&mut args.read),
            Command::InDoubt(args) => Some(&mut args.read),
            Command::Settle(args) => Some(&mut args.read),
            Command::Redrive(args) => Some(&mut args.read),
            Command::Export(args) => Some(&mut args.read),
            Command::Delete(args) => Some(&mut args.read),
            _ => None,
        }
    }
}

fn worker_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=64) => Ok(count),
        _ => Err("expected 1 to 64".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0 to 1, such as 0.02".to_owned()),
    }
}

#[cfg(test)]
mod tests;
