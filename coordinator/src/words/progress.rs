//! How far a run is, in numbers that are worked out of what the coordinator counts.

use std::time::Duration;

use muster_proto::v1::Progress;

/// Records that were worked on and have come to an outcome.
pub fn settled(progress: &Progress) -> i64 {
    progress.loaded + progress.dead_letter + progress.gone
}

/// How many records there will be: known when listing is over, estimated from the pages before, else unknown.
pub fn total(progress: &Progress) -> Option<i64> {
    if progress.listing_closed {
        Some(progress.listed)
    } else if progress.pages_committed > 0 && progress.pages_total > 0 {
        Some(progress.listed.saturating_mul(progress.pages_total) / progress.pages_committed)
    } else {
        None
    }
}

/// Whole percent; 100 only when all is done.
pub fn share(settled: i64, total: i64) -> u8 {
    if total <= 0 || settled >= total {
        return if settled >= total { 100 } else { 0 };
    }
    u8::try_from(settled.max(0).saturating_mul(100) / total).unwrap_or(99)
}

/// How long the rest takes at this pace, if that can be told.
pub fn eta(progress: &Progress, per_second: f64) -> Option<Duration> {
    let rest = total(progress)? - settled(progress) - progress.unchanged;
    match rest {
        ..=0 => None,
        _ if per_second <= 0.01 => None,
        _ => Duration::try_from_secs_f64(rest as f64 / per_second).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_promised_before_it_is_known() {
        assert_eq!(total(&Progress::default()), None);
        assert_eq!(eta(&Progress::default(), 5.0), None);
        assert_eq!((share(0, 0), share(999, 1000), share(1000, 1000), share(0, 10)), (100, 99, 100, 0));
        let closed = Progress { listing_closed: true, listed: 100, loaded: 50, ..Progress::default() };
        assert_eq!(eta(&closed, 0.0), None);
        assert_eq!(eta(&closed, 10.0), Some(Duration::from_secs(5)));
    }
}
