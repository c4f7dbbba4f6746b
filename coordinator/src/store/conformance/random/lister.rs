//! The lister, and the source that it lists: by page numbers or by cursors, once or twice.

use std::collections::BTreeSet;

use super::super::bench::{LISTING_TTL, page, versions};
use super::Random;
use super::sequence::Sequence;
use crate::domain::{ListedPage, ListingLease, ListingProgress, Problem, Verdict};
use crate::store::{Fenced, PageOutcome};

/// Pages of the source, three IDs each.
const PAGES: u64 = 4;

/// What the ledger is to know of a listing.
#[derive(Default)]
pub(super) struct Lister {
    lease: Option<ListingLease>,
    /// One that was lost.
    stale: Option<ListingLease>,
    by_cursors: bool,
    twice: bool,
    again: bool,
    closed: bool,
    /// Pages of this pass, committed or given up, from 1 on.
    pages: u64,
    /// What the next request of this pass carries.
    cursor: Option<String>,
    /// What requests of this pass carried.
    cursors: BTreeSet<String>,
    last: Option<u64>,
    /// IDs that any page brought, and those that pages of this pass did.
    listed: BTreeSet<String>,
    of_pass: BTreeSet<String>,
    /// What the verdict has to name.
    problems: BTreeSet<&'static str>,
}

impl Lister {
    pub(super) fn new(random: &mut Random, lease: ListingLease) -> Self {
        Self { lease: Some(lease), by_cursors: random.chance(50), twice: random.chance(50), ..Self::default() }
    }

    fn is_over(&self) -> bool {
        if self.by_cursors { self.last.is_some() } else { self.pages == PAGES }
    }

    /// Whoever takes the listing up finds where it stands.
    fn check_progress(&self, found: &ListingProgress) {
        let first_open = if self.pages == 0 { 0 } else { self.pages + 1 };
        let expected = (self.again, first_open, self.cursor.as_deref(), self.last);
        assert_eq!((found.again, found.first_open, found.cursor.as_deref(), found.last_page), expected);
        assert_eq!(found.done_after, [0; 0]);
    }

    /// A page came into the ledger.
    fn committed(&mut self, page: &ListedPage, outcome: PageOutcome) {
        self.pages += 1;
        let mut fresh = 0;
        for item in &page.items {
            fresh += u64::from(self.of_pass.insert(item.id.clone()));
            if self.listed.insert(item.id.clone()) && self.again {
                self.problems.insert("MISSED_BY_FIRST_LISTING");
            }
        }
        self.last = self.last.max(page.last);
        self.cursor.clone_from(&page.cursor);
        if let Some(cursor) = &page.cursor
            && !self.cursors.insert(cursor.clone())
        {
            self.problems.insert("CURSOR_REPEATED");
            (self.cursor, self.last) = (None, Some(self.pages));
        }
        let duplicates = page.items.len() as u64 - fresh;
        assert_eq!(outcome, PageOutcome { fresh, duplicates, last: self.last });
    }

    /// The second pass begins.
    fn begin_again(&mut self) {
        self.again = true;
        (self.pages, self.last, self.cursor) = (0, None, None);
        self.cursors.clear();
        self.of_pass.clear();
    }

    fn close(&mut self) {
        self.closed = true;
        self.cursor = None;
        if self.again && self.listed != self.of_pass {
            self.problems.insert("VANISHED_FROM_LIST");
        }
    }

    /// Which IDs there are, and what is suspicious about them.
    pub(super) fn check(&self, ids: &BTreeSet<String>, verdict: &Verdict) {
        assert_eq!(*ids, self.listed, "what pages brought, and what is in the ledger");
        for code in ["MISSED_BY_FIRST_LISTING", "VANISHED_FROM_LIST", "CURSOR_REPEATED", "PAGE_GIVEN_UP"] {
            let named = verdict.discrepancies.iter().any(|found| found.code == code);
            assert_eq!(named, self.problems.contains(code), "{code}");
        }
    }

    /// What was met.
    pub(super) fn met(&self) -> impl Iterator<Item = &'static str> {
        let twice = (self.again && self.closed).then_some("listed twice");
        let by_cursors = (self.by_cursors && self.closed).then_some("listed by cursors");
        self.problems.iter().copied().chain(twice).chain(by_cursors)
    }
}

impl Sequence {
    pub(super) async fn list(&mut self) {
        for _ in 0..=self.random.below(2) {
            match self.lister.lease.take() {
                None => self.take_listing().await,
                Some(lease) => self.list_on(lease).await,
            }
        }
        if let Some(stale) = self.lister.stale.clone().filter(|_| self.random.chance(30)) {
            self.list_late(&stale).await;
        }
    }

    /// It was closed, or another process has to take it up.
    async fn take_listing(&mut self) {
        let granted = self.bench.store().take_listing("lister", LISTING_TTL).await.unwrap();
        assert!(granted.is_none() || !self.lister.closed, "a closed listing is taken up");
        let Some(granted) = granted else { return };
        self.lister.check_progress(&granted.progress);
        self.seen.insert("listing taken up");
        self.lister.lease = Some(granted.lease);
    }

    /// The next call of whoever holds the listing; the lease is kept unless it was lost or came to its end.
    async fn list_on(&mut self, lease: ListingLease) {
        let store = self.bench.store();
        let is_over = self.lister.is_over();
        let done = if is_over && (self.lister.again || !self.lister.twice) {
            let done = store.close_listing(&lease).await.unwrap();
            if done == Fenced::Committed(()) {
                return self.lister.close();
            }
            done
        } else if is_over || (self.lister.again && self.random.chance(10)) {
            // The answer may have got lost: when the second pass has begun, that changes nothing.
            let done = store.list_again(&lease).await.unwrap();
            if done == Fenced::Committed(()) && !self.lister.again {
                self.lister.begin_again();
            }
            done
        } else if self.lister.pages > 0 && self.random.chance(5) && !self.lister.by_cursors {
            let problem = Problem { code: "PAGE_GIVEN_UP", detail: "for the test".to_owned() };
            let done = store.give_up_page(&lease, self.lister.pages + 1, problem).await.unwrap();
            if done == Fenced::Committed(()) {
                self.lister.pages += 1;
                self.lister.problems.insert("PAGE_GIVEN_UP");
            }
            done
        } else {
            self.commit_page(&lease).await
        };
        match done {
            Fenced::Committed(()) => self.lister.lease = Some(lease),
            Fenced::Stale => self.lister.stale = Some(lease),
        }
    }

    /// The next page or, as a call is that is repeated, one that was committed before.
    async fn commit_page(&mut self, lease: &ListingLease) -> Fenced<()> {
        let is_again = self.lister.pages > 0 && self.random.chance(20);
        let page = self.page(if is_again { self.lister.pages } else { self.lister.pages + 1 });
        let Fenced::Committed(outcome) = self.bench.store().commit_page(lease, page.clone()).await.unwrap() else {
            return Fenced::Stale;
        };
        if is_again {
            assert_eq!(outcome, PageOutcome { last: self.lister.last, ..PageOutcome::default() });
        } else {
            self.lister.committed(&page, outcome);
        }
        Fenced::Committed(())
    }

    /// A page as the source has it now: sometimes with an ID that stood on the page before, with a new one, or with one
    /// less; sometimes its cursor leads back.
    fn page(&mut self, number: u64) -> ListedPage {
        let random = &mut self.random;
        let mut ids: Vec<String> = (0..3).map(|n| (number * 3 - u64::from(random.chance(5)) + n).to_string()).collect();
        if random.chance(10) {
            ids.push((100 + random.below(100)).to_string());
        }
        if random.chance(10) {
            ids.remove(0);
        }
        let items: Vec<(&str, &str)> =
            ids.iter().map(|id| (id.as_str(), random.pick(&["1", "1", "1", "2", ""]))).collect();
        if !self.lister.by_cursors {
            return versions(number, &items, Some(PAGES));
        }
        let cursor =
            (number < PAGES).then(|| if random.chance(5) { 1 } else { number }).map(|to| format!("after {to}"));
        let last = cursor.is_none().then_some(number);
        ListedPage { last, cursor, ..versions(number, &items, None) }
    }

    /// Somebody who lost the listing does not know it yet.
    async fn list_late(&mut self, stale: &ListingLease) {
        let store = self.bench.store();
        self.seen.insert("listed too late");
        assert_eq!(store.commit_page(stale, page(9, &["late"], None)).await.unwrap(), Fenced::Stale);
        assert_eq!(store.list_again(stale).await.unwrap(), Fenced::Stale);
        assert_eq!(store.close_listing(stale).await.unwrap(), Fenced::Stale);
    }
}
