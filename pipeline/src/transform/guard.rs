//! Puts `+` and `*` under bounds: each becomes a call to a function that refuses to make too large a value.
//!
//! jq's own `+` doubles a text with each turn of a loop, and its `*` repeats one as often as a record says.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

use super::functions::{ADD, MULTIPLY};

/// The same program with bounded `+` and `*`.
pub(super) fn rewrite<'s>(term: Term<&'s str>) -> Term<&'s str> {
    match term {
        Term::BinOp(left, op, right) => binary(rewrite(*left), op, rewrite(*right)),
        Term::Str(format, parts) => Term::Str(format, parts.into_iter().map(text_part).collect()),
        Term::Arr(inner) => Term::Arr(inner.map(in_place)),
        Term::Obj(entries) => {
            Term::Obj(entries.into_iter().map(|(key, value)| (rewrite(key), value.map(rewrite))).collect())
        }
        Term::Neg(inner) => Term::Neg(in_place(inner)),
        Term::Label(name, inner) => Term::Label(name, in_place(inner)),
        Term::Fold(name, source, bound, parts) => {
            Term::Fold(name, in_place(source), pattern(bound), parts.into_iter().map(rewrite).collect())
        }
        Term::TryCatch(inner, caught) => Term::TryCatch(in_place(inner), caught.map(in_place)),
        Term::IfThenElse(cases, otherwise) => Term::IfThenElse(
            cases.into_iter().map(|(condition, then)| (rewrite(condition), rewrite(then))).collect(),
            otherwise.map(in_place),
        ),
        Term::Def(definitions, rest) => {
            let body = |def: Def<&'s str>| Def { name: def.name, args: def.args, body: rewrite(def.body) };
            Term::Def(definitions.into_iter().map(body).collect(), in_place(rest))
        }
        Term::Call(name, arguments) => Term::Call(name, arguments.into_iter().map(rewrite).collect()),
        Term::Path(start, Path(parts)) => {
            let part = |part| match part {
                Part::Index(index) => Part::Index(rewrite(index)),
                Part::Range(from, to) => Part::Range(from.map(rewrite), to.map(rewrite)),
            };
            Term::Path(in_place(start), Path(parts.into_iter().map(|(at, opt)| (part(at), opt)).collect()))
        }
        leaf @ (Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_)) => leaf,
    }
}

fn binary<'s>(left: Term<&'s str>, op: BinaryOp<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    match op {
        BinaryOp::Math(Math::Add) => Term::Call(ADD, vec![right, left]),
        BinaryOp::Math(Math::Mul) => Term::Call(MULTIPLY, vec![right, left]),
        BinaryOp::UpdateMath(Math::Add) => update(ADD, left, right),
        BinaryOp::UpdateMath(Math::Mul) => update(MULTIPLY, left, right),
        BinaryOp::Pipe(bound) => Term::BinOp(Box::new(left), BinaryOp::Pipe(bound.map(pattern)), Box::new(right)),
        other => Term::BinOp(Box::new(left), other, Box::new(right)),
    }
}

/// `l += r` is `r as $x | l |= . + $x`.
fn update<'s>(function: &'s str, left: Term<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    // No program can spell this variable, so it hides none of the program's own.
    const RIGHT: &str = "$!right";
    let sum = Term::Call(function, vec![Term::Var(RIGHT), Term::Id]);
    let body = Term::BinOp(Box::new(left), BinaryOp::Update, Box::new(sum));
    Term::BinOp(Box::new(right), BinaryOp::Pipe(Some(Pattern::Var(RIGHT))), Box::new(body))
}

fn in_place(mut term: Box<Term<&str>>) -> Box<Term<&str>> {
    *term = rewrite(std::mem::take(&mut *term));
    term
}

fn text_part<'s>(part: StrPart<&'s str, Term<&'s str>>) -> StrPart<&'s str, Term<&'s str>> {
    match part {
        StrPart::Term(inner) => StrPart::Term(rewrite(inner)),
        plain => plain,
    }
}

fn pattern(bound: Pattern<&str>) -> Pattern<&str> {
    match bound {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(parts) => Pattern::Arr(parts.into_iter().map(pattern).collect()),
        Pattern::Obj(parts) => {
            Pattern::Obj(parts.into_iter().map(|(key, part)| (rewrite(key), pattern(part))).collect())
        }
    }
}
