//! The jq transform: checked and compiled once, deterministic and bounded.
//!
//! jaq has no fuel, so what cannot be bounded is refused when the pipeline is loaded ([`bounds`]), and the operations
//! that can grow without a loop carry bounds of their own ([`functions`]).

use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock};

use jaq_core::data::JustLut;
use jaq_core::load::{Arena, File, Loader, lex, parse};
use jaq_core::{Compiler, Ctx, Vars};
use jaq_json::Val;

use crate::error::{Place, SpecError};
use crate::spec::field::Field;

mod bounds;
mod clock;
mod direct;
mod functions;
mod guard;
mod output;
mod places;
mod shape;
mod words;
mod work;

type Data = JustLut<Val>;

/// The filter that the prelude knows the transform under. No program can call it: it is on no list of functions.
const MAIN: &str = "muster_transform";

/// A compiled transform.
#[derive(Clone)]
pub(crate) struct Transform {
    source: Arc<str>,
    filter: Option<Arc<jaq_core::Filter<Data>>>,
    shape: Option<Arc<shape::Shape>>,
    /// The same in the form that knows where it failed, made when it first fails; nothing where that cannot be made.
    telling: Arc<OnceLock<Option<jaq_core::Filter<Data>>>>,
}

/// Why there is no output.
enum Failure {
    /// An expression of the program failed.
    Failed(String),
    /// What it gave is not one value of JSON.
    Unfit(String),
}

/// Something wrong in a program: what, what to do, and where (a part of the program's text).
pub(crate) struct Fault<'s> {
    what: String,
    help: Option<String>,
    at: &'s str,
}

impl Transform {
    /// Checks and compiles the program of a pipeline.
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, SpecError> {
        let text = field.text()?;
        let filter = compile(text, false).map_err(|fault| {
            let error = field.error(fault.what);
            let error = match (field.node().place, place_in(text, fault.at)) {
                (Some(start), Some((line, column))) => error.at(Some(Place {
                    line: start.line + line,
                    // A block of text keeps its indentation on each line; a text on one line starts at its column.
                    column: start.column + column,
                })),
                (None, Some((line, column))) => error.at(Some(Place { line: line + 1, column: column + 1 })),
                (place, None) => error.at(place),
            };
            match fault.help {
                Some(help) => error.help(help),
                None => error,
            }
        })?;
        let shape = shape_of(text).map(Arc::new);
        Ok(Self { source: text.into(), filter: Some(Arc::new(filter)), shape, telling: Arc::default() })
    }

    /// The transform that changes nothing.
    pub(crate) fn identity() -> Self {
        Self { source: ".".into(), filter: None, shape: None, telling: Arc::default() }
    }

    /// The program as the pipeline has it.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Transforms one record, which must be strict JSON of bounded depth, to exactly one output in compact JSON.
    pub(crate) fn apply(&self, record: &[u8]) -> Result<Vec<u8>, String> {
        let input = jaq_json::read::parse_single(record).map_err(|error| format!("this is not JSON: {error}"))?;
        let mut json = Vec::with_capacity(record.len() + 64);
        let Some(filter) = &self.filter else {
            output::write(&mut json, &input)?;
            return Ok(json);
        };
        if self.shape.as_ref().is_some_and(|shape| shaped(shape, &input, &mut json)) {
            return Ok(json);
        }
        let first = match run(filter, input.clone()) {
            Ok(first) => first,
            Err(Failure::Failed(what)) => {
                return Err(match self.failed_at(input) {
                    Some(place) => format!("{what} ({place} of the transform)"),
                    None => what,
                });
            }
            Err(Failure::Unfit(what)) => return Err(what),
        };
        output::write(&mut json, &first)?;
        Ok(json)
    }

    /// Where the program fails for a record, for which it does fail.
    fn failed_at(&self, input: Val) -> Option<String> {
        let telling = self.telling.get_or_init(|| compile(&self.source, true).ok()).as_ref()?;
        places::start();
        drop(run(telling, input));
        places::noted(&self.source)
    }
}

/// Whether the short cut makes something of a record, within its steps: that is then in `json`, and else nothing is.
fn shaped(shape: &shape::Shape, input: &Val, json: &mut Vec<u8>) -> bool {
    functions::start_record();
    let made = shape.write(json, input).is_some() && functions::check_record().is_ok();
    if !made {
        json.clear();
    }
    made
}

/// Runs a program on one record, for exactly one output.
fn run(filter: &jaq_core::Filter<Data>, input: Val) -> Result<Val, Failure> {
    functions::start_record();
    let context = Ctx::<Data>::new(&filter.lut, Vars::new([]));
    let mut outputs = filter.id.run((context, input)).map(|result| {
        // `halt` is refused when the program is loaded, and nothing else escapes as more than an error.
        result.map_err(|escaped| match escaped.get_err() {
            Ok(error) => Failure::Failed(shown(&error)),
            Err(_) => Failure::Unfit("the program stopped".to_owned()),
        })
    });
    let unfit = |gave: &str| Failure::Unfit(format!("the transform gave {gave} output, it must give exactly one"));
    let first = outputs.next().ok_or_else(|| unfit("no"))??;
    match outputs.next() {
        None => {}
        Some(Ok(_)) => return Err(unfit("more than one")),
        Some(Err(error)) => return Err(error),
    }
    functions::check_record().map_err(Failure::Unfit)?;
    Ok(first)
}

/// An error of jq may carry the whole record, and more; its beginning is enough, and all that is written.
fn shown(error: &impl fmt::Display) -> String {
    struct Head(String);
    impl fmt::Write for Head {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            const MOST: usize = 300;
            let room = MOST.saturating_sub(self.0.chars().count());
            self.0.extend(part.chars().take(room));
            if part.chars().nth(room).is_none() {
                return Ok(());
            }
            self.0.push('…');
            Err(fmt::Error)
        }
    }
    let mut head = Head(String::new());
    // It fails where the head is full.
    let _ = write!(head, "{error}");
    head.0
}

/// Checks and compiles a program; one that is `telling` notes where it fails.
fn compile(text: &str, telling: bool) -> Result<jaq_core::Filter<Data>, Fault<'_>> {
    let program = parse_program(text)?;
    bounds::check(&program)?;
    let numbers: Vec<String> = if telling { (0..=text.len()).map(|at| at.to_string()).collect() } else { Vec::new() };
    let program = if telling { places::mark(text, &numbers, program) } else { program };
    link(text, program)
}

/// The short cut for a program that was compiled.
fn shape_of(text: &str) -> Option<shape::Shape> {
    let program = parse_program(text).ok()?;
    shape::Shape::of(program, &|part| link(text, part).ok())
}

/// Puts a program, which is a part of `text`, together with all functions of jq.
fn link<'t>(text: &'t str, program: parse::Term<&str>) -> Result<jaq_core::Filter<Data>, Fault<'t>> {
    let main = parse::Def { name: MAIN, args: Vec::new(), body: guard::rewrite(program) };
    let prelude = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let prelude = prelude.filter(|def| !functions::is_replaced(def.name, def.args.len())).map(|def| parse::Def {
        name: def.name,
        args: def.args,
        body: guard::rewrite(def.body),
    });
    let arena = Arena::default();
    let modules = Loader::new(prelude.chain([main]))
        .load(&arena, File { code: MAIN, path: () })
        .map_err(|_| Fault { what: "this program cannot be loaded".to_owned(), help: None, at: "" })?;
    Compiler::default().with_funs(functions::all()).compile(modules).map_err(|files| {
        let first = files.into_iter().flat_map(|(_, errors)| errors).next();
        let (at, kind) = first.map_or(("", "name"), |(at, undefined)| (at, undefined.as_str()));
        // `at` is a part of `text`, or of the prelude, which is always whole.
        let at = place_in(text, at).map_or("", |_| inside(text, at));
        Fault { what: format!("{kind} {at} is not defined"), help: None, at }
    })
}

fn parse_program(text: &str) -> Result<parse::Term<&str>, Fault<'_>> {
    let tokens = lex::Lexer::new(text).lex().map_err(|errors| {
        let (expected, at) = errors.into_iter().next().unwrap_or((lex::Expect::Token, ""));
        Fault { what: format!("this is not jq: expected {} here", expected.as_str()), help: None, at }
    })?;
    let parsed = parse::Parser::new(&tokens).parse(|parser| parser.term());
    parsed.map_err(|errors| {
        let (expected, at) = errors.into_iter().next().unwrap_or((parse::Expect::Nothing, None));
        let at = lex::Token::opt_as_str(at, text);
        let found = at.split_whitespace().next().map_or("the end".to_owned(), |word| format!("\"{word}\""));
        Fault { what: format!("this is not jq: expected {}, found {found}", expected.as_str()), help: None, at }
    })
}

/// The part of `text` that `part` is, with the lifetime of `text`.
fn inside<'t>(text: &'t str, part: &str) -> &'t str {
    let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    text.get(start..start.wrapping_add(part.len())).unwrap_or("")
}

/// Line and column, from 0, of a part of `text`; `None` for what is not a part of it.
fn place_in(text: &str, part: &str) -> Option<(u64, u64)> {
    let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    // What is missing at the end is missing after the last word, not after the blank lines that follow it.
    let before = text.get(..start)?;
    let before = if start > text.trim_end().len() { text.trim_end() } else { before };
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Some((before.matches('\n').count() as u64, before[line_start..].chars().count() as u64))
}

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

#[cfg(test)]
mod tests;
