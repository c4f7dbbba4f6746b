//! `run`: a pipeline, here and now.

use std::path::Path;

use muster_proto::v1::{Run, RunState};
use muster_telemetry::Stderr;
use serde_json::Value;

use crate::args::RunArgs;
use crate::commands::watch::conclude;
use crate::embedded::Setup;
use crate::execute::{Order, execute};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::follow::Followed;
use crate::interrupt;
use crate::manner;
use crate::output;
use crate::pipeline_choice;
use crate::render::table::fields;
use crate::render::{clean, json, run};

/// `muster run PIPELINE`.
pub async fn run(args: RunArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let as_json = args.json;
    let order = order(args)?;
    let followed = Box::pin(execute(&order, interrupt::listen(stderr)?, stderr)).await?;
    tell(followed, &order.setup, as_json, stderr)
}

/// Tells how the run ended that was worked on in this process, or where it stands.
pub fn tell(followed: Followed, setup: &Setup, as_json: bool, stderr: &Stderr) -> Result<Exit, Failure> {
    let (Followed::Over(last) | Followed::Paused(last) | Followed::Stopped(Some(last))) = followed else {
        manner::remark(stderr, "stopped before the run was heard of; the same command with --resume goes on");
        return Ok(Exit::Other);
    };
    if as_json {
        output::print_json(&as_value(&last, setup))?;
    } else {
        output::remark(&summary(&last, setup))?;
    }
    conclude(&last, &format!(" --db {}", setup.database.display()), as_json, stderr);
    if let Some(next) = what_next(&last) {
        manner::remark(stderr, &next);
    }
    Ok(exit::of_run(&last))
}

fn order(args: RunArgs) -> Result<Order, Failure> {
    let choice = pipeline_choice::choose(&args.pipeline)?;
    let given = pipeline_choice::parameters(&args.set.set)?;
    let parameters = Order::resolve(&choice.pipeline, &given, args.since.as_deref())?;
    let (workers, concurrency) = (args.workers, args.concurrency);
    let notify = args.notify.notify().map_err(Failure::usage)?;
    let setup = Setup {
        database: args.db,
        audit: args.audit,
        workers,
        concurrency,
        proxy: args.proxy,
        http: args.http_listen,
        notify,
    };
    Ok(Order { choice, parameters, setup, resume: args.resume, request_id: args.request_id, since: args.since })
}

/// The run as JSON, and where its ledger is.
pub fn as_value(last: &Run, setup: &Setup) -> Value {
    let mut value = json::run(last);
    value["database"] = setup.database.display().to_string().into();
    value["audit_folder"] = setup.audit.as_ref().map(|folder| folder.join(&last.run_id).display().to_string()).into();
    value
}

/// How the run ended, and where to look closer.
pub fn summary(last: &Run, setup: &Setup) -> String {
    let mut text = run::show(last);
    text.push('\n');
    let mut where_to = vec![("ledger", setup.database.display().to_string())];
    if let Some(folder) = &setup.audit {
        where_to.push(("audit files", folder.join(&last.run_id).display().to_string()));
    }
    text.push_str(&fields("", where_to));
    text.push_str(&look_closer(&last.run_id, &setup.database));
    text
}

/// Commands that say more, each in a line to be copied.
fn look_closer(run_id: &str, database: &Path) -> String {
    let database = database.display();
    format!("\nlook closer:\n  muster verify {run_id} --db {database}\n  muster record {run_id} ID --db {database}\n")
}

/// What to do about a run that is not over.
fn what_next(last: &Run) -> Option<String> {
    match last.state() {
        RunState::Finished | RunState::Cancelled => None,
        RunState::Paused => Some(format!(
            "run {} is paused: {}\nwhen that is mended, the same command with --resume goes on",
            last.run_id,
            clean(&last.state_reason)
        )),
        _ => Some(format!("run {} is not over; the same command with --resume goes on", last.run_id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_not_over_says_how_to_go_on() {
        let run = |state: RunState| Run { run_id: "a".into(), state: state.into(), ..Run::default() };
        assert_eq!(what_next(&run(RunState::Finished)), None);
        let paused = Run { state_reason: "the target answers 401".into(), ..run(RunState::Paused) };
        let text = what_next(&paused).expect("paused");
        assert!(text.contains("paused: the target answers 401") && text.contains("--resume"), "{text}");
        assert!(what_next(&run(RunState::Running)).expect("running").contains("--resume"));
    }

    #[test]
    fn the_summary_says_where_to_look() {
        let setup = Setup {
            database: "my.db".into(),
            audit: Some("audit".into()),
            workers: 1,
            concurrency: None,
            proxy: None,
            http: None,
            notify: Default::default(),
        };
        let run = Run { run_id: "a-1".into(), ..Run::default() };
        let text = summary(&run, &setup);
        assert!(text.contains("muster record a-1 ID --db my.db"), "{text}");
        assert_eq!(as_value(&run, &setup)["database"], "my.db");
        assert_eq!(as_value(&run, &setup)["audit_folder"], "audit/a-1");
    }
}
