//! Where in its program a transform failed.
//!
//! An error of jaq says what, not where. So a program that failed runs once more, on the same record and with the same
//! result, in a form that knows: each expression that may fail is wrapped in `try … catch`, which notes the expression's
//! place and throws the error again. The innermost expression notes an error first; whoever only passes it on leaves the
//! note as it is. Programs that do not fail never pay for it.

use std::cell::RefCell;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Term};
use jaq_core::native::{Fun, run, v};
use jaq_core::path::{Part, Path};
use jaq_core::{Error, Exn};
use jaq_json::Val;
use jaq_std::ValT;

use super::{Data, place_in};

/// The function that notes a place and throws again; no program can spell it.
const NOTE: &str = "!note";

/// What takes an argument as a path, in which nothing may be caught.
const TAKE_PATHS: [&str; 4] = ["path", "del", "pick", "paths"];

thread_local! {
    /// The last error, and where in the program it came up.
    static NOTED: RefCell<Option<(Val, usize)>> = const { RefCell::new(None) };
}

/// Forgets what was noted.
pub(super) fn start() {
    NOTED.take();
}

/// Where in the program the last error came up: line and column from 1, and the word that stands there.
pub(super) fn noted(program: &str) -> Option<String> {
    let (_, at) = NOTED.take()?;
    let (line, column) = place_in(program, program.get(at..)?)?;
    let word: String =
        program.get(at..)?.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.')).take(40).collect();
    let near = if word.is_empty() { word } else { format!(" near \"{word}\"") };
    Some(format!("line {}, column {}{near}", line + 1, column + 1))
}

/// [`NOTE`] itself: its argument is the place, its input the error.
pub(super) fn note() -> Fun<Data> {
    run((NOTE, v(1), |mut cv| {
        let at = cv.0.pop_var().as_isize().and_then(|at| usize::try_from(at).ok()).unwrap_or(0);
        let error = cv.1;
        NOTED.with_borrow_mut(|noted| {
            if noted.as_ref().is_none_or(|(known, _)| *known != error) {
                *noted = Some((error.clone(), at));
            }
        });
        Box::new(std::iter::once(Err(Exn::from(Error::new(error)))))
    }))
}

/// The program in the form that knows. `numbers` has the text of each number below the length of `program`, and one more.
pub(super) fn mark<'s>(program: &'s str, numbers: &'s [String], term: Term<&'s str>) -> Term<&'s str> {
    let mut own = Vec::new();
    functions_of(&term, &mut own);
    Marking { program, numbers, own }.term(term)
}

struct Marking<'s> {
    program: &'s str,
    numbers: &'s [String],
    /// Functions that the program defines: they may take paths.
    own: Vec<&'s str>,
}

impl<'s> Marking<'s> {
    /// Wraps what may fail. Not left of an update, nor in what takes paths: jaq cannot follow a path through `catch`.
    fn term(&self, term: Term<&'s str>) -> Term<&'s str> {
        let Some(at) = self.place(&term) else { return self.within(term) };
        let may_fail = match &term {
            Term::BinOp(_, op, _) => !matches!(op, BinaryOp::Pipe(_) | BinaryOp::Comma),
            Term::Path(..) | Term::Call(..) | Term::Neg(_) | Term::Fold(..) | Term::Obj(_) => true,
            _ => false,
        };
        let term = self.within(term);
        match self.numbers.get(at).filter(|_| may_fail) {
            Some(number) => {
                let noting = Term::Call(NOTE, vec![Term::Num(number.as_str())]);
                Term::TryCatch(Box::new(term), Some(Box::new(noting)))
            }
            None => term,
        }
    }

    fn within(&self, term: Term<&'s str>) -> Term<&'s str> {
        let boxed = |term: Box<Term<&'s str>>| Box::new(self.term(*term));
        match term {
            Term::BinOp(left, op, right) if is_update(&op) => Term::BinOp(left, op, boxed(right)),
            Term::BinOp(left, op, right) => Term::BinOp(boxed(left), op, boxed(right)),
            Term::Str(format, parts) => {
                let part = |part| match part {
                    StrPart::Term(inner) => StrPart::Term(self.term(inner)),
                    plain => plain,
                };
                Term::Str(format, parts.into_iter().map(part).collect())
            }
            Term::Arr(inner) => Term::Arr(inner.map(boxed)),
            Term::Obj(entries) => {
                let entry = |(key, value): (_, Option<_>)| (key, value.map(|value| self.term(value)));
                Term::Obj(entries.into_iter().map(entry).collect())
            }
            Term::Neg(inner) => Term::Neg(boxed(inner)),
            Term::Label(name, inner) => Term::Label(name, boxed(inner)),
            Term::Fold(name, source, bound, parts) => {
                Term::Fold(name, boxed(source), bound, parts.into_iter().map(|part| self.term(part)).collect())
            }
            Term::TryCatch(inner, caught) => Term::TryCatch(boxed(inner), caught.map(boxed)),
            Term::IfThenElse(cases, otherwise) => Term::IfThenElse(
                cases.into_iter().map(|(condition, then)| (self.term(condition), self.term(then))).collect(),
                otherwise.map(boxed),
            ),
            Term::Def(definitions, rest) => Term::Def(definitions, boxed(rest)),
            Term::Call(name, arguments) if !TAKE_PATHS.contains(&name) && !self.own.contains(&name) => {
                Term::Call(name, arguments.into_iter().map(|argument| self.term(argument)).collect())
            }
            Term::Path(start, path) => Term::Path(boxed(start), path),
            other => other,
        }
    }

    /// Where an expression stands, as an offset: its first word, for that is all that jaq's terms keep.
    fn place(&self, term: &Term<&'s str>) -> Option<usize> {
        let word = first_word(term)?;
        place_in(self.program, word)?;
        Some((word.as_ptr() as usize) - (self.program.as_ptr() as usize))
    }
}

fn is_update(op: &BinaryOp<&str>) -> bool {
    matches!(op, BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt)
}

fn first_word<'s>(term: &Term<&'s str>) -> Option<&'s str> {
    match term {
        Term::Num(word) | Term::Var(word) | Term::Break(word) | Term::Label(word, _) | Term::Call(word, _) => {
            Some(word)
        }
        Term::Str(format, parts) => format.or_else(|| {
            parts.iter().find_map(|part| match part {
                StrPart::Str(text) => Some(*text),
                StrPart::Term(inner) => first_word(inner),
                StrPart::Char(_) => None,
            })
        }),
        Term::BinOp(left, _, right) => first_word(left).or_else(|| first_word(right)),
        Term::Neg(inner) | Term::TryCatch(inner, _) => first_word(inner),
        Term::Arr(inner) => inner.as_ref().and_then(|inner| first_word(inner)),
        Term::Obj(entries) => entries.iter().find_map(|(key, _)| first_word(key)),
        Term::Fold(word, ..) => Some(word),
        Term::IfThenElse(cases, _) => cases.iter().find_map(|(condition, _)| first_word(condition)),
        Term::Def(_, rest) => first_word(rest),
        Term::Path(start, Path(parts)) => first_word(start).or_else(|| {
            parts.iter().find_map(|(part, _)| match part {
                Part::Index(index) => first_word(index),
                Part::Range(from, to) => from.iter().chain(to).find_map(first_word),
            })
        }),
        Term::Id | Term::Recurse => None,
    }
}

/// The names of all functions that a program defines, wherever.
fn functions_of<'s>(term: &Term<&'s str>, own: &mut Vec<&'s str>) {
    let mut all = |terms: &mut dyn Iterator<Item = &Term<&'s str>>| terms.for_each(|term| functions_of(term, own));
    match term {
        Term::BinOp(left, _, right) => all(&mut [&**left, &**right].into_iter()),
        Term::Str(_, parts) => all(&mut parts.iter().filter_map(|part| match part {
            StrPart::Term(inner) => Some(inner),
            _ => None,
        })),
        Term::Arr(inner) => all(&mut inner.iter().map(|inner| &**inner)),
        Term::Obj(entries) => all(&mut entries.iter().filter_map(|(_, value)| value.as_ref())),
        Term::Neg(inner) | Term::Label(_, inner) => functions_of(inner, own),
        Term::Fold(_, source, _, parts) => all(&mut std::iter::once(&**source).chain(parts)),
        Term::TryCatch(inner, caught) => all(&mut std::iter::once(&**inner).chain(caught.iter().map(|term| &**term))),
        Term::IfThenElse(cases, otherwise) => {
            let cases = cases.iter().flat_map(|(condition, then)| [condition, then]);
            all(&mut cases.chain(otherwise.iter().map(|term| &**term)));
        }
        Term::Def(definitions, rest) => {
            for Def { name, args, body } in definitions {
                own.push(name);
                own.extend(args.iter().copied());
                functions_of(body, own);
            }
            functions_of(rest, own);
        }
        Term::Call(_, arguments) => all(&mut arguments.iter()),
        Term::Path(start, _) => functions_of(start, own),
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => {}
    }
}
