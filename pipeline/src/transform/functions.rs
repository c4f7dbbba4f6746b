//! The functions behind a transform: jaq's own, with bounds where a value could grow without a loop.

use std::cell::Cell;

use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Error, ValR};
use jaq_json::{Num, Val};

use super::work::{compare, copy_cost_if_shared, json, len, look, readable, spend};
use super::{Data, clock, places, work};

/// The steps of all `range`s together that one record may take.
const MAX_STEPS: u32 = 100_000;
/// The longest text, in bytes, that a transform may make.
pub(super) const MAX_TEXT: usize = 4 << 20;
/// The largest array or object, in entries, that `+` and `*` may make.
const MAX_ENTRIES: usize = 1 << 20;
/// The largest whole number, in bits, that `*` may make.
const MAX_BITS: u64 = 4096;

/// The functions that `+` and `*` become ([`super::guard`]); no program can spell them.
pub(super) const ADD: &str = "!add";
pub(super) const MULTIPLY: &str = "!multiply";
/// The same for `-`, `/` and comparisons, whose time is bounded.
pub(super) const SUBTRACT: &str = "!subtract";
pub(super) const DIVIDE: &str = "!divide";
pub(super) const COMPARE: [&str; 6] = ["!<", "!<=", "!>", "!>=", "!==", "!!="];

thread_local! {
    // A transform runs from start to end on one thread, so its steps can be counted without touching jaq's values.
    static STEPS: Cell<u32> = const { Cell::new(0) };
}

/// Begins to count for a new record.
pub(super) fn start_record() {
    STEPS.set(0);
    work::start_record();
}

/// Whether the record stayed within its steps, even where the program caught the error.
pub(super) fn check_record() -> Result<(), String> {
    if STEPS.get() > MAX_STEPS { Err(too_many_steps()) } else { work::check_record() }
}

fn too_many_steps() -> String {
    format!("range took more than {MAX_STEPS} steps for one record")
}

/// All native functions.
pub(super) fn all() -> impl Iterator<Item = Fun<Data>> {
    let natives = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let natives = natives
        .filter(|(name, arguments, _)| !matches!((*name, arguments.len()), ("range", 3) | ("fromjson" | "tojson", 0)));
    natives.chain(own()).chain(comparisons()).chain(work::all())
}

fn own() -> [Fun<Data>; 10] {
    // The guard puts the right operand first, because jq varies the left one fastest.
    macro_rules! operator {
        ($name:expr, $function:expr) => {
            run(($name, v(2), |mut cv| {
                let (left, right) = (cv.0.pop_var(), cv.0.pop_var());
                // Where the left operand is the input, it need not be copied.
                drop(cv);
                bome($function(left, right))
            }))
        };
    }
    [
        run(("range", v(3), |mut cv| {
            let by = cv.0.pop_var();
            let to = cv.0.pop_var();
            let from = cv.0.pop_var();
            Box::new(range(from, to, by).map(|result| result.map_err(Into::into)))
        })),
        operator!(ADD, add),
        operator!(MULTIPLY, multiply),
        operator!(SUBTRACT, subtract),
        operator!(DIVIDE, divide),
        run(("fromjson", v(0), |cv| match from_json(&cv.1) {
            Ok(values) => Box::new(values.into_iter().map(|value| value.map_err(Into::into))),
            Err(error) => bome(Err(error)),
        })),
        run(("flatten", v(1), |mut cv| {
            let levels = cv.0.pop_var();
            bome(flattened(&cv.1, &levels))
        })),
        run(("tojson", v(0), |cv| bome(json(&cv.1)))),
        run(("todate_ms", v(0), |cv| bome(clock::iso8601_of(&cv.1)))),
        places::note(),
    ]
}

fn comparisons() -> [Fun<Data>; 6] {
    macro_rules! comparison {
        ($name:expr, $operator:tt) => {
            run(($name, v(2), |mut cv| {
                let left = cv.0.pop_var();
                let right = cv.0.pop_var();
                bome(compare(&left, &right).map(|()| Val::from(left $operator right)))
            }))
        };
    }
    let [less, at_most, more, at_least, same, other] = COMPARE;
    [
        comparison!(less, <),
        comparison!(at_most, <=),
        comparison!(more, >),
        comparison!(at_least, >=),
        comparison!(same, ==),
        comparison!(other, !=),
    ]
}

/// The definitions of jq that functions of ours stand in for: its `flatten` with levels takes a deep stack.
pub(super) fn is_replaced(name: &str, arguments: usize) -> bool {
    (name, arguments) == ("flatten", 1)
}

fn flattened(value: &Val, levels: &Val) -> ValR<Val> {
    look(value)?;
    let levels = match levels {
        Val::Num(levels) if *levels <= Num::Int(0) => return Ok(value.clone()),
        Val::Num(Num::Int(levels)) => usize::try_from(*levels).unwrap_or(usize::MAX),
        Val::Num(_) => usize::MAX,
        _ => return Err(Error::str("flatten needs a number of levels")),
    };
    let mut made = Vec::new();
    match value {
        Val::Arr(items) => items.iter().for_each(|item| flatten_into(&mut made, item, levels)),
        Val::Obj(entries) => entries.values().for_each(|item| flatten_into(&mut made, item, levels)),
        _ => return Err(Error::str("flatten needs an array")),
    }
    Ok(made.into_iter().collect())
}

fn flatten_into(made: &mut Vec<Val>, value: &Val, levels: usize) {
    match value {
        Val::Arr(items) if levels > 0 => items.iter().for_each(|item| flatten_into(made, item, levels - 1)),
        other => made.push(other.clone()),
    }
}

/// All values that a text of JSON has, up to the first that is none.
fn from_json(text: &Val) -> Result<Vec<ValR<Val>>, Error<Val>> {
    let bytes = text.try_as_utf8_bytes_owned()?;
    readable(&bytes)?;
    let fail = |error| Error::str(format!("cannot parse {text} as JSON: {error}"));
    let mut failed = false;
    let values = jaq_json::read::parse_many(&bytes).take_while(|value| !std::mem::replace(&mut failed, value.is_err()));
    Ok(values.map(|value| value.map_err(fail)).collect())
}

fn range(from: Val, to: Val, by: Val) -> impl Iterator<Item = ValR<Val>> {
    let sign = by.cmp(&Val::from(0usize));
    let mut next = Some(from);
    std::iter::from_fn(move || {
        let at = next.take()?;
        let more = match sign {
            std::cmp::Ordering::Greater => at < to,
            std::cmp::Ordering::Less => at > to,
            std::cmp::Ordering::Equal => at != to,
        };
        if !more {
            return None;
        }
        STEPS.set(STEPS.get().saturating_add(1));
        if STEPS.get() > MAX_STEPS {
            return Some(Err(Error::str(too_many_steps())));
        }
        match at.clone() + by.clone() {
            Ok(following) => next = Some(following),
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(at))
    })
}

pub(super) fn add(left: Val, right: Val) -> ValR<Val> {
    let (size, most) = match (&left, &right) {
        (Val::TStr(left), Val::TStr(right)) => (left.len() + right.len(), MAX_TEXT),
        (Val::Arr(left), Val::Arr(right)) => (left.len() + right.len(), MAX_ENTRIES),
        (Val::Obj(left), Val::Obj(right)) => (left.len().max(right.len()), MAX_ENTRIES),
        _ => return left + right,
    };
    if size > most {
        return Err(too_large("+"));
    }
    spend(copy_cost_if_shared(&left))?;
    match &right {
        Val::TStr(right) => spend(right.len() as u64 / 8)?,
        right => look(right)?,
    }
    left + right
}

pub(super) fn subtract(left: Val, right: Val) -> ValR<Val> {
    if let (Val::Arr(_), Val::Arr(_)) = (&left, &right) {
        look(&right)?;
        look(&left)?;
        // Each of the left is looked for among the sorted right ones.
        let turns = u64::from((len(&right) + 1).ilog2());
        spend(turns * (len(&left) + len(&right)))?;
    }
    left - right
}

pub(super) fn divide(left: Val, right: Val) -> ValR<Val> {
    spend(len(&left))?;
    let made = (left / right)?;
    look(&made)?;
    Ok(made)
}

pub(super) fn multiply(left: Val, right: Val) -> ValR<Val> {
    let fits = match (&left, &right) {
        (Val::TStr(text), Val::Num(times)) | (Val::Num(times), Val::TStr(text)) => {
            let times = match times {
                Num::Int(times) => usize::try_from(*times).unwrap_or(0),
                _ => usize::MAX,
            };
            text.len().saturating_mul(times) <= MAX_TEXT
        }
        (Val::Num(left), Val::Num(right)) => bits(left) + bits(right) <= MAX_BITS,
        (Val::Obj(_), Val::Obj(_)) => {
            look(&left)?;
            look(&right)?;
            true
        }
        _ => true,
    };
    if !fits {
        return Err(too_large("*"));
    }
    let made = (left * right)?;
    if let Val::TStr(text) = &made {
        spend(text.len() as u64 / 8)?;
    }
    Ok(made)
}

fn bits(number: &Num) -> u64 {
    match number {
        Num::BigInt(number) => number.bits(),
        _ => 64,
    }
}

fn too_large(operator: &str) -> Error<Val> {
    Error::str(format!("{operator} would make too large a value"))
}
