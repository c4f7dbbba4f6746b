//! All that is told of a run, and what it cost.

use std::time::Duration;

use super::queries::progress;
use super::{Connection, OptionalRow, Row, SqlResult, dead_letters, doubts, history, params, rows, sql, unknown};
use crate::domain::{Run, RunId, Timestamp};
use crate::store::{Costs, DeadLetterFilter, Deliveries, ReportBounds, Round, RunReport, WorkDone};

/// Spans of a history: one for each second, but so many at least and at most.
const SPANS: std::ops::RangeInclusive<u64> = 12..=120;

/// `at` is the time of the view.
pub(super) fn read(
    view: &dyn Connection,
    id: &RunId,
    bounds: ReportBounds,
    at: Timestamp,
) -> SqlResult<Option<RunReport>> {
    let run = view.query_row(sql!("run_by_id"), params![id.as_str()], rows::run).optional()?;
    let Some(run) = run else { return Ok(None) };
    let unknown_fields = match &run.verdict {
        Some(verdict) => verdict.unknown_fields.clone(),
        None => unknown::of_round(view, run.key, run.round)?,
    };
    let rounds = view.query_map(sql!("rounds_of_run"), params![run.key], rows::round)?;
    let all = DeadLetterFilter { include_redriven: true, ..DeadLetterFilter::default() };
    Ok(Some(RunReport {
        progress: progress(view, run.key, run.round)?,
        unknown_fields,
        costs: costs(view, &run, &rounds)?,
        history: history::of(view, &run, &rounds, spans)?,
        failures: dead_letters::groups_with_samples(view, &run, &all, bounds.groups as usize)?,
        doubts: doubts::page(view, &run, 0, bounds.doubts as usize)?,
        at,
        rounds,
        run,
    }))
}

fn spans(time: Duration) -> u32 {
    let wanted = time.as_secs().clamp(*SPANS.start(), *SPANS.end());
    u32::try_from(wanted).unwrap_or(u32::MAX)
}

/// What each round cost, oldest first; also of rounds in which nothing was leased yet.
fn costs(view: &dyn Connection, run: &Run, rounds: &[Round]) -> SqlResult<Vec<Costs>> {
    let listed: i64 = view.query_row(sql!("listing_work"), params![run.key], |row| row.get(0))?;
    let of_round = |round: &Round| {
        let taken_over = i64::try_from(round.taken_over.listed).unwrap_or(i64::MAX);
        let records = if round.round == 1 { listed } else { taken_over };
        Costs { round: round.round, records, ..Costs::default() }
    };
    let mut rounds: Vec<Costs> = rounds.iter().map(of_round).collect();
    let place = |row: &Row| row.get::<u32>(0).map(|round| round.saturating_sub(1) as usize);
    for row in &view.query(sql!("costs_of_leases"), params![run.key])? {
        if let Some(costs) = rounds.get_mut(place(row)?) {
            (costs.leases, costs.expired, costs.unreported) = (row.get(1)?, row.get(2)?, row.get(3)?);
            costs.work = work(row)?;
        }
    }
    for row in &view.query(sql!("costs_of_deliveries"), params![run.key])? {
        if let Some(costs) = rounds.get_mut(place(row)?) {
            costs.deliveries = deliveries(row)?;
            costs.first_applied_at = rows::time_opt(row, 10)?;
            costs.last_applied_at = rows::time_opt(row, 11)?;
        }
    }
    Ok(rounds)
}

fn work(row: &Row) -> SqlResult<WorkDone> {
    Ok(WorkDone {
        requests: row.get(4)?,
        retries: row.get(5)?,
        hedges: row.get(6)?,
        bytes: row.get(7)?,
        waited_ms: row.get(8)?,
    })
}

fn deliveries(row: &Row) -> SqlResult<Deliveries> {
    Ok(Deliveries {
        open: row.get(1)?,
        applied: row.get(2)?,
        not_applied: row.get(3)?,
        rejected: row.get(4)?,
        in_doubt: row.get(5)?,
        partly_applied: row.get(6)?,
        repeats: row.get(7)?,
        records: row.get(8)?,
        most_tries: row.get(9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_second_unless_that_were_too_few_or_too_many() {
        let of = |seconds| spans(Duration::from_secs(seconds));
        assert_eq!((of(0), of(12), of(60), of(120), of(86_400)), (12, 12, 60, 120, 120));
    }
}
