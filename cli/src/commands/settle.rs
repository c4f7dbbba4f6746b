//! `settle`: an operator's word for deliveries in doubt.

use std::time::SystemTime;

use muster_proto::v1::{DeliveryInDoubt, DoubtPlan, Run, RunState, SettleDeliveryRequest, Settlement};
use muster_telemetry::Stderr;
use serde_json::json;

use crate::args::SettleArgs;
use crate::client::Client;
use crate::commands::troubles::all_in_doubt;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::manner;
use crate::output;
use crate::render::doubts;
use crate::render::json as as_json;
use crate::writing::{Writing, ids_in};

/// Deliveries that one call may settle.
const AT_ONCE: usize = 1_000;

/// What was done.
struct Done {
    run: Run,
    loaded: i64,
    to_send: i64,
}

/// `muster settle RUN DELIVERY...`.
pub async fn settle(args: SettleArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let mut applied_record_ids = args.applied_only.clone();
    if let Some(file) = &args.ids_file {
        applied_record_ids = ids_in(file)?;
    }
    let settlement = if args.not_applied { Settlement::NotApplied } else { Settlement::Applied };
    let wants_json = args.read.json;
    let ledger = Writing::open(args.read.clone().target()?).await?;
    let run_id = ledger.client.run_id(&args.run).await?;
    let numbers = match args.all {
        true => due(&ledger.client, &run_id).await?,
        false => args.deliveries,
    };
    let request = SettleDeliveryRequest {
        run_id: run_id.clone(),
        delivery_numbers: numbers.clone(),
        settlement: settlement.into(),
        applied_record_ids,
        note: args.note,
    };
    let mut done = say(&ledger.client, &request).await?;
    if ledger.file().is_some() {
        ledger.catch_up().await?;
        done.run = ledger.client.run(&run_id).await?;
    }
    if wants_json {
        let value = json!({
            "run": as_json::run(&done.run), "delivery_numbers": numbers, "loaded": done.loaded, "to_send": done.to_send,
        });
        output::print_json(&value)?;
    } else {
        output::print(&doubts::settled(&done.run, numbers.len(), done.loaded, done.to_send))?;
    }
    if let Some(next) = what_next(&ledger, &done) {
        manner::remark(stderr, &next);
    }
    ledger.close().await;
    Ok(Exit::Fine)
}

/// Sends the word: in one call, unless there are more deliveries than one may name.
async fn say(client: &Client, request: &SettleDeliveryRequest) -> Result<Done, Failure> {
    let mut done = Done { run: Run::default(), loaded: 0, to_send: 0 };
    for numbers in request.delivery_numbers.chunks(AT_ONCE) {
        let part = SettleDeliveryRequest { delivery_numbers: numbers.to_vec(), ..request.clone() };
        let answer = client.runs().settle_delivery(part).await.map_err(|status| client.failure(status))?.into_inner();
        done.run = answer.run.unwrap_or_default();
        done.loaded += answer.loaded;
        done.to_send += answer.to_send;
    }
    Ok(done)
}

/// Numbers of the deliveries that wait for an operator and on which the target is not expected to act any more.
async fn due(client: &Client, run_id: &str) -> Result<Vec<i64>, Failure> {
    let all = all_in_doubt(client, run_id).await?;
    let now = prost_types::Timestamp::from(SystemTime::now());
    let (ready, later) = sort_out(&all, now);
    if !ready.is_empty() {
        return Ok(ready);
    }
    let flag = client.flag();
    Err(match later {
        0 => Failure::new(format!("run {run_id} has no delivery in doubt that waits for an operator")),
        _ => Failure::new(format!("no delivery of run {run_id} can be settled yet: the target may still act on them")),
    }
    .help(format!("muster in-doubt {run_id}{flag} lists those in doubt, and what happens to them next")))
}

/// The numbers that can be settled now, and how many have to wait.
fn sort_out(all: &[DeliveryInDoubt], now: prost_types::Timestamp) -> (Vec<i64>, usize) {
    let held = || all.iter().filter(|delivery| delivery.plan() == DoubtPlan::Held);
    let is_due = |delivery: &&DeliveryInDoubt| {
        delivery.settles_at.is_none_or(|at| (at.seconds, at.nanos) <= (now.seconds, now.nanos))
    };
    let ready: Vec<i64> = held().filter(is_due).map(|delivery| delivery.number).collect();
    let later = held().count() - ready.len();
    (ready, later)
}

/// Who sends what is to be sent.
fn what_next(ledger: &Writing, done: &Done) -> Option<String> {
    let (flag, run_id) = (ledger.client.flag(), &done.run.run_id);
    match (done.run.state(), ledger.file()) {
        (RunState::Running, Some(_)) if done.to_send > 0 => {
            Some(format!("muster run {} --resume{flag} sends the rest", doubts::arguments_of(&done.run)))
        }
        (RunState::Running, None) if done.to_send > 0 => Some(format!("follow it: muster watch {run_id}{flag}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_those_that_wait_for_an_operator_and_are_due() {
        let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        let doubt = |number, plan: DoubtPlan, settles| DeliveryInDoubt {
            number,
            plan: plan.into(),
            settles_at: Some(at(settles)),
            ..DeliveryInDoubt::default()
        };
        let all = [
            doubt(1, DoubtPlan::Held, 10),
            doubt(2, DoubtPlan::Retry, 10),
            doubt(3, DoubtPlan::Held, 20),
            doubt(4, DoubtPlan::Probe, 10),
            doubt(5, DoubtPlan::Held, 15),
        ];
        assert_eq!(sort_out(&all, at(15)), (vec![1, 5], 1));
        assert_eq!(sort_out(&all, at(9)), (vec![], 3));
        assert_eq!(sort_out(&[], at(9)), (vec![], 0));
    }
}
