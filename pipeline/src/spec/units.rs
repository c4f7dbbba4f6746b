//! Durations, sizes and shares with their units: `3s`, `50ms`, `8MiB`, `1%`.

use std::time::{Duration, SystemTime};

const TIMES: [(&str, u64); 5] = [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// `3s`, `1.5s`, `50ms`; microseconds are the finest.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, &TIMES, "a duration such as 3s or 50ms (units: us, ms, s, m, h)").map(Duration::from_micros)
}

/// The shortest exact text of a duration.
pub(crate) fn write_duration(duration: Duration) -> String {
    write(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), &TIMES)
}

/// `512B`, `8MiB`; bytes after decompression.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let what = "a size such as 512KiB or 8MiB (units: B, KiB, MiB, GiB)";
    let bytes = parse(text, &SIZES, what)?;
    usize::try_from(bytes).map_err(|_| format!("{text} is more than this machine can address"))
}

/// The shortest exact text of a size.
pub(crate) fn write_size(bytes: usize) -> String {
    write(bytes as u64, &SIZES)
}

/// `1%` as 0.01.
pub(crate) fn parse_percent(text: &str) -> Result<f64, String> {
    text.strip_suffix('%')
        .and_then(|number| number.trim_end().parse::<f64>().ok())
        .filter(|number| (0.0..=100.0).contains(number))
        .map(|number| number / 100.0)
        .ok_or_else(|| format!("\"{text}\" is not a share from 0% to 100%, such as 1% or 0.5%"))
}

/// The inverse of [`parse_percent`], to six digits after the point.
pub(crate) fn write_percent(ratio: f64) -> String {
    format!("{}%", (ratio * 100.0 * 1e6).round() / 1e6)
}

const RATES: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];

/// `50/s`, `600/m`: how many in how much time.
pub(crate) fn parse_rate(text: &str) -> Result<(u32, Duration), String> {
    let wrong = || format!("\"{text}\" is not a rate such as 50/s or 600/m (units: s, m, h)");
    let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
    let requests =
        number.trim().parse().ok().filter(|requests| (1..=1_000_000).contains(requests)).ok_or_else(wrong)?;
    let (_, seconds) = RATES.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
    Ok((requests, Duration::from_secs(*seconds)))
}

/// The inverse of [`parse_rate`].
pub(crate) fn write_rate(requests: u32, per: Duration) -> String {
    let unit = RATES.iter().find(|(_, seconds)| *seconds == per.as_secs()).map_or("s", |(name, _)| name);
    format!("{requests}/{unit}")
}

/// Brings a time to its one form: RFC 3339 in UTC, with as many digits of the second as it has.
pub(crate) fn check_time(text: &str) -> Result<String, String> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| format!("\"{text}\" is not a time such as 2026-01-31T00:00:00Z (RFC 3339, with its zone)"))?;
    Ok(time.to_string())
}

/// A time in that form, in whole seconds, of which the last one that had begun: not every API reads fractions, and earlier
/// is safer where something is listed from then on.
pub(crate) fn write_time(time: SystemTime) -> String {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds - 1),
    };
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

fn parse(text: &str, units: &[(&str, u64)], what: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is not {what}");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
    let scale = u32::try_from(fraction.len()).ok().and_then(|places| 10_u128.checked_pow(places)).ok_or_else(wrong)?;
    let scaled = digits.checked_mul(u128::from(*factor)).ok_or_else(wrong)?;
    // A fraction finer than the smallest unit is a slip, not a wish.
    if whole.is_empty() || scaled % scale != 0 {
        return Err(wrong());
    }
    u64::try_from(scaled / scale).map_err(|_| wrong())
}

fn write(value: u64, units: &[(&str, u64)]) -> String {
    let whole = |(_, factor): &&(&str, u64)| value != 0 && value.is_multiple_of(*factor);
    let (name, factor) = units.iter().rev().find(whole).unwrap_or(&units[0]);
    format!("{}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_exactly() {
        for (text, micros, back) in [
            ("3s", 3_000_000, "3s"),
            ("1.5s", 1_500_000, "1500ms"),
            ("50ms", 50_000, "50ms"),
            ("0.25ms", 250, "250us"),
            ("120s", 120_000_000, "2m"),
            ("1 h", 3_600_000_000, "1h"),
            ("0s", 0, "0us"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_micros(micros), "{text}");
            assert_eq!(write_duration(duration), back);
            assert_eq!(parse_duration(back).unwrap(), duration);
        }
        for text in ["", "3", "s", "3 sec", "-3s", "1.2.3s", "0.0000001s", "99999999999999999h", ".5s", "1.s.5"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_and_times_have_one_form() {
        for text in ["50/s", "600/m", "1/h"] {
            let (requests, per) = parse_rate(text).unwrap();
            assert_eq!(write_rate(requests, per), text);
        }
        for text in ["50", "50/d", "0/s", "-1/s", "1.5/s", "/s"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert_eq!(check_time("2026-01-31T01:00:00.250+01:00").unwrap(), "2026-01-31T00:00:00.25Z");
        let at = |millis| write_time(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!((at(1_769_817_600_999).as_str(), at(0).as_str()), ("2026-01-31T00:00:00Z", "1970-01-01T00:00:00Z"));
        assert_eq!(write_time(SystemTime::UNIX_EPOCH - Duration::from_millis(1500)), "1969-12-31T23:59:58Z");
        for text in ["", "2026-01-31", "yesterday", "2026-01-31T00:00:00", "2026-02-31T00:00:00Z"] {
            assert!(check_time(text).unwrap_err().contains("RFC 3339"), "{text}");
        }
    }

    #[test]
    fn sizes_and_shares_too() {
        assert_eq!(parse_size("8MiB").unwrap(), 8 << 20);
        assert_eq!(parse_size("0.25KiB").unwrap(), 256);
        assert!(parse_size("0.55KiB").is_err());
        assert_eq!(write_size(8 << 20), "8MiB");
        assert_eq!(write_size(1536), "1536B");
        assert!(parse_size("8MB").unwrap_err().contains("KiB"));
        for (text, ratio) in [("1%", 0.01), ("0.5%", 0.005), ("100%", 1.0), ("7%", 0.07)] {
            assert_eq!(parse_percent(text).unwrap(), ratio);
            assert_eq!(write_percent(ratio), text);
        }
        for text in ["1", "101%", "-1%", "NaN%", "%"] {
            assert!(parse_percent(text).is_err(), "{text}");
        }
    }
}
