//! Expressions with exactly one output, worked out by hand on jaq's values.
//!
//! Each gives what jaq gives, by jaq's own operators or the counting ones that [`super::guard`] has in their place, and never
//! counts less work.
//! Where jaq fails there is no answer: only jaq says why. What may have no output or several is not among them, nor is
//! what binds a name: so a function that is called here is the one that jq knows under that name.

use std::borrow::Cow;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::ops::{Cmp, Math};
use jaq_core::path::{Opt, Part, Path};
use jaq_core::{ValR, ValT};
use jaq_json::{Map, Rc, Val};

use super::clock::iso8601_of;
use super::functions::{add, divide, multiply, subtract};
use super::work::{compare, copy_cost, json, made, spend};

/// The deepest nesting of such an expression, and of the objects around it.
pub(super) const MAX_LEVELS: usize = 64;

/// What an object has under a key that it does not have.
static NULL: Val = Val::Null;

/// An expression with one output.
pub(super) enum Direct {
    /// What the input has there: keys from the outside in, none for the input itself.
    Field(Vec<Val>),
    Constant(Val),
    /// An object with fixed keys.
    Object(Vec<(Val, Direct)>),
    /// The output of the left is the input of the right.
    Pipe(Box<[Direct; 2]>),
    /// Conditions, each with what holds then, and what holds otherwise.
    If(Vec<(Direct, Direct)>, Box<Direct>),
    /// `or` and `and`: what the left must be for the right not to be asked.
    Logic(bool, Box<[Direct; 2]>),
    /// `//`
    Alternative(Box<[Direct; 2]>),
    Compare(Cmp, Box<[Direct; 2]>),
    Math(fn(Val, Val) -> ValR<Val>, Box<[Direct; 2]>),
    Negate(Box<Direct>),
    /// A function of the input.
    Function(fn(&Val) -> ValR<Val>),
}

impl Direct {
    /// The expression that a term is, if it is one. Nothing may be defined around the term.
    pub(super) fn of(term: &Term<&str>) -> Option<Direct> {
        Self::read(term, MAX_LEVELS)
    }

    fn read(term: &Term<&str>, levels: usize) -> Option<Direct> {
        let levels = levels.checked_sub(1)?;
        Some(match term {
            Term::Id => Direct::Field(Vec::new()),
            Term::Path(start, path) => match (&**start, Direct::Field(keys(path)?)) {
                (Term::Id, field) => field,
                (start, field) => Direct::Pipe(Box::new([Self::read(start, levels)?, field])),
            },
            // As jaq reads numbers of a program: they keep their digits.
            Term::Num(digits) => Direct::Constant(Val::from_num(digits).ok()?),
            Term::Str(..) => Direct::Constant(Val::from(plain_text(term)?)),
            Term::Arr(None) => Direct::Constant(Val::Arr(Rc::default())),
            Term::Obj(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    let key = Val::from(plain_text(key)?);
                    let value = match value {
                        Some(value) => Self::read(value, levels)?,
                        None => Direct::Field(vec![key.clone()]),
                    };
                    Some((key, value))
                });
                Direct::Object(entries.collect::<Option<_>>()?)
            }
            Term::Neg(inner) => Direct::Negate(Box::new(Self::read(inner, levels)?)),
            Term::BinOp(left, op, right) => {
                Self::binary(op, Box::new([Self::read(left, levels)?, Self::read(right, levels)?]))?
            }
            Term::IfThenElse(cases, otherwise) => {
                let cases = cases.iter().map(|(condition, then)| {
                    let condition = Self::read(condition, levels)?;
                    Some((condition, Self::read(then, levels)?))
                });
                let cases = cases.collect::<Option<_>>()?;
                let otherwise = match otherwise {
                    Some(otherwise) => Self::read(otherwise, levels)?,
                    None => Direct::Field(Vec::new()),
                };
                Direct::If(cases, Box::new(otherwise))
            }
            Term::Call(name, arguments) if arguments.is_empty() => Self::call(name)?,
            _ => return None,
        })
    }

    fn binary(op: &BinaryOp<&str>, sides: Box<[Direct; 2]>) -> Option<Direct> {
        Some(match op {
            BinaryOp::Pipe(None) => Direct::Pipe(sides),
            BinaryOp::Or => Direct::Logic(true, sides),
            BinaryOp::And => Direct::Logic(false, sides),
            BinaryOp::Alt => Direct::Alternative(sides),
            BinaryOp::Cmp(op) => Direct::Compare(*op, sides),
            BinaryOp::Math(Math::Add) => Direct::Math(sum, sides),
            BinaryOp::Math(Math::Sub) => Direct::Math(subtract, sides),
            BinaryOp::Math(Math::Mul) => Direct::Math(multiply, sides),
            BinaryOp::Math(Math::Div) => Direct::Math(divide, sides),
            BinaryOp::Math(Math::Rem) => Direct::Math(<Val as std::ops::Rem>::rem, sides),
            _ => return None,
        })
    }

    fn call(name: &str) -> Option<Direct> {
        Some(match name {
            "null" => Direct::Constant(Val::Null),
            "true" => Direct::Constant(Val::Bool(true)),
            "false" => Direct::Constant(Val::Bool(false)),
            "not" => Direct::Function(not),
            "todate_ms" => Direct::Function(iso8601_of),
            "tojson" => Direct::Function(json),
            _ => return None,
        })
    }

    /// The output for an input, of which it may be a part; nothing where that would be an error of jq.
    pub(super) fn value<'v>(&'v self, input: &'v Val) -> Option<Cow<'v, Val>> {
        match self {
            Direct::Field(keys) => found(input, keys).map(Cow::Borrowed),
            Direct::Constant(value) => Some(Cow::Borrowed(value)),
            Direct::Object(entries) => {
                let mut object = Map::with_capacity_and_hasher(entries.len(), Default::default());
                for (key, entry) in entries {
                    object.insert(key.clone(), entry.owned(input)?);
                }
                let object = Val::obj(object);
                made(&object).ok()?;
                Some(Cow::Owned(object))
            }
            Direct::Pipe(sides) => {
                let [left, right] = &**sides;
                match left.value(input)? {
                    Cow::Borrowed(between) => right.value(between),
                    Cow::Owned(between) => right.owned(&between).map(Cow::Owned),
                }
            }
            Direct::If(cases, otherwise) => {
                for (condition, then) in cases {
                    if condition.value(input)?.as_bool() {
                        return then.value(input);
                    }
                }
                otherwise.value(input)
            }
            Direct::Logic(decided, sides) => {
                let [left, right] = &**sides;
                let holds =
                    if left.value(input)?.as_bool() == *decided { *decided } else { right.value(input)?.as_bool() };
                Some(Cow::Owned(Val::Bool(holds)))
            }
            Direct::Alternative(sides) => {
                let [left, right] = &**sides;
                let value = left.value(input)?;
                if value.as_bool() { Some(value) } else { right.value(input) }
            }
            Direct::Compare(op, sides) => {
                let [left, right] = &**sides;
                let (left, right) = (left.value(input)?, right.value(input)?);
                compare(&left, &right).ok()?;
                Some(Cow::Owned(Val::Bool(op.run::<Val>(&left, &right))))
            }
            Direct::Math(function, sides) => {
                let [left, right] = &**sides;
                function(left.owned(input)?, right.owned(input)?).ok().map(Cow::Owned)
            }
            Direct::Negate(inner) => (-inner.owned(input)?).ok().map(Cow::Owned),
            Direct::Function(function) => function(input).ok().map(Cow::Owned),
        }
    }

    /// The same to have. A constant text is copied: threads would contend for the count of who has it.
    fn owned(&self, input: &Val) -> Option<Val> {
        match self {
            Direct::Constant(Val::TStr(text)) => Some(Val::utf8_str(text.to_vec())),
            _ => self.value(input).map(Cow::into_owned),
        }
    }
}

/// What stands at these keys; nothing where that would be an error of jq.
fn found<'v>(input: &'v Val, keys: &[Val]) -> Option<&'v Val> {
    let mut at = input;
    for key in keys {
        at = match at {
            Val::Obj(entries) => entries.get(key).unwrap_or(&NULL),
            Val::Null => return Some(at),
            _ => return None,
        };
    }
    Some(at)
}

/// `+`, counted as if the left were copied, once more where it is: jaq may have it in more places at this time.
fn sum(left: Val, right: Val) -> ValR<Val> {
    spend(copy_cost(&left))?;
    add(left, right)
}

fn not(value: &Val) -> ValR<Val> {
    Ok(Val::Bool(!value.as_bool()))
}

/// A text without anything to fill in.
pub(super) fn plain_text(term: &Term<&str>) -> Option<String> {
    let Term::Str(None, parts) = term else { return None };
    let mut text = String::new();
    for part in parts {
        match part {
            StrPart::Str(plain) => text.push_str(plain),
            StrPart::Char(escaped) => text.push(*escaped),
            StrPart::Term(_) => return None,
        }
    }
    Some(text)
}

/// The keys of `.a.b."c d"`.
fn keys(Path(parts): &Path<Term<&str>>) -> Option<Vec<Val>> {
    let key = |(part, opt): &(Part<Term<&str>>, Opt)| match (part, opt) {
        (Part::Index(key), Opt::Essential) => plain_text(key).map(Val::from),
        _ => None,
    };
    parts.iter().map(key).collect()
}
