//! `verify`: a run's ledger, or a folder of audit files, to a verdict.

use std::path::Path;

use muster_proto::v1::VerifyRunRequest;

use crate::args::{Verified, VerifyArgs};
use crate::client::Client;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::files_audit;
use crate::output;
use crate::render::{files, json, verdict};

/// `muster verify RUN` or `muster verify --files DIR`.
pub async fn verify(mut args: VerifyArgs) -> Result<Exit, Failure> {
    let as_json = args.read.json;
    match args.verified()? {
        Verified::Files(folder) => of_files(&folder, as_json),
        Verified::Run(run) => of_ledger(&Client::connect_to_read(args.read.target()?).await?, &run, as_json).await,
    }
}

async fn of_ledger(client: &Client, run: &str, as_json: bool) -> Result<Exit, Failure> {
    let run_id = client.run_id(run).await?;
    let request = VerifyRunRequest { run_id: run_id.clone(), round: 0 };
    let answer = client.audit().verify_run(request).await.map_err(|status| client.failure(status))?.into_inner();
    let found = answer.verdict.unwrap_or_default();
    if as_json {
        output::print_json(&json::verdict(&found))?;
    } else {
        output::print(&format!("run {run_id}, round {}\n{}", found.round, verdict::verdict(&found)))?;
    }
    Ok(exit::of_verdict(&found))
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
