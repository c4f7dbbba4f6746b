//! A POST's turn at a host.

use super::host::Question;

/// A POST's turn: as long as it lives nobody else asks whether the host is back, when that is what this POST is for.
#[derive(Debug, Default)]
pub struct Turn {
    pub(super) question: Option<Question>,
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
