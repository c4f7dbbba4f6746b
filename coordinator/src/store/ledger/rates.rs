//! The timetables of hosts. A transition holds one row of `hosts` and nothing else, so nobody waits in a circle.

use std::time::Duration;

use async_trait::async_trait;

use super::{Database, Halt, OptionalRow, SqlResult, Tx, params, sql};
use crate::domain::{Timestamp, Timetable};
use crate::planted::Bug;
use crate::store::{ClosedHost, Event, Misuse, Rates, Reserve, Reserved, StoreResult, WorkerResult};

/// Nanoseconds of a millisecond.
const MILLI: i64 = 1_000_000;

#[async_trait]
impl<D: Database> Rates for D {
    async fn reserve(&self, ask: Reserve) -> WorkerResult<Reserved> {
        self.call_worker(move |tx| reserve(tx, &ask)).await
    }

    async fn close_host(&self, session: Option<&str>, host: &str, time: Duration) -> WorkerResult<()> {
        let (session, host) = (session.map(ToOwned::to_owned), host.to_owned());
        self.call_worker(move |tx| close(tx, session.as_deref(), &host, time)).await
    }

    async fn closed_hosts(&self) -> StoreResult<Vec<ClosedHost>> {
        self.read(|view| {
            let now = nanos(view.now()?);
            view.query_map(sql!("hosts_closed"), params![now], |row| {
                let left = row.get::<i64>(1)? - now;
                Ok(ClosedHost { host: row.get(0)?, left: Duration::from_nanos(left.unsigned_abs()) })
            })
        })
        .await
    }
}

fn reserve(tx: &Tx<'_>, ask: &Reserve) -> Result<Reserved, Halt> {
    check(tx, ask.session.as_deref())?;
    let host = match &ask.session {
        Some(session) if tx.planted.has(Bug::SharesNoRate) => format!("{} {session}", ask.host),
        _ => ask.host.clone(),
    };
    let mut table = timetable(tx, &host)?;
    let after = table.reserve(ask.pace, nanos(tx.now), ask.lead, ask.count);
    write(tx, &host, table)?;
    Ok(Reserved { after, as_of: tx.as_of })
}

fn close(tx: &Tx<'_>, session: Option<&str>, host: &str, time: Duration) -> Result<(), Halt> {
    check(tx, session)?;
    let mut table = timetable(tx, host)?;
    if table.close(nanos(tx.now), time) {
        write(tx, host, table)?;
        tx.push(Event::HostClosed { host: host.to_owned(), time });
    }
    Ok(())
}

/// Whether whoever asks works here.
fn check(tx: &Tx<'_>, session: Option<&str>) -> Result<(), Halt> {
    let Some(session) = session else { return Ok(()) };
    let works = tx.connection.query_row(sql!("session_works"), params![session], |_| Ok(())).optional()?;
    works.ok_or_else(|| Misuse::SessionUnknown.into())
}

/// A host's timetable, held alone from now on.
fn timetable(tx: &Tx<'_>, host: &str) -> SqlResult<Timetable> {
    let read = || tx.connection.query_row(sql!("host_by_name"), params![host], |row| Ok((row.get(0)?, row.get(1)?)));
    let found = match read().optional()? {
        Some(found) => found,
        None => {
            tx.connection.execute(sql!("host_note"), params![host])?;
            read()?
        }
    };
    let (full_at, closed_until) = found;
    Ok(Timetable { full_at, closed_until })
}

fn write(tx: &Tx<'_>, host: &str, table: Timetable) -> SqlResult<()> {
    tx.connection.execute(sql!("host_update"), params![host, table.full_at, table.closed_until]).map(drop)
}

fn nanos(time: Timestamp) -> i64 {
    time.as_millis().saturating_mul(MILLI)
}
