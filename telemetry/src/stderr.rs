//! Standard error as a place for log lines, shared with whatever else draws there.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Something that draws on the terminal and can step aside while a line is written, e.g. a progress display.
pub trait Screen: Send + Sync {
    /// Takes the drawing off the terminal, calls `write` once, and draws again.
    fn suspend(&self, write: &mut dyn FnMut());

    /// Takes the drawing off the terminal for good, because the process ends.
    fn leave(&self);
}

/// Writes each log line to standard error at once, around a [`Screen`] while one is attached.
///
/// Clones share the screen: hand one clone to [`Logging`](crate::Logging) and keep the other to attach to.
#[derive(Clone, Default)]
pub struct Stderr {
    screen: Arc<Mutex<Option<Arc<dyn Screen>>>>,
}

impl Stderr {
    /// Lets log lines appear around `screen` until the answer is dropped. A second screen takes the first one's place.
    pub fn attach(&self, screen: Arc<dyn Screen>) -> Attached {
        *self.screen.lock().unwrap_or_else(PoisonError::into_inner) = Some(screen);
        Attached { stderr: self.clone() }
    }

    /// Writes one or more whole lines, around the screen. What standard error does not take is lost: there is no
    /// other place to say so.
    pub fn write_lines(&self, lines: &[u8]) {
        self.around(&mut || {
            let mut stderr = io::stderr().lock();
            let _ = stderr.write_all(lines).and_then(|()| stderr.flush());
        });
    }

    /// Takes whatever is drawn off the terminal, before a process ends that does not return from where it is.
    pub fn leave(&self) {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(screen) = screen {
            screen.leave();
        }
    }

    /// Calls `write` with the screen stepped aside.
    fn around(&self, write: &mut dyn FnMut()) {
        // The lock is not held while the screen works: a screen that logs must not wait for itself.
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match screen {
            Some(screen) => screen.suspend(write),
            None => write(),
        }
    }
}

impl std::fmt::Debug for Stderr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stderr").finish_non_exhaustive()
    }
}

/// A screen is attached for as long as this lives.
#[derive(Debug)]
#[must_use = "dropping it detaches the screen"]
pub struct Attached {
    stderr: Stderr,
}

impl Drop for Attached {
    fn drop(&mut self) {
        *self.stderr.screen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A subscriber formats an event completely before it writes it, so that one `write` is one line.
impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_lines(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Stderr;

    fn make_writer(&'a self) -> Stderr {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counting(AtomicUsize, AtomicUsize);

    impl Screen for Counting {
        fn suspend(&self, write: &mut dyn FnMut()) {
            self.0.fetch_add(1, Ordering::Relaxed);
            write();
        }

        fn leave(&self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn lines_go_around_the_screen_while_it_is_attached() {
        let stderr = Stderr::default();
        let subscribers = stderr.clone();
        let screen = Arc::new(Counting::default());
        let mut written = 0;
        stderr.around(&mut || written += 1);
        let attached = stderr.attach(screen.clone());
        subscribers.around(&mut || written += 1);
        subscribers.leave();
        drop(attached);
        stderr.leave();
        stderr.around(&mut || written += 1);
        assert_eq!((written, screen.0.load(Ordering::Relaxed), screen.1.load(Ordering::Relaxed)), (3, 1, 1));
    }
}
