//! Flags of the commands about a coordinator and its workers, not about one run.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::{CoordinatorUrl, ReadArgs};

/// Flags of `muster workers`.
#[derive(Args, Debug)]
pub struct WorkersArgs {
    /// Also those that have ended or were not heard of for a minute
    #[arg(long, env = "MUSTER_ALL", value_parser = BoolishValueParser::new())]
    pub all: bool,
    /// Where to read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Flags of `muster pipelines`.
#[derive(Args, Debug)]
pub struct PipelinesArgs {
    /// Where to read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Flags of `muster health`.
#[derive(Args, Debug)]
pub struct HealthArgs {
    /// The coordinator.
    #[command(flatten)]
    pub coordinator: CoordinatorUrl,
    /// One gRPC service instead of all together, such as muster.v1.WorkerService
    #[arg(long, env = "MUSTER_SERVICE", value_name = "NAME", default_value = "", hide_default_value = true)]
    pub service: String,
    /// Print JSON, and nothing else, on standard output
    #[arg(long, env = "MUSTER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}
