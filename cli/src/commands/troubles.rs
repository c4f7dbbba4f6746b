//! `dead-letters` and `in-doubt`: what of a run waits for somebody.

use muster_proto::v1::{DeadLetter, DeadLetterGroup, DeliveryInDoubt, ListDeadLettersRequest, ListInDoubtRequest, Run};
use muster_telemetry::Stderr;
use serde_json::{Value, json};

use crate::args::{DeadLettersArgs, InDoubtArgs, Stage};
use crate::client::Client;
use crate::commands::stdout_width;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::manner;
use crate::output;
use crate::render::{doubts, json as as_json, letters, run};

/// Entries asked for at a time.
const PAGE: i32 = 500;

/// `muster dead-letters RUN`.
pub async fn dead_letters(args: DeadLettersArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let wants_json = args.read.json;
    let client = Client::connect_to_read(args.read.target()?).await?;
    let run_id = client.run_id(&args.run).await?;
    let request = ListDeadLettersRequest {
        run_id: run_id.clone(),
        stage: Stage::name(args.stage).to_owned(),
        reason: args.reason,
        include_redriven: args.all,
        ..ListDeadLettersRequest::default()
    };
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let (letters, groups, is_cut) = collect(&client, request, limit).await?;
    if wants_json {
        let letters: Vec<Value> = letters.iter().map(as_json::dead_letter).collect();
        let groups: Vec<Value> = groups.iter().map(as_json::dead_letter_group).collect();
        let all = json!({ "run_id": run_id, "groups": groups, "dead_letters": letters, "more": is_cut });
        output::print_json(&all)?;
        return Ok(Exit::Fine);
    }
    if letters.is_empty() {
        output::print_folded(&format!(
            "run {run_id} has no dead letters{}",
            if args.all { "" } else { " to redrive" }
        ))?;
        return Ok(Exit::Fine);
    }
    output::print(&letters::summary(&groups, stdout_width()))?;
    let list = letters::list(&letters, stdout_width());
    output::print(&format!("\n{list}"))?;
    let flag = client.flag();
    if letters.iter().any(|letter| !letter.trace_id.is_empty() && !list.contains(&letter.trace_id)) {
        manner::remark(stderr, &format!("their traces:          muster dead-letters {run_id} --json{flag}"));
    }
    if is_cut {
        manner::remark(stderr, "there are more: --limit 0 lists all");
    }
    manner::remark(stderr, &format!("the story of one:      muster record {run_id} ID{flag}"));
    let audit = if client.audits_here(&run_id).await? { " --audit DIR" } else { "" };
    manner::remark(stderr, &another_try(&client.run(&run_id).await?, &format!("{flag}{audit}")));
    Ok(Exit::Fine)
}

/// What gives the dead letters of a run another try, which is refused before it is over. `flags` lead to its ledger.
fn another_try(run: &Run, flags: &str) -> String {
    let command = format!("muster redrive {}{flags}", run.run_id);
    match run::not_over(run) {
        None => format!("give them another try: {command}"),
        Some(stand) => format!("{stand}; once it is over they can be given another try: {command}"),
    }
}

async fn collect(
    client: &Client,
    mut request: ListDeadLettersRequest,
    limit: usize,
) -> Result<(Vec<DeadLetter>, Vec<DeadLetterGroup>, bool), Failure> {
    let (mut letters, mut groups) = (Vec::new(), Vec::new());
    loop {
        request.page_size = i32::try_from(limit - letters.len()).unwrap_or(PAGE).min(PAGE);
        let page = client.audit().list_dead_letters(request.clone()).await;
        let page = page.map_err(|status| client.failure(status))?.into_inner();
        letters.extend(page.dead_letters);
        groups.extend(page.groups);
        request.page_token = page.next_page_token;
        let is_last = request.page_token.is_empty();
        if is_last || letters.len() >= limit {
            return Ok((letters, groups, !is_last));
        }
    }
}

/// `muster in-doubt RUN`.
pub async fn in_doubt(args: InDoubtArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let wants_json = args.read.json;
    let client = Client::connect_to_read(args.read.target()?).await?;
    let run_id = client.run_id(&args.run).await?;
    let all = all_in_doubt(&client, &run_id).await?;
    if wants_json {
        let deliveries: Vec<Value> = all.iter().map(as_json::delivery_in_doubt).collect();
        output::print_json(&json!({ "run_id": run_id, "deliveries": deliveries }))?;
        return Ok(Exit::Fine);
    }
    if all.is_empty() {
        output::print_folded(&format!("run {run_id} has no deliveries in doubt"))?;
        return Ok(Exit::Fine);
    }
    output::print(&doubts::list(&all))?;
    for line in doubts::what_to_do(&run_id, &all, &client.flag()) {
        manner::remark(stderr, &line);
    }
    Ok(Exit::Fine)
}

/// All deliveries of a run that are in doubt.
pub async fn all_in_doubt(client: &Client, run_id: &str) -> Result<Vec<DeliveryInDoubt>, Failure> {
    let mut request = ListInDoubtRequest { run_id: run_id.to_owned(), page_size: PAGE, ..Default::default() };
    let mut all = Vec::new();
    loop {
        let page = client.audit().list_in_doubt(request.clone()).await;
        let page = page.map_err(|status| client.failure(status))?.into_inner();
        all.extend(page.deliveries);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::RunState;

    use super::*;

    #[test]
    fn another_try_is_for_a_run_that_is_over() {
        let of = |state: RunState| {
            let run = Run { run_id: "a-1".into(), state: state.into(), ..Run::default() };
            another_try(&run, " --db my.db")
        };
        for over in [RunState::Finished, RunState::Cancelled] {
            assert_eq!(of(over), "give them another try: muster redrive a-1 --db my.db");
        }
        for state in [RunState::Running, RunState::Paused, RunState::Cancelling] {
            let text = of(state);
            assert!(text.contains("once it is over") && text.ends_with(": muster redrive a-1 --db my.db"), "{text}");
        }
    }
}
