//! A few lines at the bottom of a terminal that are drawn again and again, under whatever else is said.
//!
//! Each frame is one write, between the marks of a synchronized update (terminals that do not know them ignore them),
//! and writes over the one before instead of clearing it first: nothing flickers. Between two frames the cursor waits
//! at the first character of the first line. There the `^C` that a terminal shows for Ctrl-C costs two characters of
//! one frame and wraps nothing; there a terminal that folds lines anew when it is resized leaves it; and what another
//! hand writes pushes the panel down instead of tearing it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use console::Term;
use muster_telemetry::Screen;

const BEGIN: &str = "\u{1b}[?2026h";
const END: &str = "\u{1b}[?2026l";
const ERASE_BELOW: &str = "\r\u{1b}[J";
const ERASE_RIGHT: &str = "\u{1b}[K";
/// A frame is drawn in far less than all tries together.
const TRIES_TO_LEAVE: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// The lines of a display on standard error.
pub struct Panel {
    term: Term,
    /// As drawn last, empty before the first frame and after the last; nothing once it was left for good.
    frame: Mutex<Option<String>>,
}

/// Rows and columns of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines that it shows.
    pub rows: usize,
    /// Characters to a line.
    pub columns: usize,
}

impl Panel {
    /// A panel, if standard error is a terminal that can move its cursor.
    pub fn on_stderr() -> Option<Arc<Panel>> {
        Panel::is_possible().then(|| Arc::new(Panel { term: Term::stderr(), frame: Mutex::new(Some(String::new())) }))
    }

    /// Whether standard error is a terminal that can move its cursor.
    pub fn is_possible() -> bool {
        let is_able = std::env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb");
        is_able && Term::stderr().is_term()
    }

    /// The terminal's size at this moment.
    pub fn size(&self) -> Size {
        let (rows, columns) = self.term.size();
        Size { rows: rows.into(), columns: columns.into() }
    }

    /// Draws these lines in place of those before. As many as the terminal has rows are shown; none may be wider than
    /// it.
    pub fn draw(&self, lines: &[String]) {
        let mut frame = self.frame.lock().unwrap_or_else(PoisonError::into_inner);
        // The process may take a moment to end.
        let Some(frame) = frame.as_mut() else { return };
        *frame = drawn(lines, self.size().rows);
        write(&format!("{BEGIN}{frame}{END}"));
    }

    /// Takes the lines off the terminal; what is said next takes their place.
    pub fn clear(&self) {
        let mut frame = self.frame.lock().unwrap_or_else(PoisonError::into_inner);
        erase(frame.as_mut().map(std::mem::take));
    }
}

impl Screen for Panel {
    fn suspend(&self, lines: &mut dyn FnMut()) {
        let frame = self.frame.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(frame) = frame.as_ref().filter(|frame| !frame.is_empty()) else { return lines() };
        write(&format!("{BEGIN}{ERASE_BELOW}"));
        lines();
        write(&format!("{frame}{END}"));
    }

    fn leave(&self) {
        // A terminal that takes nothing any more holds whoever draws. Who wants to end must not wait for that.
        for _ in 0..TRIES_TO_LEAVE {
            if let Ok(mut frame) = self.frame.try_lock() {
                return erase(frame.take());
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
    }
}

/// Takes this frame off the terminal, if it is there.
fn erase(frame: Option<String>) {
    if frame.is_some_and(|frame| !frame.is_empty()) {
        write(ERASE_BELOW);
    }
}

/// What draws the lines from the cursor's row on and brings it back to where it began.
fn drawn(lines: &[String], rows: usize) -> String {
    let lines = &lines[..lines.len().min(rows.max(1))];
    let text = lines.join(&format!("{ERASE_RIGHT}\r\n"));
    let back = match lines.len().saturating_sub(1) {
        0 => String::new(),
        up => format!("\u{1b}[{up}A"),
    };
    format!("\r{text}\u{1b}[J\r{back}")
}

/// In one piece. A terminal that is gone cannot be told so.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_writes_over_the_one_before_and_comes_back() {
        let lines = ["one".to_owned(), "two".to_owned(), "three".to_owned()];
        assert_eq!(drawn(&lines, 24), "\rone\u{1b}[K\r\ntwo\u{1b}[K\r\nthree\u{1b}[J\r\u{1b}[2A");
        assert_eq!(drawn(&lines[..1], 24), "\rone\u{1b}[J\r");
    }

    #[test]
    fn a_terminal_of_few_rows_shows_the_first_lines() {
        let lines = ["one".to_owned(), "two".to_owned(), "three".to_owned()];
        assert_eq!(drawn(&lines, 2), "\rone\u{1b}[K\r\ntwo\u{1b}[J\r\u{1b}[1A");
        assert_eq!(drawn(&lines, 0), "\rone\u{1b}[J\r");
    }
}
