//! Puts a program under bounds: whatever can loop, grow or nest becomes a call to a function that counts it, or that
//! refuses to make too large a value.
//!
//! jq's own `+` doubles a text with each turn of a loop, and its `*` repeats one as often as a record says. What a record
//! may cost in all is in [`super::work`].

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::{Cmp, Math};
use jaq_core::path::{Opt, Part, Path};

use super::functions::{ADD, COMPARE, DIVIDE, MULTIPLY, SUBTRACT};
use super::work::{EACH, FOLD, KEY, MADE, MESSAGE, PAIRS, PATTERN, REGEX, SORT, SORT_KEY, STEP, TO_TEXT, TREE};

/// The same program under bounds.
pub(super) fn rewrite<'s>(term: Term<&'s str>) -> Term<&'s str> {
    match term {
        Term::BinOp(left, op, right) => binary(rewrite(*left), op, rewrite(*right)),
        Term::Str(format, parts) if parts.iter().any(|part| matches!(part, StrPart::Term(_))) => {
            let part = |part| text_part(format.is_none(), part);
            then(Term::Str(format, parts.into_iter().map(part).collect()), MADE)
        }
        Term::Arr(Some(inner)) => then(Term::Arr(Some(in_place(inner))), MADE),
        Term::Obj(entries) if !entries.is_empty() => {
            let entries = entries.into_iter().map(|(key, value)| (rewrite(key), value.map(rewrite)));
            then(Term::Obj(entries.collect()), MADE)
        }
        Term::Neg(inner) => Term::Neg(in_place(inner)),
        Term::Label(name, inner) => Term::Label(name, in_place(inner)),
        Term::Fold(name, source, bound, parts) => {
            let mut parts: Vec<_> = parts.into_iter().map(rewrite).collect();
            if let Some(turn) = parts.get_mut(1) {
                let body = std::mem::take(turn);
                *turn = first(STEP, then(body, FOLD));
            }
            Term::Fold(name, in_place(source), pattern(bound), parts)
        }
        Term::TryCatch(inner, caught) => {
            let caught = caught.map_or_else(|| Term::Call("!empty", Vec::new()), |caught| rewrite(*caught));
            first(STEP, Term::TryCatch(in_place(inner), Some(Box::new(first(MESSAGE, caught)))))
        }
        Term::IfThenElse(cases, otherwise) => Term::IfThenElse(
            cases.into_iter().map(|(condition, then)| (rewrite(condition), rewrite(then))).collect(),
            otherwise.map(in_place),
        ),
        Term::Def(definitions, rest) => {
            let body = |def: Def<&'s str>| Def { name: def.name, args: def.args, body: first(STEP, rewrite(def.body)) };
            Term::Def(definitions.into_iter().map(body).collect(), in_place(rest))
        }
        Term::Call(name, arguments) => call(name, arguments.into_iter().map(rewrite).collect()),
        Term::Path(start, Path(parts)) => path(rewrite(*start), parts),
        Term::Recurse => first(TREE, Term::Recurse),
        leaf @ (Term::Id | Term::Num(_) | Term::Break(_) | Term::Var(_) | Term::Str(..) | Term::Arr(None)) => leaf,
        leaf @ Term::Obj(_) => leaf,
    }
}

fn pipe<'s>(left: Term<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    Term::BinOp(Box::new(left), BinaryOp::Pipe(None), Box::new(right))
}

fn bind<'s>(value: Term<&'s str>, name: &'s str, rest: Term<&'s str>) -> Term<&'s str> {
    Term::BinOp(Box::new(value), BinaryOp::Pipe(Some(Pattern::Var(name))), Box::new(rest))
}

fn first<'s>(function: &'s str, term: Term<&'s str>) -> Term<&'s str> {
    pipe(Term::Call(function, Vec::new()), term)
}

fn then<'s>(term: Term<&'s str>, function: &'s str) -> Term<&'s str> {
    pipe(term, Term::Call(function, Vec::new()))
}

/// Calls of jq's natives, which take as long as their input is large.
fn call<'s>(name: &'s str, mut arguments: Vec<Term<&'s str>>) -> Term<&'s str> {
    const RIGHT: &str = "$!with";
    match (name, arguments.len()) {
        (
            "implode" | "explode" | "ascii_downcase" | "ascii_upcase" | "encode_base64" | "decode_base64"
            | "encode_uri" | "decode_uri" | "escape_html" | "unescape_html" | "escape_sh" | "keys_unsorted"
            | "key_values" | "tobytes",
            0,
        )
        | ("strftime" | "strptime", 1) => first(EACH, then(Term::Call(name, arguments), MADE)),
        ("length" | "reverse" | "trim" | "ltrim" | "rtrim", 0)
        | ("startswith" | "endswith" | "ltrimstr" | "rtrimstr", 1) => first(EACH, Term::Call(name, arguments)),
        ("sort", 0) | ("bsearch", 1) => first(SORT, Term::Call(name, arguments)),
        ("sort_by" | "group_by" | "min_by_or_empty" | "max_by_or_empty", 1) => {
            let keys = arguments.into_iter().map(|key| then(key, SORT_KEY)).collect();
            let sorted = first(EACH, Term::Call(name, keys));
            if name == "group_by" { then(sorted, MADE) } else { sorted }
        }
        ("has", 1) => Term::Call(name, arguments.into_iter().map(|key| then(key, KEY)).collect()),
        ("contains" | "indices", 1) => {
            let with = arguments.pop().unwrap_or_default();
            let pairs = Term::Call(PAIRS, vec![Term::Var(RIGHT)]);
            bind(with, RIGHT, pipe(pairs, Term::Call(name, vec![Term::Var(RIGHT)])))
        }
        ("matches" | "split_matches" | "split_", 2) => {
            arguments[0] = then(std::mem::take(&mut arguments[0]), PATTERN);
            first(REGEX, Term::Call(name, arguments))
        }
        _ => Term::Call(name, arguments),
    }
}

type Step<'s> = (Part<Term<&'s str>>, Opt);

/// Counts the input of each `[]` and each slice before it is run through.
fn path<'s>(start: Term<&'s str>, parts: Vec<Step<'s>>) -> Term<&'s str> {
    // What stands in brackets is about the input of the whole path, and varies before any `[]` of it does.
    const INPUT: &str = "$!input";
    const NAMES: [&str; 8] = ["$!0", "$!1", "$!2", "$!3", "$!4", "$!5", "$!6", "$!7"];
    let counted = parts.iter().any(|(part, _)| matches!(part, Part::Range(..)));
    let mut names = NAMES.into_iter();
    let mut bound = Vec::new();
    let mut name = |term: Term<&'s str>| {
        let term = rewrite(term);
        if !counted || matches!(term, Term::Num(_) | Term::Var(_) | Term::Str(..)) {
            return term;
        }
        let Some(name) = names.next() else { return pipe(Term::Var(INPUT), term) };
        bound.push((pipe(Term::Var(INPUT), term), name));
        Term::Var(name)
    };
    let parts: Vec<_> = parts
        .into_iter()
        .map(|(part, opt)| match part {
            Part::Index(index) if matches!(index, Term::Num(_) | Term::Str(None, _)) => (Part::Index(name(index)), opt),
            Part::Index(index) => {
                let index = name(index);
                (Part::Index(then(index, KEY)), opt)
            }
            Part::Range(from, to) => (Part::Range(from.map(&mut name), to.map(&mut name)), opt),
        })
        .collect();
    if !counted {
        return Term::Path(Box::new(start), Path(parts));
    }
    let through = parts.into_iter().fold(None, |through: Option<Term<&'s str>>, part| {
        let counts = matches!(part.0, Part::Range(..));
        match through {
            Some(Term::Path(inner, Path(mut parts))) if !counts => {
                parts.push(part);
                Some(Term::Path(inner, Path(parts)))
            }
            through => {
                let before = through.unwrap_or_default();
                let before = if counts { then(before, EACH) } else { before };
                Some(Term::Path(Box::new(before), Path(vec![part])))
            }
        }
    });
    let through = through.unwrap_or_default();
    let needs_input = !bound.is_empty();
    let through = bound.into_iter().rev().fold(through, |rest, (value, name)| bind(value, name, rest));
    let whole = if matches!(start, Term::Id) { through } else { pipe(start, through) };
    if needs_input { bind(Term::Id, INPUT, whole) } else { whole }
}

fn binary<'s>(left: Term<&'s str>, op: BinaryOp<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    let constant = is_constant(&left) || is_constant(&right);
    match op {
        BinaryOp::Math(Math::Add) => Term::Call(ADD, vec![right, left]),
        BinaryOp::Math(Math::Mul) => Term::Call(MULTIPLY, vec![right, left]),
        BinaryOp::Math(Math::Sub) if !constant => Term::Call(SUBTRACT, vec![right, left]),
        BinaryOp::Math(Math::Div) => Term::Call(DIVIDE, vec![right, left]),
        BinaryOp::UpdateMath(Math::Add) => update(ADD, left, right),
        BinaryOp::UpdateMath(Math::Mul) => update(MULTIPLY, left, right),
        BinaryOp::UpdateMath(Math::Sub) => update(SUBTRACT, left, right),
        BinaryOp::UpdateMath(Math::Div) => update(DIVIDE, left, right),
        BinaryOp::Cmp(op) if !constant => {
            let [less, at_most, more, at_least, same, other] = COMPARE;
            let function = match op {
                Cmp::Lt => less,
                Cmp::Le => at_most,
                Cmp::Gt => more,
                Cmp::Ge => at_least,
                Cmp::Eq => same,
                Cmp::Ne => other,
            };
            Term::Call(function, vec![right, left])
        }
        BinaryOp::Update => {
            let body = first(STEP, then(right, MADE));
            Term::BinOp(Box::new(left), BinaryOp::Update, Box::new(body))
        }
        op @ (BinaryOp::Assign | BinaryOp::UpdateAlt) => Term::BinOp(Box::new(left), op, Box::new(then(right, MADE))),
        BinaryOp::Comma => Term::BinOp(Box::new(left), BinaryOp::Comma, Box::new(first(STEP, right))),
        BinaryOp::Pipe(bound) => Term::BinOp(Box::new(left), BinaryOp::Pipe(bound.map(pattern)), Box::new(right)),
        other => Term::BinOp(Box::new(left), other, Box::new(right)),
    }
}

/// What takes no time to compare with.
fn is_constant(term: &Term<&str>) -> bool {
    match term {
        Term::Num(_) | Term::Arr(None) => true,
        // No program may define these anew.
        Term::Call("true" | "false" | "null", arguments) => arguments.is_empty(),
        Term::Str(_, parts) => !parts.iter().any(|part| matches!(part, StrPart::Term(_))),
        Term::Obj(entries) => entries.is_empty(),
        _ => false,
    }
}

/// `l += r` is `r as $x | l |= . + $x`.
fn update<'s>(function: &'s str, left: Term<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    // No program can spell this variable, so it hides none of the program's own.
    const RIGHT: &str = "$!right";
    let sum = Term::Call(function, vec![Term::Var(RIGHT), Term::Id]);
    let body = Term::BinOp(Box::new(left), BinaryOp::Update, Box::new(first(STEP, sum)));
    bind(then(right, MADE), RIGHT, body)
}

fn in_place(mut term: Box<Term<&str>>) -> Box<Term<&str>> {
    *term = rewrite(std::mem::take(&mut *term));
    term
}

fn text_part<'s>(plain: bool, part: StrPart<&'s str, Term<&'s str>>) -> StrPart<&'s str, Term<&'s str>> {
    match part {
        StrPart::Term(inner) if plain => StrPart::Term(then(rewrite(inner), TO_TEXT)),
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
