//! Granting batches.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use super::batches::{BatchRow, ids_of};
use super::leases::{expire, extend, give_back};
use super::rows::{self, RunFacts, run_facts};
use super::shares::Contest;
use super::{Connection, Fault, SqlResult, Tx, Value, params, sql};
use crate::domain::{BatchLedger, BatchRef, LeaseRef, LeaseToken, OpenPart, Run, RunState, Timestamp};
use crate::store::{Acquire, Acquired, Expired, GrantedLease, LEASE_TTL as TTL, Session, StoreError};

/// Bytes of record IDs in one answer, unless its one batch alone has more: 10,000 records of 512 bytes stay below the
/// 8 MiB that a worker takes.
const ANSWER_BYTES: usize = 384 * 1024;
/// Records whose IDs are read before it is known whether the answers have room for them, unless a batch alone has more.
const READ_AT_ONCE: u32 = 10_000;
/// Batches that one acquisition grants at most.
const GRANT_AT_ONCE: u32 = 64;
/// How soon an acquisition is to come again that passed over what is ready. Whoever held it need not say when it lets go: a
/// report that ends a batch wakes nobody. It is held for one transaction, which takes some milliseconds.
const AFTER_PASSING_OVER: Duration = Duration::from_millis(100);

/// Leases batches to each of these: lost answers first, then what is ready, after ending what has run out. What is the same
/// for all is read once.
pub(in crate::store) fn acquire(tx: &Tx<'_>, acquires: &[Acquire]) -> SqlResult<(Vec<Acquired>, Expired)> {
    note_sessions(tx, acquires)?;
    let mut runs = Runs::default();
    let mut grants: Vec<Grant<'_, '_>> = acquires.iter().map(|acquire| Grant::of(tx, acquire)).collect();
    let held = HeldRow::of(tx.connection, acquires)?;
    for grant in &mut grants {
        grant.lost_answers(held.get(&grant.acquire.session.id).map_or(&[], Vec::as_slice), &mut runs)?;
    }
    let wanted = acquires.iter().any(|acquire| acquire.capacity > 0);
    let expired = if wanted { expire(tx)? } else { Expired::default() };
    if wanted {
        ready(tx, &mut grants, &mut runs)?;
    }
    let acquired = grants.into_iter().map(|grant| grant.acquired(&mut runs)).collect::<SqlResult<_>>()?;
    Ok((acquired, expired))
}

/// Grants ready batches: out of one look at what is ready, unless who may have what depends on who asks.
fn ready(tx: &Tx<'_>, grants: &mut [Grant<'_, '_>], runs: &mut Runs) -> SqlResult<()> {
    let protocol = grants.first().map_or(0, |grant| grant.acquire.protocol);
    let alike = |acquire: &Acquire| acquire.protocol == protocol && acquire.passing_over.is_empty();
    if grants.len() > 1 && grants.iter().all(|grant| alike(grant.acquire)) {
        let contest = Contest::of_all(tx, protocol, &[])?;
        if !contest.is_bounded() {
            return ready_from(tx, contest.counted()?, grants, runs);
        }
    }
    grants.iter_mut().filter(|grant| grant.wants() > 0).try_for_each(|grant| {
        let contest = Contest::open(tx, grant.acquire)?;
        ready_from(tx, contest, std::slice::from_mut(grant), runs)
    })
}

/// Grants the batches of this contest to these, one after another.
fn ready_from(
    tx: &Tx<'_>,
    mut contest: Contest<'_, '_>,
    grants: &mut [Grant<'_, '_>],
    runs: &mut Runs,
) -> SqlResult<()> {
    let mut granted = Granted::default();
    loop {
        let left = grants.iter().map(Grant::wants).sum();
        let batches = if left > 0 { contest.next(left)? } else { Vec::new() };
        if batches.is_empty() {
            break;
        }
        let mut batches = batches.into_iter().peekable();
        while batches.peek().is_some() && grants.iter().any(|grant| grant.wants() > 0) {
            let mut records = 0;
            let some: Vec<BatchRow> = std::iter::from_fn(|| {
                let next = batches.next_if(|row| records == 0 || records + row.size <= READ_AT_ONCE)?;
                records += next.size;
                Some(next)
            })
            .collect();
            let all_ids = ids_of(tx.connection, &some)?;
            for (row, ids) in some.into_iter().zip(all_ids) {
                give(row, ids, grants, runs, &mut granted)?;
            }
        }
    }
    runs.passed_over |= contest.passed_over;
    granted.write(tx)
}

/// Gives a batch to the first who has room for it. Whose answer has none gets no other.
fn give(
    row: BatchRow,
    ids: Vec<String>,
    grants: &mut [Grant<'_, '_>],
    runs: &mut Runs,
    granted: &mut Granted,
) -> SqlResult<()> {
    while let Some(grant) = grants.iter_mut().find(|grant| grant.wants() > 0) {
        if grant.fits(&ids) {
            granted.note(grant.take(row, ids, runs)?, &grant.acquire.session.id);
            return Ok(());
        }
        grant.is_full = true;
    }
    Ok(())
}

/// What was granted, as it is written.
#[derive(Default)]
struct Granted {
    batches: Vec<Vec<Value>>,
    leases: Vec<Vec<Value>>,
}

impl Granted {
    fn note(&mut self, (row, secret): (BatchRow, [u8; 16]), session: &str) {
        let BatchRef { run, round, batch } = row.batch;
        self.batches.push(params![session, run, round, batch, row.epoch, row.attempt].to_vec());
        self.leases.push(params![session, run, round, batch, row.epoch, row.attempt, secret].to_vec());
    }

    fn write(&self, tx: &Tx<'_>) -> SqlResult<()> {
        let (expires_at, now) = (tx.now + TTL, tx.now);
        tx.connection.execute_each(sql!("batch_grant"), params![expires_at.as_millis()], &self.batches)?;
        tx.connection.execute_each(sql!("lease_insert"), params![now.as_millis()], &self.leases).map(drop)
    }
}

/// A batch that a session holds.
struct HeldRow {
    row: BatchRow,
    expires_at: Timestamp,
    secret: [u8; 16],
}

impl HeldRow {
    /// Those of all sessions that acquire.
    fn of(connection: &dyn Connection, acquires: &[Acquire]) -> SqlResult<BTreeMap<String, Vec<Self>>> {
        let sessions: BTreeSet<&str> = acquires.iter().map(|acquire| acquire.session.id.as_str()).collect();
        let each: Vec<_> = sessions.into_iter().map(|session| params![session].to_vec()).collect();
        let mut held: BTreeMap<String, Vec<Self>> = BTreeMap::new();
        for row in connection.query_each(sql!("batches_held_by_session"), &[], &each)? {
            let at = BatchRow::COLUMNS;
            let (expires_at, secret) = (rows::time(&row, at)?, row.get(at + 1)?);
            held.entry(row.get(at + 2)?).or_default().push(Self { row: BatchRow::read(&row)?, expires_at, secret });
        }
        held.values_mut().for_each(|rows| rows.sort_by_key(|held| held.row.batch));
        Ok(held)
    }
}

/// Of several calls of the same session the last counts.
fn note_sessions(tx: &Tx<'_>, acquires: &[Acquire]) -> SqlResult<()> {
    let row = |Session { id, name, version, embedded }: &Session| params![id, name, version, embedded].to_vec();
    let each: BTreeMap<&str, _> = acquires.iter().map(|of| (of.session.id.as_str(), row(&of.session))).collect();
    let each: Vec<_> = each.into_values().collect();
    tx.connection.execute_each(sql!("session_seen"), params![tx.now.as_millis()], &each).map(drop)
}

/// What the acquisitions of one transaction have read. Batches are held, and so are their runs.
#[derive(Default)]
struct Runs {
    facts: BTreeMap<i64, RunFacts>,
    shown: BTreeMap<i64, Run>,
    /// How long until something may be leased without any event.
    next_in: Option<Option<Duration>>,
    /// Something was ready and somebody held it.
    passed_over: bool,
}

impl Runs {
    fn facts(&mut self, tx: &Tx<'_>, run: i64) -> SqlResult<&RunFacts> {
        Ok(match self.facts.entry(run) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(run_facts(tx.connection, run)?.ok_or(Fault::NoRow)?),
        })
    }

    fn next_in(&mut self, tx: &Tx<'_>) -> SqlResult<Option<Duration>> {
        if let Some(known) = self.next_in {
            return Ok(known);
        }
        let soon = self.passed_over.then_some(AFTER_PASSING_OVER);
        let next_in = next_in(tx)?.into_iter().chain(soon).min();
        self.next_in = Some(next_in);
        Ok(next_in)
    }

    fn shown(&mut self, tx: &Tx<'_>, run: i64) -> SqlResult<Run> {
        if let Some(shown) = self.shown.get(&run) {
            return Ok(shown.clone());
        }
        let shown = tx.connection.query_row(sql!("run_by_key"), params![run], rows::run)?;
        self.shown.insert(run, shown.clone());
        Ok(shown)
    }
}

/// One acquisition on its way.
struct Grant<'a, 'b> {
    tx: &'a Tx<'b>,
    acquire: &'a Acquire,
    leases: Vec<GrantedLease>,
    bytes: usize,
    /// So many batches that were ready.
    taken: u32,
    /// Its answer has no room for more.
    is_full: bool,
    /// The runs of its leases.
    named: BTreeSet<i64>,
}

impl<'a, 'b> Grant<'a, 'b> {
    fn of(tx: &'a Tx<'b>, acquire: &'a Acquire) -> Self {
        Self { tx, acquire, leases: Vec::new(), bytes: 0, taken: 0, is_full: false, named: BTreeSet::new() }
    }

    fn acquired(self, runs: &mut Runs) -> SqlResult<Acquired> {
        let next_in = if self.leases.is_empty() { runs.next_in(self.tx)? } else { None };
        let shown = self.named.into_iter().map(|run| runs.shown(self.tx, run)).collect::<SqlResult<_>>()?;
        Ok(Acquired { leases: self.leases, runs: shown, next_in })
    }

    /// What the session holds and did not list: an answer was lost. It has the lease's full time again, unless its run
    /// has stopped meanwhile: nobody may work on that, so it goes back to where the run's other batches wait.
    fn lost_answers(&mut self, held: &[HeldRow], runs: &mut Runs) -> SqlResult<()> {
        let listed: HashSet<LeaseRef> = self.acquire.held.iter().map(LeaseToken::lease).collect();
        for HeldRow { row, expires_at, secret } in held.iter().filter(|held| !listed.contains(&held.row.lease())) {
            if run_facts(self.tx.connection, row.batch.run)?.is_none_or(|facts| facts.state != RunState::Running) {
                give_back(self.tx, row)?;
                continue;
            }
            let ids = row.ids(self.tx.connection)?;
            if !self.fits(&ids) {
                continue;
            }
            let expires_at = (*expires_at).max(self.tx.now + TTL);
            extend(self.tx.connection, row.batch, expires_at)?;
            self.hand_out(row, ids, *secret, expires_at, runs)?;
        }
        Ok(())
    }

    /// How many more ready batches it may have.
    fn wants(&self) -> u32 {
        if self.is_full { 0 } else { self.acquire.capacity.min(GRANT_AT_ONCE).saturating_sub(self.taken) }
    }

    /// Takes a ready batch; gives it as it is then, and the secret of its lease.
    fn take(&mut self, mut row: BatchRow, ids: Vec<String>, runs: &mut Runs) -> SqlResult<(BatchRow, [u8; 16])> {
        row.epoch += 1;
        row.attempt += 1;
        self.taken += 1;
        let secret = random_secret()?;
        self.hand_out(&row, ids, secret, self.tx.now + TTL, runs)?;
        Ok((row, secret))
    }

    /// Whether the answer has room for a batch of these IDs; the first always fits, or nobody would ever get it.
    fn fits(&self, ids: &[String]) -> bool {
        self.leases.is_empty() || self.bytes + bytes_of(ids) <= ANSWER_BYTES
    }

    /// Puts a granted batch into the answer.
    fn hand_out(
        &mut self,
        row: &BatchRow,
        ids: Vec<String>,
        secret: [u8; 16],
        expires_at: Timestamp,
        runs: &mut Runs,
    ) -> SqlResult<()> {
        let connection = self.tx.connection;
        self.named.insert(row.batch.run);
        let facts = runs.facts(self.tx, row.batch.run)?;
        // A first grant has no history.
        let ledger = if row.epoch == 1 {
            BatchLedger { size: row.size, ..BatchLedger::default() }
        } else {
            row.ledger(connection)?
        };
        self.bytes += bytes_of(&ids);
        let parts = ledger.remaining(&facts.rules, row.singles).parts;
        self.leases.push(GrantedLease {
            token: LeaseToken::new(row.lease(), secret),
            run_id: facts.id.clone(),
            attempt: row.attempt,
            ttl: expires_at.since(self.tx.now),
            parts: with_ids(parts, ids),
        });
        Ok(())
    }
}

/// Each part with the IDs of its records. Most batches are whole and in one part: then nothing is copied.
fn with_ids(parts: Vec<OpenPart>, ids: Vec<String>) -> Vec<(OpenPart, Vec<String>)> {
    if matches!(parts.as_slice(), [part] if part.positions.len() as usize == ids.len()) {
        return parts.into_iter().zip([ids]).collect();
    }
    let id = |place: u32| ids.get(place as usize).cloned().unwrap_or_default();
    let with = |part: OpenPart| {
        let ids = part.positions.iter().map(id).collect();
        (part, ids)
    };
    parts.into_iter().map(with).collect()
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
