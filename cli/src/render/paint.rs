//! Colour, with restraint: how something stands, headings, and what may be overlooked. The text says the same without.

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Style};

use crate::manner;

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Somebody should look at it.
    Attention,
    /// It failed.
    Bad,
    /// The name of what follows.
    Heading,
    /// May be overlooked.
    Hint,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Attention => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Heading => Style::new().bold(),
            Tone::Hint => Style::new().dimmed(),
        }
    }
}

/// Text for standard output.
pub fn out(tone: Tone, text: &str) -> String {
    paint(manner::of_this_process().coloured_out, tone, text)
}

/// Text for standard error.
pub fn err(tone: Tone, text: &str) -> String {
    paint(manner::of_this_process().coloured_err, tone, text)
}

/// The text, in colour if `coloured`.
pub fn paint(coloured: bool, tone: Tone, text: &str) -> String {
    let style = tone.style();
    if coloured && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// The same for clap's help and errors.
pub const HELP: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(Style::new())
    .error(AnsiColor::Red.on_default().bold())
    .invalid(AnsiColor::Yellow.on_default())
    .valid(AnsiColor::Green.on_default());

/// A text of clap's with its headings in bold: lines that begin at the margin and end with a colon. Clap itself takes
/// the bold away where there are no colours.
pub fn headed(text: &str) -> String {
    let is_heading = |line: &&str| line.ends_with(':') && !line.starts_with(' ');
    let lines = text.split('\n').map(|line| paint(Some(line).filter(is_heading).is_some(), Tone::Heading, line));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_end_where_they_should() {
        assert_eq!(paint(true, Tone::Good, "complete"), "\u{1b}[32mcomplete\u{1b}[0m");
        assert_eq!(paint(true, Tone::Good, ""), "");
        assert_eq!(paint(false, Tone::Bad, "failed"), "failed");
        assert_eq!((out(Tone::Bad, "failed"), err(Tone::Hint, "hint")), ("failed".to_owned(), "hint".to_owned()));
    }

    #[test]
    fn headings_are_bold() {
        assert_eq!(headed("Examples:\n  a:\nb"), "\u{1b}[1mExamples:\u{1b}[0m\n  a:\nb");
    }
}
