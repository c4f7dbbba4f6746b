//! Several runs whose shares change, and workers that come and go: each grant must be the one that the shares say, by a model
//! that looks at one grant at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::Backend;
use super::super::bench::{Bench, dead, report, run_with};
use super::{Named, Random};
use crate::domain::{DeliveryState, NewRun, Run, Share, ShareChange};
use crate::store::{Completion, GrantedLease, LEASE_TTL};

const SESSIONS: [&str; 4] =
    ["session-of-sharer-0", "session-of-sharer-1", "session-of-sharer-2", "session-of-sharer-3"];
const RUNS: usize = 4;
const CALLS: u32 = 50;
/// What a campaign must have met, or it proves nothing.
const TO_BE_SEEN: [&str; 6] =
    ["a higher priority", "a lower level", "the older of two", "full", "capacity left", "a bound that was lowered"];

/// Runs the sequences of these seeds; gives what they met.
pub async fn random_shares(backend: &dyn Backend, seeds: std::ops::Range<u64>) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    for seed in seeds {
        let named = Named(seed);
        seen.extend(Sharing::new(backend, seed).await.play().await);
        drop(named);
    }
    seen
}

/// Has a campaign met all that it should?
pub fn assert_all_shares_seen(seen: &[&str]) {
    let missed: Vec<_> = TO_BE_SEEN.iter().filter(|what| !seen.contains(what)).collect();
    assert!(missed.is_empty(), "the random sequences of shares never met {missed:?}");
}

/// A run as the model knows it.
struct Known {
    run: Run,
    share: Share,
    ready: u64,
    paused: bool,
}

struct Sharing {
    random: Random,
    bench: Bench,
    runs: Vec<Known>,
    /// Who holds what, and of which run.
    held: Vec<(&'static str, usize, GrantedLease)>,
    expiries: u32,
    seen: BTreeSet<&'static str>,
}

fn some_share(random: &mut Random) -> Share {
    let share = Share {
        priority: random.pick(&[0, 0, 0, 1, -1]),
        weight: random.pick(&[100, 100, 50, 300, 1_000]),
        max_workers: random.pick(&[0, 0, 1, 2]),
    };
    if random.chance(30) { Share::default() } else { share }
}

impl Sharing {
    async fn new(backend: &dyn Backend, seed: u64) -> Self {
        let (mut random, bench) = (Random(seed), Bench::new(backend).await);
        let mut runs = Vec::new();
        for number in 0..RUNS {
            let (share, batches) = (some_share(&mut random), 4 + random.below(16));
            let new = NewRun { share, ..run_with(&format!("run-{number}"), |terms| terms.max_batch = 1) };
            let ids: Vec<String> = (0..batches).map(|id| id.to_string()).collect();
            let run = bench.listed(new, &[&ids.iter().map(String::as_str).collect::<Vec<_>>()]).await;
            runs.push(Known { run, share, ready: batches as u64, paused: false });
        }
        bench.warm_up().await;
        Self { random, bench, runs, held: Vec::new(), expiries: 0, seen: BTreeSet::new() }
    }

    async fn play(mut self) -> BTreeSet<&'static str> {
        for _ in 0..CALLS {
            match self.random.below(100) {
                0..50 => self.acquire().await,
                50..80 => self.end_some().await,
                80..88 => self.change().await,
                88..94 => self.pause_or_resume().await,
                94..97 => self.bench.restart().await,
                _ => self.expire().await,
            }
        }
        self.seen
    }

    fn leased(&self, run: usize) -> u64 {
        self.held.iter().filter(|(_, of, _)| *of == run).count() as u64
    }

    fn others(&self, run: usize, session: &str) -> usize {
        let others = self.held.iter().filter(|(by, of, _)| *of == run && *by != session);
        others.map(|(by, ..)| by).collect::<BTreeSet<_>>().len()
    }

    /// Runs that have something for this worker.
    fn candidates(&mut self, session: &str) -> Vec<usize> {
        let mut found = Vec::new();
        for run in 0..RUNS {
            let Known { share, ready, paused, .. } = self.runs[run];
            let others = self.others(run, session);
            let full = share.max_workers > 0 && others >= share.max_workers as usize;
            if full && ready > 0 && !paused {
                self.seen.insert("full");
                if others > share.max_workers as usize {
                    self.seen.insert("a bound that was lowered");
                }
            }
            if ready > 0 && !paused && !full {
                found.push(run);
            }
        }
        found
    }

    /// Which of these comes next.
    fn next(&mut self, candidates: &[usize]) -> Option<usize> {
        let mut best: Option<usize> = None;
        for run in candidates.iter().copied() {
            let Some(before) = best else {
                best = Some(run);
                continue;
            };
            let (a, b) = (self.runs[before].share, self.runs[run].share);
            let level = |of: usize, share: Share| self.leased(of) as f64 / f64::from(share.weight);
            let (level_a, level_b) = (level(before, a), level(run, b));
            if a.priority != b.priority {
                self.seen.insert("a higher priority");
                best = Some(if b.priority > a.priority { run } else { before });
            } else if level_b < level_a {
                self.seen.insert("a lower level");
                best = Some(run);
            } else if level_a == level_b {
                self.seen.insert("the older of two");
            }
        }
        best
    }

    async fn acquire(&mut self) {
        let (session, capacity) = (self.random.pick(&SESSIONS), 1 + self.random.below(7));
        let held: Vec<GrantedLease> =
            self.held.iter().filter(|(by, ..)| *by == session).map(|(.., lease)| lease.clone()).collect();
        let wanted = u32::try_from(capacity).unwrap();
        let answer = self.bench.acquire(session, &held.iter().collect::<Vec<_>>(), wanted).await;
        let mut granted = answer.leases.into_iter();
        for _ in 0..capacity {
            let candidates = self.candidates(session);
            let expected = self.next(&candidates);
            let lease = granted.next();
            let run_id = lease.as_ref().map(|lease| &lease.run_id);
            assert_eq!(run_id, expected.map(|run| &self.runs[run].run.id), "of {candidates:?}");
            let (Some(run), Some(lease)) = (expected, lease) else {
                self.seen.insert("capacity left");
                break;
            };
            self.runs[run].ready -= 1;
            self.held.push((session, run, lease));
        }
        assert!(granted.next().is_none(), "more than was asked for");
    }

    /// A lease comes to its end, one way or another.
    async fn end_some(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let index = self.random.below(self.held.len());
        let (session, run, lease) = self.held.swap_remove(index);
        let back = match self.random.below(4) {
            0 => self.bench.store().release(session, &[lease.token], false).await.unwrap().unwrap()[0],
            1 => self.bench.complete(session, &lease, report(&[], &[])).await == Completion::Requeued,
            2 => self.bench.complete(session, &lease, report(&[], &[dead(0)])).await == Completion::Requeued,
            _ if self.runs[run].paused => {
                self.bench.complete(session, &lease, report(&[], &[])).await == Completion::Requeued
            }
            _ => self.bench.deliver(session, &lease, DeliveryState::Applied).await == Completion::Requeued,
        };
        self.runs[run].ready += u64::from(back);
    }

    async fn change(&mut self) {
        let (run, to) = (self.random.below(RUNS), some_share(&mut self.random));
        let change = ShareChange {
            priority: self.random.chance(50).then_some(to.priority),
            weight: self.random.chance(50).then_some(to.weight),
            max_workers: self.random.chance(50).then_some(to.max_workers),
        };
        let known = &mut self.runs[run];
        known.share = change.of(known.share);
        let changed = self.bench.store().set_share(&known.run.id, change).await.unwrap().unwrap();
        assert_eq!(changed.share, known.share);
    }

    async fn pause_or_resume(&mut self) {
        let (run, pause) = (self.random.below(RUNS), self.random.chance(40));
        let (store, id) = (self.bench.store(), self.runs[run].run.id.clone());
        match pause {
            true => store.pause_run(&id, "a pause").await.unwrap(),
            false => store.resume_run(&id).await.unwrap(),
        };
        self.runs[run].paused = pause;
    }

    /// All workers are heard of no more. Not often: a record that takes its workers down again and again is given up.
    async fn expire(&mut self) {
        if self.expiries < 2 {
            self.expiries += 1;
            self.bench.pass(LEASE_TTL + Duration::from_secs(1)).await;
            for (_, run, _) in std::mem::take(&mut self.held) {
                self.runs[run].ready += 1;
            }
        }
    }
}
