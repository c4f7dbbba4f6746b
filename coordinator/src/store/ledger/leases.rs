//! Leases: granting, renewing, giving back, running out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::batches::{BatchRow, LeaseEnd, end_lease, settle_batch};
use super::rows::{self, RunFacts, run_facts};
use super::shares::Contest;
use super::{Connection, Fault, Halt, Hold, OptionalRow, Row, SqlResult, Tx, deliveries, params, sql, suspects};
use crate::domain::{BatchLedger, BatchRef, LeaseRef, LeaseToken, RunState, Timestamp};
use crate::planted::Bug;
use crate::store::{
    Acquire, Acquired, Event, Expired, ExpiredLease, GrantedLease, LEASE_TTL as TTL, Misuse, Renewal, Session,
    StoreError,
};

/// Bytes of record IDs in one answer, unless its one batch alone has more: 10,000 records of 512 bytes stay below the
/// 8 MiB that a worker takes.
const ANSWER_BYTES: usize = 384 * 1024;
/// Leases that one transition ends at most, so that a mass expiry does not hold up the rest.
const EXPIRE_AT_ONCE: u32 = 500;
/// Of these, how many are told of one by one.
const NAMED: usize = 20;
/// Batches that one acquisition grants at most.
const GRANT_AT_ONCE: u32 = 64;

/// Leases batches: lost answers first, then what is ready, after ending what has run out.
pub(super) fn acquire(tx: &Tx<'_>, acquire: &Acquire) -> SqlResult<(Acquired, Expired)> {
    note_session(tx, &acquire.session)?;
    let mut grant = Grant { tx, facts: BTreeMap::new(), bytes: 0, acquired: Acquired::default() };
    grant.lost_answers(acquire)?;
    let mut expired = Expired::default();
    if acquire.capacity > 0 {
        expired = expire(tx)?;
        grant.ready(acquire)?;
    }
    for run in grant.facts.keys() {
        let run = tx.connection.query_row(sql!("run_by_key"), params![run], rows::run)?;
        grant.acquired.runs.push(run);
    }
    if grant.acquired.leases.is_empty() {
        grant.acquired.next_in = next_in(tx)?;
    }
    Ok((grant.acquired, expired))
}

fn note_session(tx: &Tx<'_>, session: &Session) -> SqlResult<()> {
    let row = params![session.id, session.name, session.version, session.embedded, tx.now.as_millis()];
    tx.connection.execute(sql!("session_seen"), row).map(drop)
}

/// One acquisition on its way.
struct Grant<'a, 'b> {
    tx: &'a Tx<'b>,
    facts: BTreeMap<i64, RunFacts>,
    bytes: usize,
    acquired: Acquired,
}

impl Grant<'_, '_> {
    /// What the session holds and did not list: an answer was lost. It has the lease's full time again, unless its run
    /// has stopped meanwhile: nobody may work on that, so it goes back to where the run's other batches wait.
    fn lost_answers(&mut self, acquire: &Acquire) -> SqlResult<()> {
        let held: HashSet<LeaseRef> = acquire.held.iter().map(LeaseToken::lease).collect();
        let rows =
            self.tx.connection.query_map(sql!("batches_held_by_session"), params![acquire.session.id], |row| {
                let expires_at = rows::time(row, BatchRow::COLUMNS)?;
                Ok((BatchRow::read(row)?, expires_at, row.get::<[u8; 16]>(BatchRow::COLUMNS + 1)?))
            })?;
        for (row, expires_at, secret) in rows.into_iter().filter(|(row, ..)| !held.contains(&row.lease())) {
            if run_facts(self.tx.connection, row.batch.run)?.is_none_or(|facts| facts.state != RunState::Running) {
                give_back(self.tx, &row)?;
                continue;
            }
            let ids = row.ids(self.tx.connection)?;
            if !self.fits(&ids) {
                continue;
            }
            let expires_at = expires_at.max(self.tx.now + TTL);
            self.extend(row.batch, expires_at)?;
            self.hand_out(&row, &ids, secret, expires_at)?;
        }
        Ok(())
    }

    fn extend(&self, batch: BatchRef, expires_at: Timestamp) -> SqlResult<()> {
        extend(self.tx.connection, batch, expires_at)
    }

    /// Grants ready batches, as runs share the workers.
    fn ready(&mut self, acquire: &Acquire) -> SqlResult<()> {
        let mut contest = Contest::open(self.tx, acquire)?;
        let mut left = acquire.capacity.min(GRANT_AT_ONCE);
        while left > 0 {
            let batches = contest.next(left)?;
            left = if batches.is_empty() { 0 } else { left - u32::try_from(batches.len()).unwrap_or(left) };
            if !self.grant(acquire, batches)? {
                break;
            }
        }
        Ok(())
    }

    /// Grants these batches; gives whether there was room in the answer for all.
    fn grant(&mut self, acquire: &Acquire, batches: Vec<BatchRow>) -> SqlResult<bool> {
        let (mut granted, mut leases) = (Vec::new(), Vec::new());
        let expires_at = self.tx.now + TTL;
        let mut all = true;
        for mut row in batches {
            let ids = row.ids(self.tx.connection)?;
            if !self.fits(&ids) {
                all = false;
                break;
            }
            row.epoch += 1;
            row.attempt += 1;
            let secret = random_secret()?;
            let BatchRef { run, round, batch } = row.batch;
            granted.push(params![run, round, batch, row.epoch, row.attempt].to_vec());
            leases.push(params![run, round, batch, row.epoch, row.attempt, secret].to_vec());
            self.hand_out(&row, &ids, secret, expires_at)?;
        }
        let session = &acquire.session.id;
        self.tx.connection.execute_each(sql!("batch_grant"), params![session, expires_at.as_millis()], &granted)?;
        let values = params![session, self.tx.now.as_millis()];
        self.tx.connection.execute_each(sql!("lease_insert"), values, &leases)?;
        Ok(all)
    }

    /// Whether the answer has room for a batch of these IDs; the first always fits, or nobody would ever get it.
    fn fits(&self, ids: &[String]) -> bool {
        self.acquired.leases.is_empty() || self.bytes + bytes_of(ids) <= ANSWER_BYTES
    }

    /// Puts a granted batch into the answer.
    fn hand_out(&mut self, row: &BatchRow, ids: &[String], secret: [u8; 16], expires_at: Timestamp) -> SqlResult<()> {
        let connection = self.tx.connection;
        let facts = match self.facts.entry(row.batch.run) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(run_facts(connection, row.batch.run)?.ok_or(Fault::NoRow)?)
            }
        };
        // A first grant has no history.
        let ledger = if row.epoch == 1 {
            BatchLedger { size: row.size, ..BatchLedger::default() }
        } else {
            row.ledger(connection)?
        };
        let id = |place: u32| ids.get(place as usize).cloned().unwrap_or_default();
        let parts = ledger.remaining(&facts.rules, row.singles).parts.into_iter();
        let parts: Vec<_> = parts.map(|part| (part.positions.iter().map(id).collect(), part)).collect();
        self.bytes += bytes_of(ids);
        self.acquired.leases.push(GrantedLease {
            token: LeaseToken::new(row.lease(), secret),
            run_id: facts.id.clone(),
            attempt: row.attempt,
            ttl: expires_at.since(self.tx.now),
            parts: parts.into_iter().map(|(ids, part)| (part, ids)).collect(),
        });
        Ok(())
    }
}

/// What IDs take in a message, with their places.
fn bytes_of(ids: &[String]) -> usize {
    ids.iter().map(|id| id.len() + 8).sum()
}

fn random_secret() -> SqlResult<[u8; 16]> {
    let mut secret = [0; 16];
    let failed = |error| StoreError::Unavailable(format!("no randomness: {error}"));
    getrandom::fill(&mut secret).map_err(|error| Fault::Store(failed(error)))?;
    Ok(secret)
}

/// How long until something may be leased without any event.
fn next_in(tx: &Tx<'_>) -> SqlResult<Option<Duration>> {
    let (available, expires): (Option<i64>, Option<i64>) =
        tx.connection.query_row(sql!("batch_next_available"), params![tx.now.as_millis()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let available = available.map(Timestamp::from_millis);
    let expires = expires.map(|millis| Timestamp::from_millis(millis).max(tx.serving_since + TTL));
    Ok(available.into_iter().chain(expires).min().map(|next| next.since(tx.now)))
}

/// Never shortens a lease.
pub(super) fn extend(connection: &dyn Connection, batch: BatchRef, expires_at: Timestamp) -> SqlResult<()> {
    let of = params![batch.run, batch.round, batch.batch].to_vec();
    connection.execute_each(sql!("batch_extend"), params![expires_at.as_millis()], &[of]).map(drop)
}

/// A grant as its holder finds it.
pub(super) struct Held {
    pub lease: LeaseRef,
    pub row: BatchRow,
    /// Leased, and under this very epoch.
    pub current: bool,
    /// Given back by its holder.
    pub released: bool,
    /// Digest and answer of the report that ended it.
    pub report: Option<([u8; 32], i64)>,
    pub facts: RunFacts,
}

impl Held {
    /// The first columns of `lease_by_token`, behind those of its batch; `None`: the token does not prove it.
    fn read(row: &Row, session: &str, token: &LeaseToken, facts: &RunFacts) -> SqlResult<Result<Option<Self>, Misuse>> {
        let at = BatchRow::COLUMNS;
        let (secret, holder): ([u8; 16], String) = (row.get(at)?, row.get(at + 1)?);
        if !token.proves(&secret) {
            return Ok(Ok(None));
        }
        if holder != session {
            return Ok(Err(Misuse::OtherSession));
        }
        let report = row.get::<Option<[u8; 32]>>(at + 2)?.zip(row.get(at + 3)?);
        let (current, released): (bool, bool) = (row.get(at + 4)?, row.get(at + 5)?);
        let (lease, row, facts) = (token.lease(), BatchRow::read(row)?, facts.clone());
        // A lease of an older round is nobody's right to anything, whatever became of the batch.
        let current = current && row.batch.round == facts.round;
        Ok(Ok(Some(Self { lease, row, current, released, report, facts })))
    }
}

/// Checks a token: was it granted, to this session, and does it still hold? Its batch is held from now on, and its run, if
/// the transition depends on how that is.
pub(super) fn held(tx: &Tx<'_>, session: &str, token: &LeaseToken, hold: Option<Hold>) -> Result<Held, Halt> {
    if let Some(how) = hold {
        tx.connection.hold(token.lease().batch.run, how)?;
    }
    let held = held_all(tx, session, std::slice::from_ref(token))?.pop().flatten();
    held.ok_or_else(|| Misuse::TokenUnknown.into())
}

/// The same for several; none for those that nobody knows (of a ledger restored from a backup, say), which do not fail a
/// call about many.
fn held_all(tx: &Tx<'_>, session: &str, tokens: &[LeaseToken]) -> Result<Vec<Option<Held>>, Halt> {
    let batches: Vec<BatchRef> = tokens.iter().map(|token| token.lease().batch).collect();
    tx.connection.hold_batches(&batches)?;
    let unchecked = tx.planted.has(Bug::NoEpochCheck);
    let held = |held: Held| Held { current: held.current || unchecked, ..held };
    found_all(tx.connection, session, tokens)?.into_iter().map(|found| Ok(found?.map(held))).collect()
}

/// The same for one, holding nothing.
pub(super) fn find(connection: &dyn Connection, session: &str, token: &LeaseToken) -> SqlResult<Result<Held, Misuse>> {
    let found = found_all(connection, session, std::slice::from_ref(token))?.pop().unwrap_or(Ok(None));
    Ok(found.and_then(|held| held.ok_or(Misuse::TokenUnknown)))
}

fn found_all(
    connection: &dyn Connection,
    session: &str,
    tokens: &[LeaseToken],
) -> SqlResult<Vec<Result<Option<Held>, Misuse>>> {
    let each = |token: &LeaseToken| {
        let LeaseRef { batch: BatchRef { run, round, batch }, epoch } = token.lease();
        params![run, round, batch, epoch].to_vec()
    };
    let each: Vec<_> = tokens.iter().map(each).collect();
    let mut rows = HashMap::new();
    for row in connection.query_each(sql!("lease_by_token"), params![], &each)? {
        let lease = LeaseRef { epoch: row.get(BatchRow::COLUMNS + 6)?, ..BatchRow::read(&row)?.lease() };
        rows.insert(lease, row);
    }
    let mut facts = BTreeMap::new();
    for run in rows.keys().map(|lease: &LeaseRef| lease.batch.run).collect::<BTreeSet<_>>() {
        facts.insert(run, run_facts(connection, run)?);
    }
    let found = |token: &LeaseToken| {
        let lease = token.lease();
        let facts = facts.get(&lease.batch.run).and_then(Option::as_ref);
        let Some((row, facts)) = rows.get(&lease).zip(facts) else { return Ok(Ok(None)) };
        Held::read(row, session, token, facts)
    };
    tokens.iter().map(found).collect()
}

/// Extends leases.
pub(super) fn renew(tx: &Tx<'_>, session: &str, tokens: &[LeaseToken]) -> Result<Vec<Renewal>, Halt> {
    tx.connection.execute(sql!("session_touch"), params![session, tx.now.as_millis()])?;
    let held = held_all(tx, session, tokens)?;
    let current = || held.iter().flatten().filter(|held| held.current);
    let batches: BTreeSet<_> = current().map(|held| held.lease.batch).map(|of| (of.run, of.round, of.batch)).collect();
    let each: Vec<_> = batches.iter().map(|(run, round, batch)| params![run, round, batch].to_vec()).collect();
    tx.connection.execute_each(sql!("batch_extend"), params![(tx.now + TTL).as_millis()], &each)?;
    let renewal = |held: &Option<Held>| match held {
        Some(held) if held.current && held.facts.state == RunState::Running => Renewal::Held(TTL),
        Some(held) if held.current => Renewal::RunStopped(TTL),
        _ => Renewal::Lost,
    };
    Ok(held.iter().map(renewal).collect())
}

/// Gives leases back: back in the queue, the attempt not charged. With the session ends whatever it still holds, also
/// what it never heard of because an answer was lost.
pub(super) fn release(tx: &Tx<'_>, session: &str, tokens: &[LeaseToken], end: bool) -> Result<Vec<bool>, Halt> {
    let release = |token: &LeaseToken| {
        tx.connection.hold(token.lease().batch.run, Hold::Together)?;
        // One after another: the same token again finds what came of it.
        let Some(held) = held_all(tx, session, std::slice::from_ref(token))?.pop().flatten() else { return Ok(false) };
        // Released before: the same request again gets the same answer.
        Ok(held.released || held.current && give_back(tx, &held.row)?)
    };
    let released = tokens.iter().map(release).collect::<Result<_, Halt>>()?;
    if end {
        for row in tx.connection.query_map(sql!("batches_held_by_session"), params![session], BatchRow::read)? {
            give_back(tx, &row)?;
        }
        tx.connection.execute(sql!("session_end"), params![session, tx.now.as_millis()])?;
    }
    Ok(released)
}

/// Gives back one lease that holds, unless it has an open delivery.
fn give_back(tx: &Tx<'_>, row: &BatchRow) -> SqlResult<bool> {
    if row.ledger(tx.connection)?.open_delivery().is_some() {
        return Ok(false);
    }
    let Some(facts) = run_facts(tx.connection, row.batch.run)? else { return Ok(false) };
    end_lease(tx.connection, row.batch, row.epoch, LeaseEnd::Released, tx.now)?;
    let uncharged = BatchRow { attempt: row.attempt.saturating_sub(1), ..row.clone() };
    settle_batch(tx.connection, &uncharged, &facts, tx.now)?;
    tx.tell_work();
    Ok(true)
}

/// A cancelled run is over: whoever still holds a lease of it has nothing to do.
pub(super) fn end_all(tx: &Tx<'_>, run: i64) -> SqlResult<()> {
    let held = tx.connection.query_map(sql!("batches_leased_of_run"), params![run], BatchRow::read)?;
    held.iter().try_for_each(|row| give_back(tx, row).map(drop))
}

/// Ends leases that have run out: takeable is what has passed both its own time and a whole TTL of service.
pub(super) fn expire(tx: &Tx<'_>) -> SqlResult<Expired> {
    let in_service = tx.serving_since + TTL <= tx.now || tx.planted.has(Bug::NoServingGrace);
    if !in_service || tx.planted.has(Bug::NeverReap) {
        return Ok(Expired::default());
    }
    let key = params![tx.now.as_millis(), EXPIRE_AT_ONCE];
    let lapsed = tx.connection.query_map(sql!("batches_expired"), key, Lapsed::read)?;
    let mut expired = Expired::default();
    for row in &lapsed {
        let in_doubt = row.end(tx.connection, tx.now)?;
        expired.leases += 1;
        expired.doubts += u32::from(in_doubt);
        if expired.named.len() < NAMED
            && let Some(facts) = run_facts(tx.connection, row.batch.batch.run)?
        {
            let (batch, attempt, worker) = (row.batch.batch.batch, row.batch.attempt, row.worker.clone());
            expired.named.push(ExpiredLease { run_id: facts.id, batch, attempt, worker, in_doubt });
        }
        let lease = row.batch.lease();
        let key = params![lease.batch.run, lease.batch.round, lease.batch.batch, lease.epoch];
        // None: its run is being taken out of the ledger.
        if let Some(secret) = tx.connection.query_row(sql!("lease_secret"), key, |row| row.get(0)).optional()? {
            tx.push(Event::LeaseExpired { session: row.session.clone(), token: LeaseToken::new(lease, secret) });
        }
        tx.tell_work();
    }
    Ok(expired)
}

/// A lease that has run out.
struct Lapsed {
    batch: BatchRow,
    session: String,
    worker: String,
}

impl Lapsed {
    fn read(row: &Row) -> SqlResult<Self> {
        let batch = BatchRow::read(row)?;
        Ok(Self { batch, session: row.get(BatchRow::COLUMNS)?, worker: row.get(BatchRow::COLUMNS + 1)? })
    }

    /// Open delivery -> in doubt, other unresolved records -> pending. Gives whether there was an open delivery.
    fn end(&self, connection: &dyn Connection, now: Timestamp) -> SqlResult<bool> {
        let row = &self.batch;
        let doubt = deliveries::doubt_open(connection, row, now)?;
        end_lease(connection, row.batch, row.epoch, LeaseEnd::Expired, now)?;
        if let Some(facts) = run_facts(connection, row.batch.run)? {
            let next = suspects::after_loss(connection, row, &facts, doubt, now)?;
            settle_batch(connection, &next, &facts, now)?;
        }
        Ok(doubt)
    }
}

/// At start: the leases of workers that lived in the process before this one.
pub(in crate::store) fn expire_embedded(connection: &dyn Connection, now: Timestamp) -> SqlResult<()> {
    for row in connection.query_map(sql!("batches_of_embedded"), params![], Lapsed::read)? {
        row.end(connection, now)?;
    }
    connection.execute(sql!("sessions_end_embedded"), params![now.as_millis()]).map(drop)
}
