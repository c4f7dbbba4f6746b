//! Deliveries: announced before they are sent, settled after.

use std::collections::HashSet;

use super::batches::{BatchRow, facts_changed};
use super::leases::{Held, extend, held};
use super::rows::delivery_state_code;
use super::{Connection, Halt, Hold, SqlResult, Tx, params, protection, sql, unknown};
use crate::domain::{
    BatchLedger, BatchRef, DeliveryFact, DeliveryReport, DeliveryState, Evidence, Finding, LeaseToken, Positions,
    RunState, Timestamp,
};
use crate::planted::Bug;
use crate::store::{Begin, Begun, LEASE_TTL as TTL, Misuse, Refusal};

/// Added to the POST timeout for the time that a lease holds after an announcement.
const POST_MARGIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Who found out what became of a doubt.
pub(super) const PROBE: &str = "probe";

/// Announces a delivery.
pub(super) fn begin(tx: &Tx<'_>, session: &str, token: &LeaseToken, begin: &Begin) -> Result<Begun, Halt> {
    let held = held(tx, session, token, Some(Hold::Together))?;
    let mut ledger = held.row.ledger(tx.connection)?;
    if settle(tx, &held, &mut ledger, &begin.settled)? {
        facts_changed(tx, held.lease.batch, &held.facts)?;
    }
    let same = |delivery: &&DeliveryFact| delivery.epoch == held.lease.epoch && delivery.ordinal == begin.ordinal;
    if let Some(before) = ledger.deliveries.iter().find(same) {
        return begin_again(tx, &held, before, begin);
    }
    if let Some(refusal) = refusal(tx, &held, &ledger, begin)? {
        return Ok(Begun::Refused(refusal));
    }
    let number = tx.connection.query_row(sql!("run_next_delivery"), params![held.lease.batch.run], |row| row.get(0))?;
    insert(tx, &held, &ledger, begin, number)?;
    unknown::note(tx, held.lease.batch, &begin.unknown_fields)?;
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
    // It stays open: this may be a copy that comes late, while its POST is under way. Whoever has not sent it says so.
    if let Some(stopped) = stopped(tx, held) {
        return Ok(Begun::Refused(stopped));
    }
    let BatchRef { run, round, batch } = held.lease.batch;
    let key = params![run, round, batch, before.epoch, before.ordinal, tx.now.as_millis()];
    tx.connection.execute(sql!("delivery_again"), key)?;
    hold_for_post(tx, held)?;
    Ok(Begun::Announced { number: before.number, ttl: held.facts.post_timeout + POST_MARGIN })
}

/// The lease outlasts the POST.
fn hold_for_post(tx: &Tx<'_>, held: &Held) -> SqlResult<()> {
    extend(tx.connection, held.lease.batch, tx.now + (held.facts.post_timeout + POST_MARGIN).max(TTL))
}

/// Why it must not be sent, if so.
fn refusal(tx: &Tx<'_>, held: &Held, ledger: &BatchLedger, begin: &Begin) -> Result<Option<Refusal>, Halt> {
    if begin.positions.is_empty() || begin.positions.end() > held.row.size {
        let detail = format!("positions must be of the batch's {} records, at least one", held.row.size);
        return Err(Misuse::DeliveryInvalid(detail).into());
    }
    if !held.current {
        // A cancelled run that is over has taken its leases back: whoever had one hears why.
        let taken_back = held.released && held.facts.state.is_cancelled();
        return Ok(Some(if taken_back { Refusal::RunCancelled } else { Refusal::LeaseLost }));
    }
    if let Some(stopped) = stopped(tx, held) {
        return Ok(Some(stopped));
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

/// Nothing is sent of a run that does not go on.
fn stopped(tx: &Tx<'_>, held: &Held) -> Option<Refusal> {
    match held.facts.state {
        RunState::Running => None,
        _ if tx.planted.has(Bug::BeginWhenStopped) => None,
        RunState::Paused => Some(Refusal::RunPaused),
        RunState::Cancelling | RunState::Cancelled | RunState::Finished => Some(Refusal::RunCancelled),
    }
}

fn insert(tx: &Tx<'_>, held: &Held, ledger: &BatchLedger, begin: &Begin, number: i64) -> SqlResult<()> {
    let BatchRef { run, round, batch } = held.lease.batch;
    let whole = begin.positions == Positions::all(held.row.size);
    let tries = ledger.next_tries(&begin.positions, begin.retry_of, &held.facts.rules);
    tx.connection.execute(
        sql!("delivery_insert"),
        params![
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
        ],
    )?;
    Ok(())
}

/// Writes what is known of deliveries of this lease. Knowledge only grows: what is certain stays. To a round that is
/// over only an acknowledgement is news: a doubt that it ended with is not sent again by itself, so it stays one.
/// Gives whether anything was new.
pub(super) fn settle(
    tx: &Tx<'_>,
    held: &Held,
    ledger: &mut BatchLedger,
    reports: &[DeliveryReport],
) -> Result<bool, Halt> {
    let round_is_over = held.facts.state.is_over() || held.lease.batch.round < held.facts.round;
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
        let Some(said) = said(delivery, &report.evidence) else {
            let detail = format!("present of delivery {} must be some of its records, not all", report.ordinal);
            return Err(Misuse::ReportInvalid(detail).into());
        };
        if contradicts(tx, held, delivery, &said)? {
            note_contradiction(tx, held, delivery)?;
        } else if delivery.state.may_become(said.state) {
            new |= learn(tx, held, delivery, said, &report.evidence, round_is_over)?;
        }
    }
    Ok(new)
}

/// A delivery as its evidence has it; `None` when that names records that it cannot.
fn said(delivery: &DeliveryFact, evidence: &Evidence) -> Option<DeliveryFact> {
    let mut said = DeliveryFact { state: evidence.state, http_status: evidence.http_status, ..delivery.clone() };
    if said.state == DeliveryState::PartlyApplied {
        let strangers = evidence.present.without(&delivery.positions);
        said.absent = delivery.positions.without(&evidence.present);
        said.present = evidence.present.clone();
        return (strangers.is_empty() && !said.present.is_empty() && !said.absent.is_empty()).then_some(said);
    }
    Some(said)
}

/// Takes evidence that contradicts nothing; gives whether it was new.
fn learn(
    tx: &Tx<'_>,
    held: &Held,
    delivery: &mut DeliveryFact,
    said: DeliveryFact,
    evidence: &Evidence,
    round_is_over: bool,
) -> Result<bool, Halt> {
    let batch = held.lease.batch;
    let acknowledges = matches!(said.state, DeliveryState::Applied | DeliveryState::PartlyApplied);
    if round_is_over && said.state == DeliveryState::PartlyApplied {
        // Nobody sends the rest, so it stays a doubt for an operator, who need not be told what is there.
        let found = DeliveryFact { present: delivery.present.with(&said.present), ..delivery.clone() };
        let new = found.present != delivery.present;
        if new {
            write_finding(tx, batch, &found, "", "", false)?;
            *delivery = found;
        }
        return Ok(new);
    }
    if round_is_over && !acknowledges {
        return Ok(false);
    }
    write_evidence(tx.connection, batch, &said, evidence, tx.now)?;
    *delivery = said;
    if acknowledges && !round_is_over {
        protection::accepted(tx, batch.run, &held.facts)?;
    }
    Ok(true)
}

/// Does a worker say late what goes against what a probe or an operator found out, or against records that went on in
/// a later round because of it?
fn contradicts(tx: &Tx<'_>, held: &Held, delivery: &DeliveryFact, said: &DeliveryFact) -> SqlResult<bool> {
    let present = match said.state {
        DeliveryState::Applied => &delivery.positions,
        DeliveryState::PartlyApplied => &said.present,
        DeliveryState::InDoubt | DeliveryState::Open => return Ok(false),
        DeliveryState::NotApplied | DeliveryState::Rejected => return Ok(!delivery.present.is_empty()),
    };
    let news = present.without(&delivery.present);
    let denied = !delivery.positions.without(present).within(&delivery.present).is_empty();
    let withdrawn = delivery.withdrawn > 0 && !news.is_empty();
    if denied || withdrawn || !present.within(&delivery.absent).is_empty() {
        return Ok(true);
    }
    let older = held.lease.batch.round < held.facts.round && delivery.state == DeliveryState::InDoubt;
    Ok(older && went_on(tx, &held.row, &news)?)
}

/// Which of these records of a batch a later round has.
pub(super) fn later<'a>(
    connection: &dyn Connection,
    batch: BatchRef,
    ids: impl Iterator<Item = &'a String>,
) -> SqlResult<HashSet<String>> {
    let each: Vec<_> = ids.map(|id| params![id].to_vec()).collect();
    let rows = connection.query_each(sql!("record_later"), params![batch.run, batch.round], &each)?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Has a later round any of these records?
pub(super) fn went_on(tx: &Tx<'_>, row: &BatchRow, positions: &Positions) -> SqlResult<bool> {
    let ids = row.ids(tx.connection)?;
    let ids = positions.iter().filter_map(|place| ids.get(place as usize));
    later(tx.connection, row.batch, ids).map(|later| !later.is_empty())
}

/// What the records were judged by stays; the verdict of their round names it.
fn note_contradiction(tx: &Tx<'_>, held: &Held, delivery: &DeliveryFact) -> SqlResult<()> {
    if delivery.contradicted {
        return Ok(());
    }
    let BatchRef { run, round, batch } = held.lease.batch;
    let key = params![run, round, batch, delivery.epoch, delivery.ordinal];
    tx.connection.execute(sql!("delivery_contradicted"), key)?;
    facts_changed(tx, held.lease.batch, &held.facts)
}

/// Writes what a probe or an operator (`by`) found out of a delivery in doubt; gives what it is then.
pub(super) fn find_out(
    tx: &Tx<'_>,
    batch: BatchRef,
    delivery: &DeliveryFact,
    finding: &Finding,
    by: &str,
    note: &str,
) -> SqlResult<DeliveryFact> {
    let mut found = delivery.with(finding);
    found.probes += u32::from(by == PROBE);
    let news = matches!(found.state, DeliveryState::Applied | DeliveryState::PartlyApplied);
    write_finding(tx, batch, &found, by, note, news)?;
    Ok(found)
}

/// Writes a delivery as it is known now; with `acknowledged`, as the run's next acknowledgement.
pub(super) fn write_finding(
    tx: &Tx<'_>,
    batch: BatchRef,
    found: &DeliveryFact,
    by: &str,
    note: &str,
    acknowledged: bool,
) -> SqlResult<()> {
    let acknowledged = acknowledged.then(|| next_acknowledgement(tx.connection, batch.run)).transpose()?;
    tx.connection.execute(
        sql!("delivery_find_out"),
        params![
            batch.run,
            batch.round,
            batch.batch,
            found.epoch,
            found.ordinal,
            delivery_state_code(found.state),
            stored(&found.present),
            stored(&found.absent),
            found.probes,
            by,
            note,
            tx.now.as_millis(),
            acknowledged
        ],
    )?;
    Ok(())
}

/// Places as they are stored: nothing for none.
fn stored(positions: &Positions) -> Option<Vec<u8>> {
    (!positions.is_empty()).then(|| positions.encode())
}

fn next_acknowledgement(connection: &dyn Connection, run: i64) -> SqlResult<i64> {
    connection.query_row(sql!("run_next_acknowledgement"), params![run], |row| row.get(0))
}

fn write_evidence(
    connection: &dyn Connection,
    batch: BatchRef,
    delivery: &DeliveryFact,
    evidence: &Evidence,
    now: Timestamp,
) -> SqlResult<()> {
    let acknowledged: Option<i64> = match evidence.state {
        DeliveryState::Applied | DeliveryState::PartlyApplied => Some(next_acknowledgement(connection, batch.run)?),
        _ => None,
    };
    let (present, absent) = (stored(&delivery.present), stored(&delivery.absent));
    connection.execute(
        sql!("delivery_settle"),
        params![
            batch.run,
            batch.round,
            batch.batch,
            delivery.epoch,
            delivery.ordinal,
            delivery_state_code(evidence.state),
            evidence.http_status,
            evidence.detail,
            now.as_millis(),
            acknowledged,
            present,
            absent
        ],
    )?;
    Ok(())
}

/// A holder vanished after announcing: nobody knows what the target did. Gives whether there was such a delivery.
pub(super) fn doubt_open(connection: &dyn Connection, row: &BatchRow, now: Timestamp) -> SqlResult<bool> {
    let ledger = row.ledger(connection)?;
    let evidence = Evidence {
        state: DeliveryState::InDoubt,
        http_status: 0,
        detail: "the worker vanished after announcing it".to_owned(),
        present: Positions::default(),
    };
    let open = ledger.open_delivery();
    open.map_or(Ok(()), |delivery| write_evidence(connection, row.batch, delivery, &evidence, now))?;
    Ok(open.is_some())
}
