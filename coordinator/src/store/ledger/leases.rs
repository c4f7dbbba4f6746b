//! Leases: holding, renewing, giving back, running out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::batches::{BatchRow, LeaseEnd, end_lease, settle_batch};
use super::rows::{RunFacts, run_facts};
use super::{Connection, Halt, Hold, OptionalRow, Row, SqlResult, Tx, deliveries, params, sql, suspects};
use crate::domain::{BatchRef, LeaseRef, LeaseToken, RunState, Timestamp};
use crate::planted::Bug;
use crate::store::{Event, Expired, ExpiredLease, LEASE_TTL as TTL, Misuse, Renewal};

/// Leases that one transition ends at most, so that a mass expiry does not hold up the rest.
const EXPIRE_AT_ONCE: u32 = 500;
/// Of these, how many are told of one by one.
const NAMED: usize = 20;

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
    if end {
        // First, as acquisitions and renewals do: what one of them is granting or holds just now is seen below.
        tx.connection.execute(sql!("session_end"), params![session, tx.now.as_millis()])?;
    }
    let batches: BTreeSet<BatchRef> = tokens.iter().map(|token| token.lease().batch).collect();
    let runs: BTreeSet<i64> = batches.iter().map(|batch| batch.run).collect();
    runs.into_iter().try_for_each(|run| tx.connection.hold(run, Hold::Together))?;
    tx.connection.hold_batches(&batches.into_iter().collect::<Vec<_>>())?;
    // The counters of several runs are held one after another.
    let mut in_turn: Vec<(usize, &LeaseToken)> = tokens.iter().enumerate().collect();
    in_turn.sort_by_key(|(_, token)| token.lease().batch);
    let mut released = in_turn
        .into_iter()
        .map(|(at, token)| Ok((at, release_one(tx, session, token)?)))
        .collect::<Result<Vec<(usize, bool)>, Halt>>()?;
    released.sort_unstable();
    if end {
        let held = tx.connection.query_each(sql!("batches_held_by_session"), &[], &[params![session].to_vec()])?;
        let mut held = held.iter().map(BatchRow::read).collect::<SqlResult<Vec<_>>>()?;
        held.sort_by_key(|row| row.batch);
        held.iter().try_for_each(|row| give_back(tx, row).map(drop))?;
    }
    Ok(released.into_iter().map(|(_, is_released)| is_released).collect())
}

/// Looks the token up by itself: where the same one comes again, it finds what came of it.
fn release_one(tx: &Tx<'_>, session: &str, token: &LeaseToken) -> Result<bool, Halt> {
    let Some(held) = held_all(tx, session, std::slice::from_ref(token))?.pop().flatten() else { return Ok(false) };
    // Released before: the same request again gets the same answer.
    Ok(held.released || held.current && give_back(tx, &held.row)?)
}

/// Gives back one lease that holds, unless it has an open delivery.
pub(super) fn give_back(tx: &Tx<'_>, row: &BatchRow) -> SqlResult<bool> {
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
    let mut lapsed = tx.connection.query_map(sql!("batches_expired"), key, Lapsed::read)?;
    // The counters of several runs are held one after another.
    lapsed.sort_by_key(|lapsed| lapsed.batch.batch);
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
