//! `start`: a run at a coordinator.

use std::path::Path;

use muster_proto::v1::StartRunRequest;
use muster_telemetry::Stderr;

use crate::args::StartArgs;
use crate::client::{Client, reason};
use crate::commands::{lists, watch};
use crate::exit::Exit;
use crate::failure::{Failure, nearest};
use crate::manner;
use crate::output;
use crate::pipeline_choice;
use crate::render::{json, run};

/// `muster start PIPELINE`.
pub async fn start(args: StartArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let parameters = pipeline_choice::parameters(&args.set.set)?;
    let client = Client::connect(args.coordinator.target()).await?;
    let request = StartRunRequest {
        pipeline: args.pipeline.clone(),
        parameters: parameters.into_iter().collect(),
        request_id: args.request_id.unwrap_or_default(),
        audit_mode: args.audit_mode,
        since_run: args.since.clone().unwrap_or_default(),
        share: args.share.share(),
    };
    let started = match client.runs().start_run(request).await {
        Ok(answer) => answer.into_inner().run.unwrap_or_default(),
        Err(status) if reason(&status).as_deref() == Some("PIPELINE_UNKNOWN") => {
            return Err(did_you_mean(&client, &args.pipeline, client.failure(status)).await);
        }
        Err(status) => return Err(client.failure(status)),
    };
    if args.since.is_some() {
        manner::remark(stderr, &run::goes_on_from(&started));
    }
    if args.json {
        output::print_json_line(&json::run(&started))?;
    } else if args.watch {
        manner::remark(stderr, &format!("run {} started", started.run_id));
    } else if manner::is_quiet() {
        output::print(&format!("{}\n", started.run_id))?;
    } else {
        output::print(&format!(
            "run {id} started; follow it: muster watch {id}{}\n",
            client.flag(),
            id = started.run_id
        ))?;
    }
    if !args.watch {
        return Ok(Exit::Fine);
    }
    let watching = watch::Watching { as_json: args.json, until_paused: args.until_paused };
    watch::to_the_end(&client, &started.run_id, watching, stderr).await
}

/// Adds the pipeline that was most likely meant, if the coordinator can be asked for it.
async fn did_you_mean(client: &Client, typed: &str, failure: Failure) -> Failure {
    if typed.contains('/') || typed.ends_with(".yaml") || typed.ends_with(".yml") {
        let name = Path::new(typed).file_stem().unwrap_or_default().display();
        return failure.help_first(format!(
            "a coordinator starts pipelines by name: put the file into the folder that it was given by --pipelines, then: \
             muster start {name}{}",
            client.flag()
        ));
    }
    let Ok(known) = lists::all_pipelines(client).await else { return failure };
    match nearest(typed, known.iter().map(|pipeline| pipeline.name.as_str())) {
        Some(name) => failure.help_first(format!("did you mean {name}?")),
        None => failure,
    }
}
