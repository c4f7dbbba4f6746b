//! Runs: started, paused, resumed, cancelled, concluded.

use super::{Fault, Hold, OptionalRow, SqlResult, Tx, View, leases, outbox, params, rows, sql};
use crate::domain::{NewRun, Run, RunId, Terms, Timestamp, Verdict};
use crate::planted::Bug;
use crate::store::{Destination, Event, Fenced, StaleRound, Started};

pub(super) fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn by_key(tx: &Tx<'_>, key: i64) -> SqlResult<Run> {
    tx.connection.query_row(sql!("run_by_key"), params![key], rows::run)
}

pub(super) fn by_id(tx: &Tx<'_>, id: &RunId) -> SqlResult<Option<Run>> {
    tx.connection.query_row(sql!("run_by_id"), params![id.as_str()], rows::run).optional()
}

/// A run, held so that nobody else changes anything of it.
pub(super) fn by_id_alone(tx: &Tx<'_>, id: &RunId) -> SqlResult<Option<Run>> {
    let Some(run) = by_id(tx, id)? else { return Ok(None) };
    tx.connection.hold(run.key, Hold::Alone)?;
    // As it is now that it is held.
    by_id(tx, id)
}

/// Writes a run, unless the same request has before.
pub(super) fn start(tx: &Tx<'_>, new: &NewRun) -> SqlResult<Started> {
    if let Some(request_id) = &new.request_id {
        let before = tx
            .connection
            .query_row(sql!("run_by_request"), params![request_id], |row| Ok((row.get(0)?, row.get::<[u8; 32]>(1)?)))
            .optional()?;
        if let Some((key, digest)) = before {
            return if digest == new.request_digest {
                by_key(tx, key).map(Started::Same)
            } else {
                Ok(Started::Conflict)
            };
        }
    }
    let now = tx.now.as_millis();
    keep_pipeline(tx, &new.pipeline, &new.terms)?;
    let parameters = serde_json::to_string(&new.parameters).map_err(|error| Fault::bad(error.to_string()))?;
    let Terms { revision, max_batch, post_timeout, rules, max_gone, max_rejected, protocol, .. } = &new.terms;
    let row = params![
        new.id.as_str(),
        new.request_id,
        new.request_digest,
        new.pipeline,
        parameters,
        new.audit_mode,
        now,
        revision,
        max_batch,
        millis(*post_timeout),
        millis(rules.settle_after),
        rules.max_attempts,
        rows::on_doubt_code(rules.on_doubt),
        max_gone,
        max_rejected,
        protocol,
        new.since.as_ref().map(RunId::as_str),
        new.share.priority,
        new.share.weight,
        new.share.max_workers,
        new.wall_at.as_millis()
    ];
    let key: i64 = tx.connection.query_row(sql!("run_insert"), row, |row| row.get(0))?;
    tx.connection.execute(sql!("listing_insert"), params![key])?;
    let alike: Vec<_> = new.alike.iter().map(|revision| params![revision].to_vec()).collect();
    tx.connection.execute_each(sql!("alike_insert"), params![key], &alike)?;
    let first = params![key, 1, revision, now, "", None::<String>, None::<Vec<u8>>];
    tx.connection.execute(sql!("round_insert"), first)?;
    tx.tell_work();
    by_key(tx, key).map(Started::New)
}

/// When a run was started, in real time. The ledger's clock never goes back: it stays ahead where a clock was ahead for a
/// while. The machine's may have been ahead at that very moment, and be right by now: then what has gone by since tells.
pub(super) fn started(view: &View<'_>, run: &Run, wall: Timestamp) -> SqlResult<Timestamp> {
    let by_machine = view.query_row(sql!("run_started"), params![run.key], |row| rows::time_opt(row, 0)).optional()?;
    let by_age = wall - view.now()?.since(run.created_at);
    Ok(by_machine.flatten().unwrap_or(run.created_at).min(run.created_at).min(by_age))
}

/// A pipeline revision stays in the ledger as long as a round used it.
pub(super) fn keep_pipeline(tx: &Tx<'_>, name: &str, terms: &Terms) -> SqlResult<()> {
    let pipeline = params![terms.revision, name, terms.canonical, tx.now.as_millis()];
    tx.connection.execute(sql!("pipeline_insert"), pipeline).map(drop)
}

/// Running -> paused; by itself, where nobody asked for it.
pub(super) fn pause(tx: &Tx<'_>, id: &RunId, reason: &str, itself: bool) -> SqlResult<Option<Run>> {
    let Some(run) = by_id_alone(tx, id)? else { return Ok(None) };
    if tx.connection.execute(sql!("run_pause"), params![run.key, reason, itself])? > 0 {
        tx.push(Event::RunStopped { run_id: id.clone(), reason: reason.to_owned() });
    }
    by_id(tx, id)
}

/// Paused -> running.
pub(super) fn resume(tx: &Tx<'_>, id: &RunId) -> SqlResult<Option<Run>> {
    let Some(run) = by_id_alone(tx, id)? else { return Ok(None) };
    tx.connection.execute(sql!("run_resume"), params![run.key, tx.now.as_millis()])?;
    tx.tell_work();
    by_id(tx, id)
}

/// Running or paused -> cancelling. From this commit on no delivery begins.
pub(super) fn cancel(tx: &Tx<'_>, id: &RunId) -> SqlResult<Option<Run>> {
    let Some(run) = by_id_alone(tx, id)? else { return Ok(None) };
    if tx.connection.execute(sql!("run_cancel"), params![run.key])? > 0 {
        tx.push(Event::RunStopped { run_id: id.clone(), reason: "the run was cancelled".to_owned() });
    }
    by_id(tx, id)
}

/// Ends a round with its verdict.
pub(super) fn conclude(tx: &Tx<'_>, run: &Run, verdict: &Verdict, to: &[Destination]) -> SqlResult<Fenced<()>> {
    tx.connection.hold(run.key, Hold::Alone)?;
    // What is pending in a run that goes on is given up in one that was cancelled since the audit read it.
    if rows::run_facts(tx.connection, run.key)?.is_none_or(|facts| facts.state != run.state) {
        return Ok(Fenced::Stale);
    }
    let row = params![run.key, run.changes, tx.now.as_millis()];
    if tx.connection.execute(sql!("run_conclude"), row)? == 0 {
        return Ok(Fenced::Stale);
    }
    tx.connection.execute(sql!("round_conclude"), params![run.key, run.round, tx.now.as_millis()])?;
    if !tx.planted.has(Bug::BeginWhenStopped) {
        leases::end_all(tx, run.key)?;
    }
    write_verdict(tx, run.key, verdict)?;
    outbox::tell_end(tx, run, to)?;
    tx.push(Event::RunOver { run_id: run.id.clone() });
    Ok(Fenced::Committed(()))
}

fn write_verdict(tx: &Tx<'_>, run: i64, verdict: &Verdict) -> SqlResult<()> {
    let text = serde_json::to_string(verdict).map_err(|error| Fault::bad(error.to_string()))?;
    tx.connection.execute(sql!("verdict_insert"), params![run, verdict.round, text]).map(drop)
}

/// Something was learnt of a round that was over: its verdict says it from now on.
pub(super) fn restate(tx: &Tx<'_>, stale: &StaleRound, verdict: &Verdict) -> SqlResult<Fenced<()>> {
    tx.connection.hold(stale.key, Hold::Alone)?;
    let row = params![stale.key, stale.round, stale.learnt];
    if tx.connection.execute(sql!("round_restated"), row)? == 0 {
        return Ok(Fenced::Stale);
    }
    write_verdict(tx, stale.key, verdict)?;
    Ok(Fenced::Committed(()))
}

/// Notes that the audit folder has all that was acknowledged when `run` was read.
pub(super) fn files_whole(tx: &Tx<'_>, run: &Run) -> SqlResult<Fenced<()>> {
    let rows = tx.connection.execute(sql!("run_files_whole"), params![run.key, run.acknowledged])?;
    Ok(if rows > 0 { Fenced::Committed(()) } else { Fenced::Stale })
}
