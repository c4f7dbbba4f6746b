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

/// The first digits of a revision: enough for people to tell two apart.
pub fn short_revision(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
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
    fn revisions_are_shortened_and_what_is_short_stays() {
        assert_eq!(super::short_revision(&"0123456789abcdef".repeat(4)), "0123456789ab");
        assert_eq!(super::short_revision("0123"), "0123");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(super::clean("a\u{1b}[2J\nb é"), "a\\u{1b}[2J\\nb é");
    }
}
