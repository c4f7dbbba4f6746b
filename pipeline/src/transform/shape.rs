//! The shape that most transforms have: an object with fixed keys, some of whose values are fields of the record as they
//! are.
//!
//! jaq makes such an object as the sum of one object for each key, and reads a field through a chain of iterators. Here its
//! values are put together by hand, and only what is more than a field is a program. It is a short cut and no more: where
//! anything is out of the ordinary (no output, several, an error) there is no answer, and the whole program runs as jaq
//! has it.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::Term;
use jaq_core::path::{Opt, Part, Path};
use jaq_core::{Ctx, Filter, Vars};
use jaq_json::{Map, Val};

use super::Data;

/// The most programs in one shape: each has all functions of jq with it.
const MAX_PROGRAMS: usize = 24;

/// An object with fixed keys.
pub(super) struct Shape(Vec<(Val, Member)>);

/// What stands at a key.
enum Member {
    /// What the record has there: keys from the outside in.
    Field(Vec<Val>),
    /// Another object.
    Object(Shape),
    /// What a program makes of the record.
    Program(Filter<Data>),
}

impl Shape {
    /// The shape of a program, if it has one; `compile` makes a filter of a part of it.
    pub(super) fn of<'s>(
        program: Term<&'s str>,
        compile: &impl Fn(Term<&'s str>) -> Option<Filter<Data>>,
    ) -> Option<Shape> {
        let mut left = MAX_PROGRAMS;
        match program {
            Term::Obj(entries) => Self::read(entries, &mut left, compile),
            _ => None,
        }
    }

    fn read<'s>(
        entries: Vec<(Term<&'s str>, Option<Term<&'s str>>)>,
        left: &mut usize,
        compile: &impl Fn(Term<&'s str>) -> Option<Filter<Data>>,
    ) -> Option<Shape> {
        let member = |(key, value): (Term<&'s str>, Option<Term<&'s str>>)| {
            let key = plain_text(&key)?;
            let member = match value {
                None => Member::Field(vec![key.clone()]),
                Some(Term::Obj(entries)) => Member::Object(Self::read(entries, left, compile)?),
                Some(value) => match field(&value) {
                    Some(keys) => Member::Field(keys),
                    None => {
                        *left = left.checked_sub(1)?;
                        Member::Program(compile(value)?)
                    }
                },
            };
            Some((key, member))
        };
        entries.into_iter().map(member).collect::<Option<_>>().map(Shape)
    }

    /// The object that the program makes of a record; nothing where only jaq can say what it makes.
    pub(super) fn apply(&self, record: &Val) -> Option<Val> {
        let mut made = Map::with_capacity_and_hasher(self.0.len(), Default::default());
        for (key, member) in &self.0 {
            let value = match member {
                Member::Field(keys) => found(record, keys)?,
                Member::Object(shape) => shape.apply(record)?,
                Member::Program(filter) => single(filter, record)?,
            };
            made.insert(key.clone(), value);
        }
        Some(Val::obj(made))
    }
}

/// A text without anything to fill in.
fn plain_text(term: &Term<&str>) -> Option<Val> {
    let Term::Str(None, parts) = term else { return None };
    match &parts[..] {
        [] => Some(Val::from(String::new())),
        [StrPart::Str(text)] => Some(Val::from((*text).to_owned())),
        _ => None,
    }
}

/// The keys of `.a.b."c d"`.
fn field(term: &Term<&str>) -> Option<Vec<Val>> {
    let Term::Path(start, Path(parts)) = term else { return None };
    if !matches!(**start, Term::Id) {
        return None;
    }
    let key = |part: &(Part<Term<&str>>, Opt)| match part {
        (Part::Index(key), Opt::Essential) => plain_text(key),
        _ => None,
    };
    parts.iter().map(key).collect()
}

/// What stands at these keys; nothing where that would be an error of jq.
fn found(record: &Val, keys: &[Val]) -> Option<Val> {
    let mut at = record;
    for key in keys {
        match at {
            Val::Obj(entries) => match entries.get(key) {
                Some(value) => at = value,
                None => return Some(Val::Null),
            },
            Val::Null => return Some(Val::Null),
            _ => return None,
        }
    }
    Some(at.clone())
}

/// A program's one output.
fn single(filter: &Filter<Data>, record: &Val) -> Option<Val> {
    let context = Ctx::<Data>::new(&filter.lut, Vars::new([]));
    let mut outputs = filter.id.run((context, record.clone()));
    let first = outputs.next()?.ok()?;
    outputs.next().is_none().then_some(first)
}
