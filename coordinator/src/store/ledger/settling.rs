//! An operator's word for deliveries in doubt.

use std::collections::HashSet;

use super::batches::{BatchRow, batch_row, facts_changed};
use super::deliveries::{find_out, went_on, write_finding};
use super::rounds::{Taken, extend, open};
use super::rows::{RunFacts, run_facts};
use super::runs::{by_id_alone, by_key};
use super::{OptionalRow, SqlResult, Tx, params, sql};
use crate::domain::{BatchLedger, BatchRef, DeliveryFact, DeliveryState, Finding, Positions, RecordState, Run, RunId};
use crate::store::{Settle, SettleRefusal, Settled};

/// Who found out what became of a doubt.
const OPERATOR: &str = "operator";

/// A doubt that is to be settled, and how.
struct Doubt {
    row: BatchRow,
    ledger: BatchLedger,
    number: i64,
    /// Records whose fate hangs on it and which the target has.
    present: Positions,
    /// Those which it does not have.
    absent: Positions,
}

impl Doubt {
    fn fact(&self) -> Option<&DeliveryFact> {
        self.ledger.deliveries.iter().find(|delivery| delivery.number == self.number)
    }

    /// Records that go into the queue again: not those that were given up on besides.
    fn sendable(&self) -> Positions {
        let given_up = |place: &u32| self.ledger.exceptions.iter().any(|exception| exception.position == *place);
        Positions::from_ascending(self.absent.iter().filter(|place| !given_up(place))).unwrap_or_default()
    }

    /// Records that the target has by another delivery: by this one it may have them too, which counts as a copy.
    fn loaded_otherwise(&self) -> Positions {
        let states = self.ledger.states(RecordState::Pending);
        let loaded = (0u32..).zip(states).filter(|(_, state)| *state == RecordState::Loaded).map(|(place, _)| place);
        Positions::from_ascending(loaded).unwrap_or_default()
    }
}

/// Settles deliveries in doubt: all of them or, when one is refused, none.
pub(super) fn settle(tx: &Tx<'_>, id: &RunId, settle: &Settle) -> SqlResult<Option<Settled>> {
    let Some(run) = by_id_alone(tx, id)? else { return Ok(None) };
    let Some(facts) = run_facts(tx.connection, run.key)? else { return Ok(None) };
    let mut doubts = match look_up(tx, &run, &facts, settle)? {
        Ok(doubts) => doubts,
        Err(refusal) => return Ok(Some(Settled::Refused(refusal))),
    };
    let (mut loaded, mut to_send, mut taken) = (0, 0, Vec::new());
    for doubt in &mut doubts {
        // The one before may have been of the same batch.
        doubt.ledger = doubt.row.ledger(tx.connection)?;
        loaded += u64::from(doubt.present.len());
        let given_up = given_up(tx, &run, doubt)?;
        if doubt.absent.is_empty() || given_up || doubt.row.batch.round == run.round && !run.state.is_over() {
            in_place(tx, &facts, doubt, settle)?;
            to_send += if given_up { 0 } else { u64::from(doubt.sendable().len()) };
        } else {
            to_send += if run.state.is_cancelled() { 0 } else { u64::from(doubt.absent.len()) };
            move_on(tx, &run, &facts, doubt, &settle.note, &mut taken)?;
        }
    }
    if !taken.is_empty() {
        // Another settlement may have opened a round that still goes on.
        let round = if run.state.is_over() { open(tx, &run, &words(settle), None)? } else { run.round };
        extend(tx, run.key, round, &taken)?;
        withdraw(tx, &doubts, round, &settle.note)?;
    }
    by_key(tx, run.key).map(|run| Some(Settled::Done { run: Box::new(run), loaded, to_send }))
}

fn words(settle: &Settle) -> String {
    let numbers: Vec<String> = settle.numbers.iter().take(5).map(ToString::to_string).collect();
    let more = if settle.numbers.len() > 5 { ", ..." } else { "" };
    format!("deliveries in doubt settled as not applied: {}{more}", numbers.join(", "))
}

/// Finds the doubts and what the operator's word means for their records. Those that were settled so before are passed
/// over.
fn look_up(tx: &Tx<'_>, run: &Run, facts: &RunFacts, settle: &Settle) -> SqlResult<Result<Vec<Doubt>, SettleRefusal>> {
    let mut doubts: Vec<Doubt> = Vec::new();
    let mut named: HashSet<&str> = settle.applied_ids.iter().map(String::as_str).collect();
    let all = settle.applied_ids.is_empty();
    for number in &settle.numbers {
        let Some((batch, by)) = by_number(tx, run.key, *number)? else {
            return Ok(Err(SettleRefusal::Unknown(*number)));
        };
        let (row, ..) = batch_row(tx.connection, batch)?;
        let ids = row.ids(tx.connection)?;
        let is_named = |place: &u32| ids.get(*place as usize).is_some_and(|id| named.contains(id.as_str()));
        let ledger = row.ledger(tx.connection)?;
        let Some(fact) = ledger.deliveries.iter().find(|delivery| delivery.number == *number) else {
            return Ok(Err(SettleRefusal::Unknown(*number)));
        };
        let said = Positions::from_ascending(fact.positions.iter().filter(is_named)).unwrap_or_default();
        match before(fact, &by, settle, &said) {
            Some(Ok(())) => continue,
            Some(Err(refusal)) => return Ok(Err(refusal)),
            None => {}
        }
        if settle.applied && all && went_on(tx, &row, &fact.positions)? {
            // Another delivery of the same records was settled as not applied, and they went on.
            return Ok(Err(SettleRefusal::Otherwise(*number)));
        }
        let hanging = ledger.hanging_on(*number);
        // What a probe has found stays found.
        let found = hanging.within(&fact.present);
        let present = match (settle.applied, all) {
            (true, true) => hanging.clone(),
            (true, false) => hanging.within(&said).with(&found),
            (false, _) => found,
        };
        present.iter().filter_map(|place| ids.get(place as usize)).for_each(|id| {
            named.remove(id.as_str());
        });
        let settles_at = fact.begun_at + facts.rules.settle_after;
        if settles_at > tx.now {
            return Ok(Err(SettleRefusal::TooEarly(*number, settles_at)));
        }
        doubts.push(Doubt { absent: hanging.without(&present), row, ledger, number: *number, present });
    }
    if settle.applied
        && !doubts.is_empty()
        && let Some(stranger) = named.into_iter().min()
    {
        return Ok(Err(SettleRefusal::NotCarried(stranger.to_owned())));
    }
    Ok(Ok(doubts))
}

/// The batch of a delivery, and who settled it: one in doubt by its index, any other among all of the run.
fn by_number(tx: &Tx<'_>, run: i64, number: i64) -> SqlResult<Option<(BatchRef, String)>> {
    for statement in [sql!("doubt_by_number"), sql!("delivery_by_number")] {
        let found = tx.connection.query_row(statement, params![run, number], |row| {
            let batch = BatchRef { run, round: row.get(0)?, batch: row.get(1)? };
            Ok((batch, row.get(2)?))
        });
        if let Some(found) = found.optional()? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What a delivery that is not in doubt any more was settled as: the same word again changes nothing. `said` are the
/// places of those of its records that are named.
fn before(fact: &DeliveryFact, by: &str, settle: &Settle, said: &Positions) -> Option<Result<(), SettleRefusal>> {
    let DeliveryFact { number, state, withdrawn, .. } = *fact;
    let whole = settle.applied_ids.is_empty();
    let same = match state {
        DeliveryState::InDoubt if withdrawn == 0 => return None,
        // A list that names none of its records says the same of it.
        DeliveryState::InDoubt | DeliveryState::NotApplied => !settle.applied || !whole && said.is_empty(),
        DeliveryState::Applied => settle.applied && (whole || *said == fact.positions),
        DeliveryState::PartlyApplied => settle.applied && !whole && said.without(&fact.present).is_empty(),
        DeliveryState::Open => return Some(Err(SettleRefusal::NotInDoubt(number, "open"))),
        DeliveryState::Rejected => return Some(Err(SettleRefusal::NotInDoubt(number, "rejected"))),
    };
    Some(match (by == OPERATOR, same) {
        (true, true) => Ok(()),
        (true, false) => Err(SettleRefusal::Otherwise(number)),
        (false, _) if state == DeliveryState::NotApplied => Err(SettleRefusal::NotInDoubt(number, "not applied")),
        (false, _) if state == DeliveryState::PartlyApplied => Err(SettleRefusal::NotInDoubt(number, "partly applied")),
        (false, _) => Err(SettleRefusal::NotInDoubt(number, "applied")),
    })
}

/// Are records of this round without an outcome given up, because it was cancelled?
fn given_up(tx: &Tx<'_>, run: &Run, doubt: &Doubt) -> SqlResult<bool> {
    let round = doubt.row.batch.round;
    if round == run.round {
        return Ok(run.state.is_cancelled());
    }
    let key = params![run.key, round];
    tx.connection.query_row(sql!("round_cancelled"), key, |row| row.get(0))
}

/// Whole deliveries were applied or not; a list of IDs speaks of records. What the target does not have, it has by no
/// other delivery either.
fn in_place(tx: &Tx<'_>, facts: &RunFacts, doubt: &Doubt, settle: &Settle) -> SqlResult<()> {
    for fact in doubt.ledger.deliveries.iter().filter(|fact| fact.state == DeliveryState::InDoubt) {
        let unknown = fact.unknown();
        let present = match fact.number == doubt.number {
            true if settle.applied && settle.applied_ids.is_empty() => unknown.clone(),
            true if settle.applied => doubt.present.with(&doubt.loaded_otherwise()),
            _ => Positions::default(),
        };
        let absent = if fact.number == doubt.number { unknown.without(&present) } else { doubt.absent.clone() };
        let finding = Finding { number: fact.number, present, absent };
        if fact.number == doubt.number || !unknown.within(&finding.absent).is_empty() {
            find_out(tx, doubt.row.batch, fact, &finding, OPERATOR, &settle.note)?;
        }
    }
    facts_changed(tx, doubt.row.batch, facts)
}

/// The round is over and stays as it was, except for what the target turned out to have; the rest goes on in another.
fn move_on(
    tx: &Tx<'_>,
    run: &Run,
    facts: &RunFacts,
    doubt: &Doubt,
    note: &str,
    taken: &mut Vec<Taken>,
) -> SqlResult<()> {
    let batch = doubt.row.batch;
    if let Some(fact) = doubt.fact().filter(|_| !doubt.present.is_empty()) {
        let present = fact.present.with(&doubt.present);
        let found = DeliveryFact { state: DeliveryState::PartlyApplied, present, ..fact.clone() };
        write_finding(tx, batch, &found, OPERATOR, note, true)?;
        facts_changed(tx, batch, facts)?;
    }
    let key = params![run.key, batch.round, doubt.row.first_seq, doubt.row.first_seq + i64::from(doubt.row.size)];
    let rows = tx.connection.query_map(sql!("records_of_batch"), key, |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (place, row) in (0..).zip(rows) {
        let (id, page): (String, i64) = row;
        if doubt.absent.contains(place) {
            taken.push(Taken { id, page, was: RecordState::InDoubt });
        }
    }
    Ok(())
}

/// Notes which round took the records over.
fn withdraw(tx: &Tx<'_>, doubts: &[Doubt], round: u32, note: &str) -> SqlResult<()> {
    for doubt in doubts.iter().filter(|doubt| doubt.row.batch.round < round && !doubt.absent.is_empty()) {
        let BatchRef { run, round: of, batch } = doubt.row.batch;
        let Some(fact) = doubt.fact() else { continue };
        let row = params![run, of, batch, fact.epoch, fact.ordinal, round, note];
        tx.connection.execute(sql!("delivery_withdraw"), row)?;
    }
    Ok(())
}
