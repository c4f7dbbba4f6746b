//! Deliveries in doubt, for operators.

use super::batches::batch_row;
use super::rows::{RunFacts, run_facts, time};
use super::{Connection, Row, SqlResult, params, sql};
use crate::domain::{BatchLedger, BatchRef, OnDoubt, Run};
use crate::store::{Doubt, DoubtPlan};

/// Deliveries in doubt with a number above `after` on which records hang. Nearly all that are read are among them (not
/// those that are being sent again just now): what a page costs is for what is on it.
pub(super) fn page(view: &dyn Connection, run: &Run, mut after: i64, limit: usize) -> SqlResult<Vec<Doubt>> {
    let Some(facts) = run_facts(view, run.key)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    loop {
        let missing = limit.saturating_sub(found.len());
        let at_most = i64::try_from(missing).unwrap_or(i64::MAX);
        let rows = view.query(sql!("doubts_of_run"), params![run.key, after, at_most])?;
        for row in &rows {
            after = row.get(0)?;
            found.extend(doubt(view, run.key, &facts, row)?);
        }
        if rows.len() < missing || found.len() >= limit {
            return Ok(found);
        }
    }
}

/// A row of `doubts_of_run`, if records hang on it.
fn doubt(view: &dyn Connection, run: i64, facts: &RunFacts, row: &Row) -> SqlResult<Option<Doubt>> {
    let (number, round, batch): (i64, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (batch, ..) = batch_row(view, BatchRef { run, round, batch })?;
    let ledger = batch.ledger(view)?;
    let hanging = ledger.hanging_on(number);
    if hanging.is_empty() {
        return Ok(None);
    }
    let ids = batch.ids(view)?;
    let begun_at = time(row, 3)?;
    Ok(Some(Doubt {
        number,
        round,
        batch: batch.batch.batch,
        begun_at,
        settles_at: begun_at + facts.rules.settle_after,
        http_status: row.get(4)?,
        detail: row.get(5)?,
        records: row.get(6)?,
        record_ids: hanging.iter().filter_map(|place| ids.get(place as usize).cloned()).collect(),
        plan: plan(&ledger, number, round, facts),
        retry_of: row.get(7)?,
        trace: row.get(8)?,
    }))
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::{Hold, Statement, Value};
    use super::*;
    use crate::domain::DeliveryState;
    use crate::planted::Planted;
    use crate::store::Swept;
    use crate::store::conformance::Bench;
    use crate::store::conformance::bench::{A, MAX_BATCH, POST_TIMEOUT, new_run};
    use crate::store::sqlite::SqliteBackend;

    /// A connection that counts what it is asked.
    struct Counted<'a> {
        connection: &'a dyn Connection,
        statements: Cell<u32>,
    }

    impl<'a> Counted<'a> {
        fn one_more(&self) -> &'a dyn Connection {
            self.statements.set(self.statements.get() + 1);
            self.connection
        }
    }

    impl Connection for Counted<'_> {
        fn execute(&self, statement: &Statement, values: &[Value]) -> SqlResult<usize> {
            self.one_more().execute(statement, values)
        }

        fn query(&self, statement: &Statement, values: &[Value]) -> SqlResult<Vec<Row>> {
            self.one_more().query(statement, values)
        }

        fn execute_each(&self, statement: &Statement, values: &[Value], each: &[Vec<Value>]) -> SqlResult<usize> {
            self.one_more().execute_each(statement, values, each)
        }

        fn query_each(&self, statement: &Statement, values: &[Value], each: &[Vec<Value>]) -> SqlResult<Vec<Row>> {
            self.one_more().query_each(statement, values, each)
        }

        fn hold(&self, run: i64, how: Hold) -> SqlResult<()> {
            self.one_more().hold(run, how)
        }

        fn hold_grants(&self, runs: &[(i64, u32)]) -> SqlResult<()> {
            self.one_more().hold_grants(runs)
        }

        fn hold_batches(&self, batches: &[BatchRef]) -> SqlResult<()> {
            self.one_more().hold_batches(batches)
        }

        fn give_space_back(&self) -> SqlResult<Swept> {
            self.one_more().give_space_back()
        }
    }

    /// Each batch is sent twice in vain, then all but two are applied.
    #[tokio::test]
    async fn what_was_in_doubt_once_costs_a_page_nothing() {
        const BATCHES: u32 = 20;
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::new(&SqliteBackend::new(folder.path().to_owned(), Planted::default())).await;
        let ids: Vec<String> = (0..BATCHES * MAX_BATCH).map(|id| id.to_string()).collect();
        let run = bench.listed(new_run("one"), &[&ids.iter().map(String::as_str).collect::<Vec<_>>()]).await;
        for (batches, state) in [
            (BATCHES, DeliveryState::InDoubt),
            (BATCHES, DeliveryState::InDoubt),
            (BATCHES - 2, DeliveryState::Applied),
        ] {
            let leases = bench.acquire(A, &[], batches).await.leases;
            assert_eq!(leases.len(), batches as usize);
            for lease in &leases {
                bench.deliver(A, lease, state).await;
            }
            bench.pass(POST_TIMEOUT).await;
        }
        let connection = rusqlite::Connection::open(folder.path().join("ledger-0.db")).unwrap();
        let counted = Counted { connection: &connection, statements: Cell::new(0) };
        let first = page(&counted, &run, 0, 1).unwrap();
        let second = page(&counted, &run, first[0].number, 10).unwrap();
        assert_eq!((first.len(), second.len()), (1, 1));
        // The run, the list, and of each that is found its batch, deliveries, exceptions and IDs.
        assert_eq!(counted.statements.get(), 2 * (2 + 4));
    }
}
