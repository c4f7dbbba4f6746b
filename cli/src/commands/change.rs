//! `pause`, `resume` and `cancel`.

use muster_proto::v1::{CancelRunRequest, PauseRunRequest, ResumeRunRequest, Run};

use crate::args::{OneRunArgs, PauseArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::render::{json, run_state};

/// `muster pause RUN`.
pub async fn pause(args: PauseArgs) -> Result<Exit, Failure> {
    let (client, run_id) = open(&args.run).await?;
    let request = PauseRunRequest { run_id, reason: args.reason };
    let answer = client.runs().pause_run(request).await.map_err(|status| client.failure(status))?;
    tell(args.run.json, &answer.into_inner().run.unwrap_or_default(), "muster resume lets it go on")
}

/// `muster resume RUN`.
pub async fn resume(args: OneRunArgs) -> Result<Exit, Failure> {
    let (client, run_id) = open(&args).await?;
    let request = ResumeRunRequest { run_id };
    let answer = client.runs().resume_run(request).await.map_err(|status| client.failure(status))?;
    tell(args.json, &answer.into_inner().run.unwrap_or_default(), "muster watch follows it")
}

/// `muster cancel RUN`.
pub async fn cancel(args: OneRunArgs) -> Result<Exit, Failure> {
    let (client, run_id) = open(&args).await?;
    let request = CancelRunRequest { run_id };
    let answer = client.runs().cancel_run(request).await.map_err(|status| client.failure(status))?;
    tell(args.json, &answer.into_inner().run.unwrap_or_default(), "deliveries on their way are awaited")
}

async fn open(args: &OneRunArgs) -> Result<(Client, String), Failure> {
    let client = Client::connect(args.coordinator.clone().target()).await?;
    let run_id = client.run_id(&args.run).await?;
    Ok((client, run_id))
}

/// The command did what it was asked for when the call was answered: the exit code is 0 whatever the run's state.
fn tell(as_json: bool, run: &Run, hint: &str) -> Result<Exit, Failure> {
    if as_json {
        output::print_json(&json::run(run))?;
    } else {
        let over = run.finished_at.is_some();
        let hint = if over { "it is over" } else { hint };
        output::remark(&format!("run {} is {} ({hint})\n", run.run_id, run_state(run.state())))?;
    }
    Ok(Exit::Fine)
}
