//! Deliveries in doubt, for operators.

use super::batches::batch_row;
use super::rows::{RunFacts, run_facts, time};
use super::{Connection, SqlResult, params, sql};
use crate::domain::{BatchLedger, BatchRef, OnDoubt, Run};
use crate::store::{Doubt, DoubtPlan};

/// Deliveries in doubt with a number above `after` on which records hang.
pub(super) fn page(view: &dyn Connection, run: &Run, after: i64, limit: usize) -> SqlResult<Vec<Doubt>> {
    let Some(facts) = run_facts(view, run.key)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for row in &view.query(sql!("doubts_of_run"), params![run.key, after])? {
        let (number, round, batch): (i64, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (batch, ..) = batch_row(view, BatchRef { run: run.key, round, batch })?;
        let ledger = batch.ledger(view)?;
        let hanging = ledger.hanging_on(number);
        if hanging.is_empty() {
            continue;
        }
        let ids = batch.ids(view)?;
        let begun_at = time(row, 3)?;
        found.push(Doubt {
            number,
            round,
            batch: batch.batch.batch,
            begun_at,
            settles_at: begun_at + facts.rules.settle_after,
            http_status: row.get(4)?,
            detail: row.get(5)?,
            records: row.get(6)?,
            record_ids: hanging.iter().filter_map(|place| ids.get(place as usize).cloned()).collect(),
            plan: plan(&ledger, number, round, &facts),
            retry_of: row.get(7)?,
            trace: row.get(8)?,
        });
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// What happens to it by itself.
fn plan(ledger: &BatchLedger, number: i64, round: u32, facts: &RunFacts) -> DoubtPlan {
    let goes_on = round == facts.round && !facts.state.is_over() && !facts.state.is_cancelled();
    let planned = ledger.remaining(&facts.rules, false).parts.iter().any(|part| part.retry_of == number);
    match facts.rules.on_doubt {
        OnDoubt::Retry if goes_on && planned => DoubtPlan::Retry,
        OnDoubt::Probe if goes_on && planned => DoubtPlan::Probe,
        _ => DoubtPlan::Held,
    }
}
