//! `runs`, `workers` and `pipelines`: lists, read a page at a time.

use muster_proto::v1::{ListPipelinesRequest, ListRunsRequest, ListWorkersRequest, PipelineSummary, Run, Worker};
use serde_json::{Value, json};

use crate::args::{PipelinesArgs, RunsArgs, WorkersArgs};
use crate::client::Client;
use crate::commands::stdout_width;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::render::{fleet, json, run};

/// Entries asked for at a time.
const PAGE: i32 = 500;

/// `muster runs`.
pub async fn runs(args: RunsArgs) -> Result<Exit, Failure> {
    let as_json = args.read.json;
    let client = Client::connect_to_read(args.read.target()?).await?;
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let runs = all_runs(&client, limit).await?;
    print(as_json, "runs", &runs, json::run, |runs| run::list(runs, stdout_width()))
}

/// The newest runs, at most `limit`.
pub async fn all_runs(client: &Client, limit: usize) -> Result<Vec<Run>, Failure> {
    let mut runs = Vec::new();
    let mut page_token = String::new();
    loop {
        let page_size = i32::try_from(limit - runs.len()).unwrap_or(PAGE).min(PAGE);
        let request = ListRunsRequest { page_size, page_token };
        let page = client.runs().list_runs(request).await.map_err(|status| client.failure(status))?.into_inner();
        runs.extend(page.runs);
        page_token = page.next_page_token;
        if page_token.is_empty() || runs.len() >= limit {
            runs.truncate(limit);
            return Ok(runs);
        }
    }
}

/// `muster workers`.
pub async fn workers(args: WorkersArgs) -> Result<Exit, Failure> {
    let as_json = args.read.json;
    let client = Client::connect_to_read(args.read.target()?).await?;
    let mut workers: Vec<Worker> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListWorkersRequest { page_size: PAGE, page_token, include_gone: args.all };
        let page = client.fleet().list_workers(request).await.map_err(|status| client.failure(status))?.into_inner();
        workers.extend(page.workers);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return print(as_json, "workers", &workers, json::worker, |workers| fleet::list(workers, stdout_width()));
        }
    }
}

/// `muster pipelines`.
pub async fn pipelines(args: PipelinesArgs) -> Result<Exit, Failure> {
    let as_json = args.read.json;
    let client = Client::connect_to_read(args.read.target()?).await?;
    let pipelines = all_pipelines(&client).await?;
    print(as_json, "pipelines", &pipelines, json::pipeline, fleet::pipelines)
}

/// All pipelines that a run can be started of.
pub async fn all_pipelines(client: &Client) -> Result<Vec<PipelineSummary>, Failure> {
    let mut pipelines = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListPipelinesRequest { page_size: PAGE, page_token };
        let page = client.pipelines().list_pipelines(request).await;
        let page = page.map_err(|status| client.failure(status))?.into_inner();
        pipelines.extend(page.pipelines);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(pipelines);
        }
    }
}

/// Prints a list, as `{"name": [...]}` or as text.
fn print<T>(
    as_json: bool,
    name: &str,
    entries: &[T],
    as_value: impl Fn(&T) -> Value,
    as_text: impl Fn(&[T]) -> String,
) -> Result<Exit, Failure> {
    if as_json {
        let entries: Vec<Value> = entries.iter().map(as_value).collect();
        output::print_json(&json!({ name: entries }))?
    } else if entries.is_empty() {
        output::print(&format!("no {name}\n"))?
    } else {
        output::print(&as_text(entries))?
    };
    Ok(Exit::Fine)
}
