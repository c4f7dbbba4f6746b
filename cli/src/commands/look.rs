//! `show` and `record`: one run, one record.

use muster_proto::v1::{GetRecordRequest, GetRunRequest};
use serde_json::json;

use crate::args::{RecordArgs, ShowArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::render::{json, run, story};

/// `muster show RUN`.
pub async fn show(args: ShowArgs) -> Result<Exit, Failure> {
    let as_json = args.read.json;
    let client = Client::connect_to_read(args.read.target()?).await?;
    let request = GetRunRequest { run_id: client.run_id(&args.run).await? };
    let answer = client.runs().get_run(request).await.map_err(|status| client.failure(status))?.into_inner();
    let shown = answer.run.unwrap_or_default();
    if as_json {
        output::print_json(&json::run(&shown))?
    } else {
        output::print(&run::show(&shown))?
    };
    Ok(Exit::Fine)
}

/// `muster record RUN ID`.
pub async fn record(args: RecordArgs) -> Result<Exit, Failure> {
    let as_json = args.read.json;
    let client = Client::connect_to_read(args.read.target()?).await?;
    let run_id = client.run_id(&args.run).await?;
    let request = GetRecordRequest { run_id: run_id.clone(), record_id: args.id };
    let answer = client.audit().get_record(request).await.map_err(|status| client.failure(status))?.into_inner();
    if as_json {
        let stories: Vec<_> = answer.stories.iter().map(json::story).collect();
        output::print_json(&json!({ "run_id": run_id, "stories": stories }))?;
    } else {
        output::print(&story::stories(&run_id, &answer.stories))?;
    }
    Ok(Exit::Fine)
}
