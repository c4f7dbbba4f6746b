//! One sequence: the workers as a model knows them, and the calls they make.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::super::Backend;
use super::super::bench::{A, Bench, LISTING_TTL, begin, dead, evidence, evidence_of, gone, new_run, signed, versions};
use super::Random;
use crate::domain::{DeliveryReport, DeliveryState, ExceptionKind, LeaseToken, ListingLease, OnDoubt, Run};
use crate::store::{Begin, Begun, Completion, Fenced, GrantedLease, LEASE_TTL, Misuse, Refusal, Renewal, Report};

/// Calls of one sequence.
const CALLS: u32 = 60;
const SESSIONS: [&str; 3] = ["session-of-worker-0", "session-of-worker-1", "session-of-worker-2"];
/// Pages of the source, three IDs each.
const PAGES: u64 = 4;

/// A lease as its worker knows it.
pub(super) struct Known {
    session: &'static str,
    pub(super) lease: GrantedLease,
    /// What it has announced, in the order of the ordinals.
    pub(super) deliveries: Vec<Sent>,
    /// The worker has forgotten it (it died, or it reported).
    dropped: bool,
}

/// A delivery as its worker knows it.
pub(super) struct Sent {
    pub(super) announced: Begin,
    pub(super) number: i64,
    /// What became of it.
    pub(super) outcome: Option<DeliveryState>,
}

/// A call that was made, to be made again, and its answer.
enum Made {
    Begin(&'static str, LeaseToken, Begin, Result<Begun, Misuse>),
    Complete(&'static str, LeaseToken, Report, Result<Completion, Misuse>),
    Release(&'static str, LeaseToken, bool),
}

pub(super) struct Sequence {
    pub(super) random: Random,
    /// The run holds its doubts.
    pub(super) holds: bool,
    pub(super) bench: Bench,
    pub(super) run: Run,
    listing: Option<ListingLease>,
    pages: u64,
    pub(super) known: Vec<Known>,
    made: Vec<Made>,
    /// Highest epoch granted of each batch.
    epochs: HashMap<i64, u32>,
    /// Places (batch, position) by what workers reported.
    pub(super) applied: BTreeSet<(i64, u32)>,
    pub(super) excepted: BTreeSet<(i64, u32, bool)>,
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
        let listing = Some(bench.take_listing("lister").await);
        Self {
            holds,
            random,
            bench,
            run,
            listing,
            pages: 0,
            known: Vec::new(),
            made: Vec::new(),
            epochs: HashMap::new(),
            applied: BTreeSet::new(),
            excepted: BTreeSet::new(),
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

    async fn list(&mut self) {
        let store = self.bench.store();
        let Some(listing) = self.listing.take() else {
            // It was closed, or another process has to take it up.
            let granted = store.take_listing("lister", LISTING_TTL).await.unwrap();
            self.listing = granted.map(|granted| granted.lease);
            return;
        };
        if self.pages == PAGES {
            store.close_listing(&listing).await.unwrap();
            return;
        }
        // Sometimes a page again; sometimes an ID that stood on the page before.
        let number = if self.random.chance(20) { self.pages.max(1) } else { self.pages + 1 };
        let ids: Vec<String> =
            (0..3).map(|n| (number * 3 - u64::from(self.random.chance(5)) + n).to_string()).collect();
        let version = |random: &mut Random| random.pick(&["1", "1", "1", "2", ""]);
        let items: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), version(&mut self.random))).collect();
        if let Fenced::Committed(_) = store.commit_page(&listing, versions(number, &items, Some(PAGES))).await.unwrap()
        {
            self.pages = self.pages.max(number);
            self.listing = Some(listing);
        }
    }

    async fn acquire(&mut self) {
        let session = self.random.pick(&SESSIONS);
        let held: Vec<&GrantedLease> =
            self.known.iter().filter(|known| known.session == session).map(|known| &known.lease).collect();
        let answer = self.bench.acquire(session, &held, 2).await;
        for lease in answer.leases {
            let granted = lease.token.lease();
            let epoch = self.epochs.entry(granted.batch.batch).or_default();
            assert!(granted.epoch >= *epoch, "an older epoch is granted again");
            assert!(!self.cancelled || granted.epoch == *epoch, "a cancelled run is leased");
            if granted.epoch == *epoch {
                self.seen.insert("lost answer");
            } else if granted.epoch > 1 {
                self.seen.insert("second grant");
            }
            *epoch = granted.epoch;
            // An answer may get lost.
            if self.random.chance(85) {
                self.known.push(Known { session, lease, deliveries: Vec::new(), dropped: false });
            }
        }
    }

    /// One of the leases that a worker works on; now and then one that it should have forgotten.
    fn some_lease(&mut self) -> Option<usize> {
        let forgetful = self.random.chance(10);
        let candidates: Vec<usize> =
            (0..self.known.len()).filter(|index| forgetful || !self.known[*index].dropped).collect();
        (!candidates.is_empty()).then(|| candidates[self.random.below(candidates.len())])
    }

    fn is_newest(&self, token: LeaseToken) -> bool {
        self.epochs.get(&token.lease().batch.batch) == Some(&token.lease().epoch)
    }

    async fn announce(&mut self) {
        let Some(index) = self.some_lease() else { return };
        let known = &self.known[index];
        if known.lease.parts.is_empty() {
            return;
        }
        let part = known.lease.parts[self.random.below(known.lease.parts.len())].0.clone();
        let doubt = known.deliveries.iter().find(|sent| sent.outcome == Some(DeliveryState::InDoubt));
        let (positions, retry_of) = match doubt {
            // Some workers have no patience.
            Some(doubt) if self.random.chance(50) => (doubt.announced.positions.clone(), doubt.number),
            _ if self.random.chance(30) => (part.positions.halves().0, part.retry_of),
            _ => (part.positions, part.retry_of),
        };
        let settled = known_outcomes(known);
        let ordinal = u32::try_from(known.deliveries.len()).unwrap() + 1;
        let announced = Begin { settled, ..begin(ordinal, positions.iter(), retry_of) };
        let (session, token) = (known.session, known.lease.token);
        let answer = self.bench.begin(session, &known.lease, announced.clone()).await;
        if answer.is_ok() {
            self.note_applied(token, index, &announced.settled);
        }
        self.seen.insert(name(&answer));
        if let Ok(Begun::Announced { number, .. }) = answer {
            if announced.retry_of > 0 {
                self.seen.insert("doubt repeated");
            }
            assert!(!self.cancelled, "a delivery began after the cancel");
            assert!(self.is_newest(token), "a stale holder announced a delivery");
            let announced = announced.clone();
            self.known[index].deliveries.push(Sent { announced, number, outcome: None });
        }
        self.made.push(Made::Begin(session, token, announced, answer));
    }

    fn note_applied(&mut self, token: LeaseToken, index: usize, reports: &[DeliveryReport]) {
        let batch = token.lease().batch.batch;
        for report in reports {
            let sent = &self.known[index].deliveries[report.ordinal as usize - 1];
            let present = match report.evidence.state {
                DeliveryState::Applied => &sent.announced.positions,
                _ => &report.evidence.present,
            };
            self.applied.extend(present.iter().map(|place| (batch, place)));
        }
    }

    /// A worker learns what came of a POST.
    fn learn(&mut self) {
        let Some(index) = self.some_lease() else { return };
        let states = [
            DeliveryState::Applied,
            DeliveryState::Applied,
            DeliveryState::NotApplied,
            DeliveryState::Rejected,
            DeliveryState::PartlyApplied,
        ];
        let state = if self.random.chance(30) { DeliveryState::InDoubt } else { self.random.pick(&states) };
        if let Some(sent) = self.known[index].deliveries.iter_mut().find(|sent| sent.outcome.is_none()) {
            // Of one record no part can be applied.
            let whole = sent.announced.positions.len() < 2 && state == DeliveryState::PartlyApplied;
            sent.outcome = Some(if whole { DeliveryState::Applied } else { state });
        }
    }

    async fn complete(&mut self) {
        let Some(index) = self.some_lease() else { return };
        let known = &self.known[index];
        let batch = known.lease.token.lease().batch.batch;
        let places: Vec<u32> = known.lease.parts.iter().flat_map(|(part, _)| part.positions.iter()).collect();
        let sent = |place: u32| known.deliveries.iter().any(|sent| sent.announced.positions.contains(place));
        let mut records = Vec::new();
        for place in places.into_iter().filter(|place| !sent(*place)) {
            if self.random.chance(30) {
                records.push(if self.random.chance(70) { dead(place) } else { gone(place) });
            }
        }
        let report = signed(Report { deliveries: known_outcomes(known), records, ..Report::default() });
        let (session, token) = (known.session, known.lease.token);
        let answer = self.bench.store().complete(session, token, report.clone()).await.unwrap();
        if answer.is_ok() {
            self.note_applied(token, index, &report.deliveries);
            let excepted =
                report.records.iter().map(|record| (batch, record.position, record.kind == ExceptionKind::Gone));
            self.excepted.extend(excepted);
        }
        match &answer {
            Ok(Completion::Late) => {
                self.seen.insert("late report");
                if report.deliveries.iter().any(|told| told.evidence.state == DeliveryState::PartlyApplied) {
                    self.seen.insert("applied in part, told late");
                }
            }
            Ok(_) if report.deliveries.iter().any(|told| told.evidence.state == DeliveryState::PartlyApplied) => {
                self.seen.insert("applied in part");
            }
            Err(Misuse::ReportConflict) => drop(self.seen.insert("report conflict")),
            _ => {}
        }
        let newest = self.is_newest(token);
        assert!(newest || matches!(answer, Ok(Completion::Late) | Err(Misuse::ReportConflict)) || self.repeats(token));
        self.known[index].dropped = true;
        self.made.push(Made::Complete(session, token, report, answer));
    }

    /// Was something reported under this token before?
    fn repeats(&self, token: LeaseToken) -> bool {
        self.made.iter().any(|made| matches!(made, Made::Complete(_, before, _, _) if *before == token))
    }

    async fn release(&mut self) {
        let Some(index) = self.some_lease() else { return };
        let (session, token) = (self.known[index].session, self.known[index].lease.token);
        let released = self.bench.store().release(session, &[token], false).await.unwrap().unwrap()[0];
        self.known[index].dropped |= released;
        self.made.push(Made::Release(session, token, released));
    }

    async fn renew(&mut self) {
        let Some(index) = self.some_lease() else { return };
        let (session, token) = (self.known[index].session, self.known[index].lease.token);
        let renewed = self.bench.store().renew(session, &[token]).await.unwrap().unwrap()[0];
        assert!(self.is_newest(token) || renewed == Renewal::Lost, "a stale holder renewed");
    }

    async fn wait(&mut self) {
        let span = self.random.pick(&[Duration::from_secs(3), LEASE_TTL, LEASE_TTL * 2, LEASE_TTL * 4]);
        let open_before = self.bench.counts(&self.run).await.delivering;
        if self.random.chance(70) {
            self.bench.pass(span).await
        } else {
            self.bench.silence(span).await
        }
        if self.bench.counts(&self.run).await.delivering < open_before {
            self.seen.insert("doubt after an expiry");
        }
    }

    /// A copy of an earlier call arrives late.
    async fn repeat(&mut self) {
        if self.made.is_empty() {
            return;
        }
        let index = self.random.below(self.made.len());
        match &self.made[index] {
            Made::Complete(session, token, report, first) => {
                let again = self.bench.store().complete(session, *token, report.clone()).await.unwrap();
                assert_eq!(again, *first, "a repeated report has another answer");
                self.seen.insert("repeated report");
            }
            Made::Begin(session, token, announced, first) => {
                let again = self.bench.store().begin(session, *token, announced.clone()).await.unwrap();
                if let Ok(Begun::Announced { number, .. }) = first {
                    let lost = again == Ok(Begun::Refused(Refusal::LeaseLost));
                    let same = matches!(again, Ok(Begun::Announced { number: again, .. }) if again == *number);
                    // What was settled meanwhile is not sent again.
                    let settled = again == Ok(Begun::Refused(Refusal::Superseded));
                    assert!(lost || same || settled, "a repeated announcement got {again:?}");
                }
                // One that was refused before may have its time now: then its worker knows of it.
                let (token, announced) = (*token, announced.clone());
                let index = self.known.iter().position(|known| known.lease.token == token).unwrap();
                if again.is_ok() {
                    self.note_applied(token, index, &announced.settled);
                }
                let deliveries = &mut self.known[index].deliveries;
                let is_new = announced.ordinal as usize == deliveries.len() + 1;
                if let Ok(Begun::Announced { number, .. }) = again
                    && is_new
                {
                    assert!(!self.cancelled, "a delivery began after the cancel");
                    deliveries.push(Sent { announced, number, outcome: None });
                }
            }
            Made::Release(session, token, first) => {
                let again = self.bench.store().release(session, &[*token], false).await.unwrap().unwrap()[0];
                assert!(again || !first, "a repeated release has another answer");
            }
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

/// An announcement's answer in a word.
fn name(answer: &Result<Begun, Misuse>) -> &'static str {
    match answer {
        Ok(Begun::Announced { .. }) => "announced",
        Ok(Begun::Refused(Refusal::LeaseLost)) => "lease lost",
        Ok(Begun::Refused(Refusal::RunPaused)) => "run paused",
        Ok(Begun::Refused(Refusal::RunCancelled)) => "run cancelled",
        Ok(Begun::Refused(Refusal::Superseded)) => "superseded",
        Ok(Begun::Refused(Refusal::NotYet)) => "not yet",
        Err(_) => "delivery conflict",
    }
}

fn known_outcomes(known: &Known) -> Vec<DeliveryReport> {
    let outcome = |(ordinal, sent): (u32, &Sent)| {
        sent.outcome.map(|state| match state {
            DeliveryState::PartlyApplied => evidence_of(ordinal, sent.announced.positions.halves().0.iter()),
            _ => evidence(ordinal, state),
        })
    };
    (1..).zip(&known.deliveries).filter_map(outcome).collect()
}
