//! A store on the bench: what the cases say in one line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Backend, Harness};
use crate::audit::audit;
use crate::domain::{
    Counts, DeliveryReport, DeliveryState, Evidence, ExceptionKind, LeaseToken, ListedItem, ListedPage, ListingLease,
    NewRun, OnDoubt, Positions, RecordState, Rules, Run, RunId, Share, Terms, Timestamp, Verdict,
};
use crate::store::{
    Acquire, Acquired, Begin, Begun, Completion, Fenced, GrantedLease, Misuse, RecordReport, RecordStory, Report,
    Session, Started, Store, WorkDone,
};

/// Two workers.
pub(crate) const A: &str = "session-of-worker-a";
pub(crate) const B: &str = "session-of-worker-b";
/// How long a POST of the bench's runs may take, and the target may act on it.
pub(crate) const POST_TIMEOUT: Duration = Duration::from_secs(25);
/// Records of a batch.
pub(crate) const MAX_BATCH: u32 = 4;
/// Tries before a doubt is split.
pub(crate) const MAX_ATTEMPTS: u32 = 3;
/// What every report of the bench cost.
pub(crate) const WORK: WorkDone = WorkDone { requests: 3, retries: 1, hedges: 1, bytes: 512, waited_ms: 40 };
/// Batches refused as a whole in a row before the run pauses.
pub(crate) const MAX_REJECTED: u32 = 3;
/// A listing's lease.
pub(crate) const LISTING_TTL: Duration = Duration::from_secs(15);

/// A database under test.
pub struct Bench {
    harness: Box<dyn Harness>,
}

impl Bench {
    /// A fresh one.
    pub async fn new(backend: &dyn Backend) -> Self {
        Self { harness: backend.fresh().await }
    }

    /// One that is there already.
    pub fn on(harness: Box<dyn Harness>) -> Self {
        Self { harness }
    }

    /// The store.
    pub fn store(&self) -> Arc<dyn Store> {
        self.harness.store()
    }

    /// Time passes while a coordinator serves: the reaper looks every second.
    pub(crate) async fn pass(&self, span: Duration) {
        let mut left = span;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(1));
            self.harness.advance(step).await;
            self.store().expire().await.unwrap();
            left -= step;
        }
    }

    /// Time passes and nobody calls the store.
    pub(crate) async fn silence(&self, span: Duration) {
        self.harness.advance(span).await;
    }

    /// Coordinators serve so long that none of their earlier absence counts any more.
    pub(crate) async fn warm_up(&self) {
        self.pass(crate::store::LEASE_TTL + Duration::from_secs(1)).await;
    }

    pub(crate) async fn set_wall_clock(&self, by_millis: i64) {
        self.harness.set_wall_clock(by_millis).await;
    }

    pub(crate) async fn restart(&mut self) {
        self.harness.restart().await;
    }

    /// A started run, not listed yet.
    pub(crate) async fn start(&self, new: NewRun) -> Run {
        match self.store().start_run(new).await.unwrap() {
            Started::New(run) => run,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn take_listing(&self, holder: &str) -> ListingLease {
        self.store().take_listing(holder, LISTING_TTL).await.unwrap().expect("a listing to take up").lease
    }

    /// A run whose pages are committed and whose listing is closed.
    pub(crate) async fn listed(&self, new: NewRun, pages: &[&[&str]]) -> Run {
        let run = self.start(new).await;
        let lease = self.take_listing("lister").await;
        assert_eq!(lease.run, run.key);
        for (number, ids) in (1..).zip(pages) {
            let page = page(number, ids, Some(pages.len() as u64));
            assert!(matches!(self.store().commit_page(&lease, page).await.unwrap(), Fenced::Committed(_)));
        }
        assert_eq!(self.store().close_listing(&lease).await.unwrap(), Fenced::Committed(()));
        self.run(&run.id).await
    }

    /// A run of one batch with this many records, "1", "2", ...
    pub(crate) async fn one_batch(&self, new: NewRun, records: u32) -> Run {
        assert!(records <= new.terms.max_batch);
        let ids: Vec<String> = (1..=records).map(|id| id.to_string()).collect();
        self.listed(new, &[&ids.iter().map(String::as_str).collect::<Vec<_>>()]).await
    }

    /// The run as it is now.
    pub(crate) async fn run(&self, id: &RunId) -> Run {
        self.store().run(id).await.unwrap().expect("the run")
    }

    pub(crate) async fn acquire(&self, session: &str, held: &[&GrantedLease], capacity: u32) -> Acquired {
        let held: Vec<LeaseToken> = held.iter().map(|lease| lease.token).collect();
        let acquire = Acquire {
            session: worker(session),
            held,
            capacity,
            protocol: muster_proto::PROTOCOL,
            ..Acquire::default()
        };
        self.store().acquire(acquire).await.unwrap()
    }

    /// One more batch for a session that holds nothing.
    pub(crate) async fn lease(&self, session: &str) -> GrantedLease {
        let mut leases = self.acquire(session, &[], 1).await.leases;
        assert_eq!(leases.len(), 1, "one batch to lease");
        leases.remove(0)
    }

    /// Nothing to lease?
    pub(crate) async fn nothing_to_lease(&self) -> bool {
        self.acquire("session-of-a-third", &[], 10).await.leases.is_empty()
    }

    pub(crate) async fn begin(&self, session: &str, lease: &GrantedLease, begin: Begin) -> Result<Begun, Misuse> {
        self.store().begin(session, lease.token, begin).await.unwrap()
    }

    /// Announces a delivery, which must succeed, and gives its number.
    pub(crate) async fn announce(&self, session: &str, lease: &GrantedLease, announced: Begin) -> i64 {
        match self.begin(session, lease, announced).await {
            Ok(Begun::Announced { number, .. }) => number,
            other => panic!("{other:?}"),
        }
    }

    /// Reports, which must not be a misuse.
    pub(crate) async fn complete(&self, session: &str, lease: &GrantedLease, report: Report) -> Completion {
        self.store().complete(session, lease.token, report).await.unwrap().unwrap()
    }

    /// Delivers all records of a lease's parts in one delivery and reports this outcome.
    pub(crate) async fn deliver(&self, session: &str, lease: &GrantedLease, state: DeliveryState) -> Completion {
        let (part, _) = lease.parts.first().expect("a part to deliver");
        self.announce(session, lease, begin(1, part.positions.iter(), part.retry_of)).await;
        self.complete(session, lease, report(&[(1, state)], &[])).await
    }

    /// Audits a run; at every commit conservation holds.
    pub(crate) async fn verdict(&self, run: &Run) -> Verdict {
        let (_, verdict) = audit(self.store().as_ref(), &run.id, None).await.unwrap().expect("the run");
        assert!(verdict.is_balanced(), "{:#?}", verdict.discrepancies);
        verdict
    }

    pub(crate) async fn counts(&self, run: &Run) -> Counts {
        self.verdict(run).await.counts
    }

    /// Audits whatever it says.
    pub(crate) async fn unchecked_verdict(&self, run: &Run) -> Verdict {
        audit(self.store().as_ref(), &run.id, None).await.unwrap().expect("the run").1
    }

    /// Ends a run as the concluder does.
    pub(crate) async fn conclude(&self, run: &Run) -> Fenced<()> {
        let (run, verdict) = audit(self.store().as_ref(), &run.id, None).await.unwrap().expect("the run");
        self.store().conclude(&run, &verdict, &[]).await.unwrap()
    }

    pub(crate) async fn story(&self, run: &Run, id: &str) -> RecordStory {
        let run = self.run(&run.id).await;
        self.store().stories(&run, id).await.unwrap().pop().expect("a listed record")
    }

    pub(crate) async fn state(&self, run: &Run, id: &str) -> RecordState {
        self.story(run, id).await.state
    }
}

/// A worker of this session.
pub(crate) fn worker(session: &str) -> Session {
    Session { id: session.to_owned(), name: format!("name of {session}"), version: "1".to_owned(), embedded: false }
}

/// A run to be started, `name` being its ID's random part.
pub(crate) fn new_run(name: &str) -> NewRun {
    NewRun {
        id: RunId::from_text(format!("test-{name}")),
        request_id: None,
        request_digest: [0; 32],
        pipeline: "test".to_owned(),
        terms: Terms {
            revision: "1".repeat(64),
            canonical: "{}".to_owned(),
            max_batch: MAX_BATCH,
            post_timeout: POST_TIMEOUT,
            rules: Rules { on_doubt: OnDoubt::Retry, settle_after: POST_TIMEOUT, max_attempts: MAX_ATTEMPTS },
            max_gone: 1.0,
            max_rejected: MAX_REJECTED,
            protocol: 1,
        },
        parameters: BTreeMap::from([("base_url".to_owned(), "http://localhost".to_owned())]),
        audit_mode: false,
        since: None,
        alike: BTreeSet::new(),
        wall_at: Timestamp::from_millis(1_700_000_000_000),
        share: Share::default(),
    }
}

/// The same under other terms.
pub(crate) fn run_with(name: &str, change: impl FnOnce(&mut Terms)) -> NewRun {
    let mut new = new_run(name);
    change(&mut new.terms);
    new
}

/// The same, holding its doubts for an operator.
pub(crate) fn holding_run(name: &str) -> NewRun {
    run_with(name, |terms| terms.rules.on_doubt = OnDoubt::Hold)
}

/// The same, asking the target.
pub(crate) fn probing_run(name: &str) -> NewRun {
    run_with(name, |terms| terms.rules.on_doubt = OnDoubt::Probe)
}

pub(crate) fn page(number: u64, ids: &[&str], total_pages: Option<u64>) -> ListedPage {
    ListedPage { page: number, items: ids.iter().map(|id| item(id)).collect(), total_pages, ..ListedPage::default() }
}

/// A page of items with versions; an empty one is none.
pub(crate) fn versions(number: u64, items: &[(&str, &str)], total_pages: Option<u64>) -> ListedPage {
    let version = |version: &str| Some(version.to_owned()).filter(|version| !version.is_empty());
    let items = items.iter().map(|(id, of)| ListedItem { version: version(of), ..item(id) }).collect();
    ListedPage { items, ..page(number, &[], total_pages) }
}

/// An item that brings nothing but an ID.
pub(crate) fn item(id: &str) -> ListedItem {
    ListedItem { id: id.to_owned(), version: None, body: None }
}

pub(crate) fn positions(places: impl IntoIterator<Item = u32>) -> Positions {
    Positions::from_ascending(places).unwrap()
}

/// The target refuses this record.
pub(crate) fn refused(position: u32) -> RecordReport {
    RecordReport {
        stage: "load".to_owned(),
        reason: "the target refuses it with 422".to_owned(),
        http_status: 422,
        body: "no such colour".to_owned(),
        ..dead(position)
    }
}

/// An announcement of these records.
pub(crate) fn begin(ordinal: u32, places: impl IntoIterator<Item = u32>, retry_of: i64) -> Begin {
    Begin {
        ordinal,
        positions: positions(places),
        body_sha256: [7; 32],
        retry_of,
        settled: Vec::new(),
        unknown_fields: Vec::new(),
    }
}

pub(crate) fn evidence(ordinal: u32, state: DeliveryState) -> DeliveryReport {
    let detail = "said the target".to_owned();
    DeliveryReport { ordinal, evidence: Evidence { state, http_status: 200, detail, present: Positions::default() } }
}

/// The target says of each record what became of it, and has these.
pub(crate) fn evidence_of(ordinal: u32, present: impl IntoIterator<Item = u32>) -> DeliveryReport {
    let said = evidence(ordinal, DeliveryState::PartlyApplied);
    DeliveryReport { evidence: Evidence { present: positions(present), ..said.evidence }, ..said }
}

/// A report of these deliveries and records; its digest is of its content.
pub(crate) fn report(deliveries: &[(u32, DeliveryState)], records: &[RecordReport]) -> Report {
    let deliveries = deliveries.iter().map(|(ordinal, state)| evidence(*ordinal, *state)).collect();
    signed(Report { deliveries, records: records.to_vec(), work: WORK, ..Report::default() })
}

/// With the digest of its content.
pub(crate) fn signed(report: Report) -> Report {
    let report = Report { digest: [0; 32], ..report };
    Report { digest: Sha256::digest(format!("{report:?}")).into(), ..report }
}

pub(crate) fn dead(position: u32) -> RecordReport {
    RecordReport {
        position,
        kind: ExceptionKind::DeadLetter,
        stage: "validate".to_owned(),
        reason: "it has no name".to_owned(),
        http_status: 0,
        body: "{}".to_owned(),
    }
}

pub(crate) fn gone(position: u32) -> RecordReport {
    RecordReport {
        kind: ExceptionKind::Gone,
        stage: "fetch".to_owned(),
        reason: "the source says so".to_owned(),
        http_status: 404,
        ..dead(position)
    }
}
