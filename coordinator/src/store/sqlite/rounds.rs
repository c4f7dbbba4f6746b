//! Rounds beyond the first: what older rounds gave up on goes through once more, with batches of its own.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, params};

use super::batches::BatchRow;
use super::runs::{by_id, by_key, keep_pipeline, millis};
use super::writer::Tx;
use super::{rows, sql};
use crate::domain::{RecordState, Run, RunId, Terms};
use crate::store::{Redrive, Redriven};

/// A record that a round takes over.
pub(super) struct Taken {
    pub id: String,
    pub page: i64,
    /// As what older rounds left it.
    pub was: RecordState,
}

/// Over -> running, in the next round.
pub(super) fn redrive(tx: &Tx<'_>, id: &RunId, redrive: &Redrive) -> rusqlite::Result<Option<Redriven>> {
    let Some(run) = by_id(tx, id)? else { return Ok(None) };
    if let Some(before) = same_request(tx, &run, redrive)? {
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

fn same_request(tx: &Tx<'_>, run: &Run, redrive: &Redrive) -> rusqlite::Result<Option<Redriven>> {
    let Some(request_id) = redrive.request_id.as_deref().filter(|_| !redrive.dry_run) else { return Ok(None) };
    let mut statement = tx.connection.prepare_cached(sql!("round_by_request"))?;
    let before = statement.query_row(params![run.key, request_id], |row| {
        Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    });
    Ok(before.optional()?.map(|(digest, records)| match digest == redrive.request_digest {
        true => Redriven::Opened(Box::new(run.clone()), records),
        false => Redriven::Conflict,
    }))
}

/// Records whose newest round left them as is asked for, in the order of their rounds and batches.
fn wanted(tx: &Tx<'_>, run: &Run, redrive: &Redrive) -> rusqlite::Result<Vec<Taken>> {
    let only: HashSet<&str> = redrive.record_ids.iter().map(String::as_str).collect();
    let mut taken = Vec::new();
    for round in 1..=run.round {
        let key = params![run.key, round];
        let cancelled: bool =
            tx.connection.prepare_cached(sql!("round_cancelled"))?.query_row(key, |row| row.get(0))?;
        let any_reason = redrive.stage.is_empty() && redrive.reason.is_empty();
        let all = redrive.outcomes.cancelled && cancelled && any_reason;
        let mut end = 0;
        let mut statement = tx.connection.prepare_cached(sql!("batches_of_round"))?;
        let mut batches = statement.query(params![run.key, round, all])?;
        while let Some(row) = batches.next()? {
            let batch = BatchRow::read(row)?;
            end = batch.first_seq + i64::from(batch.size);
            of_batch(tx, &batch, cancelled, redrive, &only, &mut taken)?;
        }
        if all {
            // What was listed and waited for a full batch when the run was cancelled.
            let mut statement = tx.connection.prepare_cached(sql!("records_from"))?;
            let mut rows = statement.query(params![run.key, round, end, i64::MAX])?;
            while let Some(row) = rows.next()? {
                let found = Taken { id: row.get(1)?, page: row.get(2)?, was: RecordState::Cancelled };
                take(tx, run.key, round, found, &only, &mut taken)?;
            }
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
) -> rusqlite::Result<()> {
    let unresolved = if cancelled { RecordState::Cancelled } else { RecordState::Pending };
    let states = batch.ledger(tx.connection)?.states(unresolved);
    let crate::domain::BatchRef { run, round, batch: number } = batch.batch;
    let mut statement = tx.connection.prepare_cached(sql!("exception_words"))?;
    let mut fitting = HashSet::new();
    let mut rows = statement.query(params![run, round, number])?;
    while let Some(row) = rows.next()? {
        let (stage, reason): (String, String) = (row.get(1)?, row.get(2)?);
        if (redrive.stage.is_empty() || stage == redrive.stage) && reason.contains(&redrive.reason) {
            fitting.insert(row.get::<_, u32>(0)?);
        }
    }
    let outcomes = redrive.outcomes;
    let wanted = |place: u32, state: RecordState| match state {
        RecordState::DeadLetter => outcomes.dead_letter && fitting.contains(&place),
        RecordState::Gone => outcomes.gone && fitting.contains(&place),
        RecordState::Cancelled => outcomes.cancelled && redrive.stage.is_empty() && redrive.reason.is_empty(),
        _ => false,
    };
    let mut statement = tx.connection.prepare_cached(sql!("records_of_batch"))?;
    let key = params![run, round, batch.first_seq, batch.first_seq + i64::from(batch.size)];
    let mut rows = statement.query(key)?;
    for (place, was) in (0..).zip(states) {
        let Some(row) = rows.next()? else { break };
        if wanted(place, was) {
            take(tx, run, round, Taken { id: row.get(0)?, page: row.get(1)?, was }, only, taken)?;
        }
    }
    Ok(())
}

/// Takes a record, unless it is not among those asked for, or a later round has it.
fn take(
    tx: &Tx<'_>,
    run: i64,
    round: u32,
    found: Taken,
    only: &HashSet<&str>,
    taken: &mut Vec<Taken>,
) -> rusqlite::Result<()> {
    let mut later = tx.connection.prepare_cached(sql!("record_later"))?;
    let asked_for = only.is_empty() || only.contains(found.id.as_str());
    if asked_for && !later.query_row(params![run, found.id, round], |row| row.get::<_, bool>(0))? {
        taken.push(found);
    }
    Ok(())
}

/// The run's pipeline is another one from now on.
fn take_terms(tx: &Tx<'_>, run: &Run, terms: &Terms) -> rusqlite::Result<()> {
    keep_pipeline(tx, &run.pipeline, terms)?;
    tx.connection.prepare_cached(sql!("run_terms"))?.execute(params![
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
    ])?;
    Ok(())
}

/// Opens the round after the run's current one; gives its number.
pub(super) fn open(tx: &Tx<'_>, run: &Run, opened_by: &str, request: Option<&Redrive>) -> rusqlite::Result<u32> {
    let round = run.round + 1;
    let request_id = request.and_then(|request| request.request_id.as_deref());
    let digest = request_id.and(request).map(|request| request.request_digest);
    let row = params![run.key, round, run.revision, tx.now.as_millis(), opened_by, request_id, digest];
    tx.connection.prepare_cached(sql!("round_insert"))?.execute(row)?;
    tx.connection.prepare_cached(sql!("exceptions_accept"))?.execute([run.key])?;
    tx.connection.prepare_cached(sql!("run_reopen"))?.execute(params![run.key, round])?;
    Ok(round)
}

/// Adds records to a later round, in batches of their own.
pub(super) fn extend(tx: &Tx<'_>, run: i64, round: u32, taken: &[Taken]) -> rusqlite::Result<()> {
    let mut statement = tx.connection.prepare_cached(sql!("round_counters"))?;
    let (first, mut batch): (i64, i64) =
        statement.query_row(params![run, round], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let max_batch: u32 = tx.connection.prepare_cached(sql!("run_max_batch"))?.query_row([run], |row| row.get(0))?;
    let mut seq = first;
    let mut insert_record = tx.connection.prepare_cached(sql!("record_take_over"))?;
    let mut insert_item = tx.connection.prepare_cached(sql!("item_take_over"))?;
    let mut insert_batch = tx.connection.prepare_cached(sql!("batch_insert"))?;
    for chunk in taken.chunks(max_batch.max(1) as usize) {
        let first = seq;
        for record in chunk {
            insert_record.execute(params![run, round, seq, record.id, record.page])?;
            insert_item.execute(params![run, round, seq, record.id])?;
            seq += 1;
        }
        insert_batch.execute(params![run, round, batch, first, seq - first])?;
        batch += 1;
    }
    let was = |state| taken.iter().filter(|record| record.was == state).map(|_| 1i64).sum::<i64>();
    tx.connection.prepare_cached(sql!("round_grow"))?.execute(params![
        run,
        round,
        seq,
        batch,
        was(RecordState::DeadLetter),
        was(RecordState::Gone),
        was(RecordState::Cancelled),
        was(RecordState::InDoubt)
    ])?;
    tx.connection.prepare_cached(sql!("run_changed"))?.execute([run])?;
    tx.tell_work();
    Ok(())
}
