//! What coordinators tell each other: NOTIFY in the transaction that made it so, LISTEN on a connection of its own.
//!
//! Nothing depends on a notice: reapers, listers and long polls look by themselves now and then, and a worker learns with
//! its next renewal what became of its leases. It only makes them quick.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use sqlx::PgConnection;
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::connection::own_sql;
use crate::domain::{LeaseToken, RunId};
use crate::store::Event;
use crate::store::ledger::{Connection, SqlResult, params};

/// Bytes of a notice: PostgreSQL takes fewer than 8,000.
const BYTES: usize = 7_000;
/// Characters of a reason that travel: the run itself has all.
const REASON: usize = 1_000;
/// After so long without a notice the connection is tried.
const SILENCE: Duration = Duration::from_secs(15);
/// Between two tries to listen again.
const AGAIN_EVERY: Duration = Duration::from_secs(1);

/// The way of the notices of one ledger.
#[derive(Debug)]
pub(super) struct Channel {
    name: String,
    /// A database may have no notices: then coordinators look by themselves.
    works: bool,
    /// Tells the notices of this process from those of others.
    own: String,
}

impl Channel {
    /// Of the ledger in the schema of this number.
    pub fn new(schema: i64, own: String, works: bool) -> Self {
        Self { name: format!("muster_{schema}"), own, works }
    }

    /// Whether this database has notices. Others that speak PostgreSQL's protocol have not, or let nobody use them.
    pub async fn work_in(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let asked = sqlx::query(own_sql!("notify").postgres).bind("muster").bind("").execute(connection).await;
        match asked {
            Ok(_) => Ok(true),
            Err(sqlx::Error::Database(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells others, when the transaction is committed. What goes on all the time is told in the same words, so that the
    /// database passes it on once.
    pub fn send(&self, connection: &dyn Connection, work: bool, pushes: &[Event]) -> SqlResult<()> {
        if !self.works || !work && pushes.is_empty() {
            return Ok(());
        }
        let mut events: Vec<Json> = Vec::new();
        let mut bytes = 0;
        for event in pushes.iter().map(to_json) {
            let more = event.to_string().len() + 1;
            if bytes + more > BYTES && !events.is_empty() {
                self.tell(connection, work, &std::mem::take(&mut events))?;
                bytes = 0;
            }
            bytes += more;
            events.push(event);
        }
        self.tell(connection, work, &events)
    }

    fn tell(&self, connection: &dyn Connection, work: bool, events: &[Json]) -> SqlResult<()> {
        let notice = json!({ "by": self.own, "work": work, "events": events }).to_string();
        connection.execute(own_sql!("notify"), params![self.name, notice]).map(drop)
    }

    /// What a notice says; nothing if it is the process's own, or of a newer program.
    fn hear(&self, notice: &str) -> Option<(bool, Vec<Event>)> {
        let notice: Json = serde_json::from_str(notice).ok()?;
        if notice["by"] == self.own {
            return None;
        }
        let events = notice["events"].as_array().into_iter().flatten().filter_map(from_json).collect();
        Some((notice["work"] == true, events))
    }
}

fn to_json(event: &Event) -> Json {
    match event {
        Event::RunStopped { run_id, reason } => {
            let reason: String = reason.chars().take(REASON).collect();
            json!({ "stopped": run_id.as_str(), "reason": reason })
        }
        Event::LeaseExpired { session, token } => json!({ "expired": token.to_text(), "session": session }),
        Event::HostClosed { host, time } => json!({ "closed": host, "ms": millis(*time) }),
        Event::LeasesWanted { session, leases } => json!({ "wanted": leases, "session": session }),
        Event::RunOver { run_id } => json!({ "over": run_id.as_str() }),
        Event::RunDeleted => json!({ "deleted": true }),
    }
}

fn from_json(event: &Json) -> Option<Event> {
    let text = |name: &str| event[name].as_str();
    if let Some(run) = text("stopped") {
        let reason = text("reason").unwrap_or_default().to_owned();
        return Some(Event::RunStopped { run_id: RunId::from_text(run), reason });
    }
    if let Some(run) = text("over") {
        return Some(Event::RunOver { run_id: RunId::from_text(run) });
    }
    if let Some(token) = text("expired") {
        return Some(Event::LeaseExpired {
            session: text("session")?.to_owned(),
            token: LeaseToken::from_text(token)?,
        });
    }
    if let Some(host) = text("closed") {
        let time = Duration::from_millis(event["ms"].as_u64()?);
        return Some(Event::HostClosed { host: host.to_owned(), time });
    }
    if let Some(leases) = event["wanted"].as_u64() {
        let session = text("session")?.to_owned();
        return Some(Event::LeasesWanted { session, leases: leases.try_into().ok()? });
    }
    (event["deleted"] == true).then_some(Event::RunDeleted)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Passes on what others tell until it is told to stop.
pub(super) async fn listen(shared: Arc<Shared>, stop: CancellationToken) {
    if !shared.notices.works {
        tracing::info!("the database passes on no notices: this coordinator looks by itself for what others have done");
    }
    while !stop.is_cancelled() {
        if shared.notices.works
            && let Err(error) = Box::pin(hear_all(&shared, &stop)).await
        {
            tracing::debug!(error = %error, "other coordinators cannot be heard: tried again");
        }
        // Whatever was told meanwhile.
        shared.events.tell(true, []);
        stop.run_until_cancelled(tokio::time::sleep(AGAIN_EVERY)).await;
    }
}

/// Until the connection breaks.
async fn hear_all(shared: &Shared, stop: &CancellationToken) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(&shared.pool).await?;
    listener.listen(&shared.notices.name).await?;
    // What was told before it listened.
    shared.events.tell(true, []);
    loop {
        // Boxed: PostgreSQL's futures are large.
        let hear = Box::pin(tokio::time::timeout(SILENCE, listener.try_recv()));
        let Some(heard) = stop.run_until_cancelled(hear).await else { return Ok(()) };
        let Ok(heard) = heard else {
            // Quiet, or cut off without a word.
            let ask = Box::pin(sqlx::query("SELECT 1").execute(&mut listener));
            tokio::time::timeout(AGAIN_EVERY * 5, ask).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
            continue;
        };
        let Some(notice) = heard? else { return Ok(()) };
        if let Some((work, events)) = shared.notices.hear(notice.payload()) {
            shared.events.tell(work, events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BatchRef, LeaseRef};

    #[test]
    fn events_survive_the_wire() {
        let lease = LeaseRef { batch: BatchRef { run: 7, round: 1, batch: 2 }, epoch: 3 };
        for event in [
            Event::RunStopped { run_id: RunId::from_text("animals-1"), reason: "why \"not\"".to_owned() },
            Event::LeaseExpired { session: "s".to_owned(), token: LeaseToken::new(lease, [9; 16]) },
            Event::HostClosed { host: "http://a:1".to_owned(), time: Duration::from_millis(1_500) },
            Event::LeasesWanted { session: "s".to_owned(), leases: 7 },
            Event::RunOver { run_id: RunId::from_text("animals-1") },
            Event::RunDeleted,
        ] {
            assert_eq!(from_json(&to_json(&event)), Some(event));
        }
    }

    #[test]
    fn nobody_hears_himself() {
        let (one, other) = (Channel::new(1, "one".to_owned(), true), Channel::new(1, "other".to_owned(), true));
        let notice = json!({ "by": "one", "work": true, "events": [to_json(&Event::RunDeleted), { "news": 1 }] });
        assert_eq!(one.hear(&notice.to_string()), None);
        assert_eq!(other.hear(&notice.to_string()), Some((true, vec![Event::RunDeleted])));
    }
}
