//! Each transition: one job for the writer.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Database, Hold, Tx, deliveries, leases, listing, pages, reports, retention, rounds, runs, sessions, settling,
    shares, stock,
};
use crate::domain::{LeaseToken, ListedPage, ListingLease, NewRun, Problem, Run, RunId, ShareChange, Verdict};
use crate::store::{
    Acquire, Acquired, Begin, Begun, Completion, Deleted, Destination, Event, Expired, Fenced, GrantedListing,
    PageOutcome, Redrive, Redriven, Renewal, Report, Session, Settle, Settled, StaleRound, Started, StoreResult, Swept,
    Transitions, Want, WorkerResult,
};

#[async_trait]
impl<D: Database> Transitions for D {
    async fn start_run(&self, run: NewRun) -> StoreResult<Started> {
        self.call(move |tx| runs::start(tx, &run)).await
    }

    async fn pause_run(&self, id: &RunId, reason: &str) -> StoreResult<Option<Run>> {
        let (id, reason) = (id.clone(), reason.to_owned());
        self.call(move |tx| runs::pause(tx, &id, &reason, false)).await
    }

    async fn halt_run(&self, id: &RunId, reason: &str) -> StoreResult<Option<Run>> {
        let (id, reason) = (id.clone(), reason.to_owned());
        self.call(move |tx| runs::pause(tx, &id, &reason, true)).await
    }

    async fn resume_run(&self, id: &RunId) -> StoreResult<Option<Run>> {
        let id = id.clone();
        self.call(move |tx| runs::resume(tx, &id)).await
    }

    async fn cancel_run(&self, id: &RunId) -> StoreResult<Option<Run>> {
        let id = id.clone();
        self.call(move |tx| runs::cancel(tx, &id)).await
    }

    async fn set_share(&self, id: &RunId, change: ShareChange) -> StoreResult<Option<Run>> {
        let id = id.clone();
        self.call(move |tx| shares::change(tx, &id, change)).await
    }

    async fn conclude(&self, run: &Run, verdict: &Verdict, tell: &[Destination]) -> StoreResult<Fenced<()>> {
        let (run, verdict, tell) = (run.clone(), verdict.clone(), tell.to_vec());
        self.call(move |tx| runs::conclude(tx, &run, &verdict, &tell)).await
    }

    async fn restate(&self, stale: &StaleRound, verdict: &Verdict) -> StoreResult<Fenced<()>> {
        let (stale, verdict) = (stale.clone(), verdict.clone());
        self.call(move |tx| runs::restate(tx, &stale, &verdict)).await
    }

    async fn redrive(&self, id: &RunId, redrive: Redrive) -> StoreResult<Option<Redriven>> {
        let id = id.clone();
        self.call(move |tx| rounds::redrive(tx, &id, &redrive)).await
    }

    async fn settle(&self, id: &RunId, settle: Settle) -> StoreResult<Option<Settled>> {
        let id = id.clone();
        self.call(move |tx| settling::settle(tx, &id, &settle)).await
    }

    async fn delete_run(&self, id: &RunId) -> StoreResult<Option<Deleted>> {
        let id = id.clone();
        self.call(move |tx| retention::delete(tx, &id)).await
    }

    async fn sweep(&self) -> StoreResult<Swept> {
        self.call(retention::sweep).await
    }

    async fn files_whole(&self, run: &Run) -> StoreResult<Fenced<()>> {
        let run = run.clone();
        self.call(move |tx| runs::files_whole(tx, &run)).await
    }

    async fn take_listing(&self, holder: &str, ttl: Duration) -> StoreResult<Option<GrantedListing>> {
        let holder = holder.to_owned();
        self.call(move |tx| listing::take(tx, &holder, ttl)).await
    }

    async fn renew_listing(&self, lease: &ListingLease, ttl: Duration) -> StoreResult<Fenced<()>> {
        let lease = lease.clone();
        self.call(move |tx| listing::renew(tx, &lease, ttl)).await
    }

    async fn commit_page(&self, lease: &ListingLease, page: ListedPage) -> StoreResult<Fenced<PageOutcome>> {
        let lease = lease.clone();
        self.call(move |tx| pages::commit_page(tx, &lease, &page)).await
    }

    async fn list_again(&self, lease: &ListingLease) -> StoreResult<Fenced<()>> {
        let lease = lease.clone();
        self.call(move |tx| listing::again(tx, &lease)).await
    }

    async fn give_up_page(&self, lease: &ListingLease, page: u64, problem: Problem) -> StoreResult<Fenced<()>> {
        let lease = lease.clone();
        self.call(move |tx| pages::give_up_page(tx, &lease, page, &problem)).await
    }

    async fn close_listing(&self, lease: &ListingLease) -> StoreResult<Fenced<()>> {
        let lease = lease.clone();
        self.call(move |tx| listing::close(tx, &lease)).await
    }

    async fn release_listing(&self, lease: &ListingLease) -> StoreResult<Fenced<()>> {
        let lease = lease.clone();
        self.call(move |tx| listing::release(tx, &lease)).await
    }

    async fn bind_session(
        &self,
        session: &str,
        identity: &str,
        worker: Option<Session>,
    ) -> StoreResult<Option<String>> {
        let (session, identity) = (session.to_owned(), identity.to_owned());
        self.call(move |tx| sessions::bind(tx, &session, &identity, worker.as_ref())).await
    }

    async fn acquire(&self, acquire: Acquire) -> StoreResult<Acquired> {
        self.acquire_together(acquire).await
    }

    async fn want_leases(&self, want: Want) -> StoreResult<Option<String>> {
        // Looked up where it holds up no transition: a wish may be a moment old.
        let Some((session, leases)) = self.read(move |view| stock::largest(view, &want)).await? else {
            return Ok(None);
        };
        let wanted = Event::LeasesWanted { session: session.clone(), leases };
        self.call(move |tx| {
            tx.push(wanted.clone());
            Ok(())
        })
        .await?;
        Ok(Some(session))
    }

    async fn renew(&self, session: &str, tokens: &[LeaseToken]) -> WorkerResult<Vec<Renewal>> {
        let (session, tokens) = (session.to_owned(), tokens.to_vec());
        self.call_worker(move |tx| leases::renew(tx, &session, &tokens)).await
    }

    async fn begin(&self, session: &str, token: LeaseToken, begin: Begin) -> WorkerResult<Begun> {
        let (session, lease) = (session.to_owned(), token.lease());
        self.call_together(lease, move |tx| deliveries::begin(tx, &session, &token, &begin)).await
    }

    async fn complete(&self, session: &str, token: LeaseToken, report: Report) -> WorkerResult<Completion> {
        let (session, lease, hold) = (session.to_owned(), token.lease(), reports::hold_for(&report));
        let complete = move |tx: &Tx<'_>| reports::complete(tx, &session, &token, &report);
        match hold {
            Hold::Together => self.call_together(lease, complete).await,
            Hold::Alone => self.call_worker(complete).await,
        }
    }

    async fn release(&self, session: &str, tokens: &[LeaseToken], end: bool) -> WorkerResult<Vec<bool>> {
        let (session, tokens) = (session.to_owned(), tokens.to_vec());
        self.call_worker(move |tx| leases::release(tx, &session, &tokens, end)).await
    }

    async fn expire(&self) -> StoreResult<Expired> {
        self.call(leases::expire).await
    }
}
