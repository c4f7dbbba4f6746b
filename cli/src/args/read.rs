//! What a reading command reads: typed, or said by the environment.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

use muster_worker::CredentialArgs;

use crate::client::{CoordinatorAt, DEFAULT_COORDINATOR, Target};
use crate::failure::Failure;

/// The coordinator that a command talks to.
#[derive(Args, Clone, Debug)]
pub struct CoordinatorUrl {
    /// The coordinator's URL [default: http://127.0.0.1:7470]
    #[arg(long, env = "MUSTER_COORDINATOR", value_name = "URL")]
    pub coordinator: Option<String>,
    /// Who asks.
    #[command(flatten)]
    pub credentials: CredentialArgs,
}

impl CoordinatorUrl {
    /// The target that was chosen.
    pub fn target(self) -> Target {
        let url = self.coordinator.unwrap_or_else(|| DEFAULT_COORDINATOR.to_owned());
        Target::Coordinator(CoordinatorAt { url, credentials: self.credentials })
    }
}

/// Where a reading command reads: a coordinator or a file, and how it answers.
#[derive(Args, Clone, Debug)]
pub struct ReadArgs {
    /// The coordinator.
    #[command(flatten)]
    pub coordinator: CoordinatorUrl,
    /// Use the ledger's file of a `muster run` instead
    #[arg(long, env = "MUSTER_DB", value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// Print JSON, and nothing else, on standard output
    #[arg(long, env = "MUSTER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Which of them were typed, as opposed to taken from the environment: [`Cli::parse_from`](super::Cli::parse_from) says.
    #[arg(skip)]
    pub typed: Typed,
}

/// Which ways to an answer were typed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Typed {
    coordinator: bool,
    db: bool,
    files: bool,
}

impl Typed {
    /// As a command's own matches say.
    pub fn in_line(matches: &ArgMatches) -> Typed {
        let typed = |flag| is_typed(matches, flag);
        Typed { coordinator: typed("coordinator"), db: typed("db"), files: typed("files") }
    }
}

impl ReadArgs {
    /// The target that was chosen. What is typed wins over the environment.
    pub fn target(self) -> Result<Target, Failure> {
        let CoordinatorUrl { coordinator, credentials } = self.coordinator;
        let (coordinator, db) = match (coordinator, self.db) {
            (Some(url), Some(file)) => match (self.typed.coordinator, self.typed.db) {
                (true, false) => (Some(url), None),
                (false, true) => (None, Some(file)),
                (true, true) => {
                    return Err(Failure::usage("both --coordinator and --db are given: which one is to be asked?"));
                }
                (false, false) => {
                    return Err(Failure::usage("both MUSTER_COORDINATOR and MUSTER_DB are set")
                        .help("say which one is to be asked: --coordinator URL or --db FILE"));
                }
            },
            chosen => chosen,
        };
        match db {
            Some(file) => Ok(Target::Database(file)),
            None => Ok(CoordinatorUrl { coordinator, credentials }.target()),
        }
    }
}

/// Flags of `muster verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The run's ID, or latest
    pub run: Option<String>,
    /// Read nothing but this folder of audit files, as --audit writes it: DIR/RUN
    #[arg(long, env = "MUSTER_FILES", value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// Only this round [default: all, and what they come to]
    #[arg(long, env = "MUSTER_ROUND", value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub round: Option<i32>,
    /// Where to read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// What is to be verified.
#[derive(Debug, PartialEq, Eq)]
pub enum Verified {
    /// The ledger of a run.
    Run(String),
    /// A folder of audit files.
    Files(PathBuf),
}

impl VerifyArgs {
    /// What was chosen. What is typed wins over the environment.
    pub fn verified(&mut self) -> Result<Verified, Failure> {
        match (self.run.take(), self.files.take()) {
            (Some(_), Some(_)) if self.read.typed.files => {
                Err(Failure::usage("both a run and --files are given: which one is to be verified?"))
            }
            (Some(run), _) => Ok(Verified::Run(run)),
            (None, Some(folder)) => Ok(Verified::Files(folder)),
            (None, None) => Err(Failure::usage("say which run to verify, or give --files DIR")),
        }
    }
}

fn is_typed(matches: &ArgMatches, flag: &str) -> bool {
    // Not every command has every flag.
    matches.try_contains_id(flag).unwrap_or(false) && matches.value_source(flag) == Some(ValueSource::CommandLine)
}
