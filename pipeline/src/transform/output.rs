//! Writing jaq's values as strict, compact JSON. jaq's own writer may write what is no JSON.

use std::borrow::Cow;
use std::io::Write as _;

use jaq_json::{Num, Val};
use serde_json::value::RawValue;

/// The deepest nesting of an output: what serde_json reads back.
const MAX_DEPTH: usize = 127;
/// The largest output, in bytes: values may share parts in memory that they repeat in text.
const MAX_BYTES: usize = 8 << 20;

/// Appends a value; keys stay in the order in which the transform made them, numbers keep their digits.
pub(super) fn write(json: &mut Vec<u8>, value: &Val) -> Result<(), String> {
    write_at(json, value, 0)
}

/// The same for a value that stands this deep in the output.
pub(super) fn write_at(json: &mut Vec<u8>, value: &Val, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("the output is nested deeper than {MAX_DEPTH} levels"));
    }
    if json.len() > MAX_BYTES {
        return Err(format!("the output is larger than {} MiB", MAX_BYTES >> 20));
    }
    match value {
        Val::Null => json.extend_from_slice(b"null"),
        Val::Bool(true) => json.extend_from_slice(b"true"),
        Val::Bool(false) => json.extend_from_slice(b"false"),
        Val::Num(Num::Float(number)) if !number.is_finite() => {
            return Err(format!("the output holds {number}, which JSON cannot carry"));
        }
        Val::Num(Num::Int(number)) => serde_json::to_writer(json, number).map_err(|error| error.to_string())?,
        Val::Num(Num::Dec(digits)) => json.extend_from_slice(strict(digits)?.as_bytes()),
        Val::Num(number) => write!(json, "{number}").map_err(|error| error.to_string())?,
        Val::TStr(bytes) => text(json, bytes)?,
        Val::BStr(_) => return Err("the output holds bytes, which JSON cannot carry".to_owned()),
        Val::Arr(items) => {
            json.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write_at(json, item, depth + 1)?;
            }
            json.push(b']');
        }
        Val::Obj(entries) => {
            json.push(b'{');
            for (index, (key, item)) in entries.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                match key {
                    Val::TStr(bytes) => text(json, bytes)?,
                    _ => return Err(format!("the output has the key {key}, but a key of JSON must be a text")),
                }
                json.push(b':');
                write_at(json, item, depth + 1)?;
            }
            json.push(b'}');
        }
    }
    Ok(())
}

/// The digits of a number as JSON has them: jq also reads a plus before them, which it leaves there when it negates them, and zeros
/// that count for nothing.
fn strict(digits: &str) -> Result<Cow<'_, str>, String> {
    let is_json = |digits: &str| serde_json::from_str::<&RawValue>(digits).is_ok();
    if is_json(digits) {
        return Ok(digits.into());
    }
    let (sign, rest) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let rest = rest.strip_prefix('+').unwrap_or(rest);
    let cut = rest.trim_start_matches('0');
    let zero = if cut.starts_with(|first: char| first.is_ascii_digit()) { "" } else { "0" };
    let number = [sign, zero, cut].concat();
    if rest.starts_with(|first: char| first.is_ascii_digit()) && is_json(&number) {
        Ok(number.into())
    } else {
        Err(format!("the output holds {digits}, which is no number of JSON"))
    }
}

fn text(json: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the output holds a text that is not UTF-8".to_owned())?;
    serde_json::to_writer(json, text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_kept_as_far_as_json_has_them() {
        for (said, written) in [
            ("1.50", "1.50"),
            ("-0.0", "-0.0"),
            ("1e1000", "1e1000"),
            ("+1.50", "1.50"),
            ("-+1.50", "-1.50"),
            ("007.50", "7.50"),
            ("-00.5", "-0.5"),
            ("00", "0"),
            ("+0e7", "0e7"),
        ] {
            assert_eq!(strict(said).as_deref(), Ok(written));
        }
        for wrong in ["", "+", "1.", "1e", "--1", "-+", "+-1.5", "nan"] {
            assert!(strict(wrong).is_err(), "{wrong}");
        }
    }
}
