//! How many requests a host gets from all processes together: one timetable for each host, on which each request has a
//! place of its own. It is the generic cell rate algorithm (ITU-T I.371), in advance: places are given out that lie ahead.

use std::time::Duration;

use muster_pipeline::Rate;

/// Places are so much farther apart than the rate says, as a part of it: requests are on their way for different times,
/// and of those that come late none must be too many in the next of a host's windows.
const LONGER: i64 = 40;
/// Places for so long are given out to one process at once.
const AT_ONCE: Duration = Duration::from_millis(250);
/// And no more than so many.
const MOST: i64 = 1_000;
/// However long an answer takes, no process needs to be told of places beyond this alone.
const MOST_LEAD: Duration = Duration::from_secs(10);

/// A rate as a timetable has it, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    apart: i64,
    saved: i64,
}

impl Pace {
    /// Of a pipeline's rate.
    pub fn of(rate: Rate) -> Self {
        let apart = nanos(rate.per) / i64::from(rate.requests.max(1));
        let apart = apart.saturating_add(apart / LONGER).max(1);
        Self { apart, saved: apart.saturating_mul(i64::from(rate.burst.saturating_sub(1))) }
    }

    /// Places for one process when so many have been given out that are still to come: the more, the fewer, so that every
    /// process gets some soon, and little is lost with one that dies. Who waits longer for an answer gets more with it.
    fn share(self, to_come: i64, lead: i64) -> i64 {
        let whole = (nanos(AT_ONCE).saturating_add(lead.saturating_mul(2)) / self.apart).clamp(1, MOST);
        (whole * whole / whole.saturating_add(to_come).max(1)).max(1)
    }
}

/// A wish that ends by no more than this, or a tenth, later than the one before is the same.
const SAME_WISH: Duration = Duration::from_millis(250);

/// What has been given out of a host's time, in nanoseconds on the ledger's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timetable {
    /// When all that may be saved up is there again, if nobody asks for more.
    pub full_at: i64,
    /// Until then the host wants to be left alone.
    pub closed_until: i64,
}

impl Timetable {
    /// Gives out up to `count` places, as times from `now` on, ascending, none sooner than `lead`.
    pub fn reserve(&mut self, pace: Pace, now: i64, lead: Duration, count: u32) -> Vec<Duration> {
        let lead = nanos(lead.min(MOST_LEAD));
        let soonest = now.saturating_add(lead);
        let earliest = soonest.max(self.closed_until);
        // A host that had too much to do gets no burst when it opens.
        let saved_by = if self.closed_until > soonest { earliest.saturating_add(pace.saved) } else { earliest };
        let base = self.full_at.max(saved_by);
        let to_come = base.saturating_sub(earliest) / pace.apart;
        let count = i64::from(count).min(pace.share(to_come, lead));
        self.full_at = base.saturating_add(pace.apart.saturating_mul(count));
        let first = base.saturating_sub(pace.saved);
        let place = |number: i64| first.saturating_add(pace.apart.saturating_mul(number)).max(earliest);
        let after = |number| Duration::from_nanos(u64::try_from(place(number).saturating_sub(now)).unwrap_or(0));
        (0..count).map(after).collect()
    }

    /// The host wants to be left alone for so long. Whether that is longer than it said before: many processes meet the same
    /// wish, each a little later than the one before.
    pub fn close(&mut self, now: i64, time: Duration) -> bool {
        let until = now.saturating_add(nanos(time));
        let same = nanos((time / 10).max(SAME_WISH));
        let is_news = self.closed_until <= now || until > self.closed_until.saturating_add(same);
        self.closed_until = self.closed_until.max(until);
        is_news
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000_000;
    const LEAD: Duration = Duration::from_millis(5);

    fn pace(requests: u32, burst: u32) -> Pace {
        Pace::of(Rate { requests, per: Duration::from_secs(1), burst })
    }

    fn ms(places: &[Duration]) -> Vec<u128> {
        places.iter().map(Duration::as_millis).collect()
    }

    #[test]
    fn places_follow_one_another_whoever_asks() {
        let mut table = Timetable::default();
        let pace = pace(100, 1);
        assert_eq!(pace.apart, 10_250_000);
        assert_eq!(ms(&table.reserve(pace, NOW, LEAD, 3)), [5, 15, 25]);
        assert_eq!(ms(&table.reserve(pace, NOW, LEAD, 2)), [35, 46]);
        // A second later nothing is left of the time that nobody wanted.
        let later = NOW + 1_000_000_000;
        assert_eq!(ms(&table.reserve(pace, later, LEAD, 2)), [5, 15]);
    }

    #[test]
    fn a_burst_is_saved_up_once() {
        let mut table = Timetable::default();
        let pace = pace(100, 3);
        assert_eq!(ms(&table.reserve(pace, NOW, LEAD, 5)), [5, 5, 5, 15, 25]);
        assert_eq!(ms(&table.reserve(pace, NOW, LEAD, 1)), [35]);
        let later = NOW + 10_000_000_000;
        assert_eq!(ms(&table.reserve(pace, later, LEAD, 4)), [5, 5, 5, 15]);
    }

    #[test]
    fn one_process_gets_the_places_of_a_moment_and_fewer_the_more_are_given_out() {
        let mut table = Timetable::default();
        let given: Vec<usize> = (0..8).map(|_| table.reserve(pace(200, 1), NOW, LEAD, 1_000).len()).collect();
        assert_eq!(given, [50, 25, 20, 17, 15, 14, 13, 12]);
        let mut slow = Timetable::default();
        let given: Vec<usize> = (0..4).map(|_| slow.reserve(pace(1, 1), NOW, LEAD, 1_000).len()).collect();
        assert_eq!(given, [1, 1, 1, 1]);
    }

    #[test]
    fn a_closed_host_gets_nothing_and_then_no_burst() {
        let mut table = Timetable::default();
        let pace = pace(100, 3);
        assert!(table.close(NOW, Duration::from_secs(3)));
        assert!(!table.close(NOW, Duration::from_secs(1)), "it said so before");
        assert_eq!(ms(&table.reserve(pace, NOW, LEAD, 3)), [3_000, 3_010, 3_020]);
        assert_eq!(ms(&table.reserve(pace, NOW + 2_000_000_000, LEAD, 1)), [1_030]);
    }

    #[test]
    fn nothing_overflows() {
        let mut table = Timetable { full_at: i64::MAX, closed_until: i64::MAX };
        let places = table.reserve(pace(1, u32::MAX), i64::MIN / 2, Duration::MAX, u32::MAX);
        assert!(!places.is_empty());
        let fast = Pace::of(Rate { requests: u32::MAX, per: Duration::from_nanos(1), burst: 1 });
        assert_eq!(Timetable::default().reserve(fast, NOW, LEAD, u32::MAX).len(), 1_000);
    }
}
