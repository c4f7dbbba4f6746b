//! What somebody outside is told of runs: notices, which wait in the ledger until they are delivered.
//!
//! A notice is written in the transaction of what it tells of, for each destination, and only where there is one. Who sends it
//! claims it first; whoever dies between sending and settling leaves it to be sent again, under the same ID: at least once.

use std::time::Duration;

use async_trait::async_trait;

use super::{Fenced, StoreResult};
use crate::domain::{Run, RunId, Timestamp};

/// Where notices go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its name in the ledger, which holds no secret: the same for all coordinators that are given the same.
    pub name: String,
    /// What people see of it.
    pub shown: String,
}

/// What a notice tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoticeEvent {
    /// A round is over; the reason is "finished" or "cancelled".
    Ended,
    /// The run goes on and makes no progress.
    Stalled,
    /// The run paused by itself, for the reason.
    Paused,
}

impl NoticeEvent {
    /// As others know it. A run that paused by itself has stalled, and says why.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ended => "run.ended",
            Self::Stalled | Self::Paused => "run.stalled",
        }
    }
}

/// The right to send a notice, until its hold ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeClaim {
    /// Its number in the store.
    pub key: i64,
    /// The event's ID: the same at each try.
    pub id: String,
    /// Of which run.
    pub run: RunId,
    /// Of which round.
    pub round: u32,
    /// What it tells.
    pub event: NoticeEvent,
    /// In words.
    pub reason: String,
    /// When it happened.
    pub at: Timestamp,
    /// Which try this is, counted from 1: also the fence.
    pub tries: u32,
}

/// How a try went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// It was accepted.
    Delivered,
    /// It is tried again after so long.
    Again {
        /// So long.
        after: Duration,
        /// Why, in words.
        error: String,
    },
    /// It is not tried again.
    GivenUp {
        /// Why, in words.
        error: String,
    },
}

/// How far a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeState {
    /// It will be sent, or sent again, from then on.
    Waiting(Timestamp),
    /// Somebody is sending it.
    Sending,
    /// It was accepted, then.
    Delivered(Timestamp),
    /// Nobody tries any more, since then.
    GivenUp(Timestamp),
}

/// A notice as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The event's ID.
    pub id: String,
    /// Of which round.
    pub round: u32,
    /// What it tells.
    pub event: NoticeEvent,
    /// In words.
    pub reason: String,
    /// When it happened.
    pub at: Timestamp,
    /// Where it goes, by its name in the ledger.
    pub destination: String,
    /// Where it goes, as people see it.
    pub shown: String,
    /// How far it is.
    pub state: NoticeState,
    /// How often it was sent.
    pub tries: u32,
    /// What was wrong with the last try; empty for nothing.
    pub error: String,
}

/// A run that should go on.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The run as it was read.
    pub run: Run,
    /// When its round was opened or it was resumed, whatever came last.
    pub began: Timestamp,
}

/// How a run goes on.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one at a time is looked at, and hardly ever")]
pub enum Pace {
    /// It does.
    GoesOn,
    /// It does not, and all who are to be told were.
    Told,
    /// It does not.
    Still(Stall),
}

/// A run that does not go on.
#[derive(Debug, Clone)]
pub struct Stall {
    /// The run as it was read.
    pub run: Run,
    /// Stalled, or paused.
    pub event: NoticeEvent,
    /// Its last progress; what it was resumed or opened by is one.
    pub since: Timestamp,
}

/// What somebody outside is told.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Claims the notice that has been due for a destination longest. It is due again when `hold` ends and nobody has settled it.
    async fn claim_notice(&self, destination: &str, hold: Duration) -> StoreResult<Option<NoticeClaim>>;
    /// Says how a try went, unless somebody has claimed the notice since or its run is deleted.
    async fn settle_notice(&self, claim: &NoticeClaim, tried: Tried) -> StoreResult<Fenced<()>>;
    /// For how long no notice is due for a destination; `None`: there is none at all.
    async fn next_notice(&self, destination: &str) -> StoreResult<Option<Duration>>;
    /// The newest notices of a run, newest first.
    async fn notices(&self, run: &Run, limit: u32) -> StoreResult<Vec<Notice>>;
    /// Runs that go on, and those that have paused by themselves.
    async fn watched(&self) -> StoreResult<Vec<Watched>>;
    /// Has this run made no progress for so long, or paused by itself, and does one of `to` not know? Reads the whole run where it
    /// has stalled.
    async fn pace(&self, watched: &Watched, after: Duration, to: &[Destination]) -> StoreResult<Pace>;
    /// Writes notices of a stall, unless the run has changed since it was read, or no coordinator has served for so long that it
    /// could have gone on. The same stall is told once to each.
    async fn tell_stall(&self, stall: &Stall, after: Duration, to: &[Destination]) -> StoreResult<Fenced<()>>;
}
