//! The commands: each parses, makes its calls and renders.

pub mod access;
pub mod change;
pub mod delete;
pub mod demo;
pub mod export;
pub mod health;
pub mod lists;
pub mod look;
pub mod pipeline;
pub mod redrive;
pub mod report;
pub mod run;
pub mod settle;
pub mod shell;
pub mod start;
pub mod troubles;
pub mod verify;
pub mod watch;

/// The width of the terminal that standard output is, or `None` when it is something else: then nothing is cut or
/// folded.
fn stdout_width() -> Option<usize> {
    crate::manner::out_width()
}
