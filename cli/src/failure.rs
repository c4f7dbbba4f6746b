//! What a command says when it cannot do what it was asked: what, where, and what to do about it.

use std::fmt;

use crate::exit::Exit;
use crate::manner;
use crate::render::clean;
use crate::render::paint::{self, Tone};

/// Why a command ended without a result.
#[derive(Clone, Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    help: Vec<String>,
}

impl Failure {
    /// Something other than the command as typed is wrong: exit code 1.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure { exit: Exit::Other, what: what.into(), help: Vec::new() }
    }

    /// The command is wrong as typed: exit code 2.
    pub fn usage(what: impl Into<String>) -> Failure {
        Failure { exit: Exit::Usage, ..Failure::new(what) }
    }

    /// Adds something to do about it. Of several, the likeliest first.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Failure {
        self.help.push(help.into());
        self
    }

    /// Adds something to do about it that is likelier than all before.
    #[must_use]
    pub fn help_first(mut self, help: impl Into<String>) -> Failure {
        self.help.insert(0, help.into());
        self
    }

    /// What is wrong, without what to do about it.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Itself in the colours of standard error.
    pub fn painted(&self) -> String {
        self.written(paint::err)
    }

    fn written(&self, paint: impl Fn(Tone, &str) -> String) -> String {
        let mut text = format!("{} {}", paint(Tone::Bad, "error:"), lines(&self.what));
        for help in &self.help {
            text.push_str(&format!("\n {} {}", paint(Tone::Heading, "help:"), lines(help)));
        }
        text
    }

    /// The exit code of the process.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written(|_, label| label.to_owned()))
    }
}

impl std::error::Error for Failure {}

/// Columns of `error: `, and of ` help: ` below it.
const LABEL: usize = 7;

/// The text's lines, each under the first one's text. Words of a server or a file must not steer the terminal.
fn lines(text: &str) -> String {
    let lines = text.lines().flat_map(|line| manner::fitted(LABEL, &clean(line)));
    lines.collect::<Vec<_>>().join(&format!("\n{:LABEL$}", ""))
}

/// The known name that `typed` was most likely meant to be, if any is close.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&typed.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}

/// The run that `typed` was most likely meant to be: one with a slip or two, or the one that it is a part of. All IDs
/// of a pipeline's runs begin alike, so that likeness alone says nothing.
pub fn nearest_run<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.trim().to_lowercase();
    let known: Vec<&str> = known.into_iter().collect();
    let slips = |run_id: &&str| strsim::damerau_levenshtein(&typed, run_id);
    let close = known.iter().copied().filter(|run_id| slips(run_id) <= 2).min_by_key(slips);
    let mut parts = known.iter().copied().filter(|run_id| typed.len() >= 3 && run_id.contains(&typed));
    close.or(match (parts.next(), parts.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_and_what_to_do() {
        let failure = Failure::new("no coordinator answers at http://h:1").help("start one:\nmuster coordinator");
        assert_eq!(
            failure.to_string(),
            "error: no coordinator answers at http://h:1\n help: start one:\n       muster coordinator"
        );
        assert_eq!(failure.exit(), Exit::Other);
        assert_eq!(Failure::new("no\u{1b}[2J\nrun").to_string(), "error: no\\u{1b}[2J\n       run");
        assert_eq!(Failure::usage("x").exit(), Exit::Usage);
    }

    #[test]
    fn only_a_close_name_is_suggested() {
        assert_eq!(nearest("animal", ["plants", "animals"]), Some("animals"));
        assert_eq!(nearest("Anmials", ["plants", "animals"]), Some("animals"));
        assert_eq!(nearest("customers", ["plants", "animals"]), None);
    }

    #[test]
    fn a_run_is_found_by_a_slip_or_by_a_part() {
        let known = ["animals-1x2y3z4w", "animals-8k7j6h5g"];
        for typed in ["animals-1x2y3z4v", "animals-1x2y34zw", "1x2y3z4w", "Animals-1x2", " animals-1x2y3z4w"] {
            assert_eq!(nearest_run(typed, known), Some(known[0]), "{typed}");
        }
        for typed in ["animals-nowhere0", "animals", "", "plants-1x2y3z4w"] {
            assert_eq!(nearest_run(typed, known), None, "{typed}");
        }
    }
}
