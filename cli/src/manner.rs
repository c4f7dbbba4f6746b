//! How the program speaks: in colour or not, much or little. Decided once, from the command line and the environment,
//! before anything is said.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::OnceLock;

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use console::Term;
use muster_telemetry::Stderr;

use crate::render::fold::{NARROWEST, fold};

/// What `--color` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal that can show them, unless the environment has it otherwise.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// How the program speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Nothing is said that was not asked for, but what went wrong.
    pub quiet: bool,
    /// Standard output takes colours.
    pub coloured_out: bool,
    /// Standard error takes colours.
    pub coloured_err: bool,
}

static MANNER: OnceLock<Manner> = OnceLock::new();

/// The manner of this process. Before [`settle`], as in unit tests: all is said, without colours.
pub fn of_this_process() -> Manner {
    MANNER.get().copied().unwrap_or_default()
}

/// The width of the terminal that standard output is; nothing when it is something else, or in a process that decided
/// nothing: then nothing is cut or folded.
pub fn out_width() -> Option<usize> {
    let term = Term::stdout();
    (MANNER.get().is_some() && term.is_term()).then(|| usize::from(term.size().1))
}

/// Whether only what was asked for is to be said.
pub fn is_quiet() -> bool {
    of_this_process().quiet
}

/// The width of the terminal that standard error is; nothing when it is something else, or in a process that decided nothing.
fn err_width() -> Option<usize> {
    let term = Term::stderr();
    (MANNER.get().is_some() && term.is_term()).then(|| usize::from(term.size().1))
}

/// A line for standard error behind `indent` columns, in lines that fit its terminal. One with a command stays whole, however
/// long: it is there to be copied, and half a command is another one.
pub fn fitted(indent: usize, line: &str) -> Vec<String> {
    let room = err_width().map(|width| width.saturating_sub(indent)).filter(|room| *room >= NARROWEST);
    match room {
        Some(room) if !line.contains("muster ") => fold(line, room),
        _ => vec![line.to_owned()],
    }
}

/// Says a line of its own on standard error that nobody asked for, unless the process is to be quiet.
pub fn remark(stderr: &Stderr, line: &str) {
    if !is_quiet() {
        stderr.write_lines(format!("{}\n", fitted(0, line).join("\n")).as_bytes());
    }
}

/// Settles the manner of this process, once.
pub fn settle(color: Color, quiet: bool) -> Manner {
    choose_colours(color);
    let coloured_out = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
    let coloured_err = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    *MANNER.get_or_init(|| Manner { quiet, coloured_out, coloured_err })
}

/// Tells clap, which prints help and its errors by itself. `auto` looks at NO_COLOR, CLICOLOR_FORCE, CLICOLOR, TERM and
/// whether the stream is a terminal, in this order.
pub fn choose_colours(color: Color) {
    let choice = match color {
        Color::Auto if is_plain_terminal(|name| env::var_os(name)) => ColorChoice::Never,
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    choice.write_global();
}

/// Whether TERM says that the terminal has no colours, and nobody asks for them all the same. `anstream` alone would take a
/// CI variable in the environment for such a wish, and CI services do run programs on terminals that show it as rubbish.
fn is_plain_terminal(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let is_wished =
        ["CLICOLOR_FORCE", "CLICOLOR"].iter().any(|name| variable(name).is_some_and(|value| !value.is_empty()));
    !is_wished && variable("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// What a command line says of colours, be it one that clap refuses or answers with help: clap's own words obey as well.
/// `environment` is the value of MUSTER_COLOR.
pub fn wished(line: &[OsString], environment: Option<&OsStr>) -> Color {
    let mut words = line.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    let mut typed = None;
    while let Some(word) = words.next() {
        typed = match word.strip_prefix("--color") {
            Some("") => words.next().map(|value| value.into_owned()),
            Some(value) => value.strip_prefix('=').map(str::to_owned).or(typed),
            None => typed,
        };
    }
    let said = typed.or_else(|| environment.map(|value| value.to_string_lossy().into_owned()));
    said.and_then(|said| Color::from_str(&said, true).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_heard_before_the_environment() {
        let table = [
            ("muster runs", None, Color::Auto),
            ("muster runs", Some("never"), Color::Never),
            ("muster --color always runs", Some("never"), Color::Always),
            ("muster runs --color=never --jsno", None, Color::Never),
            ("muster runs --color=never --color always", None, Color::Always),
            ("muster runs --colors never", None, Color::Auto),
            ("muster runs --color", None, Color::Auto),
            ("muster runs --color pink", Some("never"), Color::Auto),
            ("muster record latest -- --color=never", None, Color::Auto),
        ];
        for (line, environment, color) in table {
            let line: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(wished(&line, environment.map(OsStr::new)), color, "{line:?}");
        }
    }

    #[test]
    fn a_terminal_without_colours_is_believed_unless_somebody_asks_for_them() {
        let table: [(&[(&str, &str)], bool); 8] = [
            (&[("TERM", "xterm")], false),
            (&[("TERM", "dumb")], true),
            (&[("TERM", "dumb"), ("CI", "true")], true),
            (&[("CI", "true")], true),
            (&[("TERM", "")], true),
            (&[("TERM", "dumb"), ("CLICOLOR", "1")], false),
            (&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")], false),
            (&[("TERM", "dumb"), ("CLICOLOR_FORCE", "")], true),
        ];
        for (variables, plain) in table {
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            assert_eq!(is_plain_terminal(find), plain, "{variables:?}");
        }
    }

    #[test]
    fn a_process_that_decided_nothing_says_all_without_colours() {
        assert_eq!(of_this_process(), Manner { quiet: false, coloured_out: false, coloured_err: false });
    }
}
