//! Granting batches.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use super::batches::BatchRow;
use super::leases::{expire, extend, give_back};
use super::rows::{self, RunFacts, run_facts};
use super::shares::Contest;
use super::{Connection, Fault, SqlResult, Tx, params, sql};
use crate::domain::{BatchLedger, BatchRef, LeaseRef, LeaseToken, Run, RunState, Timestamp};
use crate::store::{Acquire, Acquired, Expired, GrantedLease, LEASE_TTL as TTL, Session, StoreError};

/// Bytes of record IDs in one answer, unless its one batch alone has more: 10,000 records of 512 bytes stay below the
/// 8 MiB that a worker takes.
const ANSWER_BYTES: usize = 384 * 1024;
/// Batches that one acquisition grants at most.
const GRANT_AT_ONCE: u32 = 64;

/// Leases batches to each of these: lost answers first, then what is ready, after ending what has run out. What is the same
/// for all is read once.
pub(in crate::store) fn acquire(tx: &Tx<'_>, acquires: &[Acquire]) -> SqlResult<(Vec<Acquired>, Expired)> {
    note_sessions(tx, acquires)?;
    let mut runs = Runs::default();
    let mut grants: Vec<Grant<'_, '_>> = acquires.iter().map(|acquire| Grant::of(tx, acquire)).collect();
    grants.iter_mut().try_for_each(|grant| grant.lost_answers(&mut runs))?;
    let wanted = acquires.iter().any(|acquire| acquire.capacity > 0);
    let expired = if wanted { expire(tx)? } else { Expired::default() };
    grants.iter_mut().try_for_each(|grant| grant.ready(&mut runs))?;
    let acquired = grants.into_iter().map(|grant| grant.acquired(&mut runs)).collect::<SqlResult<_>>()?;
    Ok((acquired, expired))
}

/// Of several calls of the same session the last counts.
fn note_sessions(tx: &Tx<'_>, acquires: &[Acquire]) -> SqlResult<()> {
    let row = |Session { id, name, version, embedded }: &Session| params![id, name, version, embedded].to_vec();
    let each: BTreeMap<&str, _> = acquires.iter().map(|of| (of.session.id.as_str(), row(&of.session))).collect();
    let each: Vec<_> = each.into_values().collect();
    tx.connection.execute_each(sql!("session_seen"), params![tx.now.as_millis()], &each).map(drop)
}

/// What the acquisitions of one transaction have read of runs. Their batches are held, and so are they.
#[derive(Default)]
struct Runs {
    facts: BTreeMap<i64, RunFacts>,
    shown: BTreeMap<i64, Run>,
}

impl Runs {
    fn facts(&mut self, tx: &Tx<'_>, run: i64) -> SqlResult<&RunFacts> {
        Ok(match self.facts.entry(run) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(run_facts(tx.connection, run)?.ok_or(Fault::NoRow)?),
        })
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
    /// The runs of its leases.
    named: BTreeSet<i64>,
}

impl<'a, 'b> Grant<'a, 'b> {
    fn of(tx: &'a Tx<'b>, acquire: &'a Acquire) -> Self {
        Self { tx, acquire, leases: Vec::new(), bytes: 0, named: BTreeSet::new() }
    }

    fn acquired(self, runs: &mut Runs) -> SqlResult<Acquired> {
        let next_in = if self.leases.is_empty() { next_in(self.tx)? } else { None };
        let shown = self.named.into_iter().map(|run| runs.shown(self.tx, run)).collect::<SqlResult<_>>()?;
        Ok(Acquired { leases: self.leases, runs: shown, next_in })
    }

    /// What the session holds and did not list: an answer was lost. It has the lease's full time again, unless its run
    /// has stopped meanwhile: nobody may work on that, so it goes back to where the run's other batches wait.
    fn lost_answers(&mut self, runs: &mut Runs) -> SqlResult<()> {
        let acquire = self.acquire;
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
            self.hand_out(&row, &ids, secret, expires_at, runs)?;
        }
        Ok(())
    }

    fn extend(&self, batch: BatchRef, expires_at: Timestamp) -> SqlResult<()> {
        extend(self.tx.connection, batch, expires_at)
    }

    /// Grants ready batches, as runs share the workers.
    fn ready(&mut self, runs: &mut Runs) -> SqlResult<()> {
        if self.acquire.capacity == 0 {
            return Ok(());
        }
        let mut contest = Contest::open(self.tx, self.acquire)?;
        let mut left = self.acquire.capacity.min(GRANT_AT_ONCE);
        while left > 0 {
            let batches = contest.next(left)?;
            left = if batches.is_empty() { 0 } else { left - u32::try_from(batches.len()).unwrap_or(left) };
            if !self.grant(batches, runs)? {
                break;
            }
        }
        Ok(())
    }

    /// Grants these batches; gives whether there was room in the answer for all.
    fn grant(&mut self, batches: Vec<BatchRow>, runs: &mut Runs) -> SqlResult<bool> {
        let (mut granted, mut leases) = (Vec::new(), Vec::new());
        let expires_at = self.tx.now + TTL;
        let mut all = true;
        let all_ids = ids_of(self.tx.connection, &batches)?;
        for (mut row, ids) in batches.into_iter().zip(all_ids) {
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
            self.hand_out(&row, &ids, secret, expires_at, runs)?;
        }
        let session = &self.acquire.session.id;
        self.tx.connection.execute_each(sql!("batch_grant"), params![session, expires_at.as_millis()], &granted)?;
        let values = params![session, self.tx.now.as_millis()];
        self.tx.connection.execute_each(sql!("lease_insert"), values, &leases)?;
        Ok(all)
    }

    /// Whether the answer has room for a batch of these IDs; the first always fits, or nobody would ever get it.
    fn fits(&self, ids: &[String]) -> bool {
        self.leases.is_empty() || self.bytes + bytes_of(ids) <= ANSWER_BYTES
    }

    /// Puts a granted batch into the answer.
    fn hand_out(
        &mut self,
        row: &BatchRow,
        ids: &[String],
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
        let id = |place: u32| ids.get(place as usize).cloned().unwrap_or_default();
        let parts = ledger.remaining(&facts.rules, row.singles).parts.into_iter();
        let parts: Vec<_> = parts.map(|part| (part.positions.iter().map(id).collect(), part)).collect();
        self.bytes += bytes_of(ids);
        self.leases.push(GrantedLease {
            token: LeaseToken::new(row.lease(), secret),
            run_id: facts.id.clone(),
            attempt: row.attempt,
            ttl: expires_at.since(self.tx.now),
            parts: parts.into_iter().map(|(ids, part)| (part, ids)).collect(),
        });
        Ok(())
    }
}

/// IDs of the records of each of these batches, in their order.
fn ids_of(connection: &dyn Connection, batches: &[BatchRow]) -> SqlResult<Vec<Vec<String>>> {
    let mut ids: Vec<BTreeMap<i64, String>> = batches.iter().map(|_| BTreeMap::new()).collect();
    let each = (0i64..).zip(batches).map(|(at, of)| {
        params![at, of.batch.run, of.batch.round, of.first_seq, of.first_seq + i64::from(of.size)].to_vec()
    });
    for row in connection.query_each(sql!("record_ids_each"), &[], &each.collect::<Vec<_>>())? {
        let at: u32 = row.get(0)?;
        if let Some(ids) = ids.get_mut(at as usize) {
            ids.insert(row.get(1)?, row.get(2)?);
        }
    }
    Ok(ids.into_iter().map(|ids| ids.into_values().collect()).collect())
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
