//! From rows to the domain's types, and back.

use std::time::Duration;

use super::{Connection, Fault, OptionalRow, Row, SqlResult, params, sql};
use crate::domain::{
    BatchLedger, BatchRef, Counts, DeliveryFact, DeliveryState, ExceptionFact, ExceptionKind, OnDoubt, Positions,
    Rules, Run, RunId, RunState, Share, Timestamp,
};
use crate::store::Round;

/// A time.
pub(super) fn time(row: &Row, column: usize) -> SqlResult<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

/// A time that may be missing.
pub(super) fn time_opt(row: &Row, column: usize) -> SqlResult<Option<Timestamp>> {
    row.get::<Option<i64>>(column).map(|millis| millis.map(Timestamp::from_millis))
}

/// A run with the verdict of its current round: the columns of the `run_...` and `runs_...` statements.
pub(super) fn run(row: &Row) -> SqlResult<Run> {
    let json = |error: serde_json::Error| Fault::bad(error.to_string());
    let parameters: String = row.get(4)?;
    let verdict: Option<String> = row.get(13)?;
    Ok(Run {
        key: row.get(0)?,
        id: RunId::from_text(row.get::<String>(1)?),
        pipeline: row.get(2)?,
        revision: row.get(3)?,
        parameters: serde_json::from_str(&parameters).map_err(json)?,
        audit_mode: row.get(5)?,
        state: run_state(row, 6)?,
        state_reason: row.get(7)?,
        round: row.get(8)?,
        created_at: time(row, 9)?,
        finished_at: time_opt(row, 10)?,
        acknowledged: row.get(11)?,
        changes: row.get(12)?,
        opened_at: time(row, 14)?,
        verdict: verdict.map(|text| serde_json::from_str(&text)).transpose().map_err(json)?,
        since: row.get::<Option<String>>(15)?.map(RunId::from_text),
        share: share(row, 16)?,
    })
}

/// A run's share of the workers: three columns.
pub(super) fn share(row: &Row, column: usize) -> SqlResult<Share> {
    Ok(Share { priority: row.get(column)?, weight: row.get(column + 1)?, max_workers: row.get(column + 2)? })
}

/// A round: the columns of `rounds_of_run`.
pub(super) fn round(row: &Row) -> SqlResult<Round> {
    let verdict: Option<String> = row.get(6)?;
    let bad = |error: serde_json::Error| Fault::bad(error.to_string());
    let count = |column| row.get::<i64>(column).map(i64::unsigned_abs);
    Ok(Round {
        round: row.get(0)?,
        revision: row.get(1)?,
        opened_at: time(row, 2)?,
        opened_by: row.get(3)?,
        taken_over: Counts {
            listed: count(4)?,
            dead_letter: count(7)?,
            gone: count(8)?,
            cancelled: count(9)?,
            in_doubt: count(10)?,
            ..Counts::default()
        },
        finished_at: time_opt(row, 5)?,
        verdict: verdict.map(|text| serde_json::from_str(&text)).transpose().map_err(bad)?,
    })
}

/// A run's state.
pub(super) fn run_state(row: &Row, column: usize) -> SqlResult<RunState> {
    Ok(match row.get::<i64>(column)? {
        0 => RunState::Running,
        1 => RunState::Paused,
        2 => RunState::Cancelling,
        3 => RunState::Cancelled,
        4 => RunState::Finished,
        _ => return Err(Fault::bad("no run state")),
    })
}

/// A delivery's state as it is stored.
pub(super) fn delivery_state_code(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Open => 0,
        DeliveryState::Applied => 1,
        DeliveryState::NotApplied => 2,
        DeliveryState::Rejected => 3,
        DeliveryState::InDoubt => 4,
        DeliveryState::PartlyApplied => 5,
    }
}

/// What to do with doubts as it is stored.
pub(super) fn on_doubt_code(on_doubt: OnDoubt) -> i64 {
    match on_doubt {
        OnDoubt::Retry => 0,
        OnDoubt::Hold => 1,
        OnDoubt::Probe => 2,
    }
}

fn delivery_state(row: &Row, column: usize) -> SqlResult<DeliveryState> {
    Ok(match row.get::<i64>(column)? {
        0 => DeliveryState::Open,
        1 => DeliveryState::Applied,
        2 => DeliveryState::NotApplied,
        3 => DeliveryState::Rejected,
        4 => DeliveryState::InDoubt,
        5 => DeliveryState::PartlyApplied,
        _ => return Err(Fault::bad("no delivery state")),
    })
}

/// Places; `none` where none are stored.
pub(super) fn positions(row: &Row, column: usize, none: impl FnOnce() -> Positions) -> SqlResult<Positions> {
    match row.get::<Option<Vec<u8>>>(column)? {
        None => Ok(none()),
        Some(bytes) => Positions::decode(&bytes).ok_or_else(|| Fault::bad("no positions")),
    }
}

/// How many columns of the `..._deliveries` statements `delivery` reads.
pub(super) const DELIVERY_COLUMNS: usize = 16;

/// These columns; `whole` is the batch's size.
pub(super) fn delivery(row: &Row, whole: u32) -> SqlResult<DeliveryFact> {
    let positions_of = positions(row, 3, || Positions::all(whole))?;
    Ok(DeliveryFact {
        number: row.get(0)?,
        epoch: row.get(1)?,
        ordinal: row.get(2)?,
        positions: positions_of,
        state: delivery_state(row, 5)?,
        tries: row.get(6)?,
        begun_at: time(row, 7)?,
        body_sha256: row.get(8)?,
        retry_of: row.get(9)?,
        present: positions(row, 10, Positions::default)?,
        absent: positions(row, 11, Positions::default)?,
        probes: row.get(12)?,
        withdrawn: row.get(13)?,
        contradicted: row.get(14)?,
        http_status: row.get(15)?,
    })
}

/// The first two columns of the `..._exceptions` statements.
pub(super) fn exception(row: &Row) -> SqlResult<ExceptionFact> {
    let kind = match row.get::<i64>(1)? {
        0 => ExceptionKind::DeadLetter,
        1 => ExceptionKind::Gone,
        _ => return Err(Fault::bad("no kind of exception")),
    };
    Ok(ExceptionFact { position: row.get(0)?, kind })
}

/// An exception's kind as it is stored.
pub(super) fn exception_code(kind: ExceptionKind) -> i64 {
    match kind {
        ExceptionKind::DeadLetter => 0,
        ExceptionKind::Gone => 1,
    }
}

/// All facts about one batch.
pub(super) fn batch_ledger(connection: &dyn Connection, batch: BatchRef, size: u32) -> SqlResult<BatchLedger> {
    let key = params![batch.run, batch.round, batch.batch];
    let deliveries = connection.query_map(sql!("deliveries_of_batch"), key, |row| delivery(row, size))?;
    let exceptions = connection.query_map(sql!("exceptions_of_batch"), key, exception)?;
    Ok(BatchLedger { size, deliveries, exceptions })
}

fn on_doubt(row: &Row, column: usize) -> SqlResult<OnDoubt> {
    Ok(match row.get::<i64>(column)? {
        0 => OnDoubt::Retry,
        1 => OnDoubt::Hold,
        2 => OnDoubt::Probe,
        _ => return Err(Fault::bad("no way to handle doubts")),
    })
}

/// What the transitions need to know of a run.
#[derive(Debug, Clone)]
pub(super) struct RunFacts {
    pub id: RunId,
    pub state: RunState,
    pub post_timeout: Duration,
    pub rules: Rules,
    pub max_gone: f64,
    pub round: u32,
    pub max_rejected: u32,
    /// Batches refused as a whole since something was applied, and their records.
    pub rejected: (u32, u32),
    pub gone_accepted: i64,
    /// When it was last resumed; the beginning of time if never.
    pub resumed_at: Timestamp,
    /// 0: any number.
    pub max_workers: u32,
}

/// Reads them.
pub(super) fn run_facts(connection: &dyn Connection, run: i64) -> SqlResult<Option<RunFacts>> {
    let millis = |row: &Row, column| row.get(column).map(|millis: i64| Duration::from_millis(millis.unsigned_abs()));
    let facts = |row: &Row| {
        Ok(RunFacts {
            id: RunId::from_text(row.get::<String>(0)?),
            state: run_state(row, 1)?,
            post_timeout: millis(row, 2)?,
            rules: Rules { settle_after: millis(row, 3)?, max_attempts: row.get(4)?, on_doubt: on_doubt(row, 5)? },
            max_gone: row.get(6)?,
            round: row.get(7)?,
            max_rejected: row.get(8)?,
            rejected: (row.get(9)?, row.get(10)?),
            gone_accepted: row.get(11)?,
            resumed_at: time(row, 12)?,
            max_workers: row.get(13)?,
        })
    };
    connection.query_row(sql!("run_facts"), params![run], facts).optional()
}
