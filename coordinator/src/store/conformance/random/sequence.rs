//! One sequence of calls: what it begins with, who is called, and time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::super::Backend;
use super::super::bench::{A, Bench, POST_TIMEOUT, dead, new_run, signed, versions};
use super::Random;
use super::lister::Lister;
use super::workers::{Known, Made};
use crate::domain::{DeliveryState, OnDoubt, Run};
use crate::store::{LEASE_TTL, Report};

/// Calls of one sequence.
const CALLS: u32 = 60;

pub(super) struct Sequence {
    pub(super) random: Random,
    /// The run holds its doubts.
    pub(super) holds: bool,
    pub(super) bench: Bench,
    pub(super) run: Run,
    pub(super) lister: Lister,
    pub(super) known: Vec<Known>,
    pub(super) made: Vec<Made>,
    /// Highest epoch granted of each batch.
    pub(super) epochs: HashMap<i64, u32>,
    /// Places (batch, position) by what workers reported.
    pub(super) applied: BTreeSet<(i64, u32)>,
    pub(super) excepted: BTreeSet<(i64, u32, bool)>,
    /// Those of which it was reported in time that nothing more is to be done with them.
    pub(super) given_up: BTreeSet<(i64, u32)>,
    /// Deliveries of which something was told, by number, with the places that this left in doubt: none once it is
    /// certain.
    pub(super) doubted: BTreeMap<i64, Vec<(i64, u32)>>,
    /// Unknown fields of records that were announced: by path, the places of those that have it.
    pub(super) unknown: BTreeMap<String, BTreeSet<(i64, u32)>>,
    pub(super) cancelled: bool,
    /// What the run that this one goes on from has loaded, in version 1.
    pub(super) before: BTreeSet<String>,
    pub(super) seen: BTreeSet<&'static str>,
}

/// A run that is over, and from which this new one goes on; gives what it has loaded.
async fn earlier(bench: &Bench, new: &mut crate::domain::NewRun) -> BTreeSet<String> {
    let items: Vec<(String, &str)> = (3..11).map(|id| (id.to_string(), "1")).collect();
    let items: Vec<(&str, &str)> = items.iter().map(|(id, version)| (id.as_str(), *version)).collect();
    let run = bench.start(new_run("earlier")).await;
    let listing = bench.take_listing("lister").await;
    bench.store().commit_page(&listing, versions(1, &items, Some(1))).await.unwrap();
    bench.store().close_listing(&listing).await.unwrap();
    let first = bench.lease(A).await;
    bench.deliver(A, &first, DeliveryState::Applied).await;
    let second = bench.lease(A).await;
    bench.complete(A, &second, signed(Report { records: (0..4).map(dead).collect(), ..Report::default() })).await;
    bench.conclude(&run).await;
    new.since = Some(run.id);
    first.parts.iter().flat_map(|(_, ids)| ids.clone()).collect()
}

impl Sequence {
    pub(super) async fn new(backend: &dyn Backend, seed: u64) -> Self {
        let mut random = Random(seed);
        let bench = Bench::new(backend).await;
        let mut new = new_run("random");
        let holds = random.chance(40);
        if holds {
            new.terms.rules.on_doubt = OnDoubt::Hold;
        }
        let before = if random.chance(50) { earlier(&bench, &mut new).await } else { BTreeSet::new() };
        let run = bench.start(new).await;
        let lister = Lister::new(&mut random, bench.take_listing("lister").await);
        Self {
            holds,
            random,
            bench,
            run,
            lister,
            known: Vec::new(),
            made: Vec::new(),
            epochs: HashMap::new(),
            applied: BTreeSet::new(),
            excepted: BTreeSet::new(),
            given_up: BTreeSet::new(),
            doubted: BTreeMap::new(),
            unknown: BTreeMap::new(),
            cancelled: false,
            before,
            seen: BTreeSet::new(),
        }
    }

    /// Gives what was met.
    pub(super) async fn play(mut self) -> BTreeSet<&'static str> {
        for _ in 0..CALLS {
            match self.random.below(100) {
                0..12 => self.list().await,
                12..30 => self.acquire().await,
                30..50 => self.announce().await,
                50..60 => self.learn(),
                60..72 => self.complete().await,
                72..76 => self.release().await,
                76..80 => self.renew().await,
                80..88 => self.wait().await,
                88..94 => self.repeat().await,
                94..96 => self.settle().await,
                96..98 => self.pause_or_resume().await,
                98 => self.bench.restart().await,
                _ => self.cancel().await,
            }
            self.check().await;
        }
        self.seen
    }

    async fn wait(&mut self) {
        let span = self.random.pick(&[Duration::from_secs(3), LEASE_TTL, LEASE_TTL * 2, LEASE_TTL * 4]);
        let open_before = self.bench.counts(&self.run).await.delivering;
        let served = self.random.chance(70);
        if served {
            self.bench.pass(span).await
        } else {
            self.bench.silence(span).await
        }
        let after = self.bench.counts(&self.run).await;
        if after.delivering < open_before {
            self.seen.insert("doubt after an expiry");
        }
        // Longer than any lease holds that nobody renews.
        if served && span > POST_TIMEOUT + LEASE_TTL {
            assert_eq!((after.leased, after.delivering), (0, 0), "leases outlived their time by far");
        }
    }

    async fn pause_or_resume(&mut self) {
        let store = self.bench.store();
        if self.random.chance(40) {
            store.pause_run(&self.run.id, "a pause").await.unwrap();
        } else {
            store.resume_run(&self.run.id).await.unwrap();
        }
    }

    async fn cancel(&mut self) {
        if self.random.chance(30) {
            self.bench.store().cancel_run(&self.run.id).await.unwrap();
            self.cancelled = true;
        }
    }
}
