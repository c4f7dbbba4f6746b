//! What a transform may contain: an allow-list of functions and no recursion.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

use super::Fault;
use super::words::{ALLOWED, refused};
use crate::error::suggest;

/// Refuses what is not deterministic or not bounded.
pub(super) fn check<'s>(program: &Term<&'s str>) -> Result<(), Fault<'s>> {
    Walk { scope: Vec::new() }.term(program)
}

/// A function that the program defines itself, or an argument of it.
struct Local<'s> {
    name: &'s str,
    arity: usize,
    /// Its body is being read, so that a call to it is recursion.
    open: bool,
}

struct Walk<'s> {
    scope: Vec<Local<'s>>,
}

type Checked<'s> = Result<(), Fault<'s>>;

impl<'s> Walk<'s> {
    fn term(&mut self, term: &Term<&'s str>) -> Checked<'s> {
        match term {
            Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) => Ok(()),
            Term::Str(format, parts) => {
                format.map_or(Ok(()), |name| self.call(name, 0))?;
                parts.iter().try_for_each(|part| match part {
                    StrPart::Term(inner) => self.term(inner),
                    StrPart::Str(_) | StrPart::Char(_) => Ok(()),
                })
            }
            Term::Arr(inner) => inner.iter().try_for_each(|inner| self.term(inner)),
            Term::Obj(entries) => entries.iter().try_for_each(|(key, value)| {
                self.term(key)?;
                value.iter().try_for_each(|value| self.term(value))
            }),
            Term::Neg(inner) | Term::Label(_, inner) => self.term(inner),
            Term::BinOp(left, op, right) => {
                self.term(left)?;
                if let BinaryOp::Pipe(Some(pattern)) = op {
                    self.pattern(pattern)?;
                }
                self.term(right)
            }
            Term::Fold(_, source, pattern, parts) => {
                self.term(source)?;
                self.pattern(pattern)?;
                parts.iter().try_for_each(|part| self.term(part))
            }
            Term::TryCatch(inner, caught) => {
                self.term(inner)?;
                caught.iter().try_for_each(|caught| self.term(caught))
            }
            Term::IfThenElse(cases, otherwise) => {
                for (condition, then) in cases {
                    self.term(condition)?;
                    self.term(then)?;
                }
                otherwise.iter().try_for_each(|otherwise| self.term(otherwise))
            }
            Term::Def(definitions, rest) => self.definitions(definitions, rest),
            Term::Call(name, arguments) => {
                self.call(name, arguments.len())?;
                arguments.iter().try_for_each(|argument| self.term(argument))
            }
            Term::Var(name) => match refused(name) {
                Some((why, help)) => Err(fault(name, why, help)),
                None => Ok(()),
            },
            Term::Path(start, path) => {
                self.term(start)?;
                self.path(path)
            }
        }
    }

    fn path(&mut self, Path(parts): &Path<Term<&'s str>>) -> Checked<'s> {
        parts.iter().try_for_each(|(part, _)| match part {
            Part::Index(index) => self.term(index),
            Part::Range(from, to) => from.iter().chain(to).try_for_each(|bound| self.term(bound)),
        })
    }

    fn pattern(&mut self, pattern: &Pattern<&'s str>) -> Checked<'s> {
        match pattern {
            Pattern::Var(_) => Ok(()),
            Pattern::Arr(parts) => parts.iter().try_for_each(|part| self.pattern(part)),
            Pattern::Obj(parts) => parts.iter().try_for_each(|(key, part)| {
                self.term(key)?;
                self.pattern(part)
            }),
        }
    }

    fn definitions(&mut self, definitions: &[Def<&'s str>], rest: &Term<&'s str>) -> Checked<'s> {
        let outer = self.scope.len();
        for definition in definitions {
            let mut names = definition.args.iter().chain([&definition.name]);
            if let Some(name) = names.find(|name| matches!(**name, "true" | "false" | "null")) {
                return Err(fault(name, "is a value of JSON", "give the function another name"));
            }
            let at = self.scope.len();
            self.scope.push(Local { name: definition.name, arity: definition.args.len(), open: true });
            // An argument `f` is called as `f`, an argument `$x` as `$x` or `x`.
            let arguments = definition.args.iter().map(|name| name.trim_start_matches('$'));
            self.scope.extend(arguments.map(|name| Local { name, arity: 0, open: false }));
            self.term(&definition.body)?;
            self.scope.truncate(at + 1);
            self.scope[at].open = false;
        }
        self.term(rest)?;
        self.scope.truncate(outer);
        Ok(())
    }

    fn call(&self, name: &'s str, arity: usize) -> Checked<'s> {
        let local = self.scope.iter().rev().find(|local| local.name == name && local.arity == arity);
        match local {
            Some(local) if local.open => {
                Err(fault(name, "calls itself", "recursion cannot be bounded; use .., walk or reduce"))
            }
            Some(_) => Ok(()),
            None if name == "recurse" && arity > 0 => {
                Err(fault(name, "with a filter may never end", "use .. or recurse without arguments"))
            }
            None if ALLOWED.contains(&name) => Ok(()),
            None => Err(match refused(name) {
                Some((why, help)) => fault(name, why, help),
                None => Fault {
                    what: format!("there is no function \"{name}\" for transforms"),
                    help: Some(suggest_near(name)),
                    at: name,
                },
            }),
        }
    }
}

fn suggest_near(name: &str) -> String {
    let told = suggest(name, ALLOWED.iter().copied());
    if told.starts_with("did you mean") { told } else { "docs/PIPELINES.md lists them all".to_owned() }
}

fn fault<'s>(name: &'s str, why: &str, help: &str) -> Fault<'s> {
    Fault { what: format!("\"{name}\" {why}"), help: Some(help.to_owned()), at: name }
}
