//! Flags that every command has: how it speaks.

use clap::Args;
use clap::builder::BoolishValueParser;
use muster_telemetry::Format;

use crate::manner::Color;

/// How the program speaks.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Options of all commands")]
pub struct MannerArgs {
    /// Say only what was asked for, and what went wrong: no progress, no summary, no hints
    ///
    /// Standard output keeps what a command is for (--json, lists, stories, verdicts); start prints the run's ID alone.
    /// A run that did not go well is told in a line. Exit codes stay as they are.
    #[arg(short, long, env = "MUSTER_QUIET", value_parser = BoolishValueParser::new(), global = true)]
    pub quiet: bool,
    /// When to use colours: auto, always or never
    ///
    /// auto uses them on a terminal; NO_COLOR, CLICOLOR and CLICOLOR_FORCE are honoured.
    #[arg(long, env = "MUSTER_COLOR", value_name = "WHEN", value_enum, default_value_t, global = true)]
    #[arg(hide_short_help = true, hide_possible_values = true)]
    pub color: Color,
    /// How log lines on standard error look: text, json, or auto
    ///
    /// auto is text; of a coordinator and a worker, JSON where standard error is no terminal.
    /// RUST_LOG says what is logged, e.g. debug, or muster_worker=debug,warn.
    #[arg(long, env = "MUSTER_LOG_FORMAT", value_name = "FORMAT", global = true, hide_short_help = true)]
    pub log_format: Option<Format>,
}
