//! What a panic says, on a terminal where a display stands.

use std::backtrace::{Backtrace, BacktraceStatus};

use muster_telemetry::Stderr;

/// Lets the words of panics go where log lines go from now on: around the display. Across it nobody could read them, and its
/// next frame would be drawn over them.
pub fn tell_around_the_display(stderr: &Stderr) {
    let stderr = stderr.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let mut words = format!("thread '{}' {panic}\n", thread.name().unwrap_or("<unnamed>"));
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => words.push_str(&format!("stack backtrace:\n{backtrace}")),
            _ => words.push_str("note: RUST_BACKTRACE=1 in the environment shows where it came from\n"),
        }
        stderr.write_lines(words.as_bytes());
    }));
}
