//! Numbers, durations and times for people.

use std::time::Duration;

/// `1234567` as `1,234,567`.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `2 records`.
pub fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `512 B`, `3.4 MiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, unit)| number >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", number / unit, number % unit * 10 / unit),
        None => format!("{number} B"),
    }
}

/// `0.4 s`, `12.3 s`, `2 m 05 s`, `3 h 02 m`, `5 d 03 h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A duration that is only estimated, in whole seconds, rounded up: `12 s`, `2 m 05 s`.
pub fn whole_seconds(time: Duration) -> String {
    let up = Duration::from_secs(time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)));
    if up.as_secs() < 60 { format!("{} s", up.as_secs()) } else { duration(up) }
}

/// A duration off the wire; a negative one, which no honest coordinator sends, counts as none.
pub fn from_wire(time: Option<&prost_types::Duration>) -> Duration {
    time.and_then(|time| Duration::try_from(*time).ok()).unwrap_or_default()
}

/// Seconds for machines, to the millisecond.
pub fn seconds(time: Duration) -> f64 {
    // Through whole milliseconds: their quotient prints as short as it is.
    time.as_millis() as f64 / 1000.0
}

/// Records per second: `1,234/s`, below ten `3.4/s`.
pub fn rate(per_second: f64) -> String {
    if per_second < 9.95 {
        return format!("{per_second:.1}/s");
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounded, and `as` saturates")]
    let whole = per_second.round() as i64;
    format!("{}/s", count(whole))
}

/// `2026-01-31 08:23:45Z`, or a dash when the time is unset.
pub fn moment(time: Option<&prost_types::Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{}Z", rfc3339_to(time, 19).replace('T', " ")))
}

/// `08:23:45.123Z`: within one story, where the day hardly matters.
pub fn time_of_day(time: Option<&prost_types::Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{}Z", &rfc3339_to(time, 23)[11..]))
}

/// The first `length` characters of `2026-01-31T08:23:45.123000`.
fn rfc3339_to(time: &prost_types::Timestamp, length: usize) -> String {
    let whole = prost_types::Timestamp { seconds: time.seconds, nanos: 0 }.to_string();
    let second = whole.trim_end_matches('Z');
    let mut text = format!("{second}.{:09}", time.nanos.max(0));
    text.truncate(length.min(text.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        let table = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (-1234, "-1,234")];
        for (number, text) in table {
            assert_eq!(count(number), text);
        }
        assert_eq!(counted(1, "record", "records"), "1 record");
        assert_eq!(counted(2000, "record", "records"), "2,000 records");
    }

    #[test]
    fn bytes_have_a_unit() {
        let table = [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (3 << 20, "3.0 MiB"), (5 << 30, "5.0 GiB")];
        for (number, text) in table {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn durations_are_short() {
        let table = [
            (Duration::from_millis(449), "0.4 s"),
            (Duration::from_millis(59_999), "59.9 s"),
            (Duration::from_secs(65), "1 m 05 s"),
            (Duration::from_secs(7320), "2 h 02 m"),
            (Duration::from_secs(86_400 * 5 + 3 * 3600), "5 d 03 h"),
        ];
        for (time, text) in table {
            assert_eq!(duration(time), text);
        }
        assert_eq!(whole_seconds(Duration::from_millis(11_001)), "12 s");
        assert_eq!(whole_seconds(Duration::from_millis(59_001)), "1 m 00 s");
    }

    #[test]
    fn rates_have_a_decimal_when_small() {
        assert_eq!(rate(0.0), "0.0/s");
        assert_eq!(rate(9.94), "9.9/s");
        assert_eq!(rate(9.96), "10/s");
        assert_eq!(rate(1234.4), "1,234/s");
    }

    #[test]
    fn times_are_utc() {
        let time = prost_types::Timestamp { seconds: 1_444_102_907, nanos: 778_000_000 };
        assert_eq!(moment(Some(&time)), "2015-10-06 03:41:47Z");
        assert_eq!(time_of_day(Some(&time)), "03:41:47.778Z");
        assert_eq!(moment(None), "-");
        assert_eq!(from_wire(Some(&prost_types::Duration { seconds: -1, nanos: 0 })), Duration::ZERO);
    }
}
