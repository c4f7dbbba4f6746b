//! The lister: pages through a source's IDs under a fenced right, so that exactly one coordinator lists a run and
//! another goes on where it stopped.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use muster_pipeline::{
    ClosedHosts, CompiledPipeline, FetchError, Fleet, ListError, Nameless, Page, Pipeline, Process, Requester,
    RequesterConfig,
};
use muster_telemetry::crash::{self, Point};
use muster_telemetry::names;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::domain::{ListedItem, ListedPage, Problem, Run};
use crate::rates::{self, ListerRates};
use crate::store::{Event, Fenced, GrantedListing, Store, StoreError, StoreResult};

/// How long the right to list holds unless it is renewed.
const TTL: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often a listing is looked for without an event: another coordinator may have died.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Runs that one coordinator lists at once.
const AT_ONCE: usize = 16;

/// How sources are asked.
struct Asking {
    closed: Arc<ClosedHosts>,
    proxy: Option<Url>,
}

/// Lists runs until it is told to stop; listings under way are then given back.
pub(crate) async fn start(store: Arc<dyn Store>, holder: String, proxy: Option<Url>, stop: CancellationToken) {
    let mut work = store.events().work();
    let mut listings = JoinSet::new();
    let closed = Arc::new(ClosedHosts::default());
    let heeding = tokio::spawn(rates::heed(Arc::clone(&store), Arc::clone(&closed), stop.clone()));
    let asking = Arc::new(Asking { closed, proxy });
    loop {
        while listings.len() < AT_ONCE {
            match store.take_listing(&holder, TTL).await {
                Ok(Some(granted)) => {
                    let (store, asking) = (Arc::clone(&store), Arc::clone(&asking));
                    listings.spawn(list(store, granted, asking, stop.clone()));
                }
                Ok(None) => break,
                // Said once, by the ledger's writer.
                Err(_) if store.writable().is_err() => break,
                Err(error) => {
                    tracing::error!(error = %error, { names::NEXT } = "tried again in 2 s", "listings cannot be taken up");
                    break;
                }
            }
        }
        let full = listings.len() >= AT_ONCE;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = listings.join_next(), if !listings.is_empty() => {}
            _ = work.changed(), if !full => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    while listings.join_next().await.is_some() {}
    // It stops by itself.
    drop(heeding.await);
}

/// Why a listing is left before its end.
enum Left {
    /// The right was lost, or the run is paused, cancelled or over.
    Stale,
    /// The coordinator stops.
    Stopped,
    /// Nothing more can be listed until a person has looked: the run pauses.
    Pause(String),
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for Left {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Lists one run, as far as it gets.
async fn list(store: Arc<dyn Store>, granted: GrantedListing, asking: Arc<Asking>, stop: CancellationToken) {
    let GrantedListing { lease, run, .. } = granted.clone();
    let left = match Listing::prepare(&store, granted, &asking).await {
        Ok(mut listing) => listing.list(&stop).await.err(),
        Err(left) => Some(left),
    };
    let Some(left) = left else {
        return tracing::debug!({ names::RUN } = %run.id, "listing is closed");
    };
    if let Left::Pause(reason) = &left {
        tracing::warn!({ names::RUN } = %run.id, { names::REASON } = reason, { names::NEXT } = "the run pauses", "the source cannot be listed");
        if let Err(error) = store.halt_run(&run.id, reason).await {
            tracing::error!({ names::RUN } = %run.id, error = %error, { names::NEXT } = "listed again later", "the run cannot be paused");
        }
    }
    if let Left::Store(error) = &left {
        // Said once, by the ledger's writer.
        if store.writable().is_ok() {
            tracing::error!({ names::RUN } = %run.id, error = %error, { names::NEXT } = "listed on from there", "listing is interrupted");
        }
        // The store is ill: do not press it.
        let _ = stop.run_until_cancelled(tokio::time::sleep(RENEW_EVERY)).await;
    }
    if let Err(error) = store.release_listing(&lease).await {
        tracing::debug!({ names::RUN } = %run.id, error = %error, { names::NEXT } = "it runs out", "the listing is not given back");
    }
}

/// A listing under way.
struct Listing<'a> {
    store: &'a dyn Store,
    granted: GrantedListing,
    pipeline: CompiledPipeline,
    requester: Requester,
    /// Committed or given up.
    done: HashSet<u64>,
    /// The next page to be fetched.
    next: u64,
    /// The last page; `None` while it is not known.
    last: Option<u64>,
    /// What the request for the next page carries, where a page says it.
    cursor: Option<String>,
    /// Whether it is listed the second time.
    again: bool,
}

impl<'a> Listing<'a> {
    async fn prepare(shared: &'a Arc<dyn Store>, granted: GrantedListing, asking: &Asking) -> Result<Self, Left> {
        let store = shared.as_ref();
        let pipeline = compile(store, &granted.run).await?;
        let compiled = pipeline.compile(&granted.run.parameters).map_err(|error| Left::Pause(error.to_string()))?;
        let seed = u64::from(granted.lease.epoch);
        let list = compiled.list();
        let progress = &granted.progress;
        // A source that has brought a page is known to serve: when it does not now, that passes.
        let wait_for_first = progress.again || progress.first_open > 0;
        let fleet: Arc<dyn Fleet> = Arc::new(ListerRates::new(shared, &asking.closed, pipeline.limits().rate));
        let proxy = asking.proxy.clone();
        let config = RequesterConfig { seed, wait_for_first, proxy, fleet: Some(fleet), ..RequesterConfig::default() };
        let requester =
            Requester::of(&compiled, Process::Coordinator, &config).map_err(|error| Left::Pause(error.to_string()))?;
        // Ledgers of older versions know no more than how many pages there are.
        let of_old = || (progress.total_pages > 0 && !progress.again).then(|| list.last_page(progress.total_pages));
        let last = progress.last_page.or_else(of_old);
        let done = progress.done_after.iter().copied().collect();
        let next = progress.first_open.max(list.first_page());
        let (cursor, again) = (progress.cursor.clone(), progress.again);
        Ok(Self { store, granted, pipeline: compiled, requester, done, next, last, cursor, again })
    }

    /// Fetches all pages that are missing, several at once, and closes the listing.
    async fn list(&mut self, stop: &CancellationToken) -> Result<(), Left> {
        let (list, requester) = (self.pipeline.list().clone(), self.requester.clone());
        let mut fetching = FuturesUnordered::new();
        // Heard from here on; a run that was stopped before is noticed by the first renewal, which comes at once.
        let mut pushed = self.store.events().pushed();
        let mut renew = tokio::time::interval(RENEW_EVERY);
        loop {
            // Until the last page is known, one page leads to the next.
            let window = if self.last.is_some() { list.concurrency() } else { 1 };
            while fetching.len() < window {
                let Some(page) = self.next_page() else { break };
                let (list, requester, cursor) = (&list, &requester, self.cursor.take());
                fetching.push(async move { (page, list.fetch_page(requester, page, cursor.as_deref()).await) });
            }
            if fetching.is_empty() && list.is_listed_twice() && !self.again {
                self.begin_again().await?;
                continue;
            }
            if fetching.is_empty() {
                return fenced(self.store.close_listing(&self.granted.lease).await);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Left::Stopped),
                told = pushed.recv() => match told {
                    // What is being fetched is dropped.
                    Ok(Event::RunStopped { run_id, .. }) if run_id == self.granted.run.id => return Err(Left::Stale),
                    Ok(_) => {}
                    // It may have been among what was missed.
                    Err(_) => renew.reset_immediately(),
                },
                _ = renew.tick() => fenced(self.store.renew_listing(&self.granted.lease, TTL).await)?,
                Some((page, fetched)) = fetching.next() => self.take(page, fetched).await?,
            }
        }
    }

    fn next_page(&mut self) -> Option<u64> {
        while self.done.remove(&self.next) {
            self.next += 1;
        }
        let page = self.next;
        if self.last.is_some_and(|last| page > last) {
            return None;
        }
        self.next += 1;
        Some(page)
    }

    /// From the first pass to the second.
    async fn begin_again(&mut self) -> Result<(), Left> {
        fenced(self.store.list_again(&self.granted.lease).await)?;
        self.again = true;
        self.next = self.pipeline.list().first_page();
        (self.last, self.cursor) = (None, None);
        self.done.clear();
        Ok(())
    }

    async fn take(&mut self, number: u64, fetched: Result<Page, ListError>) -> Result<(), Left> {
        match fetched {
            Ok(page) => self.commit(page).await,
            Err(ListError::Fetch(
                error @ (FetchError::Refused { .. }
                | FetchError::NoCredentials { .. }
                | FetchError::WrongContent { .. }
                | FetchError::TooLarge { .. }),
            )) => Err(Left::Pause(self.words(number, &ListError::Fetch(error)))),
            Err(error) => self.give_up(number, &error).await,
        }
    }

    async fn commit(&mut self, page: Page) -> Result<(), Left> {
        let list = self.pipeline.list();
        let (cursor, number) = (page.cursor.clone(), page.number);
        let mut listed = listed(page, list.is_given());
        let most = list.most_pages();
        if number >= most && listed.last.is_none_or(|last| last > number) {
            let detail = format!(
                "the list does not end on page {number}, and source.list.max_pages is reached: listing stopped there"
            );
            listed.problem = Some(Problem { code: "ENDLESS_LIST", detail });
            (listed.last, listed.cursor) = (Some(number), None);
        }
        listed.last = listed.last.map(|last| last.min(most));
        crash::pass(Point::BeforePage);
        let outcome = fenced(self.store.commit_page(&self.granted.lease, listed).await)?;
        self.last = outcome.last;
        self.cursor = cursor.filter(|_| self.last.is_none());
        Ok(())
    }

    /// What is wrong with the source's list, where, and what to do about it.
    fn words(&self, number: u64, error: &ListError) -> String {
        let (what, advice) = match error {
            ListError::Fetch(error) => (format!("page {number}: {error}"), error.advice()),
            ListError::Shape(what) => (what.clone(), "compare the answer with source.list in the pipeline"),
            ListError::Elsewhere(what) => (what.clone(), ListError::NOT_FOLLOWED),
            ListError::Given(what) => (what.clone(), "see source.list.ids in the pipeline"),
        };
        self.requester.redact(format!("{} cannot be read: {what}; {advice}", self.pipeline.list().place()))
    }

    async fn give_up(&mut self, number: u64, error: &ListError) -> Result<(), Left> {
        if self.last.is_none() {
            // Nobody knows what comes after it: better a person looks than that the run ends with next to nothing.
            return Err(Left::Pause(self.words(number, error)));
        }
        let run_id = &self.granted.run.id;
        tracing::error!({ names::RUN } = %run_id, { names::PAGE } = number, error = %error,
            { names::NEXT } = "listing goes on without it; the verdict will name it", "a page of the source's list is given up");
        let detail = match error {
            ListError::Fetch(error) => format!("page {number}: {error}"),
            ListError::Shape(what) | ListError::Elsewhere(what) | ListError::Given(what) => what.clone(),
        };
        let problem = Problem { code: "PAGE_GIVEN_UP", detail: self.requester.redact(detail) };
        fenced(self.store.give_up_page(&self.granted.lease, number, problem).await)
    }
}

/// A page as the ledger takes it.
fn listed(page: Page, given: bool) -> ListedPage {
    let item = |item: muster_pipeline::ListedItem| ListedItem {
        id: item.id.as_text().to_owned(),
        version: item.version,
        body: item.body,
    };
    let problem = page.nameless.map(|Nameless { items, first }| Problem {
        code: "ITEM_WITHOUT_ID",
        detail: format!("page {}: {first}; {items} of its items cannot be listed", page.number),
    });
    ListedPage {
        page: page.number,
        items: page.items.into_iter().map(item).collect(),
        total_pages: page.total_pages,
        total: page.total,
        last: page.last,
        cursor: page.cursor,
        // What cannot be listed was not left out by the source.
        size: page.size.filter(|_| problem.is_none()),
        given,
        problem,
    }
}

fn fenced<T>(result: StoreResult<Fenced<T>>) -> Result<T, Left> {
    match result? {
        Fenced::Committed(outcome) => Ok(outcome),
        Fenced::Stale => Err(Left::Stale),
    }
}

async fn compile(store: &dyn Store, run: &Run) -> Result<Pipeline, Left> {
    let stored = store.pipeline(&run.revision).await?;
    let stored =
        stored.ok_or_else(|| Left::Pause(format!("pipeline revision {} is not in the ledger", run.revision)))?;
    Pipeline::from_canonical(&stored.canonical).map_err(|error| Left::Pause(error.to_string()))
}
