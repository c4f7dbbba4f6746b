//! Writing jaq's values as strict, compact JSON. jaq's own writer may write what is no JSON.

use std::io::Write as _;

use jaq_json::{Num, Val};

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
        Val::Num(Num::Dec(digits)) => json.extend_from_slice(digits.as_bytes()),
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

fn text(json: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the output holds a text that is not UTF-8".to_owned())?;
    serde_json::to_writer(json, text).map_err(|error| error.to_string())
}
