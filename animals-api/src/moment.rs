//! Moments as ISO 8601, written and read without a calendar library: one format out, the usual variants in.

use std::fmt::Write as _;

const DAY: i64 = 86_400;

/// A moment that was read from ISO 8601 text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since 1970-01-01T00:00:00Z; negative before.
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
    /// Written as UTC (`Z` or a zero offset), not as local time or with another offset.
    pub(crate) utc: bool,
}

impl Moment {
    /// Reads `YYYY-MM-DD` `T` or a space `HH:MM[:SS[.fraction]]` and `Z`, `±HH:MM`, `±HHMM`, `±HH` or nothing.
    pub(crate) fn parse(text: &str) -> Option<Moment> {
        let mut rest = Reader(text.as_bytes());
        let year = i64::from(rest.digits(4)?);
        rest.skip(b"-")?;
        let month = rest.digits(2)?;
        rest.skip(b"-")?;
        let day = rest.digits(2)?;
        rest.skip(b"Tt ")?;
        let hour = rest.digits(2)?;
        rest.skip(b":")?;
        let minute = rest.digits(2)?;
        let (mut second, mut nanos) = (0, 0);
        if rest.skip(b":").is_some() {
            second = rest.digits(2)?;
            if rest.skip(b".,").is_some() {
                nanos = rest.fraction()?;
            }
        }
        let offset = rest.offset()?;
        let real = (1..=12).contains(&month) && day >= 1 && day <= days_of(year, month);
        if !real || hour > 23 || minute > 59 || second > 59 || !rest.0.is_empty() {
            return None;
        }
        let of_day = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        let seconds = days_from_civil(year, month, day) * DAY + of_day - offset.unwrap_or(0);
        Some(Moment { seconds, nanos, utc: offset == Some(0) })
    }

    /// Whether this is exactly that epoch millisecond, said in UTC.
    /// Milliseconds since 1970, those that had begun.
    pub(crate) fn millis(self) -> i64 {
        self.seconds.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
    }

    pub(crate) fn is_utc_millis(self, millis: i64) -> bool {
        self.utc
            && self.seconds == millis.div_euclid(1000)
            && i64::from(self.nanos) == millis.rem_euclid(1000) * 1_000_000
    }
}

/// Epoch milliseconds as `2015-10-06T03:41:47.778Z`: always three digits of fraction.
pub(crate) fn iso8601(millis: i64) -> String {
    let (seconds, fraction) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    let (days, of_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let mut text = String::with_capacity(24);
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z");
    text
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (head, tail) = self.0.split_at_checked(count)?;
        let mut number = 0;
        for digit in head {
            number = number * 10 + char::from(*digit).to_digit(10)?;
        }
        self.0 = tail;
        Some(number)
    }

    fn skip(&mut self, any_of: &[u8]) -> Option<u8> {
        let (first, tail) = self.0.split_first()?;
        any_of.contains(first).then(|| {
            self.0 = tail;
            *first
        })
    }

    /// One to nine digits, as nanoseconds.
    fn fraction(&mut self) -> Option<u32> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&count) {
            return None;
        }
        let scale = (count..9).fold(1, |scale, _| scale * 10);
        Some(self.digits(count)? * scale)
    }

    /// Seconds east of UTC; `Some(None)` when the text names no zone.
    fn offset(&mut self) -> Option<Option<i64>> {
        let Some(sign) = self.skip(b"Zz+-") else { return Some(None) };
        if sign.eq_ignore_ascii_case(&b'Z') {
            return Some(Some(0));
        }
        let hours = i64::from(self.digits(2)?);
        let minutes = if self.0.is_empty() {
            0
        } else {
            self.skip(b":");
            i64::from(self.digits(2)?)
        };
        let east = hours * 3600 + minutes * 60;
        (hours < 24 && minutes < 60).then_some(Some(if sign == b'-' { -east } else { east }))
    }
}

fn days_of(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March, so
/// that the leap day is the last of its year.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_known_moments() {
        assert_eq!(iso8601(1_444_102_907_778), "2015-10-06T03:41:47.778Z");
        assert_eq!(iso8601(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso8601(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(iso8601(951_782_400_000), "2000-02-29T00:00:00.000Z");
    }

    #[test]
    fn reads_back_what_it_writes() {
        for step in -3_000..3_000_i64 {
            let millis = step * 999_999_937;
            let moment = Moment::parse(&iso8601(millis)).expect("own text");
            assert!(moment.is_utc_millis(millis), "{millis}");
        }
    }

    #[test]
    fn reads_the_variants_of_one_moment() {
        let same = ["2015-10-06T03:41:47.778Z", "2015-10-06 03:41:47.778000+00:00", "2015-10-06T03:41:47.778+0000"];
        assert!(same.iter().all(|text| Moment::parse(text).expect(text).is_utc_millis(1_444_102_907_778)));
        let elsewhere = Moment::parse("2015-10-06T05:41:47.778+02:00").expect("an offset");
        assert_eq!((elsewhere.seconds, elsewhere.utc), (1_444_102_907, false));
        assert!(!Moment::parse("2015-10-06T03:41:47.778").expect("no zone").utc);
        assert!(!Moment::parse("2015-10-06T03:41:47Z").expect("no fraction").is_utc_millis(1_444_102_907_778));
    }

    #[test]
    fn refuses_what_is_no_moment() {
        for text in ["", "2015", "1444102907778", "2015-13-01T00:00:00Z", "2015-02-29T00:00:00Z", "2015-10-06T24:00Z"] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
        assert_eq!(Moment::parse("2015-10-06T03:41:47.778Zulu"), None);
        assert_eq!(Moment::parse("2015-10-06T03:41:47.Z"), None);
    }
}
