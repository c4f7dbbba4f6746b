//! What transitions of the ledger cost, on both stores and on the disk: `cargo bench -p muster-coordinator --bench store`.
//!
//! No gRPC and no other process (but PostgreSQL): the store alone, called as the services call it. docs/PERFORMANCE.md has
//! the figures.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use muster_coordinator::domain::{
    DeliveryReport, DeliveryState, Evidence, ListedItem, ListedPage, ListingLease, NewRun, OnDoubt, Positions, Rules,
    RunId, Share, Terms, Timestamp,
};
use muster_coordinator::store::postgres::{self, PostgresStore};
use muster_coordinator::store::sqlite::{self, SqliteStore};
use muster_coordinator::store::{
    Acquire, Begin, Begun, Fenced, GrantedLease, Report, Session, Started, Store, WorkDone,
};
use muster_postgres::Postgres;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Records of a batch, and of a page.
const BATCH: u32 = 100;
const PAGE: u64 = 1_000;
/// Longer than any benchmark here.
const LONG: Duration = Duration::from_secs(3_600);
/// Workers that ask at the same time.
const CREW: usize = 64;

fn main() {
    divan::main();
}

#[derive(Debug, Clone, Copy)]
enum Engine {
    Sqlite,
    Postgres,
}

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// A ledger with a run that is being listed.
struct Ledger {
    runtime: Runtime,
    store: Arc<dyn Store>,
    listing: ListingLease,
    listed: Cell<u64>,
    /// Where it is; they go with it.
    _file: TempDir,
    _server: Option<Postgres>,
}

impl Ledger {
    fn new(engine: Engine) -> Ledger {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let file = tempfile::tempdir().unwrap();
        let (store, server): (Arc<dyn Store>, _) = match engine {
            Engine::Sqlite => {
                let store = SqliteStore::open(&file.path().join("ledger.db"), sqlite::Options::default());
                (Arc::new(store.unwrap()), None)
            }
            Engine::Postgres => {
                let server = Postgres::start_on_disk();
                let store = runtime.block_on(PostgresStore::open(&server.url(), postgres::Options::default()));
                (Arc::new(store.unwrap()), Some(server))
            }
        };
        let listing = runtime.block_on(async {
            assert!(matches!(store.start_run(run()).await.unwrap(), Started::New(_)));
            store.take_listing("lister", LONG).await.unwrap().expect("a run to list").lease
        });
        Ledger { runtime, store, listing, listed: Cell::new(0), _file: file, _server: server }
    }

    /// Commits the next page.
    fn list_page(&self) {
        let number = self.listed.get() + 1;
        self.listed.set(number);
        let item = |id: u64| ListedItem { id: id.to_string(), version: None, body: None };
        let items = (number * PAGE..(number + 1) * PAGE).map(item).collect();
        let page = ListedPage { page: number, items, ..ListedPage::default() };
        let committed = self.runtime.block_on(self.store.commit_page(&self.listing, page)).unwrap();
        assert!(matches!(committed, Fenced::Committed(_)));
    }

    /// Makes so many batches ready.
    fn ready(&self, batches: usize) {
        (0..(batches as u64 * u64::from(BATCH)).div_ceil(PAGE)).for_each(|_| self.list_page());
    }

    /// Lets so many workers lease a batch, announce its delivery and report it, all at the same time.
    fn work(&self, workers: usize) {
        self.runtime.block_on(async {
            let mut crew = JoinSet::new();
            for number in 0..workers {
                crew.spawn(one_batch(Arc::clone(&self.store), format!("session-of-worker-{number}")));
            }
            crew.join_all().await;
        });
    }
}

async fn one_batch(store: Arc<dyn Store>, session: String) {
    let lease = lease(&store, &session).await;
    let positions = Positions::all(BATCH);
    let begin = Begin {
        ordinal: 1,
        positions,
        body_sha256: [7; 32],
        retry_of: 0,
        settled: Vec::new(),
        unknown_fields: Vec::new(),
    };
    let begun = store.begin(&session, lease.token, begin).await.unwrap().unwrap();
    assert!(matches!(begun, Begun::Announced { .. }), "{begun:?}");
    let applied = Evidence {
        state: DeliveryState::Applied,
        http_status: 200,
        detail: String::new(),
        present: Positions::default(),
    };
    let deliveries = vec![DeliveryReport { ordinal: 1, evidence: applied }];
    let report = Report {
        deliveries,
        digest: [1; 32],
        work: WorkDone { requests: 100, bytes: 9_400, ..WorkDone::default() },
        ..Report::default()
    };
    store.complete(&session, lease.token, report).await.unwrap().unwrap();
}

async fn lease(store: &Arc<dyn Store>, session: &str) -> GrantedLease {
    let of = Session { id: session.to_owned(), name: session.to_owned(), version: "1".to_owned(), embedded: false };
    let acquire = Acquire { session: of, capacity: 1, protocol: muster_proto::PROTOCOL, ..Acquire::default() };
    store.acquire(acquire).await.unwrap().leases.pop().expect("a batch that is ready")
}

fn run() -> NewRun {
    let post_timeout = Duration::from_secs(25);
    NewRun {
        id: RunId::from_text("bench-1"),
        request_id: None,
        request_digest: [0; 32],
        pipeline: "bench".to_owned(),
        terms: Terms {
            revision: "1".repeat(64),
            canonical: "{}".to_owned(),
            max_batch: BATCH,
            post_timeout,
            rules: Rules { on_doubt: OnDoubt::Retry, settle_after: post_timeout, max_attempts: 8 },
            max_gone: 1.0,
            max_rejected: 3,
            protocol: 1,
        },
        parameters: BTreeMap::new(),
        audit_mode: false,
        since: None,
        alike: BTreeSet::new(),
        wall_at: Timestamp::default(),
        share: Share::default(),
    }
}

/// A page of a thousand IDs: one transaction.
#[divan::bench(args = ENGINES, sample_count = 100, sample_size = 1)]
fn a_page_of_1000(bencher: Bencher<'_, '_>, engine: Engine) {
    let ledger = Ledger::new(engine);
    ledger.list_page();
    bencher.counter(ItemsCount::new(PAGE)).bench_local(|| ledger.list_page());
}

/// One worker, one batch: three transactions, each on the disk before the next begins.
#[divan::bench(args = ENGINES, sample_count = 100, sample_size = 1)]
fn b_one_batch_alone(bencher: Bencher<'_, '_>, engine: Engine) {
    let ledger = Ledger::new(engine);
    bencher.counter(ItemsCount::new(1u64)).with_inputs(|| ledger.ready(1)).bench_local_values(|()| ledger.work(1));
}

/// Many workers with a batch each: what they ask for at the same time shares transactions.
#[divan::bench(args = ENGINES, sample_count = 50, sample_size = 1)]
fn c_64_batches_at_once(bencher: Bencher<'_, '_>, engine: Engine) {
    let ledger = Ledger::new(engine);
    bencher
        .counter(ItemsCount::new(CREW))
        .with_inputs(|| ledger.ready(CREW))
        .bench_local_values(|()| ledger.work(CREW));
}
