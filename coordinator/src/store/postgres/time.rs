//! The ledger's time: the database's clock, which all coordinators read, and which nobody may set without being noticed.
//!
//! The row `serving` says by how much the ledger is ahead of the database's clock. Every coordinator holds each reading
//! against its own monotonic clock. When the two disagree by more than they can, somebody has set the database's clock:
//! whoever notices first corrects the row, and the ledger's time goes on as if nothing had been. A machine that was suspended
//! finds that the others have served meanwhile by that very time, and believes them. A database's clock that was set while
//! no coordinator served looks like a long silence (which revokes no lease), or is caught up with at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::connection::own_sql;
use crate::domain::Timestamp;
use crate::planted::{Bug, Planted};
use crate::store::StoreError;
use crate::store::ledger::{Connection, Fault, Serving, SqlResult, Statement, params};

/// Disagreement that is no setting: clocks that run unevenly, and are slewed.
const SLACK: i64 = 500;
/// A coordinator that serves is seen in the row at least this often.
const HEARD_OF: i64 = 2_000;
/// How often a reading is tried when others correct the row at the same time.
const TRIES: usize = 10;

/// Goes only forward; its zero means nothing.
pub(super) type Monotonic = Box<dyn Fn() -> Duration + Send + Sync>;

/// Where the time is read, and what was read last.
pub(super) struct Time {
    clock: &'static Statement,
    monotonic: Monotonic,
    planted: Planted,
    /// The database may lose what it has committed, and the ledger keeps until when that was so.
    degraded: bool,
    last: Mutex<Option<Reading>>,
}

/// A time of the ledger, read between these two moments of the process.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: i64,
    after: i64,
    before: i64,
}

/// What the row and the clock say.
struct Row {
    clock: i64,
    written: Serving,
    ahead: i64,
}

impl Time {
    /// The database's clock, and the process's own.
    pub fn new(planted: Planted, degraded: bool) -> Self {
        let started = Instant::now();
        Self::reading(own_sql!("clock"), Box::new(move || started.elapsed()), planted, degraded)
    }

    /// The same with clocks that a test sets.
    #[cfg(any(test, feature = "conformance"))]
    pub fn of_tests(monotonic: Monotonic, planted: Planted, degraded: bool) -> Self {
        Self::reading(own_sql!("clock_of_tests"), monotonic, planted, degraded)
    }

    fn reading(clock: &'static Statement, monotonic: Monotonic, planted: Planted, degraded: bool) -> Self {
        Self { clock, monotonic, planted, degraded, last: Mutex::new(None) }
    }

    /// The time now, for a query.
    pub fn now(&self, connection: &dyn Connection) -> SqlResult<Timestamp> {
        let row = self.row(connection)?;
        Ok(Timestamp::from_millis(row.clock + row.ahead).max(row.written.seen_at.unwrap_or_default()))
    }

    /// A coordinator serves now. Gives the time, and since when coordinators have served without a gap. Not within a
    /// transaction: what it writes holds for everybody at once, and is held by nobody.
    pub fn seen(&self, connection: &dyn Connection) -> SqlResult<(Timestamp, Timestamp)> {
        for _ in 0..TRIES {
            let after = self.process_time();
            let row = self.row(connection)?;
            let before = self.process_time();
            let at = row.clock + row.ahead;
            let right = self.right(at, after, before, row.written.seen_at);
            if right != at {
                // Read again, whoever has corrected it.
                connection.execute(own_sql!("clock_set_right"), params![row.ahead + right - at, row.ahead])?;
                tracing::debug!(by_ms = at - right, "the database's clock was set: the ledger's time goes on");
                continue;
            }
            let reading = Reading { at, after, before };
            let is_first = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(reading).is_none();
            let now = Timestamp::from_millis(at);
            let serving = row.written.seen(now);
            let is_news = serving.is_news(row.written);
            if self.degraded && (is_news || is_first) {
                connection.execute(own_sql!("degraded_note"), params![at])?;
            }
            if !is_news {
                return Ok((now, serving.since));
            }
            let values = params![serving.since.as_millis(), at, row.written.seen_at.map(Timestamp::as_millis)];
            if connection.execute(own_sql!("serving_write"), values)? > 0 || serving.since == row.written.since {
                return Ok((now, serving.since));
            }
        }
        Err(Fault::Store(StoreError::Unavailable("the database's clock does not come to rest".to_owned())))
    }

    /// What the ledger's time is, when the clock and the row make it `at`, read between two moments of this process.
    fn right(&self, at: i64, after: i64, before: i64, seen_at: Option<Timestamp>) -> i64 {
        if self.planted.has(Bug::WallClock) {
            return at;
        }
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = last else {
            // Just started: whatever the clock says, but never before what others have seen.
            return seen_at.map_or(at, |seen_at| at.max(seen_at.as_millis()));
        };
        let earliest = last.at + (after - last.before) - SLACK;
        let latest = last.at + (before - last.after) + SLACK;
        // By this time somebody else has served just now: it was this process that stood still, with its machine.
        let others = seen_at.is_some_and(|seen_at| (0..=HEARD_OF).contains(&(at - seen_at.as_millis())));
        if others || (earliest..=latest).contains(&at) { at } else { last.at + (before - last.before).max(0) }
    }

    fn row(&self, connection: &dyn Connection) -> SqlResult<Row> {
        connection.query_row(self.clock, &[], |row| {
            let seen_at: Option<i64> = row.get(2)?;
            let written =
                Serving { since: Timestamp::from_millis(row.get(1)?), seen_at: seen_at.map(Timestamp::from_millis) };
            Ok(Row { clock: row.get(0)?, written, ahead: row.get(3)? })
        })
    }

    /// Milliseconds.
    fn process_time(&self) -> i64 {
        i64::try_from((self.monotonic)().as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// One that has read `at` when the process's clock was between 100 and 110.
    fn time(at: i64) -> Time {
        let time = Time::of_tests(Box::new(Duration::default), Planted::default(), false);
        *time.last.lock().unwrap() = Some(Reading { at, after: 100, before: 110 });
        time
    }

    /// What becomes of `at`, read a second later, when somebody was last seen at `seen_at`.
    fn right(at: i64, seen_at: i64) -> i64 {
        time(HOUR).right(at, 1_100, 1_110, Some(Timestamp::from_millis(seen_at)))
    }

    #[test]
    fn a_clock_that_goes_on_is_believed() {
        for at in [HOUR + 600, HOUR + 1_000, HOUR + 1_400] {
            assert_eq!(right(at, HOUR), at);
        }
    }

    #[test]
    fn a_clock_that_was_set_is_corrected() {
        for at in [2 * HOUR, HOUR + 4_000, HOUR - 1, 0] {
            assert_eq!(right(at, HOUR), HOUR + 1_000, "{at}");
        }
    }

    #[test]
    fn a_process_that_stood_still_believes_the_others() {
        assert_eq!(right(3 * HOUR, 3 * HOUR - 900), 3 * HOUR);
    }

    #[test]
    fn a_process_that_starts_is_not_before_what_others_have_seen() {
        let time = Time::of_tests(Box::new(Duration::default), Planted::default(), false);
        assert_eq!(time.right(HOUR, 1, 2, None), HOUR);
        assert_eq!(time.right(HOUR, 1, 2, Some(Timestamp::from_millis(2 * HOUR))), 2 * HOUR);
    }
}
