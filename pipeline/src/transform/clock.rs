//! `todate_ms`: epoch milliseconds to ISO 8601 in UTC, exact to the microsecond.
//!
//! jq's own clock counts seconds in floating point, which turns 1444102907.778 into …777999.

use jaq_core::{Error, ValR};
use jaq_json::Val;
use jaq_std::ValT;

/// The first microsecond of the year 0 and the first after the year 9999: what four digits of a year can say.
const FIRST: i64 = -62_167_219_200_000_000;
const PAST: i64 = 253_402_300_800_000_000;

const DAY: i64 = 86_400_000_000;

/// The text of a number of milliseconds since 1970: `2015-10-06T03:41:47.778Z`; six digits where it has a fraction.
pub(super) fn iso8601_of(millis: &Val) -> ValR<Val> {
    let micros =
        match millis.as_isize() {
            Some(millis) => i64::try_from(millis).ok().and_then(|millis| millis.checked_mul(1000)),
            None => micros_of(millis.as_f64().ok_or_else(|| {
                Error::str(format!("todate_ms needs a number of milliseconds since 1970, not {millis}"))
            })?),
        };
    let micros = micros
        .filter(|micros| (FIRST..PAST).contains(micros))
        .ok_or_else(|| Error::str(format!("{millis} milliseconds since 1970 are not in the years 0 to 9999")))?;
    Ok(Val::from(iso8601(micros)))
}

fn micros_of(millis: f64) -> Option<i64> {
    let micros = (millis * 1000.0).round();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "between FIRST and PAST a whole number of microseconds fits an i64"
    )]
    (micros >= FIRST as f64 && micros < PAST as f64).then_some(micros as i64)
}

fn iso8601(micros: i64) -> String {
    let (days, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (second, micro) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = if micro % 1000 == 0 { (micro / 1000, 3) } else { (micro, 6) };
    let mut text = String::with_capacity(27);
    for (number, digits, after) in [
        (year, 4, "-"),
        (month, 2, "-"),
        (day, 2, "T"),
        (hour, 2, ":"),
        (minute, 2, ":"),
        (second, 2, "."),
        (fraction.0, fraction.1, "Z"),
    ] {
        push(&mut text, number, digits);
        text.push_str(after);
    }
    text
}

fn push(text: &mut String, number: i64, digits: u32) {
    for at in (0..digits).rev() {
        let digit = number / 10_i64.pow(at) % 10;
        text.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
    }
}

/// Year, month and day of a number of days since 1970-01-01, proleptic Gregorian.
///
/// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
