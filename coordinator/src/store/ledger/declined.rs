//! Batches of which the target says again and again that it has done nothing with them. While it takes others that is
//! because of some record: the batch goes on record by record, and one that is declined alone as often is given up on. While
//! it takes nothing at all it is more likely the target: nobody is judged, and after a while the run pauses, so that a person
//! hears of it. Before that the batch goes on record by record, too: in a small run there may be no others.

use std::time::Duration;

use super::batches::BatchRow;
use super::leases::Held;
use super::protection::{self, LOAD};
use super::rows::exception_code;
use super::{SqlResult, Tx, params, sql};
use crate::domain::{BatchLedger, BatchRef, Declined, DeliveryFact, DeliveryState, ExceptionKind};
use crate::planted::Bug;
use crate::store::Report;

/// How long a target may take nothing before batches are taken apart. An outage that is shorter costs no more POSTs.
const TOGETHER: Duration = Duration::from_mins(1);
/// How long a target may take nothing before the run pauses.
const PATIENCE: Duration = Duration::from_mins(10);

/// The batch after one more report, when it goes on by a worker that holds it.
pub(super) fn after_report(tx: &Tx<'_>, held: &Held, ledger: &BatchLedger, report: &Report) -> SqlResult<BatchRow> {
    // Whoever reports was not taken down.
    let row = BatchRow { lost: 0, ..held.row.clone() };
    if !says_not_applied(report) || tx.planted.has(Bug::SendsInVainForEver) {
        return Ok(row);
    }
    let rules = &held.facts.rules;
    let declined = ledger.declined();
    if let Some(since) = ledger.declined_for(PATIENCE, held.facts.resumed_at, tx.now)
        && declined.iter().any(|declined| declined.is_stubborn(rules, false))
        && !takes_others(tx, held, since)?
    {
        pause(tx, held, since)?;
    }
    let Some(declined) = declined.iter().find(|declined| declined.is_stubborn(rules, row.singles)) else {
        return Ok(row);
    };
    let since = match row.singles {
        // It has let others go first since then.
        true => ledger.alone(declined.place, rules.max_attempts),
        false => ledger.deliveries.iter().find(|delivery| delivery.number == declined.first),
    };
    let Some(since) = since else { return Ok(row) };
    let takes_others = takes_others(tx, held, since)?;
    if row.singles && takes_others {
        give_up(tx, held, ledger, declined)?;
    }
    let singles = row.singles || takes_others || since.begun_at + TOGETHER <= tx.now;
    Ok(BatchRow { singles, ..row })
}

/// Only then a batch is judged, by whoever holds the run alone.
pub(super) fn says_not_applied(report: &Report) -> bool {
    report.deliveries.iter().any(|delivery| delivery.evidence.state == DeliveryState::NotApplied)
}

/// Has the target acknowledged another delivery that was announced after this one?
fn takes_others(tx: &Tx<'_>, held: &Held, since: &DeliveryFact) -> SqlResult<bool> {
    tx.connection.query_row(sql!("acknowledged_since"), params![held.lease.batch.run, since.number], |row| row.get(0))
}

/// What the target said to a delivery: status and words.
fn words(tx: &Tx<'_>, held: &Held, delivery: &DeliveryFact) -> SqlResult<(i64, String)> {
    let BatchRef { run, round, batch } = held.lease.batch;
    let key = params![run, round, batch, delivery.epoch, delivery.ordinal];
    tx.connection.query_row(sql!("delivery_words"), key, |row| Ok((row.get(0)?, row.get(1)?)))
}

fn give_up(tx: &Tx<'_>, held: &Held, ledger: &BatchLedger, declined: &Declined) -> SqlResult<()> {
    let Some(last) = ledger.alone(declined.place, declined.alone) else { return Ok(()) };
    let (status, words) = words(tx, held, last)?;
    let reason = format!(
        "the target did not apply it in {} deliveries, {} of them of this record alone, while it applied others",
        declined.tries, declined.alone
    );
    let BatchRef { run, round, batch } = held.lease.batch;
    let key = params![run, round, batch, tx.now.as_millis()];
    let kind = exception_code(ExceptionKind::DeadLetter);
    let exception = params![declined.place, kind, LOAD, reason, status, words, false].to_vec();
    tx.connection.execute_each(sql!("exception_insert"), key, &[exception]).map(drop)
}

fn pause(tx: &Tx<'_>, held: &Held, since: &DeliveryFact) -> SqlResult<()> {
    let minutes = tx.now.since(since.begun_at).as_secs() / 60;
    let (_, words) = words(tx, held, since)?;
    let reason = format!(
        "the target has applied nothing for {minutes} minutes, since it said of batch {}: {words}: see what is wrong with the \
         target, then resume the run",
        held.lease.batch.batch
    );
    protection::pause(tx, held, &reason).map(drop)
}
