//! Runs as traces, where this coordinator exports any.
//!
//! A run's trace has a span for each round, exported when that is over. Which it is follows from the run's ID alone, so
//! that workers link their batches to it while it goes on, and whichever coordinator concludes it exports it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_telemetry::trace::{KeyValue, Place, of_this_process};
use muster_telemetry::{names, spans};

use crate::domain::{Run, Timestamp, Verdict};

/// The ID of a run's trace; empty where nothing is exported.
pub(crate) fn of_run(run: &Run) -> String {
    of_this_process().map_or_else(String::new, |_| Place::of_round(run.id.as_str(), round(run)).trace.to_string())
}

/// Exports the round that is over.
pub(crate) fn concluded(run: &Run, verdict: &Verdict) {
    let Some(traces) = of_this_process() else { return };
    let yes_or_no = |yes, word: &str| if yes { word.to_owned() } else { format!("not {word}") };
    let found = [yes_or_no(verdict.is_complete(), "complete"), yes_or_no(verdict.is_balanced(), "balanced")];
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let about = vec![
        KeyValue::new(names::RUN, run.id.to_string()),
        KeyValue::new(spans::ROUND, i64::from(round(run))),
        KeyValue::new(names::PIPELINE, run.pipeline.clone()),
        KeyValue::new(names::PIPELINE_REVISION, run.revision.clone()),
        KeyValue::new(names::RECORDS, count(verdict.counts.listed)),
        KeyValue::new(spans::VERDICT, found.join(", ")),
    ];
    traces.export_round(run.id.as_str(), round(run), time(run.opened_at), SystemTime::now(), about);
}

fn round(run: &Run) -> i32 {
    i32::try_from(run.round).unwrap_or(i32::MAX)
}

/// The store's clock differs from this machine's by what the machine's was set since it started.
fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0))
}
