//! What is noted of a GET while it is tried.

use std::time::Duration;

use tokio::time::Instant;

use super::Cost;
use super::transport::{Answer, TransportError};

/// One request of a GET, as it went over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// When it was sent.
    pub at: Instant,
    /// How long it took, or was waited for.
    pub took: Duration,
    /// How many requests of the same GET were sent before it.
    pub resend: u32,
    /// Whether it is a further copy of a slow one.
    pub hedge: bool,
    /// What came of it.
    pub ending: SentEnding,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum SentEnding {
    /// An answer with this status.
    Answered(u16),
    /// No connection.
    NotSent,
    /// The connection broke, or there was no answer in time.
    Broken,
    /// It was dropped, because another copy was answered first.
    Outrun,
}

impl SentEnding {
    pub(super) fn of(result: &Result<Answer, TransportError>) -> Self {
        match result {
            Ok(answer) => Self::Answered(answer.status.as_u16()),
            Err(TransportError::NotSent(_)) => Self::NotSent,
            Err(TransportError::Broken(_)) => Self::Broken,
        }
    }
}

/// Cost, and each request where somebody wants to know.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) cost: Cost,
    pub(super) sent: Option<Vec<Sent>>,
}
