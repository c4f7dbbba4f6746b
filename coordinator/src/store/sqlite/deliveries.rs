//! Deliveries: announced before they are sent, settled after; and the report that ends a lease.

use rusqlite::{Connection, params};

use super::batches::{LEASED, LeaseEnd, end_lease, settle_batch, write_tally};
use super::leases::{Held, held};
use super::rows::{batch_ledger, delivery_state_code, exception_code};
use super::sql;
use super::writer::{Halt, Tx};
use crate::domain::{
    BatchLedger, BatchRef, DeliveryFact, DeliveryReport, DeliveryState, Evidence, ExceptionKind, LeaseToken, Positions,
    RunState, Timestamp,
};
use crate::planted::Bug;
use crate::store::{Begin, Begun, Completion, Event, LEASE_TTL as TTL, Misuse, RecordReport, Refusal, Report};

/// Added to the POST timeout for the time that a lease holds after an announcement.
const POST_MARGIN: std::time::Duration = std::time::Duration::from_secs(5);
/// The share of gone records is not judged before this many were listed, unless listing is closed.
const GONE_JUDGED_FROM: i64 = 1000;

/// Announces a delivery.
pub(super) fn begin(tx: &Tx<'_>, session: &str, token: &LeaseToken, begin: &Begin) -> Result<Begun, Halt> {
    let held = held(tx, session, token)?;
    let mut ledger = batch_ledger(tx.connection, held.lease.batch, held.size)?;
    if settle(tx, &held, &mut ledger, &begin.settled)? {
        note_evidence(tx, &held, &ledger)?;
    }
    let same = |delivery: &&DeliveryFact| delivery.epoch == held.lease.epoch && delivery.ordinal == begin.ordinal;
    if let Some(before) = ledger.deliveries.iter().find(same) {
        return begin_again(tx, &held, before, begin);
    }
    if let Some(refusal) = refusal(tx, &held, &ledger, begin)? {
        return Ok(Begun::Refused(refusal));
    }
    let number =
        tx.connection.prepare_cached(sql!("run_next_delivery"))?.query_row([held.lease.batch.run], |row| row.get(0))?;
    insert(tx, &held, &ledger, begin, number)?;
    hold_for_post(tx, &held)?;
    Ok(Begun::Announced { number, ttl: held.facts.post_timeout + POST_MARGIN })
}

/// The same ordinal again is the same delivery, if it has the same content. One that is settled has been sent, or never
/// will be: to a copy that comes so late the safe answer is no, for an announcement allows a POST.
fn begin_again(tx: &Tx<'_>, held: &Held, before: &DeliveryFact, begin: &Begin) -> Result<Begun, Halt> {
    let same = before.positions == begin.positions
        && before.body_sha256 == begin.body_sha256
        && before.retry_of == begin.retry_of;
    if !same {
        let detail = format!("delivery {} of this lease was announced with other content", begin.ordinal);
        return Err(Misuse::DeliveryConflict(detail).into());
    }
    if !held.current {
        return Ok(Begun::Refused(Refusal::LeaseLost));
    }
    if before.state != DeliveryState::Open {
        return Ok(Begun::Refused(Refusal::Superseded));
    }
    let BatchRef { run, round, batch } = held.lease.batch;
    let key = params![run, round, batch, before.epoch, before.ordinal, tx.now.as_millis()];
    tx.connection.prepare_cached(sql!("delivery_again"))?.execute(key)?;
    hold_for_post(tx, held)?;
    Ok(Begun::Announced { number: before.number, ttl: held.facts.post_timeout + POST_MARGIN })
}

/// The lease outlasts the POST.
fn hold_for_post(tx: &Tx<'_>, held: &Held) -> rusqlite::Result<()> {
    let BatchRef { run, round, batch } = held.lease.batch;
    let expires_at = tx.now + (held.facts.post_timeout + POST_MARGIN).max(TTL);
    let key = params![run, round, batch, expires_at.as_millis()];
    tx.connection.prepare_cached(sql!("batch_extend"))?.execute(key).map(drop)
}

/// Why it must not be sent, if so.
fn refusal(tx: &Tx<'_>, held: &Held, ledger: &BatchLedger, begin: &Begin) -> Result<Option<Refusal>, Halt> {
    if begin.positions.is_empty() || begin.positions.end() > held.size {
        let detail = format!("positions must be of the batch's {} records, at least one", held.size);
        return Err(Misuse::DeliveryInvalid(detail).into());
    }
    if !held.current {
        return Ok(Some(Refusal::LeaseLost));
    }
    match held.facts.state {
        RunState::Running => {}
        _ if tx.planted.has(Bug::BeginWhenStopped) => {}
        RunState::Paused => return Ok(Some(Refusal::RunPaused)),
        RunState::Cancelling | RunState::Cancelled | RunState::Finished => return Ok(Some(Refusal::RunCancelled)),
    }
    if let Some(open) = ledger.open_delivery().filter(|_| !tx.planted.has(Bug::SeveralOpen)) {
        let detail = format!("delivery {} of this lease is not settled", open.ordinal);
        return Err(Misuse::DeliveryConflict(detail).into());
    }
    let may_begin = ledger.may_begin(&begin.positions, begin.retry_of, &held.facts.rules);
    if !may_begin && !tx.planted.has(Bug::SeveralOpen) {
        return Ok(Some(Refusal::Superseded));
    }
    let doubt = ledger.deliveries.iter().find(|delivery| delivery.number == begin.retry_of);
    let too_early = doubt.is_some_and(|doubt| tx.now < doubt.begun_at + held.facts.rules.settle_after);
    Ok(too_early.then_some(Refusal::NotYet))
}

fn insert(tx: &Tx<'_>, held: &Held, ledger: &BatchLedger, begin: &Begin, number: i64) -> rusqlite::Result<()> {
    let BatchRef { run, round, batch } = held.lease.batch;
    let whole = begin.positions == Positions::all(held.size);
    let tries = ledger.next_tries(&begin.positions, begin.retry_of, &held.facts.rules);
    tx.connection.prepare_cached(sql!("delivery_insert"))?.execute(params![
        run,
        round,
        batch,
        held.lease.epoch,
        begin.ordinal,
        number,
        (!whole).then(|| begin.positions.encode()),
        begin.positions.len(),
        begin.body_sha256,
        begin.retry_of,
        tries,
        tx.now.as_millis()
    ])?;
    Ok(())
}

/// Writes what is known of deliveries of this lease. Knowledge only grows: what is certain stays. To a round that is
/// over only an acknowledgement is news: a doubt that it ended with is not sent again by itself, so it stays one.
/// Gives whether anything was new.
fn settle(tx: &Tx<'_>, held: &Held, ledger: &mut BatchLedger, reports: &[DeliveryReport]) -> Result<bool, Halt> {
    let mut new = false;
    for report in reports {
        let wanted =
            |delivery: &&mut DeliveryFact| delivery.epoch == held.lease.epoch && delivery.ordinal == report.ordinal;
        let Some(delivery) = ledger.deliveries.iter_mut().find(wanted) else {
            if report.evidence.state == DeliveryState::NotApplied {
                // Its announcement never arrived, and it was not sent: there is nothing to know.
                continue;
            }
            let detail = format!("delivery {} was never announced under this lease", report.ordinal);
            return Err(Misuse::ReportInvalid(detail).into());
        };
        let told_too_late = held.facts.state.is_over() && report.evidence.state != DeliveryState::Applied;
        if delivery.state.may_become(report.evidence.state) && !told_too_late {
            write_evidence(tx.connection, held.lease.batch, delivery, &report.evidence, tx.now)?;
            delivery.state = report.evidence.state;
            new = true;
        }
    }
    Ok(new)
}

fn write_evidence(
    connection: &Connection,
    batch: BatchRef,
    delivery: &DeliveryFact,
    evidence: &Evidence,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let acknowledged: Option<i64> = match evidence.state {
        DeliveryState::Applied => {
            let mut statement = connection.prepare_cached(sql!("run_next_acknowledgement"))?;
            Some(statement.query_row([batch.run], |row| row.get(0))?)
        }
        _ => None,
    };
    connection.prepare_cached(sql!("delivery_settle"))?.execute(params![
        batch.run,
        batch.round,
        batch.batch,
        delivery.epoch,
        delivery.ordinal,
        delivery_state_code(evidence.state),
        evidence.http_status,
        evidence.detail,
        now.as_millis(),
        acknowledged
    ])?;
    Ok(())
}

/// A holder vanished after announcing: nobody knows what the target did. Gives whether there was such a delivery.
pub(super) fn doubt_open(
    connection: &Connection,
    batch: BatchRef,
    size: u32,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let ledger = batch_ledger(connection, batch, size)?;
    let evidence = Evidence {
        state: DeliveryState::InDoubt,
        http_status: 0,
        detail: "the worker vanished after announcing it".to_owned(),
    };
    let open = ledger.open_delivery();
    open.map_or(Ok(()), |delivery| write_evidence(connection, batch, delivery, &evidence, now))?;
    Ok(open.is_some())
}

/// Takes a batch's report.
pub(super) fn complete(tx: &Tx<'_>, session: &str, token: &LeaseToken, report: &Report) -> Result<Completion, Halt> {
    let held = held(tx, session, token)?;
    match held.report {
        _ if tx.planted.has(Bug::NoReplayAnswer) => {}
        Some((digest, answer)) if digest == report.digest => return Ok(completion(answer)),
        Some(_) => return Err(Misuse::ReportConflict.into()),
        None => {}
    }
    let batch = held.lease.batch;
    let mut ledger = batch_ledger(tx.connection, batch, held.size)?;
    let new = settle(tx, &held, &mut ledger, &report.deliveries)?;
    let done = if held.current {
        take_report(tx, &held, &ledger, report)?
    } else {
        if new {
            note_evidence(tx, &held, &ledger)?;
        }
        Completion::Late
    };
    let BatchRef { run, round, batch: number } = batch;
    let [requests, retries, hedges, bytes] = report.cost;
    let answer = completion_code(done);
    let row = params![run, round, number, held.lease.epoch, report.digest, answer, requests, retries, hedges, bytes];
    tx.connection.prepare_cached(sql!("lease_report"))?.execute(row)?;
    tx.tell_work();
    Ok(done)
}

/// From the lease's holder: everything counts.
fn take_report(tx: &Tx<'_>, held: &Held, ledger: &BatchLedger, report: &Report) -> Result<Completion, Halt> {
    let batch = held.lease.batch;
    if ledger.open_delivery().is_some() {
        // A holder that cannot say what came of its POST leaves a doubt.
        doubt_open(tx.connection, batch, held.size, tx.now)?;
    }
    // What was cancelled stays so: the run's audit may be under way.
    if !held.facts.state.is_cancelled() {
        for record in &report.records {
            write_exception(tx, held, record)?;
        }
    }
    end_lease(tx.connection, batch, held.lease.epoch, LeaseEnd::Completed, tx.now)?;
    let earliest = tx.now + report.retry_after;
    let done = settle_batch(tx.connection, batch, held.size, held.attempt, &held.facts, earliest)?;
    if report.records.iter().any(|record| record.kind == ExceptionKind::Gone) {
        judge_gone(tx, held)?;
    }
    if let Some(reason) = &report.pause {
        pause(tx, held, reason)?;
    }
    Ok(if done { Completion::Done } else { Completion::Requeued })
}

fn write_exception(tx: &Tx<'_>, held: &Held, record: &RecordReport) -> Result<(), Halt> {
    if record.position >= held.size {
        let detail = format!("the batch has {} records, none at {}", held.size, record.position);
        return Err(Misuse::ReportInvalid(detail).into());
    }
    if tx.planted.has(Bug::LosesDeadLetters) {
        return Ok(());
    }
    let BatchRef { run, round, batch } = held.lease.batch;
    tx.connection.prepare_cached(sql!("exception_insert"))?.execute(params![
        run,
        round,
        batch,
        record.position,
        exception_code(record.kind),
        record.stage,
        record.reason,
        record.http_status,
        record.body,
        tx.now.as_millis()
    ])?;
    Ok(())
}

/// Evidence about a holder's own deliveries was written, whoever has the batch now. A leased batch moves when its
/// lease ends; one that is not is put where its facts say.
fn note_evidence(tx: &Tx<'_>, held: &Held, ledger: &BatchLedger) -> rusqlite::Result<()> {
    let batch = held.lease.batch;
    let key = params![batch.run, batch.round, batch.batch];
    let mut statement = tx.connection.prepare_cached(sql!("batch_row"))?;
    let (state, attempt, available_at) =
        statement.query_row(key, |row| Ok((row.get::<_, i64>(2)?, row.get(3)?, super::rows::time(row, 4)?)))?;
    if state == LEASED {
        // It counts when the holder's own delivery is settled; a delivery not yet announced is refused by it.
        return write_tally(tx, batch, ledger);
    }
    tx.tell_work();
    settle_batch(tx.connection, batch, held.size, attempt, &held.facts, available_at).map(drop)
}

/// The pipeline is wrong, not its records.
fn pause(tx: &Tx<'_>, held: &Held, reason: &str) -> rusqlite::Result<()> {
    let paused = tx.connection.prepare_cached(sql!("run_pause"))?.execute(params![held.lease.batch.run, reason])?;
    if paused > 0 {
        tx.push(Event::RunStopped { run_id: held.facts.id.clone(), reason: reason.to_owned() });
    }
    Ok(())
}

/// More records gone than the pipeline allows: more likely the source is wrong than the records.
fn judge_gone(tx: &Tx<'_>, held: &Held) -> rusqlite::Result<()> {
    let run = held.lease.batch.run;
    let gone: i64 = tx.connection.prepare_cached(sql!("exceptions_gone"))?.query_row([run], |row| row.get(0))?;
    let mut statement = tx.connection.prepare_cached(sql!("listing_size"))?;
    let (listed, closed): (i64, bool) = statement.query_row([run], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let of = if closed { listed } else { listed.max(GONE_JUDGED_FROM) };
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    let share = gone as f64 / of.max(1) as f64;
    if share > held.facts.max_gone {
        let reason = format!(
            "the source answers 404 or 410 for {gone} of {listed} listed records, more than source.max_gone ({}%) allows",
            held.facts.max_gone * 100.0
        );
        pause(tx, held, &reason)?;
    }
    Ok(())
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
