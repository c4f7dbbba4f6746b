//! A delivery's turn at its target.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::FetchError;
use super::credentials::Pass;
use super::host::Question;

/// A delivery's turn: as long as it lives nobody else asks whether the host is back, when that is what this one is for, and
/// nobody else has its place.
#[derive(Debug, Default)]
pub struct Turn {
    pub(super) question: Option<Question>,
    pub(super) ready: Option<Ready>,
    /// Where a target takes only so many deliveries at once.
    _place: Option<OwnedSemaphorePermit>,
}

/// What a POST has before it is announced, so that nothing is waited for after that.
#[derive(Debug)]
pub(super) struct Ready {
    /// Since when it is being made ready.
    pub(super) began: Instant,
    pub(super) pass: Result<Arc<Pass>, FetchError>,
}

impl Turn {
    /// At a host.
    pub(super) fn at_host(question: Option<Question>, ready: Ready) -> Self {
        Self { question, ready: Some(ready), _place: None }
    }

    /// At a target that takes only so many deliveries at once.
    pub(crate) fn with_place(place: Option<OwnedSemaphorePermit>) -> Self {
        Self { _place: place, ..Self::default() }
    }

    /// Whether the POST is sent to find out if its host is back.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.question.is_some()
    }

    /// The POST was sent and its answer, or none, has come.
    pub(super) fn sent(mut self) {
        if let Some(question) = &mut self.question {
            question.asked();
        }
    }
}
