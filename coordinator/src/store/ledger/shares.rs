//! Which runs' batches an acquisition takes: by priority, by weight, within each run's bound of workers.

use std::collections::{BTreeMap, VecDeque};

use super::batches::BatchRow;
use super::{SqlResult, Tx, params, rows, runs, sql};
use crate::domain::{Contender, Run, RunId, Share, ShareChange, deal};
use crate::planted::Bug;
use crate::store::Acquire;

/// The runs that have something for a worker. Their ready batches are looked up as they are dealt out, in order: what it
/// costs does not depend on how many are ready.
pub(super) struct Contest<'a, 'b> {
    tx: &'a Tx<'b>,
    contenders: Vec<Contender>,
    /// By run.
    places: BTreeMap<i64, Place>,
    /// Of a run that has ready batches none was to be had: somebody holds it, or them, at this moment.
    pub passed_over: bool,
}

/// How far a run's ready batches were looked up.
struct Place {
    round: u32,
    last_batch: i64,
}

impl<'a, 'b> Contest<'a, 'b> {
    /// Of all runs that this worker may work on.
    pub fn open(tx: &'a Tx<'b>, acquire: &Acquire) -> SqlResult<Self> {
        let mut contest = Self::of_all(tx, acquire.protocol, &acquire.passing_over)?;
        contest.leave_the_full(&acquire.session.id)?;
        contest.counted()
    }

    /// Of all runs but these that workers who speak this version may work on. Which of them is full, and what each has, is not
    /// yet known.
    pub fn of_all(tx: &'a Tx<'b>, protocol: i32, passing_over: &[RunId]) -> SqlResult<Self> {
        let mut places = BTreeMap::new();
        let key = params![tx.now.as_millis(), protocol];
        let contenders = tx.connection.query_map(sql!("runs_takeable"), key, |row| {
            let (run, id): (i64, String) = (row.get(0)?, row.get(5)?);
            if passing_over.iter().any(|passed| passed.as_str() == id) {
                return Ok(None);
            }
            places.insert(run, Place { round: row.get(1)?, last_batch: -1 });
            Ok(Some(Contender { run, share: rows::share(row, 2)?, leased: 0 }))
        })?;
        let contenders = contenders.into_iter().flatten().collect();
        Ok(Self { tx, contenders, places, passed_over: false })
    }

    /// Whether who may work on one of them depends on who asks.
    pub fn is_bounded(&self) -> bool {
        self.contenders.iter().any(|contender| contender.share.max_workers > 0)
    }

    /// Looks up what each of them has, where there are several.
    pub fn counted(mut self) -> SqlResult<Self> {
        if self.contenders.len() > 1 {
            let leased =
                self.tx.connection.query_map(sql!("leased_by_run"), params![], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let leased: BTreeMap<i64, i64> = leased.into_iter().collect();
            for contender in &mut self.contenders {
                contender.leased = leased.get(&contender.run).map_or(0, |count| count.unsigned_abs());
            }
        }
        Ok(self)
    }

    /// Leaves out runs whose `max_workers` other sessions hold leases of. From here on nobody else grants batches of runs
    /// that have such a bound, so that what is counted stays true.
    fn leave_the_full(&mut self, session: &str) -> SqlResult<()> {
        let bounded = self.contenders.iter().filter(|contender| contender.share.max_workers > 0);
        let bounded: Vec<(i64, u32)> = bounded.map(|of| (of.run, self.places[&of.run].round)).collect();
        if bounded.is_empty() || self.tx.planted.has(Bug::IgnoresMaxWorkers) {
            return Ok(());
        }
        self.tx.connection.hold_grants(&bounded)?;
        let runs: Vec<_> = bounded.iter().map(|(run, _)| params![run].to_vec()).collect();
        let found = self.tx.connection.query_each(sql!("run_other_holders"), params![session], &runs)?;
        let others: BTreeMap<i64, u32> =
            found.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<SqlResult<_>>()?;
        self.contenders.retain(|contender| {
            let others = others.get(&contender.run).copied().unwrap_or(0);
            contender.share.max_workers == 0 || others < contender.share.max_workers
        });
        Ok(())
    }

    /// The next ready batches, as they are due, at most so many; none: there are none left.
    pub fn next(&mut self, most: u32) -> SqlResult<Vec<BatchRow>> {
        while !self.contenders.is_empty() {
            let order: Vec<i64> = deal(&self.contenders, most).into_iter().map(|at| self.contenders[at].run).collect();
            let mut found = self.look_up(&order)?;
            let taken = order.iter().filter_map(|run| found.get_mut(run)?.pop_front()).collect::<Vec<_>>();
            if !taken.is_empty() || order.is_empty() {
                return Ok(taken);
            }
        }
        Ok(Vec::new())
    }

    /// As many ready batches of each run as were dealt to it. A run that has fewer is out.
    fn look_up(&mut self, order: &[i64]) -> SqlResult<BTreeMap<i64, VecDeque<BatchRow>>> {
        let mut dealt: BTreeMap<i64, u32> = BTreeMap::new();
        order.iter().for_each(|run| *dealt.entry(*run).or_default() += 1);
        let each = dealt.iter().map(|(run, most)| {
            let place = &self.places[run];
            params![run, place.round, place.last_batch, most].to_vec()
        });
        let each: Vec<_> = each.collect();
        let rows = self.tx.connection.query_each(sql!("batches_takeable"), params![self.tx.now.as_millis()], &each)?;
        let mut batches = rows.iter().map(BatchRow::read).collect::<SqlResult<Vec<_>>>()?;
        batches.sort_by_key(|row| row.batch.batch);
        let mut found: BTreeMap<i64, VecDeque<BatchRow>> = BTreeMap::new();
        for row in batches {
            let place = self.places.get_mut(&row.batch.run);
            place.into_iter().for_each(|place| place.last_batch = row.batch.batch);
            found.entry(row.batch.run).or_default().push_back(row);
        }
        let count = |run: i64| found.get(&run).map_or(0, VecDeque::len);
        self.passed_over |= dealt.keys().any(|run| self.places[run].last_batch < 0);
        self.contenders.retain_mut(|contender| {
            contender.leased += count(contender.run) as u64;
            dealt.get(&contender.run).is_none_or(|dealt| count(contender.run) >= *dealt as usize)
        });
        Ok(found)
    }
}

/// Changes a run's share, whatever its state: later rounds have it too.
pub(super) fn change(tx: &Tx<'_>, id: &RunId, change: ShareChange) -> SqlResult<Option<Run>> {
    let Some(run) = runs::by_id_alone(tx, id)? else { return Ok(None) };
    let Share { priority, weight, max_workers } = change.of(run.share);
    tx.connection.execute(sql!("run_share"), params![run.key, priority, weight, max_workers])?;
    // Whoever waits may have something now.
    tx.tell_work();
    runs::by_id(tx, id)
}
