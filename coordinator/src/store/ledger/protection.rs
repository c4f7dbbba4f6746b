//! What protects a run from itself: signs that the pipeline, the source or the target is wrong, not the records.

use super::batches::{BatchRow, DONE, settle_batch, write_tally};
use super::leases::Held;
use super::rows::RunFacts;
use super::{Row, SqlResult, Tx, params, sql};
use crate::domain::{BatchLedger, DeliveryState, ExceptionKind};
use crate::store::{Event, Report};

/// Stage of records that the target refused.
pub(super) const LOAD: &str = "load";
/// The share of gone records is not judged before this many were listed, unless listing is closed.
const GONE_JUDGED_FROM: i64 = 1000;
/// Batches of very few records say little of others: so many records must have been refused in a row as well.
const REFUSED_RECORDS: u32 = 10;

/// Pauses the run, unless it does not go on anyway. Gives whether it did.
pub(super) fn pause(tx: &Tx<'_>, held: &Held, reason: &str) -> SqlResult<bool> {
    let paused = tx.connection.execute(sql!("run_pause"), params![held.lease.batch.run, reason, true])?;
    if paused > 0 {
        tx.push(Event::RunStopped { run_id: held.facts.id.clone(), reason: reason.to_owned() });
    }
    Ok(paused > 0)
}

/// More records gone than the pipeline allows: more likely the source is wrong than the records. Whoever resumes the run
/// accepts those that are gone by then, so a run that is paused already says it too: once, when the report with `new` gone
/// records is the one that is too many. They are counted as they come: all of them at each report would be a cost that grows
/// with the run, while nobody else may report.
pub(super) fn judge_gone(tx: &Tx<'_>, held: &Held, new: i64) -> SqlResult<()> {
    let run = held.lease.batch.run;
    let all: i64 = tx.connection.query_row(sql!("run_gone"), params![run, new], |row| row.get(0))?;
    let gone = all - held.facts.gone_accepted;
    let (listed, closed): (i64, bool) =
        tx.connection.query_row(sql!("listing_size"), params![run], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let of = if closed { listed } else { listed.max(GONE_JUDGED_FROM) };
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    let too_many = |gone: i64| gone as f64 / of.max(1) as f64 > held.facts.max_gone;
    if too_many(gone) {
        let more = if held.facts.gone_accepted > 0 { " more" } else { "" };
        let reason = format!(
            "the source answers 404 or 410 for {gone}{more} of {listed} listed records, more than source.max_gone ({}%) \
             allows: see that the source is whole, then resume the run, which accepts them as gone",
            held.facts.max_gone * 100.0
        );
        if !pause(tx, held, &reason)? && !too_many(gone - new) {
            tx.connection.execute(sql!("run_pause_also"), params![run, reason])?;
        }
    }
    Ok(())
}

/// Did the target refuse each record of this batch that it was sent?
pub(super) fn refused_whole(held: &Held, ledger: &BatchLedger, report: &Report) -> bool {
    let mut own = ledger.deliveries.iter().filter(|delivery| delivery.epoch == held.lease.epoch);
    let refused = |kind, stage: &str| kind == ExceptionKind::DeadLetter && stage == LOAD;
    report.records.iter().any(|record| refused(record.kind, &record.stage))
        && own.all(|delivery| matches!(delivery.state, DeliveryState::Rejected | DeliveryState::NotApplied))
}

/// One more batch was refused as a whole. When too many were, one after another, nobody is judged: what was held against
/// their records is taken back and the run pauses. Gives whether that was so.
pub(super) fn judge_refused(tx: &Tx<'_>, held: &Held, report: &Report) -> SqlResult<bool> {
    let run = held.lease.batch.run;
    let refused = report.records.iter().filter(|record| record.stage == LOAD);
    let last_words = refused.clone().next_back().map_or("", |record| record.body.as_str());
    let batches = held.facts.rejected.0 + 1;
    let records = held.facts.rejected.1.saturating_add(u32::try_from(refused.clone().count()).unwrap_or(u32::MAX));
    if batches < held.facts.max_rejected || records < REFUSED_RECORDS {
        tx.connection.execute(sql!("run_rejected"), params![run, batches, records])?;
        return Ok(false);
    }
    take_back(tx, run, &held.facts)?;
    let reason = format!(
        "the target refused all {records} records of {batches} batches in a row, the last with: {last_words}: mend the \
         pipeline, then cancel and redrive the run under it, or resume the run if the target was wrong"
    );
    pause(tx, held, &reason)?;
    Ok(true)
}

/// Nobody was judged: the records wait again.
fn take_back(tx: &Tx<'_>, run: i64, facts: &RunFacts) -> SqlResult<()> {
    let read = |row: &Row| Ok((BatchRow::read(row)?, row.get::<i64>(BatchRow::COLUMNS)?));
    let batches = tx.connection.query_map(sql!("batches_provisional"), params![run], read)?;
    tx.connection.execute(sql!("exceptions_withdraw"), params![run])?;
    tx.connection.execute(sql!("run_rejected"), params![run, 0, 0])?;
    for (row, state) in batches {
        if state == DONE {
            settle_batch(tx.connection, &row, facts, tx.now)?;
        } else {
            write_tally(tx.connection, row.batch, &row.ledger(tx.connection)?)?;
        }
    }
    tx.tell_work();
    Ok(())
}

/// The target has accepted something: what it refused before stands.
pub(super) fn accepted(tx: &Tx<'_>, run: i64, facts: &RunFacts) -> SqlResult<()> {
    if facts.rejected.0 == 0 {
        return Ok(());
    }
    tx.connection.execute(sql!("exceptions_accept"), params![run])?;
    tx.connection.execute(sql!("run_rejected"), params![run, 0, 0]).map(drop)
}
