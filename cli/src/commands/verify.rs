//! `verify`: a run's ledger, or a folder of audit files, to a verdict.

use std::path::Path;

use muster_proto::v1::{Counts, Run, Verdict, VerifyRunRequest};
use serde_json::Value;

use crate::args::{Verified, VerifyArgs};
use crate::client::Client;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::files_audit;
use crate::output;
use crate::render::{files, json, rounds, run, run_state, verdict};

/// `muster verify RUN` or `muster verify --files DIR`.
pub async fn verify(mut args: VerifyArgs) -> Result<Exit, Failure> {
    let as_json = args.read.json;
    match args.verified()? {
        Verified::Files(folder) => of_files(&folder, as_json),
        Verified::Run(run) => {
            let client = Client::connect_to_read(args.read.target()?).await?;
            of_ledger(&client, &run, args.round, as_json).await
        }
    }
}

/// The verdict of one round.
async fn of_round(client: &Client, run_id: &str, round: i32) -> Result<(Verdict, Counts), Failure> {
    let request = VerifyRunRequest { run_id: run_id.to_owned(), round };
    let answer = client.audit().verify_run(request).await.map_err(|status| client.failure(status))?.into_inner();
    let found = answer.verdict.unwrap_or_default();
    let overall = answer.overall.or(found.counts).unwrap_or_default();
    Ok((found, overall))
}

async fn of_ledger(client: &Client, run: &str, round: Option<i32>, as_json: bool) -> Result<Exit, Failure> {
    let run = client.run(run).await?;
    let stand = run::not_over(&run);
    if let Some(round) = round {
        let (found, _) = of_round(client, &run.run_id, round).await?;
        // An older round is over, whatever the newest does.
        let stand = stand.filter(|_| found.round >= run.round);
        match as_json {
            true => output::print_json(&with_state(json::verdict(&found), &run))?,
            false => {
                let text = verdict::verdict_at(&found, stand.as_deref());
                output::print(&format!("run {}, round {}\n{text}", run.run_id, found.round))?
            }
        };
        return Ok(exit::of_verdict(&found, stand.is_none()));
    }
    // First the newest: rounds that are opened meanwhile are not asked for.
    let (newest, overall) = of_round(client, &run.run_id, 0).await?;
    let mut found = Vec::new();
    for round in 1..newest.round {
        found.push(of_round(client, &run.run_id, round).await?.0);
    }
    found.push(newest);
    print_all(&run, &found, &overall, as_json)?;
    Ok(exit::of_rounds(&found.iter().collect::<Vec<_>>(), &overall, stand.is_none()))
}

/// A verdict as JSON with the state of its run, by the names that a run has for it.
fn with_state(mut verdict: Value, run: &Run) -> Value {
    verdict["state"] = run_state(run.state()).into();
    verdict["state_reason"] = run.state_reason.as_str().into();
    verdict
}

/// JSON has the newest round at its top.
fn print_all(run: &Run, found: &[Verdict], overall: &Counts, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let mut value = with_state(found.last().map(json::verdict).unwrap_or_default(), run);
        value["overall"] = json::counts(overall);
        value["rounds"] = found.iter().map(json::verdict).collect();
        output::print_json(&value)?;
        return Ok(());
    }
    let words = |verdict: &Verdict| run.rounds.iter().find(|round| round.round == verdict.round);
    let each = found.iter().map(|verdict| (verdict, words(verdict).map_or("", |round| round.opened_by.as_str())));
    let head = if found.len() > 1 { String::new() } else { ", round 1".to_owned() };
    let all = rounds::all(each, overall, run::not_over(run).as_deref());
    output::print(&format!("run {}{head}\n{all}", run.run_id))?;
    Ok(())
}

fn of_files(folder: &Path, as_json: bool) -> Result<Exit, Failure> {
    let found = files_audit::audit(folder)?;
    if as_json {
        output::print_json(&files::json(&found))?
    } else {
        output::print(&files::text(folder, &found))?
    };
    Ok(found.exit())
}
