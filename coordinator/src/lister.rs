//! The lister: pages through a source's IDs under a fenced right, so that exactly one coordinator lists a run and
//! another goes on where it stopped.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use muster_pipeline::{CompiledPipeline, FetchError, ListError, Page, Pipeline, Process, Requester, RequesterConfig};
use muster_telemetry::names;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::{ListedItem, ListedPage, Problem, Run};
use crate::store::{Event, Fenced, GrantedListing, Store, StoreError, StoreResult};

/// How long the right to list holds unless it is renewed.
const TTL: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often a listing is looked for without an event: another coordinator may have died.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Runs that one coordinator lists at once.
const AT_ONCE: usize = 16;

/// Lists runs until it is told to stop; listings under way are then given back.
pub(crate) async fn start(store: Arc<dyn Store>, holder: String, stop: CancellationToken) {
    let mut work = store.events().work();
    let mut listings = JoinSet::new();
    loop {
        while listings.len() < AT_ONCE {
            match store.take_listing(&holder, TTL).await {
                Ok(Some(granted)) => {
                    listings.spawn(list(Arc::clone(&store), granted, stop.clone()));
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
async fn list(store: Arc<dyn Store>, granted: GrantedListing, stop: CancellationToken) {
    let GrantedListing { lease, run, .. } = granted.clone();
    let left = match Listing::prepare(store.as_ref(), granted).await {
        Ok(mut listing) => listing.list(&stop).await.err(),
        Err(left) => Some(left),
    };
    let Some(left) = left else {
        return tracing::debug!({ names::RUN } = %run.id, "listing is closed");
    };
    if let Left::Pause(reason) = &left {
        tracing::warn!({ names::RUN } = %run.id, { names::REASON } = reason, { names::NEXT } = "the run pauses", "the source cannot be listed");
        if let Err(error) = store.pause_run(&run.id, reason).await {
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
    /// The last page; `None` while the source has not said.
    last: Option<u64>,
}

impl<'a> Listing<'a> {
    async fn prepare(store: &'a dyn Store, granted: GrantedListing) -> Result<Self, Left> {
        let pipeline = compile(store, &granted.run).await?;
        let compiled = pipeline.compile(&granted.run.parameters).map_err(|error| Left::Pause(error.to_string()))?;
        let seed = u64::from(granted.lease.epoch);
        let first = compiled.list().first_page();
        let progress = &granted.progress;
        // A source that has said how many pages it has is known to serve: when it does not now, that passes.
        let wait_for_first = progress.total_pages > 0;
        let config = RequesterConfig { seed, wait_for_first, ..RequesterConfig::default() };
        let requester =
            Requester::of(&compiled, Process::Coordinator, &config).map_err(|error| Left::Pause(error.to_string()))?;
        let last = (progress.total_pages > 0).then(|| last_page(first, progress.total_pages));
        let done = progress.done_after.iter().copied().collect();
        let next = progress.first_open.max(first);
        Ok(Self { store, granted, pipeline: compiled, requester, done, next, last })
    }

    /// Fetches all pages that are missing, several at once, and closes the listing.
    async fn list(&mut self, stop: &CancellationToken) -> Result<(), Left> {
        let (list, requester) = (self.pipeline.list().clone(), self.requester.clone());
        let mut fetching = FuturesUnordered::new();
        // Heard from here on; a run that was stopped before is noticed by the first renewal, which comes at once.
        let mut pushed = self.store.events().pushed();
        let mut renew = tokio::time::interval(RENEW_EVERY);
        loop {
            // Until the source has said how many pages it has, one page leads to the next.
            let window = if self.last.is_some() { list.concurrency() } else { 1 };
            while fetching.len() < window {
                let Some(page) = self.next_page() else { break };
                let (list, requester) = (&list, &requester);
                fetching.push(async move { (page, list.fetch_page(requester, page).await) });
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
        let empty = page.items.is_empty();
        let item = |item: muster_pipeline::ListedItem| ListedItem {
            id: item.id.as_text().to_owned(),
            version: item.version,
            body: item.body,
        };
        let items = page.items.into_iter().map(item).collect();
        let listed = ListedPage { page: page.number, items, total_pages: page.total_pages };
        let outcome = fenced(self.store.commit_page(&self.granted.lease, listed).await)?;
        match page.total_pages.map(|total| last_page(self.pipeline.list().first_page(), total)) {
            // It may grow while it is listed; the ledger notes that it did. But a source that gives the same page for ever
            // may promise one more with each.
            Some(last) if self.last.is_none() || !outcome.is_repeated() => self.last = self.last.max(Some(last)),
            Some(_) => {}
            // A source that does not say ends with a page without items.
            None if empty => self.last = Some(page.number),
            // It would go on for ever; the ledger has named it.
            None if self.last.is_none() && outcome.is_repeated() => self.last = Some(page.number),
            None => {}
        }
        Ok(())
    }

    /// What is wrong with the source's list, where, and what to do about it.
    fn words(&self, number: u64, error: &ListError) -> String {
        let mut url = self.pipeline.list().page_url(number);
        // The page is named, and what else stands in a query may be nobody's business.
        url.set_query(None);
        let (what, advice) = match error {
            ListError::Fetch(error) => (format!("page {number}: {error}"), error.advice()),
            ListError::Shape(what) => (what.clone(), "compare the answer with source.list in the pipeline"),
        };
        self.requester.redact(format!("the source's list at {url} cannot be read: {what}; {advice}"))
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
            ListError::Shape(what) => what.clone(),
        };
        let problem = Problem { code: "PAGE_GIVEN_UP", detail: self.requester.redact(detail) };
        fenced(self.store.give_up_page(&self.granted.lease, number, problem).await)
    }
}

fn last_page(first: u64, total: u64) -> u64 {
    (first + total).saturating_sub(1)
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
