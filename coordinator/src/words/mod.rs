//! What is said of runs, verdicts and records: the same words at the command line and on the pages.

pub mod doubts;
pub mod notices;
pub mod numbers;
pub mod pace;
pub mod progress;
pub mod rounds;
pub mod share;
pub mod story;
pub mod unknown;
pub mod verdict;

use muster_proto::v1::{RecordState, RunState};

/// The word of a run's state.
pub fn run_state(state: RunState) -> &'static str {
    match state {
        RunState::Unspecified => "unknown",
        RunState::Running => "running",
        RunState::Paused => "paused",
        RunState::Cancelling => "cancelling",
        RunState::Cancelled => "cancelled",
        RunState::Finished => "finished",
    }
}

/// The word of a record's state, as it stands in JSON.
pub fn record_state(state: RecordState) -> &'static str {
    match state {
        RecordState::Unspecified => "unknown",
        RecordState::Pending => "pending",
        RecordState::Leased => "leased",
        RecordState::Delivering => "delivering",
        RecordState::Loaded => "loaded",
        RecordState::DeadLetter => "dead_letter",
        RecordState::Gone => "gone",
        RecordState::Unchanged => "unchanged",
        RecordState::InDoubt => "in_doubt",
        RecordState::Cancelled => "cancelled",
    }
}

/// The text with its control characters escaped: a hostile record must not steer the reader's terminal.
pub fn clean(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut clean, c| {
        if c.is_control() {
            clean.extend(c.escape_default())
        } else {
            clean.push(c)
        }
        clean
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(super::clean("a\u{1b}[2J\nb é"), "a\\u{1b}[2J\\nb é");
    }
}
