//! The functions behind a transform: jaq's own, with bounds where a value could grow without a loop.

use std::cell::Cell;

use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Error, ValR};
use jaq_json::{Num, Val};

use super::{Data, clock, places};

/// The steps of all `range`s together that one record may take.
const MAX_STEPS: u32 = 100_000;
/// The longest text, in bytes, that `+` and `*` may make.
const MAX_TEXT: usize = 4 << 20;
/// The largest array or object, in entries, that `+` and `*` may make.
const MAX_ENTRIES: usize = 1 << 20;
/// The largest whole number, in bits, that `*` may make.
const MAX_BITS: u64 = 4096;

/// The functions that `+` and `*` become ([`super::guard`]); no program can spell them.
pub(super) const ADD: &str = "!add";
pub(super) const MULTIPLY: &str = "!multiply";

thread_local! {
    // A transform runs from start to end on one thread, so its steps can be counted without touching jaq's values.
    static STEPS: Cell<u32> = const { Cell::new(0) };
}

/// Begins to count for a new record.
pub(super) fn start_record() {
    STEPS.set(0);
}

/// Whether the record stayed within its steps, even where the program caught the error.
pub(super) fn check_record() -> Result<(), String> {
    if STEPS.get() > MAX_STEPS { Err(too_many_steps()) } else { Ok(()) }
}

fn too_many_steps() -> String {
    format!("range took more than {MAX_STEPS} steps for one record")
}

/// All native functions.
pub(super) fn all() -> impl Iterator<Item = Fun<Data>> {
    let natives = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let natives = natives.filter(|(name, arguments, _)| (*name, arguments.len()) != ("range", 3));
    natives.chain([
        run(("range", v(3), |mut cv| {
            let by = cv.0.pop_var();
            let to = cv.0.pop_var();
            let from = cv.0.pop_var();
            Box::new(range(from, to, by).map(|result| result.map_err(Into::into)))
        })),
        // The guard puts the right operand first, because jq varies the left one fastest.
        run((ADD, v(2), |mut cv| {
            let left = cv.0.pop_var();
            bome(add(left, cv.0.pop_var()))
        })),
        run((MULTIPLY, v(2), |mut cv| {
            let left = cv.0.pop_var();
            bome(multiply(left, cv.0.pop_var()))
        })),
        run(("todate_ms", v(0), |cv| bome(clock::iso8601_of(&cv.1)))),
        places::note(),
    ])
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

fn add(left: Val, right: Val) -> ValR<Val> {
    let (size, most) = match (&left, &right) {
        (Val::TStr(left), Val::TStr(right)) => (left.len() + right.len(), MAX_TEXT),
        (Val::Arr(left), Val::Arr(right)) => (left.len() + right.len(), MAX_ENTRIES),
        (Val::Obj(left), Val::Obj(right)) => (left.len().max(right.len()), MAX_ENTRIES),
        _ => return left + right,
    };
    if size > most { Err(too_large("+")) } else { left + right }
}

fn multiply(left: Val, right: Val) -> ValR<Val> {
    let fits = match (&left, &right) {
        (Val::TStr(text), Val::Num(times)) | (Val::Num(times), Val::TStr(text)) => {
            let times = match times {
                Num::Int(times) => usize::try_from(*times).unwrap_or(0),
                _ => usize::MAX,
            };
            text.len().saturating_mul(times) <= MAX_TEXT
        }
        (Val::Num(left), Val::Num(right)) => bits(left) + bits(right) <= MAX_BITS,
        _ => true,
    };
    if fits { left * right } else { Err(too_large("*")) }
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
