//! What an operator does to a run: dead letters, doubts, further rounds, retention, export.

use muster_pipeline::proxy_url;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

use clap::builder::BoolishValueParser;
use clap::{ArgGroup, Args, ValueEnum, ValueHint};

use super::{ReadArgs, worker_count};

/// Flags of `muster dead-letters`.
#[derive(Args, Debug)]
pub struct DeadLettersArgs {
    /// The run's ID, or latest
    pub run: String,
    /// Only those given up in this stage
    #[arg(long, env = "MUSTER_STAGE", value_enum)]
    pub stage: Option<Stage>,
    /// Only those whose reason contains this text
    #[arg(long, env = "MUSTER_REASON", value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    /// Also those that a later round took over
    #[arg(long, env = "MUSTER_ALL", value_parser = BoolishValueParser::new())]
    pub all: bool,
    /// At most this many; 0 for all
    #[arg(long, env = "MUSTER_LIMIT", value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// Where to read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Where a record was given up on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// It could not be fetched
    Fetch,
    /// The schema refuses it
    Validate,
    /// The transform fails on it
    Transform,
    /// The target refuses it
    Load,
    /// It took its worker down again and again
    Worker,
}

impl Stage {
    /// Its name on the wire; nothing for any.
    pub fn name(stage: Option<Stage>) -> &'static str {
        match stage {
            None => "",
            Some(Stage::Fetch) => "fetch",
            Some(Stage::Validate) => "validate",
            Some(Stage::Transform) => "transform",
            Some(Stage::Load) => "load",
            Some(Stage::Worker) => "worker",
        }
    }
}

/// Flags of `muster in-doubt`.
#[derive(Args, Debug)]
pub struct InDoubtArgs {
    /// The run's ID, or latest
    pub run: String,
    /// Where to read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Flags of `muster settle`.
#[derive(Args, Debug)]
#[command(override_usage = "muster settle [OPTIONS] <RUN> <DELIVERY...|--all> \
                            <--applied|--not-applied|--applied-only <ID>|--ids-file <FILE>>")]
#[command(group(ArgGroup::new("outcome").required(true).args(["applied", "not_applied", "applied_only", "ids_file"])))]
#[command(group(ArgGroup::new("which").required(true).args(["deliveries", "all"])))]
pub struct SettleArgs {
    /// The run's ID, or latest
    pub run: String,
    /// Numbers of deliveries in doubt, as in-doubt shows them
    #[arg(value_name = "DELIVERY", value_parser = clap::value_parser!(i64).range(1..))]
    pub deliveries: Vec<i64>,
    /// All deliveries that wait for an operator and can be settled by now
    #[arg(long, env = "MUSTER_ALL", value_parser = BoolishValueParser::new())]
    pub all: bool,
    /// The target has their records
    #[arg(long, env = "MUSTER_APPLIED", value_parser = BoolishValueParser::new())]
    pub applied: bool,
    /// The target has none of their records: they are sent again
    #[arg(long, env = "MUSTER_NOT_APPLIED", value_parser = BoolishValueParser::new())]
    pub not_applied: bool,
    /// The target has only these of their records, as JSON texts: the others are sent again
    #[arg(long, env = "MUSTER_APPLIED_ONLY", value_name = "ID", value_delimiter = ',', allow_negative_numbers = true)]
    pub applied_only: Vec<String>,
    /// The same from a file: a JSON text a line
    #[arg(long, env = "MUSTER_IDS_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ids_file: Option<PathBuf>,
    /// Who found out and how; kept with the deliveries
    #[arg(long, env = "MUSTER_NOTE", value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub note: String,
    /// Where the run is.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Flags of `muster redrive`.
#[derive(Args, Debug)]
pub struct RedriveArgs {
    /// The run's ID, or latest
    pub run: String,
    /// Only what was given up in this stage
    #[arg(long, env = "MUSTER_STAGE", value_enum)]
    pub stage: Option<Stage>,
    /// Only what was given up for a reason that contains this text
    #[arg(long, env = "MUSTER_REASON", value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    /// Only this record, as JSON text: 7, or '"7"' for the text; may be given more than once
    #[arg(long, env = "MUSTER_ID", value_name = "ID", value_delimiter = '\n', allow_negative_numbers = true)]
    pub id: Vec<String>,
    /// Only the records in this file: a JSON text a line
    #[arg(long, env = "MUSTER_IDS_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ids_file: Option<PathBuf>,
    /// Records that are gone, instead of dead letters; together with --cancelled, both
    #[arg(long, env = "MUSTER_GONE", value_parser = BoolishValueParser::new())]
    pub gone: bool,
    /// Records without an outcome when the run was cancelled, instead of dead letters
    #[arg(long, env = "MUSTER_CANCELLED", value_parser = BoolishValueParser::new())]
    pub cancelled: bool,
    /// Under the pipeline as the coordinator has it now, under the same name
    #[arg(long, env = "MUSTER_MENDED", value_parser = BoolishValueParser::new())]
    pub mended: bool,
    /// With --db: under this pipeline of the same name, a built-in one or a file
    #[arg(long, env = "MUSTER_PIPELINE", value_name = "FILE_OR_NAME")]
    pub pipeline: Option<String>,
    /// Only count, change nothing
    #[arg(long, env = "MUSTER_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    /// Make the command repeatable: the same ID with the same arguments opens one round
    #[arg(long, env = "MUSTER_REQUEST_ID", value_name = "ID")]
    pub request_id: Option<String>,
    /// Follow the run to its end; with --db that is always so
    #[arg(long, env = "MUSTER_WATCH", value_parser = BoolishValueParser::new())]
    pub watch: bool,
    /// With --watch: end with 1 when the run is paused, instead of waiting for somebody to resume it; with --db that is
    /// always so
    #[arg(long, env = "MUSTER_UNTIL_PAUSED", value_parser = BoolishValueParser::new())]
    pub until_paused: bool,
    /// With --db: workers in this process
    #[arg(long, env = "MUSTER_WORKERS", value_name = "N", default_value_t = 1, value_parser = worker_count)]
    pub workers: usize,
    /// With --db: records that each worker fetches at the same time
    #[arg(long, env = "MUSTER_CONCURRENCY", value_name = "N")]
    pub concurrency: Option<usize>,
    /// With --db: a proxy for all requests to source and target: http://HOST:PORT. With a name and a password in it, better given in
    /// MUSTER_PROXY: whoever lists processes sees flags. Proxies that other variables name are not used
    #[arg(long, env = "MUSTER_PROXY", hide_env_values = true, value_name = "URL", value_parser = proxy_url)]
    pub proxy: Option<Url>,
    /// With --db, of a run that writes audit files: its folder, as it was given to run
    #[arg(long, env = "MUSTER_AUDIT", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub audit: Option<PathBuf>,
    /// Where the run is.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Flags of `muster delete`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("which").required(true).args(["runs", "older_than"])))]
pub struct DeleteArgs {
    /// IDs of runs, or latest
    #[arg(value_name = "RUN")]
    pub runs: Vec<String>,
    /// All runs that have been over for so long, such as 30d, 12h or 2w
    #[arg(long, env = "MUSTER_OLDER_THAN", value_name = "TIME", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Only those that ended so
    #[arg(long, env = "MUSTER_STATE", value_enum)]
    pub state: Option<Ended>,
    /// Only say which, delete nothing
    #[arg(long, env = "MUSTER_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long, env = "MUSTER_YES", value_parser = BoolishValueParser::new())]
    pub yes: bool,
    /// Where the runs are.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ended {
    /// Every listed record had an outcome
    Finished,
    /// Before its end
    Cancelled,
}

/// Flags of `muster export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The run's ID, or latest
    pub run: String,
    /// How rows are written
    #[arg(long, env = "MUSTER_FORMAT", value_enum, default_value_t)]
    pub format: ExportFormat,
    /// Write this file, whole or not at all, instead of standard output
    #[arg(short, long, env = "MUSTER_OUTPUT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Where to read. JSON is what it prints anyway.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// How exported rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A JSON object a line
    #[default]
    Jsonl,
    /// Comma-separated values under a heading; record IDs as JSON texts
    Csv,
}

/// `30d`, `12h`, `2w`, `90m`.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 30d, 12h or 2w (units: m, h, d, w)".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.trim_end().parse().map_err(|_| wrong())?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::parse_from(line.split_whitespace().map(OsString::from)).map(|cli| cli.command)
    }

    #[test]
    fn ages_have_a_unit() {
        assert_eq!(age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(age("2w"), Ok(Duration::from_secs(14 * 86_400)));
        for wrong in ["", "d", "30", "1.5d", "-1d", "30 days", "99999999999999999999d", "9999999999999999d", "3é"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_settlement_says_which_and_how() {
        for wrong in [
            "muster settle r --applied",
            "muster settle r 7",
            "muster settle r 7 --applied --not-applied",
            "muster settle r 7 --all --applied",
            "muster settle r 0 --applied",
            "muster settle r 7 --applied-only 1 --ids-file f",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let Command::Settle(args) = parse("muster settle r 7 9 --applied-only 1,-2,\"x\"").expect("right") else {
            panic!("settle")
        };
        assert_eq!((args.deliveries, args.applied_only), (vec![7, 9], vec!["1".into(), "-2".into(), "\"x\"".into()]));
        assert!(parse("muster settle latest --all --not-applied --note log").is_ok());
    }

    #[test]
    fn a_deletion_says_which() {
        assert!(parse("muster delete").is_err());
        assert!(parse("muster delete a --older-than 30d").is_err());
        assert!(parse("muster delete a b --yes").is_ok());
        assert!(parse("muster delete --older-than 30d --state cancelled --dry-run").is_ok());
        assert!(parse("muster redrive r --stage fetched").is_err());
    }
}
