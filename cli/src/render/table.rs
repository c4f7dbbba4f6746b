//! Tables: aligned columns, or one block a row where the terminal is too narrow for columns.

use console::{measure_text_width, pad_str};

use super::clean;

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
    rows: Vec<Vec<String>>,
}

/// Between two columns.
const GAP: &str = "  ";

impl Table {
    /// An empty table.
    pub fn new(columns: &[(&'static str, Align)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: as many cells as there are columns. Control characters in cells are escaped.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push(cells.map(|cell| clean(&cell)).into());
    }

    /// The table at a terminal's width; `None`, as when piped, is as wide as it takes.
    pub fn render(&self, width: Option<usize>) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| measure_text_width(&row[column]));
                cells.chain([measure_text_width(self.columns[column].0)]).max().unwrap_or(0)
            })
            .collect();
        let total = widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
        if width.is_some_and(|width| total > width) { self.blocks() } else { self.lines(&widths) }
    }

    fn lines(&self, widths: &[usize]) -> String {
        let headings: Vec<String> = self.columns.iter().map(|(name, _)| name.to_uppercase()).collect();
        let mut text = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let cells: Vec<_> = row
                .iter()
                .zip(widths)
                .zip(&self.columns)
                .map(|((cell, width), (_, align))| {
                    let align =
                        if *align == Align::Left { console::Alignment::Left } else { console::Alignment::Right };
                    pad_str(cell, *width, align, None)
                })
                .collect();
            text.push_str(cells.join(GAP).trim_end());
            text.push('\n');
        }
        text
    }

    fn blocks(&self) -> String {
        let heading = self.columns.iter().map(|(name, _)| measure_text_width(name)).max().unwrap_or(0);
        let blocks: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let lines = row.iter().zip(&self.columns).map(|(cell, (name, _))| {
                    let name = pad_str(name, heading, console::Alignment::Left, None);
                    format!("{}\n", format!("{name}{GAP}{cell}").trim_end())
                });
                lines.collect()
            })
            .collect();
        blocks.join("\n")
    }
}

/// Lines of `name  value`, the values in one column; a value of several lines stays in it.
pub fn fields<'a>(indent: &str, fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<_> = fields.into_iter().collect();
    let names = fields.iter().map(|(name, _)| measure_text_width(name)).max().unwrap_or(0);
    let under = format!("\n{indent}{:names$}{GAP}", "");
    fields.iter().fold(String::new(), |mut text, (name, value)| {
        let name = pad_str(name, names, console::Alignment::Left, None);
        let value: Vec<String> = value.lines().map(clean).collect();
        text.push_str(format!("{indent}{name}{GAP}{}", value.join(&under)).trim_end());
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
    fn fields_stand_in_two_columns() {
        let text = fields("  ", [("run", "a".to_owned()), ("reason", "one\ntwo".to_owned())]);
        assert_eq!(text, "  run     a\n  reason  one\n          two\n");
    }
}
