//! What changes the ledger. One transition = one method = one transaction.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Acquire, Acquired, Begin, Begun, Completion, Deleted, Destination, Expired, Redrive, Redriven, Renewal, Report,
    Session, Settle, Settled, StaleRound, StoreResult, Swept, Want, WorkerResult,
};
use crate::domain::{
    LeaseToken, ListedPage, ListingLease, ListingProgress, NewRun, Problem, Run, RunId, ShareChange, Verdict,
};

/// How StartRun went.
#[derive(Debug, Clone)]
pub enum Started {
    /// The run is new.
    New(Run),
    /// The same request had started it before.
    Same(Run),
    /// The request_id was used with other arguments.
    Conflict,
}

/// A fenced write: made, or too late because somebody else has the right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fenced<T> {
    /// Made.
    Committed(T),
    /// Too late; nothing was written.
    Stale,
}

/// A listing to work on.
#[derive(Debug, Clone)]
pub struct GrantedListing {
    /// The right to it.
    pub lease: ListingLease,
    /// The run.
    pub run: Run,
    /// Where it stands.
    pub progress: ListingProgress,
}

/// What a committed page brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageOutcome {
    /// IDs that were not listed before; when it is listed a second time, not in that pass.
    pub fresh: u64,
    /// IDs that were.
    pub duplicates: u64,
    /// The number of the last page, as far as it is known now.
    pub last: Option<u64>,
}

impl PageOutcome {
    /// Has the page items, and none that was not listed before?
    pub(crate) fn is_repeated(self) -> bool {
        self.fresh == 0 && self.duplicates > 0
    }
}

/// What changes the ledger.
#[async_trait]
pub trait Transitions: Send + Sync {
    /// Writes a run.
    async fn start_run(&self, run: NewRun) -> StoreResult<Started>;
    /// Running -> paused. Nothing for a run in any other state. `None`: no such run.
    async fn pause_run(&self, id: &RunId, reason: &str) -> StoreResult<Option<Run>>;
    /// The same, where nobody asked for it: what is wrong concerns the whole run. Whoever is told of stalls is told of that.
    async fn halt_run(&self, id: &RunId, reason: &str) -> StoreResult<Option<Run>>;
    /// Paused -> running.
    async fn resume_run(&self, id: &RunId) -> StoreResult<Option<Run>>;
    /// Running or paused -> cancelling.
    async fn cancel_run(&self, id: &RunId) -> StoreResult<Option<Run>>;
    /// Changes a run's share of the workers, whatever its state.
    async fn set_share(&self, id: &RunId, change: ShareChange) -> StoreResult<Option<Run>>;
    /// Ends a round whose audit gave this verdict, unless something changed after `run` was read; with a notice to each of these.
    async fn conclude(&self, run: &Run, verdict: &Verdict, tell: &[Destination]) -> StoreResult<Fenced<()>>;
    /// Writes the verdict of a round anew, unless more was learnt than `stale` says: then the audit may be older.
    async fn restate(&self, stale: &StaleRound, verdict: &Verdict) -> StoreResult<Fenced<()>>;
    /// Over -> running, in the next round. `None`: no such run.
    async fn redrive(&self, id: &RunId, redrive: Redrive) -> StoreResult<Option<Redriven>>;
    /// Takes an operator's word for deliveries in doubt: for all of them or, if one is refused, for none. `None`: no such
    /// run.
    async fn settle(&self, id: &RunId, settle: Settle) -> StoreResult<Option<Settled>>;
    /// Takes a run that is over out of sight; `sweep` gives its space back. `None`: no such run.
    async fn delete_run(&self, id: &RunId) -> StoreResult<Option<Deleted>>;
    /// Takes out some rows of what nobody needs any more, such as deleted runs, and gives free space back to the file
    /// system.
    async fn sweep(&self) -> StoreResult<Swept>;
    /// Notes that a run's audit folder is whole up to the acknowledgements in `run`.
    async fn files_whole(&self, run: &Run) -> StoreResult<Fenced<()>>;

    /// Takes up a listing that nobody holds.
    async fn take_listing(&self, holder: &str, ttl: Duration) -> StoreResult<Option<GrantedListing>>;
    /// Keeps a listing. Stale also when its run is paused, cancelled or over.
    async fn renew_listing(&self, lease: &ListingLease, ttl: Duration) -> StoreResult<Fenced<()>>;
    /// Writes a page: its IDs, full batches, the page's row.
    async fn commit_page(&self, lease: &ListingLease, page: ListedPage) -> StoreResult<Fenced<PageOutcome>>;
    /// Begins to list a second time, to hold the list against itself. Nothing when it is listed a second time already.
    async fn list_again(&self, lease: &ListingLease) -> StoreResult<Fenced<()>>;
    /// Gives a page up.
    async fn give_up_page(&self, lease: &ListingLease, page: u64, problem: Problem) -> StoreResult<Fenced<()>>;
    /// Closes a listing and cuts the last batch.
    async fn close_listing(&self, lease: &ListingLease) -> StoreResult<Fenced<()>>;
    /// Gives a listing back for anyone to take up.
    async fn release_listing(&self, lease: &ListingLease) -> StoreResult<Fenced<()>>;

    /// Opens a session for an identity, or gives it one that was opened when nobody was asked who he is. Gives whose it is
    /// now, which never changes any more. Without a `worker` nothing is opened. `None`: there is no such session.
    async fn bind_session(&self, session: &str, identity: &str, worker: Option<Session>)
    -> StoreResult<Option<String>>;
    /// Leases batches.
    async fn acquire(&self, acquire: Acquire) -> StoreResult<Acquired>;
    /// Asks the session that holds most leases in stock to give some back for one that has nothing to do; gives who was asked,
    /// if anybody. Changes nothing: it is a wish.
    async fn want_leases(&self, want: Want) -> StoreResult<Option<String>>;
    /// Extends leases; one answer for each token, in order.
    async fn renew(&self, session: &str, tokens: &[LeaseToken]) -> WorkerResult<Vec<Renewal>>;
    /// Announces a delivery.
    async fn begin(&self, session: &str, token: LeaseToken, begin: Begin) -> WorkerResult<Begun>;
    /// Takes a batch's report and ends its lease.
    async fn complete(&self, session: &str, token: LeaseToken, report: Report) -> WorkerResult<Completion>;
    /// Gives leases back uncharged; one answer for each token, in order.
    async fn release(&self, session: &str, tokens: &[LeaseToken], end: bool) -> WorkerResult<Vec<bool>>;
    /// Ends leases that have run out. Also tells the store that a coordinator serves.
    async fn expire(&self) -> StoreResult<Expired>;
}
