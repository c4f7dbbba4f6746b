//! Tables: aligned columns, or one block a row where the terminal is too narrow for columns.

use console::{measure_text_width, pad_str, truncate_str};

use super::clean;
use super::fold::{hanging, hanging_cut};
use super::paint::{Tone, out};

/// Which way a column's cells lean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under headings.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    tones: Vec<fn(&str) -> Option<Tone>>,
    rows: Vec<Vec<String>>,
    narrowed_by: Vec<&'static str>,
    /// A column, and how narrow it may become.
    shortened: Option<(usize, usize)>,
}

/// Between two columns.
const GAP: &str = "  ";

impl Table {
    /// An empty table.
    pub fn new(columns: &[(&'static str, Align)]) -> Table {
        Table {
            columns: columns.to_vec(),
            tones: vec![|_| None; columns.len()],
            rows: Vec::new(),
            narrowed_by: Vec::new(),
            shortened: None,
        }
    }

    /// Colours the cells of a column by what they say.
    #[must_use]
    pub fn toned(mut self, column: &str, tone: fn(&str) -> Option<Tone>) -> Table {
        if let Some(place) = self.columns.iter().position(|(name, _)| *name == column) {
            self.tones[place] = tone;
        }
        self
    }

    /// Columns that may be left out, one after the other, where the terminal is too narrow for all of them.
    #[must_use]
    pub fn narrowed_by(mut self, columns: &[&'static str]) -> Table {
        self.narrowed_by = columns.to_vec();
        self
    }

    /// A column of long words whose cells are cut to no less than `least` where the terminal is too narrow for all of them.
    #[must_use]
    pub fn shortened(mut self, column: &str, least: usize) -> Table {
        self.shortened = self.columns.iter().position(|(name, _)| *name == column).map(|place| (place, least));
        self
    }

    /// Adds a row: as many cells as there are columns. Control characters in cells are escaped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| clean(&cell)).collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// The table at a terminal's width; `None`, as when piped, is as wide as it takes.
    pub fn render(&self, width: Option<usize>) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| measure_text_width(&row[column]));
                cells.chain([measure_text_width(self.columns[column].0)]).max().unwrap_or(0)
            })
            .collect();
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let mut to_leave_out = self.narrowed_by.iter();
        loop {
            if let Some(widths) = self.fitted(&shown, &widths, width) {
                return self.lines(&shown, &widths);
            }
            let Some(name) = to_leave_out.next() else { return self.blocks() };
            shown.retain(|column| self.columns[*column].0 != *name);
        }
    }

    /// How wide the columns are that are shown, if they fit.
    fn fitted(&self, shown: &[usize], widths: &[usize], width: Option<usize>) -> Option<Vec<usize>> {
        let total = shown.iter().map(|column| widths[*column] + GAP.len()).sum::<usize>();
        let excess = width.map_or(0, |width| total.saturating_sub(width + GAP.len()));
        let mut widths = widths.to_vec();
        if excess > 0 {
            let (column, least) = self.shortened.filter(|(column, _)| shown.contains(column))?;
            widths[column] = widths[column].checked_sub(excess).filter(|left| *left >= least)?;
        }
        Some(widths)
    }

    fn lines(&self, shown: &[usize], widths: &[usize]) -> String {
        let headings: Vec<String> = self.columns.iter().map(|(name, _)| name.to_uppercase()).collect();
        let mut text = format!("{}\n", out(Tone::Heading, &self.line(&headings, shown, widths)));
        for row in &self.rows {
            let cells: Vec<_> = row.iter().zip(&self.tones).map(|(cell, tone)| toned(cell, *tone)).collect();
            text.push_str(&format!("{}\n", self.line(&cells, shown, widths)));
        }
        text
    }

    fn line(&self, cells: &[String], shown: &[usize], widths: &[usize]) -> String {
        let padded = shown.iter().map(|column| {
            let align = match self.columns[*column].1 {
                Align::Left => console::Alignment::Left,
                Align::Right => console::Alignment::Right,
            };
            let cell = truncate_str(&cells[*column], widths[*column], "…");
            pad_str(&cell, widths[*column], align, None).into_owned()
        });
        padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    }

    fn blocks(&self) -> String {
        let heading = self.columns.iter().map(|(name, _)| measure_text_width(name)).max().unwrap_or(0);
        let under = format!("\n{:width$}", "", width = heading + GAP.len());
        let blocks: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let lines = row.iter().enumerate().map(|(column, cell)| {
                    let name = pad_str(self.columns[column].0, heading, console::Alignment::Left, None);
                    let is_long = self.shortened.is_some_and(|(long, _)| long == column);
                    let folded = if is_long { hanging_cut(under.len() - 1, cell) } else { vec![cell.clone()] };
                    let cell: Vec<_> = folded.iter().map(|line| toned(line, self.tones[column])).collect();
                    format!("{}\n", format!("{}{GAP}{}", out(Tone::Hint, &name), cell.join(&under)).trim_end())
                });
                lines.collect()
            })
            .collect();
        blocks.join("\n")
    }
}

fn toned(cell: &str, tone: fn(&str) -> Option<Tone>) -> String {
    tone(cell).map_or_else(|| cell.to_owned(), |tone| out(tone, cell))
}

/// Lines of `name  value`, the values in one column; a value of several lines stays in it.
pub fn fields<'a>(indent: &str, fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    toned_fields(indent, fields.into_iter().map(|(name, value)| (name, value, None)))
}

/// The same with values in colour.
pub fn toned_fields<'a>(indent: &str, fields: impl IntoIterator<Item = (&'a str, String, Option<Tone>)>) -> String {
    let fields: Vec<_> = fields.into_iter().collect();
    let names = fields.iter().map(|(name, ..)| measure_text_width(name)).max().unwrap_or(0);
    let column = measure_text_width(indent) + names + GAP.len();
    let under = format!("\n{:column$}", "");
    fields.iter().fold(String::new(), |mut text, (name, value, tone)| {
        let name = pad_str(name, names, console::Alignment::Left, None);
        let in_tone = |line: &str| tone.map_or_else(|| clean(line), |tone| out(tone, &clean(line)));
        let folded = value.lines().flat_map(|line| hanging(column, line));
        let value: Vec<String> = folded.map(|line| in_tone(&line)).collect();
        text.push_str(format!("{indent}{}{GAP}{}", out(Tone::Hint, &name), value.join(&under)).trim_end());
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("run", Align::Left), ("loaded", Align::Right), ("state", Align::Left)]);
        table.row(["animals-1x2y".into(), "5,497".into(), "finished".into()]);
        table.row(["a\u{1b}b".into(), "7".into(), "paused".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let expected = "RUN           LOADED  STATE\n\
                        animals-1x2y   5,497  finished\n\
                        a\\u{1b}b           7  paused\n";
        assert_eq!(table().render(None), expected);
        assert_eq!(table().render(Some(30)), expected);
    }

    #[test]
    fn a_narrow_terminal_gets_blocks() {
        let expected = "run     animals-1x2y\nloaded  5,497\nstate   finished\n\n\
                        run     a\\u{1b}b\nloaded  7\nstate   paused\n";
        assert_eq!(table().render(Some(29)), expected);
    }

    #[test]
    fn columns_that_matter_less_go_before_there_are_blocks() {
        let narrowed = table().narrowed_by(&["loaded", "state"]);
        assert_eq!(narrowed.render(Some(29)), "RUN           STATE\nanimals-1x2y  finished\na\\u{1b}b      paused\n");
        assert_eq!(narrowed.render(Some(12)), "RUN\nanimals-1x2y\na\\u{1b}b\n");
        assert!(narrowed.render(Some(11)).starts_with("run     animals-1x2y\nloaded  5,497\n"));
    }

    #[test]
    fn long_words_are_cut_before_columns_go() {
        let mut table = Table::new(&[("id", Align::Right), ("reason", Align::Left), ("trace", Align::Left)])
            .narrowed_by(&["trace"])
            .shortened("reason", 8);
        table.row(["7".into(), "the name is missing".into(), "7f7f".into()]);
        assert_eq!(table.render(Some(30)), "ID  REASON               TRACE\n 7  the name is missing  7f7f\n");
        assert_eq!(table.render(Some(19)), "ID  REASON    TRACE\n 7  the nam…  7f7f\n");
        assert_eq!(table.render(Some(18)), "ID  REASON\n 7  the name is m…\n");
        assert_eq!(table.render(Some(11)), "id      7\nreason  the name is missing\ntrace   7f7f\n");
    }

    #[test]
    fn fields_stand_in_two_columns() {
        let text = fields("  ", [("run", "a".to_owned()), ("reason", "one\ntwo".to_owned())]);
        assert_eq!(text, "  run     a\n  reason  one\n          two\n");
        assert_eq!(fields("--set ", [("a", "1\n2".to_owned())]), "--set a  1\n         2\n");
    }
}
