//! The outbox: notices, from the transaction that wrote them to their delivery.

use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::runs::{by_key, millis};
use super::{Connection, Database, Fault, Hold, OptionalRow, Row, SqlResult, Tx, View, params, rows, sql};
use crate::domain::{Run, RunId, RunState, Timestamp};
use crate::store::{
    Destination, Fenced, Notice, NoticeClaim, NoticeEvent, NoticeState, Outbox, Pace, Stall, StoreResult, Tried,
    Watched,
};

const WAITING: i64 = 0;
const DELIVERED: i64 = 1;
const GIVEN_UP: i64 = 2;
/// Characters of what a try met.
const ERROR: usize = 300;

#[async_trait]
impl<D: Database> Outbox for D {
    async fn claim_notice(&self, destination: &str, hold: Duration) -> StoreResult<Option<NoticeClaim>> {
        let destination = destination.to_owned();
        self.call(move |tx| {
            let row = params![destination, tx.now.as_millis(), (tx.now + hold).as_millis()];
            tx.connection.query_row(sql!("notice_claim"), row, claim).optional()
        })
        .await
    }

    async fn settle_notice(&self, claim: &NoticeClaim, tried: Tried) -> StoreResult<Fenced<()>> {
        let claim = claim.clone();
        self.call(move |tx| settle(tx, &claim, &tried)).await
    }

    async fn next_notice(&self, destination: &str) -> StoreResult<Option<Duration>> {
        let destination = destination.to_owned();
        self.read(move |view| {
            let due = view.query_row(sql!("notices_next"), params![destination], |row| rows::time_opt(row, 0))?;
            due.map(|due| Ok(due.since(view.now()?))).transpose()
        })
        .await
    }

    async fn notices(&self, run: &Run, limit: u32) -> StoreResult<Vec<Notice>> {
        let key = run.key;
        self.read(move |view| view.query_map(sql!("notices_of_run"), params![key, limit], notice)).await
    }

    async fn watched(&self) -> StoreResult<Vec<Watched>> {
        self.read(|view| view.query_map(sql!("stall_candidates"), params![], watched)).await
    }

    async fn pace(&self, watched: &Watched, after: Duration, to: &[Destination]) -> StoreResult<Pace> {
        let (watched, to) = (watched.clone(), to.to_vec());
        self.read(move |view| pace(view, &watched, after, &to)).await
    }

    async fn tell_stall(&self, stall: &Stall, after: Duration, to: &[Destination]) -> StoreResult<Fenced<()>> {
        let (stall, to) = (stall.clone(), to.to_vec());
        self.call(move |tx| tell_stall(tx, &stall, after, &to)).await
    }
}

/// At start: only one process has the file, so nobody is sending.
pub(in crate::store) fn free_notices(connection: &dyn Connection) -> SqlResult<()> {
    connection.execute(sql!("notices_of_the_dead"), params![]).map(drop)
}

/// Writes a notice of what this transaction does to a run.
pub(super) fn tell(
    tx: &Tx<'_>,
    run: &Run,
    event: NoticeEvent,
    reason: &str,
    id: &str,
    to: &[Destination],
) -> SqlResult<()> {
    for Destination { name, shown } in to {
        let row = params![run.key, run.round, code(event), reason, tx.now.as_millis(), id, name, shown];
        tx.connection.execute(sql!("notice_insert"), row)?;
    }
    Ok(())
}

/// Tells that the round is over, in the transaction that ended it.
pub(super) fn tell_end(tx: &Tx<'_>, run: &Run, to: &[Destination]) -> SqlResult<()> {
    if to.is_empty() {
        return Ok(());
    }
    let over = by_key(tx, run.key)?;
    let how = if over.state.is_cancelled() { "cancelled" } else { "finished" };
    tell(tx, &over, NoticeEvent::Ended, how, &id_of(&over, NoticeEvent::Ended, Timestamp::default()), to)
}

fn tell_stall(tx: &Tx<'_>, stall: &Stall, after: Duration, to: &[Destination]) -> SqlResult<Fenced<()>> {
    let Stall { run, event, since } = stall;
    tx.connection.hold(run.key, Hold::Together)?;
    let Some(now) = tx.connection.query_row(sql!("run_by_key"), params![run.key], rows::run).optional()? else {
        return Ok(Fenced::Stale);
    };
    if (now.state, now.round, now.changes) != (run.state, run.round, run.changes) {
        return Ok(Fenced::Stale);
    }
    // While no coordinator serves nothing can go on: that is no stall of the run.
    let still_since = tx.serving_since.max(*since);
    if *event == NoticeEvent::Stalled && tx.now.since(still_since) < after {
        return Ok(Fenced::Stale);
    }
    let reason = match event {
        NoticeEvent::Paused => run.state_reason.clone(),
        _ => format!("no page was listed and no record came to an end for {}", words_of(tx.now.since(still_since))),
    };
    tell(tx, run, *event, &reason, &id_of(run, *event, *since), to)?;
    Ok(Fenced::Committed(()))
}

fn words_of(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) }
}

fn pace(view: &View<'_>, watched: &Watched, after: Duration, to: &[Destination]) -> SqlResult<Pace> {
    let Watched { run, began } = watched;
    let cutoff = view.now()?.as_millis().saturating_sub(millis(after));
    let (event, since) = match run.state {
        RunState::Running if began.as_millis() > cutoff || goes_on(view, run, cutoff)? => return Ok(Pace::GoesOn),
        RunState::Running => {
            let round = params![run.key, run.round];
            let last = view.query_row(sql!("progress_last"), round, |row| rows::time_opt(row, 0))?;
            (NoticeEvent::Stalled, last.map_or(*began, |last| last.max(*began)))
        }
        _ => (NoticeEvent::Paused, *began),
    };
    let id = id_of(run, event, since);
    for Destination { name, .. } in to {
        let known: i64 = view.query_row(sql!("notice_known"), params![id, name], |row| row.get(0))?;
        if known == 0 {
            return Ok(Pace::Still(Stall { run: run.clone(), event, since }));
        }
    }
    Ok(Pace::Told)
}

fn goes_on(view: &View<'_>, run: &Run, since: i64) -> SqlResult<bool> {
    view.query_row(sql!("progress_since"), params![run.key, run.round, since], |row| row.get(0))
}

/// An event's ID: the same whoever notices it. Two stalls of a round differ in the progress before them.
fn id_of(run: &Run, event: NoticeEvent, since: Timestamp) -> String {
    let words = format!("{} {} {} {}", run.id, run.round, code(event), since.as_millis());
    format!("msg_{}", &hex::encode(Sha256::digest(words))[..32])
}

fn settle(tx: &Tx<'_>, claim: &NoticeClaim, tried: &Tried) -> SqlResult<Fenced<()>> {
    let (state, due, error) = match tried {
        Tried::Delivered => (DELIVERED, tx.now, ""),
        Tried::Again { after, error } => (WAITING, tx.now + *after, error.as_str()),
        Tried::GivenUp { error } => (GIVEN_UP, tx.now, error.as_str()),
    };
    let settled_at = (state != WAITING).then(|| tx.now.as_millis());
    let error: String = error.chars().take(ERROR).collect();
    let row = params![claim.key, claim.tries, state, due.as_millis(), error, settled_at];
    let rows = tx.connection.execute(sql!("notice_settle"), row)?;
    Ok(if rows > 0 { Fenced::Committed(()) } else { Fenced::Stale })
}

/// The columns of `stall_candidates`.
fn watched(row: &Row) -> SqlResult<Watched> {
    Ok(Watched { run: rows::run(row)?, began: rows::time(row, 19)? })
}

fn claim(row: &Row) -> SqlResult<NoticeClaim> {
    Ok(NoticeClaim {
        key: row.get(0)?,
        id: row.get(1)?,
        run: RunId::from_text(row.get::<String>(2)?),
        round: row.get(3)?,
        event: event(row, 4)?,
        reason: row.get(5)?,
        at: rows::time(row, 6)?,
        tries: row.get(7)?,
    })
}

/// The columns of `notices_of_run`.
fn notice(row: &Row) -> SqlResult<Notice> {
    let settled_at = rows::time_opt(row, 11)?.unwrap_or_default();
    Ok(Notice {
        id: row.get(0)?,
        round: row.get(1)?,
        event: event(row, 2)?,
        reason: row.get(3)?,
        at: rows::time(row, 4)?,
        shown: row.get(5)?,
        state: match (row.get::<i64>(6)?, row.get::<bool>(8)?) {
            (WAITING, false) => NoticeState::Waiting(rows::time(row, 9)?),
            (WAITING, true) => NoticeState::Sending,
            (DELIVERED, _) => NoticeState::Delivered(settled_at),
            (GIVEN_UP, _) => NoticeState::GivenUp(settled_at),
            _ => return Err(Fault::bad("no state of a notice")),
        },
        tries: row.get(7)?,
        error: row.get(10)?,
        destination: row.get(12)?,
    })
}

fn code(event: NoticeEvent) -> i64 {
    match event {
        NoticeEvent::Ended => 0,
        NoticeEvent::Stalled => 1,
        NoticeEvent::Paused => 2,
    }
}

fn event(row: &Row, column: usize) -> SqlResult<NoticeEvent> {
    Ok(match row.get::<i64>(column)? {
        0 => NoticeEvent::Ended,
        1 => NoticeEvent::Stalled,
        2 => NoticeEvent::Paused,
        _ => return Err(Fault::bad("no event of a notice")),
    })
}
