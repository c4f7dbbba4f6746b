//! Answers as text: functions from messages to strings, which know nothing of terminals and files.

pub mod advice;
pub mod book;
pub mod compare;
pub mod doubts;
pub mod files;
pub mod fleet;
pub mod fold;
pub mod json;
pub mod letters;
pub mod paint;
pub mod progress;
pub mod rounds;
pub mod rows;
pub mod run;
pub mod story;
pub mod table;
pub mod unknown;
pub mod verdict;

pub use muster_coordinator::words::{clean, numbers, record_state, run_state, short_revision};
