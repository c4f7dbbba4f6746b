//! Long texts in lines that fit.

use console::{measure_text_width, truncate_str};

use crate::manner;

/// The text in lines of at most `width`, broken at blanks. A word that is wider stays whole: it may be there to be
/// copied.
pub fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The same with words that are wider cut into pieces.
fn fold_all(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in fold(text, width) {
        let mut rest = line.as_str();
        while measure_text_width(rest) > width {
            let piece = truncate_str(rest, width, "").into_owned();
            // A character that is wider than the whole line cannot be cut.
            let end = if piece.is_empty() { rest.chars().next().map_or(0, char::len_utf8) } else { piece.len() };
            lines.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        if !rest.is_empty() || line.is_empty() {
            lines.push(rest.to_owned());
        }
    }
    lines
}

/// The text for standard output behind `indent` columns, by which its further lines are to be indented as well; in one
/// line when it is not for a terminal. Wide words stay whole: they may be there to be copied.
pub fn hanging(indent: usize, text: &str) -> Vec<String> {
    room(indent).map_or_else(|| vec![text.to_owned()], |room| fold(text, room))
}

/// The same with wide words cut into pieces: for the words of others.
pub fn hanging_cut(indent: usize, text: &str) -> Vec<String> {
    room(indent).map_or_else(|| vec![text.to_owned()], |room| fold_all(text, room))
}

/// A column that is narrower is harder to read than lines that are too long.
pub const NARROWEST: usize = 16;

/// What is left of the terminal's width, unless a column that narrow would be harder to read than lines too long.
fn room(indent: usize) -> Option<usize> {
    manner::out_width().map(|width| width.saturating_sub(indent)).filter(|room| *room >= NARROWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(fold("one two three", 8), ["one two", "three"]);
        assert_eq!(fold("one http://127.0.0.1:3123 three", 8), ["one", "http://127.0.0.1:3123", "three"]);
        assert_eq!(fold("\u{5de5}\u{5177} a", 5), ["\u{5de5}\u{5177}", "a"]);
        assert_eq!(fold("", 3), [""]);
    }

    #[test]
    fn the_words_of_others_are_cut_where_they_must_be() {
        assert_eq!(fold_all("HTTP 422: {\"detail\":[1]} it is", 8), ["HTTP", "422:", "{\"detail", "\":[1]}", "it is"]);
        assert_eq!(fold_all("\u{5de5}\u{5177}a", 3), ["\u{5de5}", "\u{5177}a"]);
        assert_eq!(fold_all("\u{5de5}\u{5177}", 1), ["\u{5de5}", "\u{5177}"]);
    }

    #[test]
    fn what_is_not_for_a_terminal_stays_in_one_line() {
        let long = "a text of many words ".repeat(20);
        assert_eq!(hanging(8, &long), [long.as_str()]);
    }
}
