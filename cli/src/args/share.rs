//! How a run shares the workers with others.

use clap::{ArgGroup, Args};
use muster_proto::v1::RunShare;

use super::ReadArgs;

/// Flags about a run's share of the workers.
#[derive(Args, Debug, Default)]
pub struct ShareFlags {
    /// Runs of a higher priority come first, strictly: -100 to 100 [default of a new run: 0]
    #[arg(long, env = "MUSTER_PRIORITY", value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i32).range(-100..=100))]
    pub priority: Option<i32>,
    /// Among runs of one priority, batches are leased in proportion to it: 1 to 1000 [default of a new run: 100]
    #[arg(long, env = "MUSTER_WEIGHT", value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1_000))]
    pub weight: Option<i32>,
    /// At most so many workers work on the run at once; 0 for any number [default of a new run: 0]
    #[arg(long, env = "MUSTER_MAX_WORKERS", value_name = "N", value_parser = clap::value_parser!(i32).range(0..=10_000))]
    pub max_workers: Option<i32>,
}

impl ShareFlags {
    /// As the protocol has it; nothing when none is set.
    pub fn share(&self) -> Option<RunShare> {
        let &ShareFlags { priority, weight, max_workers } = self;
        let share = RunShare { priority, weight, max_workers };
        (share != RunShare::default()).then_some(share)
    }
}

/// Flags of `muster share`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("share").required(true).multiple(true).args(["priority", "weight", "max_workers"])))]
pub struct ShareArgs {
    /// The run's ID, or latest
    pub run: String,
    /// What is to be another; the rest stays.
    #[command(flatten)]
    pub share: ShareFlags,
    /// Where it is.
    #[command(flatten)]
    pub read: ReadArgs,
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::args::{Cli, Command};

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::parse_from(line.split_whitespace().map(OsString::from)).map(|cli| cli.command)
    }

    #[test]
    fn a_share_says_what_is_to_be_another() {
        for wrong in [
            "muster share r",
            "muster share r --weight 0",
            "muster share r --priority 101",
            "muster start p --max-workers -1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let Command::Share(args) = parse("muster share r --priority -7 --max-workers 0").expect("right") else {
            panic!("share")
        };
        let share = args.share.share().expect("some");
        assert_eq!((share.priority, share.weight, share.max_workers), (Some(-7), None, Some(0)));
        let Command::Start(args) = parse("muster start p").expect("right") else { panic!("start") };
        assert_eq!(args.share.share(), None);
    }
}
