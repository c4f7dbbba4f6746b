//! What a notice says: the run as `muster show --json` and the API have it, as the round left it that is over.

use serde_json::{Value, json};
use url::Url;

use crate::domain::{Run, RunState, Timestamp};
use crate::service;
use crate::store::{NoticeClaim, NoticeEvent, Store, StoreResult};
use crate::web::as_json;
use crate::words::verdict::headline;

/// Bytes of a message: beyond, what can be read in the ledger is left out.
const MOST: usize = 256 << 10;
/// Of a list, these many stay.
const SOME: usize = 20;
/// Characters of a reason where nothing else is left out any more.
const REASON: usize = 1000;

/// A message.
#[derive(Debug)]
pub(super) struct Told {
    /// JSON.
    pub text: String,
    /// The verdict in words; empty for none.
    pub verdict: &'static str,
}

/// What a notice says at this moment; nothing when its run is not there any more.
pub(super) async fn of(
    store: &dyn Store,
    claim: &NoticeClaim,
    dashboard: Option<&Url>,
    now: Timestamp,
) -> StoreResult<Option<Told>> {
    let Some(run) = store.run(&claim.run).await? else { return Ok(None) };
    let mut rounds = store.rounds(&run).await?;
    rounds.retain(|round| round.round <= claim.round);
    let run = match (claim.event, rounds.last()) {
        (NoticeEvent::Ended, Some(round)) if round.round == claim.round => Run {
            round: round.round,
            revision: round.revision.clone(),
            opened_at: round.opened_at,
            finished_at: round.finished_at,
            verdict: round.verdict.clone(),
            state: if claim.reason == "cancelled" { RunState::Cancelled } else { RunState::Finished },
            state_reason: String::new(),
            ..run
        },
        _ => run,
    };
    let shown = service::shown(store, &run, &rounds, now).await?;
    let verdict = shown.verdict.as_ref().map_or("", headline);
    let shown = as_json("muster.v1.Run", &shown);
    let url = dashboard.and_then(|dashboard| {
        let mut url = dashboard.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(["runs", run.id.as_str()]);
        Some(url.to_string())
    });
    let at = time(claim.at);
    let reason = if claim.event == NoticeEvent::Ended { "" } else { claim.reason.as_str() };
    let data = json!({ "run_id": run.id.as_str(), "round": claim.round, "reason": reason, "url": url, "run": shown });
    let message = json!({ "type": claim.event.name(), "timestamp": at, "data": data });
    Ok(Some(Told { text: bounded(message), verdict }))
}

/// As the run's own times are written.
fn time(at: Timestamp) -> String {
    let millis = at.as_millis();
    let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: millis.div_euclid(1000), nanos }.to_string()
}

/// What is long is cut: all of it stands in the ledger.
fn bounded(mut message: Value) -> String {
    let text = message.to_string();
    if text.len() <= MOST {
        return text;
    }
    let run = &mut message["data"]["run"];
    run["rounds"] = json!([]);
    run["unknown_fields"] = json!([]);
    for list in ["discrepancies", "unknown_fields"] {
        if let Some(items) = run["verdict"][list].as_array_mut() {
            items.truncate(SOME);
        }
    }
    let text = message.to_string();
    if text.len() <= MOST {
        return text;
    }
    let run = &mut message["data"]["run"];
    run["parameters"] = json!({});
    if run["verdict"].is_object() {
        run["verdict"]["discrepancies"] = json!([]);
        run["verdict"]["unknown_fields"] = json!([]);
    }
    let text = message.to_string();
    if text.len() <= MOST { text } else { least(&message) }
}

/// What is short whatever the ledger has: that it happened, to which run, and whether that is complete.
fn least(message: &Value) -> String {
    let data = &message["data"];
    let reason: String = data["reason"].as_str().unwrap_or_default().chars().take(REASON).collect();
    let (state, complete) = (&data["run"]["state"], &data["run"]["verdict"]["complete"]);
    let run = json!({ "run_id": data["run_id"], "state": state, "verdict": { "complete": complete } });
    let data = json!({ "run_id": data["run_id"], "round": data["round"], "reason": reason, "url": null, "run": run });
    json!({ "type": message["type"], "timestamp": message["timestamp"], "data": data }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_those_of_the_run() {
        assert_eq!(time(Timestamp::from_millis(1_444_102_907_010)), "2015-10-06T03:41:47.010Z");
        assert_eq!(time(Timestamp::from_millis(1_444_102_907_000)), "2015-10-06T03:41:47Z");
    }

    #[test]
    fn what_is_too_long_is_left_out_and_the_counts_stay() {
        let of = |rounds: usize, parameter: usize| {
            let run = json!({ "parameters": { "x": "y".repeat(parameter) }, "rounds": vec!["z".repeat(1000); rounds],
                "verdict": { "complete": true, "counts": { "listed": 7 }, "discrepancies": [] } });
            bounded(json!({ "type": "run.ended", "data": { "run": run } }))
        };
        assert!(of(10, 10).contains("zzz"));
        let long = of(1000, 10);
        assert!(long.len() < MOST && !long.contains("zzz") && long.contains("\"x\""), "{} bytes", long.len());
        let longest = of(1000, MOST);
        assert!(longest.len() < MOST && longest.contains("\"listed\":7"), "{} bytes", longest.len());
        let run = json!({ "state": "RUN_STATE_PAUSED", "state_reason": "w".repeat(MOST) });
        let data = json!({ "run_id": "a-1", "round": 1, "reason": "w".repeat(MOST), "run": run });
        let least = bounded(json!({ "type": "run.stalled", "data": data }));
        assert!(least.len() < 2 * REASON && least.contains("RUN_STATE_PAUSED") && least.contains("a-1"), "{least}");
    }
}
