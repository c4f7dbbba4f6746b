//! Whether the ledger can be written: what the writer learns with every commit, kept for those who must know it without
//! writing (readiness, health) and so that a person hears of a change once and not with every transition.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A commit is no recovery before none has failed for so long: a small one fits where the next large one does not.
const RECOVERED_AFTER: Duration = Duration::from_secs(3);
/// The reaper has something to commit twice a second: after so long without a commit the disk hangs.
const HANGS_AFTER: Duration = Duration::from_secs(10);

/// What a commit says that is news.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum News {
    /// The ledger cannot be written from now on.
    Failing,
    /// It can be written again, after so long.
    Recovered(Duration),
}

/// Kept by the writer, asked by everybody.
#[derive(Debug)]
pub(in crate::store) struct Writable(Mutex<Row>);

#[derive(Debug)]
struct Row {
    committed_at: Instant,
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    reason: String,
}

impl Writable {
    /// A ledger that was just opened for writing.
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(Row { committed_at: now, failing: None }))
    }

    /// Notes a commit.
    pub fn committed(&self, now: Instant) -> Option<News> {
        let mut row = self.row();
        row.committed_at = now;
        let failing = row.failing.take_if(|failing| now.duration_since(failing.last) >= RECOVERED_AFTER)?;
        Some(News::Recovered(now.duration_since(failing.since)))
    }

    /// Notes that a transaction could not be committed.
    pub fn failed(&self, reason: &str, now: Instant) -> Option<News> {
        let mut row = self.row();
        let since = row.failing.as_ref().map(|failing| failing.since);
        row.failing = Some(Failing { since: since.unwrap_or(now), last: now, reason: reason.to_owned() });
        since.is_none().then_some(News::Failing)
    }

    /// Why nothing can be written, if that is so.
    pub fn check(&self, now: Instant) -> Result<(), String> {
        let row = self.row();
        if let Some(failing) = &row.failing {
            return Err(failing.reason.clone());
        }
        let silent = now.duration_since(row.committed_at);
        if silent > HANGS_AFTER {
            return Err(format!("nothing was committed for {} s: its disk hangs", silent.as_secs()));
        }
        Ok(())
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_news_once_and_so_is_the_recovery() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let writable = Writable::new(start);
        assert_eq!(writable.committed(at(0)), None);
        assert_eq!(writable.failed("full", at(500)), Some(News::Failing));
        assert_eq!(writable.failed("full", at(1_000)), None);
        assert_eq!(writable.check(at(1_000)), Err("full".to_owned()));
        // Small commits go through between large ones that do not.
        assert_eq!(writable.committed(at(1_500)), None);
        assert_eq!(writable.failed("still full", at(2_000)), None);
        assert_eq!(writable.committed(at(4_900)), None);
        assert_eq!(writable.check(at(4_900)), Err("still full".to_owned()));
        assert_eq!(writable.committed(at(5_000)), Some(News::Recovered(Duration::from_millis(4_500))));
        assert_eq!((writable.committed(at(5_100)), writable.check(at(5_100))), (None, Ok(())));
    }

    #[test]
    fn a_writer_that_hangs_cannot_write() {
        let start = Instant::now();
        let writable = Writable::new(start);
        assert_eq!(writable.check(start + HANGS_AFTER), Ok(()));
        let hangs = writable.check(start + Duration::from_secs(11)).unwrap_err();
        assert!(hangs.contains("11 s"), "{hangs}");
        writable.committed(start + Duration::from_secs(12));
        assert_eq!(writable.check(start + Duration::from_secs(13)), Ok(()));
    }
}
