use super::*;
use crate::client::{CoordinatorAt, DEFAULT_COORDINATOR, Target};
use crate::failure::Failure;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::parse_from(line.split_whitespace().map(OsString::from))
}

fn target(read: Option<(&str, &str)>, line: &str) -> Result<Target, Failure> {
    let Command::Runs(mut args) = parse(line).unwrap().command else { panic!("runs") };
    // As if from the environment, which tests share and must not change.
    if let Some((coordinator, db)) = read {
        args.read.coordinator.coordinator.get_or_insert(coordinator.to_owned());
        args.read.db.get_or_insert(db.into());
    }
    args.read.target()
}

#[test]
fn the_command_line_is_well_formed_and_every_flag_has_an_environment_variable() {
    let command = help::with_examples(Cli::command());
    command.clone().debug_assert();
    let tools = command.get_subcommands().flat_map(clap::Command::get_subcommands);
    for sub in command.get_subcommands().chain(tools) {
        for arg in sub.get_arguments().filter(|arg| !arg.is_positional()) {
            let id = arg.get_id();
            assert!(arg.get_env().is_some() || id == "help" || id == "version", "{} --{id}", sub.get_name());
        }
    }
}

#[test]
fn what_is_typed_wins_over_the_environment() {
    let both = Some(("http://env:1", "env.db"));
    let coordinator = |url: &str| Target::Coordinator(CoordinatorAt { url: url.to_owned(), ..Default::default() });
    assert_eq!(target(None, "muster runs").unwrap(), coordinator(DEFAULT_COORDINATOR));
    assert_eq!(target(both, "muster runs --coordinator http://h:1").unwrap(), coordinator("http://h:1"));
    assert_eq!(target(both, "muster runs --db my.db").unwrap(), Target::Database("my.db".into()));
    assert!(target(both, "muster runs").unwrap_err().to_string().contains("MUSTER_DB"));
    assert!(target(None, "muster runs --db a --coordinator http://h:1").is_err());
}

#[test]
fn a_run_or_files_are_verified_but_not_both() {
    let verified = |line: &str, of_env: Option<&str>| {
        let Command::Verify(mut args) = parse(line).unwrap().command else { panic!("verify") };
        args.files = args.files.or(of_env.map(PathBuf::from));
        args.verified().ok()
    };
    assert_eq!(verified("muster verify r --files d", None), None);
    assert_eq!(verified("muster verify", None), None);
    assert_eq!(verified("muster verify --files d", None), Some(Verified::Files("d".into())));
    assert_eq!(verified("muster verify r", Some("d")), Some(Verified::Run("r".to_owned())));
}

#[test]
fn values_out_of_range_are_refused() {
    assert!(parse("muster run animals --workers 0").is_err());
    assert!(parse("muster run animals --since").is_err());
    assert!(parse("muster demo --chaos 2").is_err());
    assert!(parse("muster record latest -7").is_ok());
}
