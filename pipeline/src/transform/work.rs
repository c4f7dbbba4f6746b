//! What one record may cost: steps of work, counted in all that can loop, grow or nest.
//!
//! [`super::guard`] puts the functions of this module where a program takes such a step. They give what they get, also in
//! paths and updates, and no program can spell them.

use std::cell::Cell;

use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Error, Exn, Native};
use jaq_json::{Rc, Val};

use super::Data;
use super::functions::MAX_TEXT;

/// The work of one record, in steps: about one value looked at each, ten for one given out.
const MAX_WORK: u64 = 10_000_000;
/// The deepest nesting of a value that a program makes: somewhat more than the 127 of records and outputs.
const MAX_DEPTH: usize = 150;
/// The most updates in one another that a fold on the left of an update may make.
const MAX_UPDATES: u32 = 200;
/// The deepest nesting of a text that `fromjson` reads: that of records.
const MAX_JSON_DEPTH: usize = 127;
/// What it costs to give out one value.
const GIVEN: u64 = 10;

/// One turn of whatever may be repeated.
pub(super) const STEP: &str = "!step";
/// Before `.[]` and what runs through all of its input.
pub(super) const EACH: &str = "!each";
/// Before `..`.
pub(super) const TREE: &str = "!tree";
/// Before what compares the parts of its input with one another.
pub(super) const SORT: &str = "!sort";
/// Before a regular expression, which may make much of each byte of a text.
pub(super) const REGEX: &str = "!regex";
/// After what makes the pattern of a regular expression.
pub(super) const PATTERN: &str = "!pattern";
/// After what makes a new value.
pub(super) const MADE: &str = "!made";
/// After what makes a key to look up.
pub(super) const KEY: &str = "!key";
/// After what makes a key to sort by.
pub(super) const SORT_KEY: &str = "!sortkey";
/// At the start of `catch`: what the message cost to write.
pub(super) const MESSAGE: &str = "!message";
/// After each step of a fold.
pub(super) const FOLD: &str = "!fold";
/// Before what compares each part of its input with each of its argument.
pub(super) const PAIRS: &str = "!pairs";
/// `tostring`.
pub(super) const TO_TEXT: &str = "!totext";

thread_local! {
    // A transform runs from start to end on one thread, so its work can be counted without touching jaq's values.
    static WORK: Cell<u64> = const { Cell::new(0) };
    static UPDATES: Cell<u32> = const { Cell::new(0) };
}

pub(super) fn start_record() {
    WORK.set(0);
    UPDATES.set(0);
}

/// The work of this record so far.
#[cfg(test)]
pub(super) fn spent() -> u64 {
    WORK.get()
}

/// Whether the record stayed within its work, even where the program caught the error.
pub(super) fn check_record() -> Result<(), String> {
    if WORK.get() > MAX_WORK { Err(too_much()) } else { Ok(()) }
}

fn too_much() -> String {
    format!("the transform took more than {MAX_WORK} steps for one record")
}

type Spent = Result<(), Error<Val>>;

/// Counts steps.
pub(super) fn spend(steps: u64) -> Spent {
    let work = WORK.get().saturating_add(steps);
    WORK.set(work);
    if work > MAX_WORK { Err(Error::str(too_much())) } else { Ok(()) }
}

/// Looks at all of a value, as often as its parts stand in it, and refuses one that is nested too deep.
pub(super) fn look(value: &Val) -> Spent {
    look_at(value, 0)
}

fn look_at(value: &Val, depth: usize) -> Spent {
    if depth > MAX_DEPTH {
        return Err(Error::str(format!("the transform made a value that is nested deeper than {MAX_DEPTH} levels")));
    }
    match value {
        Val::Arr(items) => {
            spend(1)?;
            items.iter().try_for_each(|item| look_at(item, depth + 1))
        }
        Val::Obj(entries) => {
            spend(1)?;
            entries.iter().try_for_each(|(key, item)| {
                look_at(key, depth + 1)?;
                look_at(item, depth + 1)
            })
        }
        Val::TStr(text) | Val::BStr(text) => spend(1 + text.len() as u64 / 16),
        Val::Null | Val::Bool(_) | Val::Num(_) => spend(1),
    }
}

/// Looks at all of a value and says how many steps that took.
fn looked(value: &Val) -> Result<u64, Error<Val>> {
    let before = WORK.get();
    look(value)?;
    Ok(WORK.get() - before)
}

/// How many entries a value has, or bytes.
pub(super) fn len(value: &Val) -> u64 {
    let len = match value {
        Val::Arr(items) => items.len(),
        Val::Obj(entries) => entries.len(),
        Val::TStr(text) | Val::BStr(text) => text.len(),
        Val::Null | Val::Bool(_) | Val::Num(_) => 0,
    };
    len as u64
}

fn each(value: &Val) -> Spent {
    let steps = match value {
        Val::TStr(_) | Val::BStr(_) => len(value) / 4,
        _ => GIVEN * len(value),
    };
    spend(GIVEN + steps)
}

pub(super) fn made(value: &Val) -> Spent {
    match value {
        Val::TStr(text) | Val::BStr(text) if text.len() > MAX_TEXT => Err(too_long()),
        Val::TStr(text) | Val::BStr(text) => spend(1 + text.len() as u64 / 8),
        _ => look(value),
    }
}

fn too_long() -> Error<Val> {
    Error::str(format!("this would make too large a text, of more than {} MiB", MAX_TEXT >> 20))
}

fn key(value: &Val) -> Spent {
    match value {
        // An array looks for the places of another one in itself.
        Val::Arr(_) => {
            let steps = looked(value)?;
            spend(steps.saturating_mul(1 << 16))
        }
        Val::TStr(text) | Val::BStr(text) => spend(text.len() as u64 / 4),
        Val::Obj(_) => look(value),
        Val::Null | Val::Bool(_) | Val::Num(_) => Ok(()),
    }
}

/// Sorting looks at each part about as often as their number has bits.
fn sort(value: &Val) -> Spent {
    let steps = looked(value)?;
    spend(steps * u64::from(len(value).max(1).ilog2()))
}

/// About how large a regular expression becomes when its repetitions are written out.
fn pattern_size(pattern: &[u8]) -> u64 {
    let (mut outer, mut size, mut last) = (Vec::new(), 0_u64, 0_u64);
    let mut bytes = pattern.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'(' => outer.push(std::mem::take(&mut size)),
            b')' => {
                last = size;
                size = size.saturating_add(outer.pop().unwrap_or(0));
            }
            b'{' => {
                let (mut most, mut number) = (1_u64, 0_u64);
                while let Some(byte) = bytes.next().filter(|byte| *byte != b'}') {
                    let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
                    number = digit.map_or(0, |digit| number.saturating_mul(10).saturating_add(digit));
                    most = most.max(number);
                }
                last = last.saturating_mul(most);
                size = size.saturating_add(last);
            }
            b'\\' => {
                // A class of letters is large by itself.
                last = if matches!(bytes.next(), Some(b'w' | b'W' | b'p' | b'P' | b'b' | b'B')) { 32 } else { 4 };
                size = size.saturating_add(last);
            }
            _ => {
                last = 1;
                size = size.saturating_add(1);
            }
        }
    }
    outer.into_iter().fold(size, u64::saturating_add)
}

/// Two values that are to be compared.
pub(super) fn compare(left: &Val, right: &Val) -> Spent {
    match (left, right) {
        (Val::Arr(_), Val::Arr(_)) | (Val::Obj(_), Val::Obj(_)) => {
            look(if len(left) < len(right) { left } else { right })
        }
        (Val::TStr(_), Val::TStr(_)) => spend(len(left).min(len(right)) / 16),
        _ => Ok(()),
    }
}

fn pairs(value: &Val, with: &Val) -> Spent {
    let (left, right) = match (value, with) {
        (Val::TStr(_), Val::TStr(_)) => (len(value), 1 + len(with) / 16),
        _ => (looked(value)?, looked(with)?),
    };
    spend(left.saturating_mul(right))
}

/// A value's text, like jaq's `tojson`.
pub(super) fn json(value: &Val) -> Result<Val, Error<Val>> {
    fits_text(value, &mut 0)?;
    look(value)?;
    let text = value.to_string();
    if text.len() > MAX_TEXT {
        return Err(too_long());
    }
    spend(text.len() as u64 / 8)?;
    Ok(Val::from(text))
}

/// Whether a value can be written within the longest text.
fn fits_text(value: &Val, bytes: &mut usize) -> Spent {
    *bytes += 1;
    match value {
        Val::TStr(text) | Val::BStr(text) => *bytes += text.len(),
        _ => {}
    }
    if *bytes > MAX_TEXT {
        return Err(too_long());
    }
    match value {
        Val::Arr(items) => items.iter().try_for_each(|item| fits_text(item, bytes)),
        Val::Obj(entries) => entries.iter().try_for_each(|(key, item)| {
            fits_text(key, bytes)?;
            fits_text(item, bytes)
        }),
        _ => Ok(()),
    }
}

/// Refuses JSON that would take too deep a recursion, or too much time, to read.
pub(super) fn readable(json: &[u8]) -> Spent {
    spend(GIVEN + json.len() as u64)?;
    let (mut depth, mut digits) = (0_usize, 0_u64);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        if byte.is_ascii_digit() {
            // Reading a long number takes the square of its length.
            digits += 1;
            spend(digits / 128)?;
            continue;
        }
        digits = 0;
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            // jaq takes comments.
            b'#' => drop(bytes.by_ref().find(|byte| **byte == b'\n')),
            b'"' => {
                while let Some(byte) = bytes.next().filter(|byte| **byte != b'"') {
                    if *byte == b'\\' {
                        bytes.next();
                    }
                }
            }
            _ => {}
        }
        if depth > MAX_JSON_DEPTH {
            return Err(Error::str(format!("fromjson: this text is nested deeper than {MAX_JSON_DEPTH} levels")));
        }
    }
    Ok(())
}

/// A function that gives what it gets, having counted it.
macro_rules! counting {
    ($name:expr, $count:expr) => {
        (
            $name,
            v(0),
            Native::new(|cv| bome($count(&cv.1).map(|()| cv.1)))
                .with_paths(|cv| {
                    Box::new(std::iter::once(match $count(&cv.1.0) {
                        Ok(()) => Ok(cv.1),
                        Err(error) => Err(Exn::from(error)),
                    }))
                })
                .with_update(|cv, update| match $count(&cv.1) {
                    Ok(()) => update(cv.1),
                    Err(error) => bome(Err(error)),
                }),
        )
    };
}

/// All functions of this module.
pub(super) fn all() -> [Fun<Data>; 13] {
    [
        counting!(STEP, |_: &Val| spend(GIVEN)),
        counting!(EACH, each),
        counting!(TREE, |value: &Val| {
            let steps = looked(value)?;
            spend(steps * GIVEN)
        }),
        counting!(SORT, sort),
        counting!(REGEX, |value: &Val| spend(100 + 2 * len(value) + len(value).pow(2) / (1 << 17))),
        counting!(PATTERN, |value: &Val| match value {
            Val::TStr(text) => spend(pattern_size(text).saturating_mul(2)),
            _ => Ok(()),
        }),
        counting!(MADE, made),
        counting!(KEY, key),
        counting!(SORT_KEY, |value: &Val| {
            let steps = looked(value)?;
            spend(16 * steps)
        }),
        counting!(MESSAGE, |value: &Val| match value {
            Val::TStr(text) => spend(text.len() as u64),
            _ => spend(GIVEN),
        }),
        (
            FOLD,
            v(0),
            Native::new(|cv| bome(Ok(cv.1))).with_paths(|cv| Box::new(std::iter::once(Ok(cv.1)))).with_update(
                |cv, update| {
                    let within = UPDATES.get();
                    if within >= MAX_UPDATES {
                        return bome(Err(Error::str(format!(
                            "an update goes deeper than {MAX_UPDATES} levels of a path"
                        ))));
                    }
                    UPDATES.set(within + 1);
                    let made: Vec<_> = update(cv.1).collect();
                    UPDATES.set(within);
                    Box::new(made.into_iter())
                },
            ),
        ),
        (
            PAIRS,
            v(1),
            Native::new(|mut cv| {
                let with = cv.0.pop_var();
                bome(pairs(&cv.1, &with).map(|()| cv.1))
            })
            // A function of the program that bears the name of one of jq's may be a path.
            .with_paths(|cv| Box::new(std::iter::once(Ok(cv.1))))
            .with_update(|cv, update| update(cv.1)),
        ),
        run((TO_TEXT, v(0), |cv| {
            bome(match cv.1 {
                Val::TStr(text) | Val::BStr(text) => Ok(Val::TStr(text)),
                other => json(&other),
            })
        })),
    ]
}

/// What it costs to have a value to append to: nothing where nobody else has it.
pub(super) fn copy_cost_if_shared(value: &Val) -> u64 {
    let shared = match value {
        Val::Arr(items) => Rc::strong_count(items) > 1,
        Val::Obj(entries) => Rc::strong_count(entries) > 1,
        Val::TStr(text) => !text.is_unique(),
        _ => false,
    };
    if shared { copy_cost(value) } else { 0 }
}

/// What it costs to copy a value in order to append to it.
pub(super) fn copy_cost(value: &Val) -> u64 {
    match value {
        Val::Arr(_) => len(value),
        Val::Obj(_) => 4 * len(value),
        Val::TStr(_) => len(value) / 8,
        _ => 0,
    }
}
