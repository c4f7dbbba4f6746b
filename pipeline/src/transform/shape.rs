//! The shape that most transforms have: an object with fixed keys, whose values are fields of the record, or what can
//! be worked out from them by hand.
//!
//! jaq makes such an object as the sum of one object for each key, and runs each expression through boxed iterators.
//! Here the object is written as its values are found, simple expressions are worked out directly ([`super::direct`]),
//! and only what is more than that is a program. It is a short cut and no more: where anything is out of the ordinary
//! (no output, several, an error) there is no answer, and the whole program runs as jaq has it.

use std::collections::HashSet;

use jaq_core::load::parse::Term;
use jaq_core::{Ctx, Filter, Vars};
use jaq_json::Val;

use super::direct::{Direct, MAX_LEVELS, plain_text};
use super::work::spend;
use super::{Data, output};

/// The most programs in one shape: each has all functions of jq with it.
const MAX_PROGRAMS: usize = 24;

/// What the record becomes, or a part of that.
pub(super) enum Shape {
    Direct(Direct),
    /// An object: its keys as JSON, each with its colon, and what stands there.
    Object(Vec<(String, Shape)>),
    /// What a program makes of the record.
    Program(Filter<Data>),
}

/// A key of an object, and the value if it is not the field of that name.
type Entry<'s> = (Term<&'s str>, Option<Term<&'s str>>);

impl Shape {
    /// The shape of a program, if it has one; `compile` makes a filter of a part of it.
    pub(super) fn of<'s>(
        program: Term<&'s str>,
        compile: &impl Fn(Term<&'s str>) -> Option<Filter<Data>>,
    ) -> Option<Shape> {
        let mut left = MAX_PROGRAMS;
        match program {
            Term::Obj(entries) if is_fixed(&entries) => Self::object(entries, MAX_LEVELS, &mut left, compile),
            program => Direct::of(&program).map(Shape::Direct),
        }
    }

    fn object<'s>(
        entries: Vec<Entry<'s>>,
        levels: usize,
        left: &mut usize,
        compile: &impl Fn(Term<&'s str>) -> Option<Filter<Data>>,
    ) -> Option<Shape> {
        let member = |(key, value): Entry<'s>| {
            let key = plain_text(&key)?;
            let json = serde_json::to_string(&key).ok()? + ":";
            let member = match value {
                None => Shape::Direct(Direct::Field(vec![Val::from(key)])),
                Some(Term::Obj(entries)) if levels > 0 && is_fixed(&entries) => {
                    Self::object(entries, levels - 1, left, compile)?
                }
                Some(value) => match Direct::of(&value) {
                    Some(direct) => Shape::Direct(direct),
                    None => {
                        *left = left.checked_sub(1)?;
                        Shape::Program(compile(value)?)
                    }
                },
            };
            Some((json, member))
        };
        entries.into_iter().map(member).collect::<Option<_>>().map(Shape::Object)
    }

    /// Appends what the program makes of a record. Where only jaq can say what that is, the answer is nothing, and what
    /// was appended is of no use.
    pub(super) fn write(&self, json: &mut Vec<u8>, record: &Val) -> Option<()> {
        self.write_at(json, record, 0)
    }

    fn write_at(&self, json: &mut Vec<u8>, record: &Val, depth: usize) -> Option<()> {
        match self {
            Shape::Direct(direct) => {
                let value = direct.value(record)?;
                output::write_at(json, &value, depth).ok()
            }
            Shape::Program(filter) => output::write_at(json, &single(filter, record)?, depth).ok(),
            Shape::Object(members) => {
                let start = json.len();
                for (index, (key, member)) in members.iter().enumerate() {
                    json.push(if index == 0 { b'{' } else { b',' });
                    json.extend_from_slice(key.as_bytes());
                    member.write_at(json, record, depth + 1)?;
                }
                json.push(b'}');
                // The guard has jaq look at all of an object that it made: no more steps than its JSON has bytes.
                spend((json.len() - start) as u64).ok()
            }
        }
    }
}

/// Whether an object can be written key by key: it has some, they are texts without anything to fill in, and each
/// stands there once.
fn is_fixed(entries: &[Entry<'_>]) -> bool {
    let mut keys = HashSet::new();
    !entries.is_empty() && entries.iter().all(|(key, _)| plain_text(key).is_some_and(|key| keys.insert(key)))
}

/// A program's one output.
fn single(filter: &Filter<Data>, record: &Val) -> Option<Val> {
    let context = Ctx::<Data>::new(&filter.lut, Vars::new([]));
    let mut outputs = filter.id.run((context, record.clone()));
    let first = outputs.next()?.ok()?;
    outputs.next().is_none().then_some(first)
}
