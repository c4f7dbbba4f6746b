//! `pause`, `resume`, `share` and `cancel`.

use muster_proto::v1::{CancelRunRequest, PauseRunRequest, ResumeRunRequest, Run, RunState, SetRunShareRequest};

use crate::args::{OneRunArgs, PauseArgs, ShareArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::render::run::share_in_words;
use crate::render::{json, run_state};
use crate::writing::Writing;

/// `muster pause RUN`.
pub async fn pause(args: PauseArgs) -> Result<Exit, Failure> {
    let (ledger, run_id, as_json) = open(args.run).await?;
    let request = PauseRunRequest { run_id, reason: args.reason };
    let answer = ledger.client.runs().pause_run(request).await.map_err(|status| ledger.client.failure(status))?;
    tell(ledger, as_json, answer.into_inner().run, |run| format!("muster resume {run} lets it go on")).await
}

/// `muster resume RUN`.
pub async fn resume(args: OneRunArgs) -> Result<Exit, Failure> {
    let (ledger, run_id, as_json) = open(args).await?;
    let answer = ledger.client.runs().resume_run(ResumeRunRequest { run_id }).await;
    let answer = answer.map_err(|status| ledger.client.failure(status))?;
    tell(ledger, as_json, answer.into_inner().run, |run| format!("muster watch {run} follows it")).await
}

/// `muster share RUN`.
pub async fn share(args: ShareArgs) -> Result<Exit, Failure> {
    let share = args.share.share();
    let (ledger, run_id, as_json) = open(OneRunArgs { run: args.run, read: args.read }).await?;
    let answer = ledger.client.runs().set_run_share(SetRunShareRequest { run_id, share }).await;
    let run = answer.map_err(|status| ledger.client.failure(status))?.into_inner().run.unwrap_or_default();
    if as_json {
        output::print_json(&json::run(&run))?;
    } else {
        let share = share_in_words(&run.share.unwrap_or_default());
        output::remark(&format!("run {}: {share}; that counts from the next lease on\n", run.run_id))?;
    }
    ledger.close().await;
    Ok(Exit::Fine)
}

/// `muster cancel RUN`.
pub async fn cancel(args: OneRunArgs) -> Result<Exit, Failure> {
    let (ledger, run_id, as_json) = open(args).await?;
    let answer = ledger.client.runs().cancel_run(CancelRunRequest { run_id: run_id.clone() }).await;
    let mut run = answer.map_err(|status| ledger.client.failure(status))?.into_inner().run;
    if ledger.file().is_some() {
        // Nobody else would end it.
        ledger.catch_up().await?;
        run = Some(ledger.client.run(&run_id).await?);
    }
    tell(ledger, as_json, run, |_| "deliveries on their way are awaited".to_owned()).await
}

async fn open(args: OneRunArgs) -> Result<(Writing, String, bool), Failure> {
    let as_json = args.read.json;
    let ledger = Writing::open(args.read.target()?).await?;
    let run_id = ledger.client.run_id(&args.run).await?;
    Ok((ledger, run_id, as_json))
}

/// The command did what it was asked for when the call was answered: the exit code is 0 whatever the run's state. `hint` says
/// what comes next, and is given the run as commands take it.
async fn tell(
    ledger: Writing,
    as_json: bool,
    run: Option<Run>,
    hint: impl FnOnce(&str) -> String,
) -> Result<Exit, Failure> {
    let run = run.unwrap_or_default();
    if as_json {
        output::print_json(&json::run(&run))?;
    } else {
        let flag = ledger.client.flag();
        let nobody_works = ledger.file().is_some() && matches!(run.state(), RunState::Running | RunState::Paused);
        let hint = match run.finished_at {
            Some(_) => "it is over".to_owned(),
            None if nobody_works => format!("muster run PIPELINE --resume{flag} goes on with it"),
            None => hint(&format!("{}{flag}", run.run_id)),
        };
        output::remark(&format!("run {} is {} ({hint})\n", run.run_id, run_state(run.state())))?;
    }
    ledger.close().await;
    Ok(Exit::Fine)
}
