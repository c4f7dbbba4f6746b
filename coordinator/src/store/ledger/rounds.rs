//! Rounds beyond the first: what older rounds gave up on goes through once more, with batches of its own.

use std::collections::HashSet;

use super::batches::BatchRow;
use super::deliveries::later;
use super::runs::{by_id_alone, by_key, keep_pipeline, millis};
use super::{Connection, OptionalRow, SqlResult, Tx, params, rows, sql};
use crate::domain::{BatchRef, RecordState, Run, RunId, Terms};
use crate::store::{Redrive, Redriven};

/// A record that a round takes over.
pub(super) struct Taken {
    pub id: String,
    pub page: i64,
    /// As what older rounds left it.
    pub was: RecordState,
}

/// Over -> running, in the next round.
pub(super) fn redrive(tx: &Tx<'_>, id: &RunId, redrive: &Redrive) -> SqlResult<Option<Redriven>> {
    let Some(run) = by_id_alone(tx, id)? else { return Ok(None) };
    if let Some(before) = same_request(tx.connection, &run, redrive)? {
        return Ok(Some(before));
    }
    if !run.state.is_over() {
        return Ok(Some(Redriven::NotOver));
    }
    let taken = wanted(tx, &run, redrive)?;
    if taken.is_empty() {
        return Ok(Some(Redriven::Nothing));
    }
    let records = taken.len() as u64;
    if redrive.dry_run {
        return Ok(Some(Redriven::Opened(Box::new(run), records)));
    }
    if let Some(terms) = &redrive.terms {
        take_terms(tx, &run, terms)?;
    }
    let round = open(tx, &by_key(tx, run.key)?, &redrive.words, Some(redrive))?;
    extend(tx, run.key, round, &taken)?;
    by_key(tx, run.key).map(|run| Some(Redriven::Opened(Box::new(run), records)))
}

/// What this redrive gave, if it was made before.
pub(super) fn same_request(connection: &dyn Connection, run: &Run, redrive: &Redrive) -> SqlResult<Option<Redriven>> {
    let Some(request_id) = redrive.request_id.as_deref().filter(|_| !redrive.dry_run) else { return Ok(None) };
    let before = connection.query_row(sql!("round_by_request"), params![run.key, request_id], |row| {
        Ok((row.get::<[u8; 32]>(0)?, row.get::<i64>(1)?.unsigned_abs()))
    });
    Ok(before.optional()?.map(|(digest, records)| match digest == redrive.request_digest {
        true => Redriven::Opened(Box::new(run.clone()), records),
        false => Redriven::Conflict,
    }))
}

/// Records whose newest round left them as is asked for, in the order of their rounds and batches.
fn wanted(tx: &Tx<'_>, run: &Run, redrive: &Redrive) -> SqlResult<Vec<Taken>> {
    let only: HashSet<&str> = redrive.record_ids.iter().map(String::as_str).collect();
    let mut taken = Vec::new();
    for round in 1..=run.round {
        let key = params![run.key, round];
        let cancelled: bool = tx.connection.query_row(sql!("round_cancelled"), key, |row| row.get(0))?;
        let any_reason = redrive.stage.is_empty() && redrive.reason.is_empty();
        let all = redrive.outcomes.cancelled && cancelled && any_reason;
        let mut end = 0;
        for batch in tx.connection.query_map(sql!("batches_of_round"), params![run.key, round, all], BatchRow::read)? {
            end = batch.first_seq + i64::from(batch.size);
            of_batch(tx, &batch, cancelled, redrive, &only, &mut taken)?;
        }
        if all {
            // What was listed and waited for a full batch when the run was cancelled.
            let key = params![run.key, round, end, i64::MAX];
            let found = tx.connection.query_map(sql!("records_from"), key, |row| {
                Ok(Taken { id: row.get(1)?, page: row.get(2)?, was: RecordState::Cancelled })
            })?;
            take(tx, BatchRef { run: run.key, round, batch: 0 }, found, &only, &mut taken)?;
        }
    }
    Ok(taken)
}

fn of_batch(
    tx: &Tx<'_>,
    batch: &BatchRow,
    cancelled: bool,
    redrive: &Redrive,
    only: &HashSet<&str>,
    taken: &mut Vec<Taken>,
) -> SqlResult<()> {
    let unresolved = if cancelled { RecordState::Cancelled } else { RecordState::Pending };
    let states = batch.ledger(tx.connection)?.states(unresolved);
    let BatchRef { run, round, batch: number } = batch.batch;
    let mut fitting = HashSet::new();
    for row in tx.connection.query(sql!("exception_words"), params![run, round, number])? {
        let (stage, reason): (String, String) = (row.get(1)?, row.get(2)?);
        if (redrive.stage.is_empty() || stage == redrive.stage) && reason.contains(&redrive.reason) {
            fitting.insert(row.get::<u32>(0)?);
        }
    }
    let outcomes = redrive.outcomes;
    let wanted = |place: u32, state: RecordState| match state {
        RecordState::DeadLetter => outcomes.dead_letter && fitting.contains(&place),
        RecordState::Gone => outcomes.gone && fitting.contains(&place),
        RecordState::Cancelled => outcomes.cancelled && redrive.stage.is_empty() && redrive.reason.is_empty(),
        _ => false,
    };
    let key = params![run, round, batch.first_seq, batch.first_seq + i64::from(batch.size)];
    let mut found = Vec::new();
    let rows = tx.connection.query(sql!("records_of_batch"), key)?;
    for ((place, was), row) in (0..).zip(states).zip(rows) {
        if wanted(place, was) {
            found.push(Taken { id: row.get(0)?, page: row.get(1)?, was });
        }
    }
    take(tx, batch.batch, found, only, taken)
}

/// Takes records of a batch's round that are among those asked for, unless a later round has them.
fn take(
    tx: &Tx<'_>,
    of: BatchRef,
    mut found: Vec<Taken>,
    only: &HashSet<&str>,
    taken: &mut Vec<Taken>,
) -> SqlResult<()> {
    found.retain(|found| only.is_empty() || only.contains(found.id.as_str()));
    let later = later(tx.connection, of, found.iter().map(|found| &found.id))?;
    taken.extend(found.into_iter().filter(|found| !later.contains(&found.id)));
    Ok(())
}

/// The run's pipeline is another one from now on.
fn take_terms(tx: &Tx<'_>, run: &Run, terms: &Terms) -> SqlResult<()> {
    keep_pipeline(tx, &run.pipeline, terms)?;
    tx.connection.execute(
        sql!("run_terms"),
        params![
            run.key,
            terms.revision,
            terms.max_batch,
            millis(terms.post_timeout),
            millis(terms.rules.settle_after),
            terms.rules.max_attempts,
            rows::on_doubt_code(terms.rules.on_doubt),
            terms.max_gone,
            terms.max_rejected,
            terms.protocol
        ],
    )?;
    Ok(())
}

/// Opens the round after the run's current one; gives its number.
pub(super) fn open(tx: &Tx<'_>, run: &Run, opened_by: &str, request: Option<&Redrive>) -> SqlResult<u32> {
    let round = run.round + 1;
    let request_id = request.and_then(|request| request.request_id.as_deref());
    let digest = request_id.and(request).map(|request| request.request_digest);
    let row = params![run.key, round, run.revision, tx.now.as_millis(), opened_by, request_id, digest];
    tx.connection.execute(sql!("round_insert"), row)?;
    tx.connection.execute(sql!("exceptions_accept"), params![run.key])?;
    tx.connection.execute(sql!("run_reopen"), params![run.key, round])?;
    Ok(round)
}

/// Adds records to a later round, in batches of their own.
pub(super) fn extend(tx: &Tx<'_>, run: i64, round: u32, taken: &[Taken]) -> SqlResult<()> {
    let (first, mut batch): (i64, i64) =
        tx.connection.query_row(sql!("round_counters"), params![run, round], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let max_batch: u32 = tx.connection.query_row(sql!("run_max_batch"), params![run], |row| row.get(0))?;
    let mut seq = first;
    let (mut records, mut batches) = (Vec::new(), Vec::new());
    for chunk in taken.chunks(max_batch.max(1) as usize) {
        let first = seq;
        for record in chunk {
            records.push(params![seq, record.id, record.page].to_vec());
            seq += 1;
        }
        batches.push(params![batch, first, seq - first].to_vec());
        batch += 1;
    }
    let key = params![run, round];
    tx.connection.execute_each(sql!("record_take_over"), key, &records)?;
    let items: Vec<_> = records.iter().map(|record| record[..2].to_vec()).collect();
    tx.connection.execute_each(sql!("item_take_over"), key, &items)?;
    tx.connection.execute_each(sql!("batch_insert"), key, &batches)?;
    let was = |state| taken.iter().filter(|record| record.was == state).map(|_| 1i64).sum::<i64>();
    tx.connection.execute(
        sql!("round_grow"),
        params![
            run,
            round,
            seq,
            batch,
            was(RecordState::DeadLetter),
            was(RecordState::Gone),
            was(RecordState::Cancelled),
            was(RecordState::InDoubt)
        ],
    )?;
    tx.connection.execute(sql!("run_changed"), params![run])?;
    tx.tell_work();
    Ok(())
}
