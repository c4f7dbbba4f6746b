//! What hosts get from all processes together.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{StoreResult, WorkerResult};
use crate::domain::Pace;

/// A process asks for places on a host's timetable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// Of a worker; none: a coordinator's lister asks.
    pub session: Option<String>,
    /// Which host: scheme://name:port.
    pub host: String,
    /// How fast it may be asked.
    pub pace: Pace,
    /// How many requests wait.
    pub count: u32,
    /// None sooner than this.
    pub lead: Duration,
}

/// Places on a host's timetable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// One for each request, at least one, ascending: counted from `as_of` on.
    pub after: Vec<Duration>,
    /// When the transition looked at the clock.
    pub as_of: Instant,
}

/// A host that wants to be left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedHost {
    /// Which: scheme://name:port.
    pub host: String,
    /// For so much longer.
    pub left: Duration,
}

/// What hosts get from all processes together.
#[async_trait]
pub trait Rates: Send + Sync {
    /// Gives out places.
    async fn reserve(&self, reserve: Reserve) -> WorkerResult<Reserved>;
    /// A host asked to be left alone for so long; a longer wish stays. All who attend are told when it is news.
    async fn close_host(&self, session: Option<&str>, host: &str, time: Duration) -> WorkerResult<()>;
    /// Hosts that want to be left alone now.
    async fn closed_hosts(&self) -> StoreResult<Vec<ClosedHost>>;
}
