//! `redrive`: what a run gave up on goes through once more, in a round of its own.

use std::collections::HashSet;
use std::path::PathBuf;

use muster_coordinator::Notify;
use muster_proto::v1::{RedriveOutcome, RedriveRunRequest, RedriveRunResponse, Run};
use muster_telemetry::Stderr;
use serde_json::json;

use crate::args::{RedriveArgs, Stage};
use crate::client::{Client, Target};
use crate::commands::{run, watch};
use crate::embedded::Setup;
use crate::execute;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::manner;
use crate::output;
use crate::pipeline_choice::{self, Choice};
use crate::render::json as as_json;
use crate::render::numbers::counted;
use crate::writing::{Writing, ids_in, must_exist};

/// `muster redrive RUN`.
pub async fn redrive(args: RedriveArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let target = args.read.clone().target()?;
    let request = request(&args)?;
    match target {
        Target::Database(file) if !args.dry_run => Box::pin(here(args, request, file, stderr)).await,
        target => {
            let own = pipeline(&args, &target)?;
            let ledger = Writing::with(target, own.map(|choice| choice.pipeline).into_iter().collect()).await?;
            let done = at_coordinator(&ledger.client, &args, request, stderr).await;
            ledger.close().await;
            done
        }
    }
}

fn request(args: &RedriveArgs) -> Result<RedriveRunRequest, Failure> {
    let mut record_ids = args.id.clone();
    if let Some(file) = &args.ids_file {
        record_ids.extend(ids_in(file)?);
    }
    let outcomes = [(args.gone, RedriveOutcome::Gone), (args.cancelled, RedriveOutcome::Cancelled)];
    Ok(RedriveRunRequest {
        run_id: String::new(),
        request_id: args.request_id.clone().unwrap_or_default(),
        outcomes: outcomes.into_iter().filter(|(wanted, _)| *wanted).map(|(_, outcome)| outcome.into()).collect(),
        stage: Stage::name(args.stage).to_owned(),
        reason: args.reason.clone(),
        record_ids,
        mended_pipeline: args.mended || args.pipeline.is_some(),
        dry_run: args.dry_run,
    })
}

/// The pipeline that `--pipeline` names.
fn pipeline(args: &RedriveArgs, target: &Target) -> Result<Option<Choice>, Failure> {
    match (&args.pipeline, target) {
        (None, _) => Ok(None),
        (Some(typed), Target::Database(_)) => pipeline_choice::choose(typed).map(Some),
        (Some(_), Target::Coordinator(_)) => {
            Err(Failure::usage("--pipeline goes with --db: a coordinator takes the pipeline from its own folder")
                .help("put the mended file into the folder of its --pipelines, and say --mended"))
        }
    }
}

async fn ask(
    client: &Client,
    run: &str,
    request: RedriveRunRequest,
    stderr: &Stderr,
) -> Result<RedriveRunResponse, Failure> {
    let request = RedriveRunRequest { run_id: client.run_id(run).await?, ..request };
    let named: HashSet<String> = request.record_ids.iter().cloned().collect();
    let run_id = request.run_id.clone();
    let answer = client.runs().redrive_run(request).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    if let Some(remark) = not_taken(named.len(), answer.records, &run_id, &client.flag()) {
        manner::remark(stderr, &remark);
    }
    Ok(answer)
}

/// What is said of IDs that were named and are not among the records of the round.
fn not_taken(named: usize, taken: i64, run_id: &str, flag: &str) -> Option<String> {
    let left = i64::try_from(named).unwrap_or(i64::MAX) - taken;
    (left > 0).then(|| {
        format!(
            "{left} of the {named} named IDs are not among them: they are unknown to the run, or are not what is redriven; \
             see each with: muster record {run_id} ID{flag}"
        )
    })
}

async fn at_coordinator(
    client: &Client,
    args: &RedriveArgs,
    request: RedriveRunRequest,
    stderr: &Stderr,
) -> Result<Exit, Failure> {
    let answer = ask(client, &args.run, request, stderr).await?;
    let run = answer.run.unwrap_or_default();
    let (id, flag) = (&run.run_id, client.flag());
    let what = counted(answer.records, "record", "records");
    if args.dry_run {
        match args.read.json {
            true => output::print_json(&json!({ "run_id": id, "records": answer.records, "dry_run": true }))?,
            false => output::print(&format!("{what} of run {id} would be redriven\n"))?,
        };
        return Ok(Exit::Fine);
    }
    if args.read.json {
        output::print_json_line(&json!({ "records": answer.records, "run": as_json::run(&run) }))?;
    } else {
        output::remark(&format!("round {} of run {id}: {what}\n", run.round))?;
    }
    if args.watch {
        let watching = watch::Watching { as_json: args.read.json, until_paused: args.until_paused };
        return watch::to_the_end(client, id, watching, stderr).await;
    }
    manner::remark(stderr, &format!("follow it: muster watch {id}{flag}"));
    Ok(Exit::Fine)
}

/// Opens the round in a file, and runs it in this process.
async fn here(args: RedriveArgs, request: RedriveRunRequest, file: PathBuf, stderr: &Stderr) -> Result<Exit, Failure> {
    must_exist(&file)?;
    let own = pipeline(&args, &Target::Database(file.clone()))?;
    if args.mended && own.is_none() {
        manner::remark(stderr, "--mended takes a built-in pipeline here; give another by --pipeline FILE");
    }
    let named = own.as_ref().map(|choice| choice.pipeline.name().to_owned());
    let own = own.filter(|choice| !choice.built_in).map(|choice| choice.pipeline).into_iter().collect();
    let (workers, concurrency) = (args.workers, args.concurrency);
    let setup = Setup {
        database: file,
        audit: args.audit,
        workers,
        concurrency,
        proxy: args.proxy,
        http: None,
        notify: Notify::default(),
    };
    let begin = async |client: &Client| {
        let run = client.run(&args.run).await?;
        audit_goes_on(&run, &setup)?;
        same_pipeline(&run, named.as_deref())?;
        let answer = ask(client, &run.run_id, request, stderr).await?;
        let run = answer.run.unwrap_or_default();
        let what = counted(answer.records, "record", "records");
        manner::remark(stderr, &format!("round {} of run {}: {what}", run.round, run.run_id));
        Ok(run)
    };
    let followed = execute::carry_out(&setup, own, begin, interrupt::listen(stderr)?, stderr).await?;
    run::tell(followed, &setup, args.read.json, stderr)
}

/// A run that writes audit files is not over before they are written.
fn audit_goes_on(run: &Run, setup: &Setup) -> Result<(), Failure> {
    if run.audit_mode && setup.audit.is_none() {
        return Err(Failure::usage(format!("run {} writes audit files: say where, --audit DIR", run.run_id))
            .help("the folder that was given to `muster run`: its files are in DIR/RUN"));
    }
    Ok(())
}

/// A round may be under a mended pipeline, never under another.
fn same_pipeline(run: &Run, named: Option<&str>) -> Result<(), Failure> {
    match named {
        Some(name) if name != run.pipeline => {
            Err(Failure::usage(format!("run {} is of pipeline {}, not of {name}", run.run_id, run.pipeline))
                .help(format!("--pipeline takes a mended file of the same name: name: {}", run.pipeline)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_ids_that_are_not_redriven_are_counted() {
        assert_eq!(not_taken(0, 7, "a-1", ""), None);
        assert_eq!(not_taken(2, 2, "a-1", ""), None);
        let said = not_taken(3, 1, "a-1", " --db my.db").expect("a remark");
        assert!(said.starts_with("2 of the 3 named IDs are not among them"), "{said}");
        assert!(said.ends_with("muster record a-1 ID --db my.db"), "{said}");
    }
}
