//! The report that ends a lease.

use std::collections::{BTreeMap, BTreeSet};

use super::batches::{BatchRow, LeaseEnd, end_lease, facts_changed, settle_batch};
use super::deliveries::{PROBE, doubt_open, find_out, settle};
use super::leases::{Held, held};
use super::rows::exception_code;
use super::{Halt, Hold, Tx, declined, params, protection, sql};
use crate::domain::{BatchLedger, BatchRef, DeliveryState, ExceptionKind, Finding, LeaseToken};
use crate::planted::Bug;
use crate::store::{Completion, Misuse, RecordReport, Report, WorkDone};

/// Takes a batch's report.
pub(super) fn complete(tx: &Tx<'_>, session: &str, token: &LeaseToken, report: &Report) -> Result<Completion, Halt> {
    let held = held(tx, session, token, Some(hold_for(report)))?;
    match held.report {
        _ if tx.planted.has(Bug::NoReplayAnswer) => {}
        Some((digest, answer)) if digest == report.digest => return Ok(completion(answer)),
        Some(_) => return Err(Misuse::ReportConflict.into()),
        None => {}
    }
    let batch = held.lease.batch;
    let mut ledger = held.row.ledger(tx.connection)?;
    let new = settle(tx, &held, &mut ledger, &report.deliveries)?;
    let done = if held.current {
        take_report(tx, &held, &mut ledger, report)?
    } else {
        if new {
            facts_changed(tx, batch, &held.facts)?;
        }
        Completion::Late
    };
    let BatchRef { run, round, batch: number } = batch;
    let WorkDone { requests, retries, hedges, bytes, waited_ms } = report.work;
    let answer = completion_code(done);
    let epoch = held.lease.epoch;
    let (digest, trace) = (report.digest, report.trace);
    let row = params![run, round, number, epoch, digest, answer, requests, retries, hedges, bytes, trace, waited_ms];
    tx.connection.execute(sql!("lease_report"), row)?;
    // Nobody is woken by what is done: only by what may be leased again, or by others than before.
    if done == Completion::Requeued || held.facts.max_workers > 0 {
        tx.tell_work();
    }
    Ok(done)
}

/// A report by which the run may be judged is taken when nobody else reports.
pub(super) fn hold_for(report: &Report) -> Hold {
    let judges = |record: &RecordReport| record.kind == ExceptionKind::Gone || record.stage == protection::LOAD;
    let alone = report.pause.is_some() || report.records.iter().any(judges) || declined::says_not_applied(report);
    if alone { Hold::Alone } else { Hold::Together }
}

/// From the lease's holder: everything counts.
fn take_report(tx: &Tx<'_>, held: &Held, ledger: &mut BatchLedger, report: &Report) -> Result<Completion, Halt> {
    let batch = held.lease.batch;
    if ledger.open_delivery().is_some() {
        // A holder that cannot say what came of its POST leaves a doubt.
        doubt_open(tx.connection, &held.row, tx.now)?;
    }
    take_probes(tx, held, ledger, &report.probes)?;
    // What was cancelled stays so: the run's audit may be under way.
    let judged = !held.facts.state.is_cancelled();
    let refused = protection::refused_whole(held, ledger, report);
    let gone = if judged { write_exceptions(tx, held, ledger, &report.records, refused)? } else { 0 };
    end_lease(tx.connection, batch, held.lease.epoch, LeaseEnd::Completed, tx.now)?;
    let row = match judged {
        true => declined::after_report(tx, held, ledger, report)?,
        false => BatchRow { lost: 0, ..held.row.clone() },
    };
    let earliest = tx.now + report.retry_after;
    let mut done = settle_batch(tx.connection, &row, &held.facts, earliest)?;
    if gone != 0 {
        protection::judge_gone(tx, held, gone)?;
    }
    if judged && refused {
        // Its own exceptions may be among those taken back.
        done &= !protection::judge_refused(tx, held, report)?;
    }
    if let Some(reason) = &report.pause {
        protection::pause(tx, held, reason)?;
    }
    Ok(if done { Completion::Done } else { Completion::Requeued })
}

/// What the target said of doubts of this batch. What comes before it can act no more is passed over: it may act yet.
fn take_probes(tx: &Tx<'_>, held: &Held, ledger: &mut BatchLedger, probes: &[Finding]) -> Result<(), Halt> {
    if held.facts.state.is_over() || held.lease.batch.round < held.facts.round {
        return Ok(());
    }
    for finding in probes {
        let Some(doubt) = ledger.deliveries.iter_mut().find(|delivery| delivery.number == finding.number) else {
            let detail = format!("delivery {} is not of this batch", finding.number);
            return Err(Misuse::ReportInvalid(detail).into());
        };
        if tx.now < doubt.begun_at + held.facts.rules.settle_after || doubt.unknown().is_empty() {
            continue;
        }
        *doubt = find_out(tx, held.lease.batch, doubt, finding, PROBE, "")?;
        if matches!(doubt.state, DeliveryState::Applied | DeliveryState::PartlyApplied) {
            protection::accepted(tx, held.lease.batch.run, &held.facts)?;
        }
    }
    Ok(())
}

/// Writes exceptions, all at once. Of several that name the same record the last counts. Gives how many more are gone now.
fn write_exceptions(
    tx: &Tx<'_>,
    held: &Held,
    ledger: &BatchLedger,
    records: &[RecordReport],
    refused: bool,
) -> Result<i64, Halt> {
    let beyond = records.iter().find(|record| record.position >= held.row.size);
    if let Some(record) = beyond {
        let detail = format!("the batch has {} records, none at {}", held.row.size, record.position);
        return Err(Misuse::ReportInvalid(detail).into());
    }
    if tx.planted.has(Bug::LosesDeadLetters) {
        return Ok(0);
    }
    let exception = |record: &RecordReport| {
        let provisional = refused && record.stage == protection::LOAD;
        let RecordReport { position, kind, stage, reason, http_status, body } = record;
        params![position, exception_code(*kind), stage, reason, http_status, body, provisional].to_vec()
    };
    let by_position: BTreeMap<u32, _> = records.iter().map(|record| (record.position, record)).collect();
    let known = ledger.exceptions.iter().filter(|known| known.kind == ExceptionKind::Gone);
    let known: BTreeSet<u32> = known.map(|known| known.position).collect();
    let more = |record: &RecordReport| {
        i64::from(record.kind == ExceptionKind::Gone) - i64::from(known.contains(&record.position))
    };
    let BatchRef { run, round, batch } = held.lease.batch;
    let key = params![run, round, batch, tx.now.as_millis()];
    let rows: Vec<_> = by_position.values().map(|record| exception(record)).collect();
    tx.connection.execute_each(sql!("exception_insert"), key, &rows)?;
    Ok(by_position.values().map(|record| more(record)).sum())
}

fn completion_code(completion: Completion) -> i64 {
    match completion {
        Completion::Done => 0,
        Completion::Requeued => 1,
        Completion::Late => 2,
    }
}

fn completion(code: i64) -> Completion {
    match code {
        0 => Completion::Done,
        1 => Completion::Requeued,
        _ => Completion::Late,
    }
}
