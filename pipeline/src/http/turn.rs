//! A POST's turn at a host.

use std::sync::Arc;

use tokio::time::Instant;

use super::FetchError;
use super::credentials::Pass;
use super::host::Question;

/// A POST's turn: as long as it lives nobody else asks whether the host is back, when that is what this POST is for.
#[derive(Debug, Default)]
pub struct Turn {
    pub(super) question: Option<Question>,
    pub(super) ready: Option<Ready>,
}

/// What a POST has before it is announced, so that nothing is waited for after that.
#[derive(Debug)]
pub(super) struct Ready {
    /// Since when it is being made ready.
    pub(super) began: Instant,
    pub(super) pass: Result<Arc<Pass>, FetchError>,
}

impl Turn {
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
