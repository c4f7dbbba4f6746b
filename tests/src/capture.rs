//! A terminal's screen as a picture: SVG made of text, so that it stays small and can be searched.

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

/// Width and height of a character cell, in pixels, and the margin around all of them.
const CELL: (f32, f32) = (8.4, 18.0);
const MARGIN: f32 = 12.0;
const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d7dae0";
/// The eight colours of a terminal.
const PALETTE: [&str; 8] = ["#3b3f4a", "#ef6b73", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0"];

/// The screen without the empty lines at its end.
pub fn svg(screen: &Screen) -> String {
    let columns = screen.size().1.get();
    let rows: Vec<String> = screen.rows(0, columns).collect();
    let used = rows.iter().rposition(|row| !row.trim().is_empty()).map_or(0, |last| last + 1);
    let (width, height) = (f32::from(columns) * CELL.0 + 2.0 * MARGIN, used as f32 * CELL.1 + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" \
         font-size=\"14\" fill=\"{FOREGROUND}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in (0..u16::MAX).take(used) {
        for (column, text, style) in spans(screen, row) {
            let (x, y) = (MARGIN + f32::from(column) * CELL.0, MARGIN + f32::from(row) * CELL.1 + 13.0);
            let length = f32::from(text.1) * CELL.0;
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.0}\" textLength=\"{length:.1}\" xml:space=\"preserve\"{style}>{}</text>",
                escaped(&text.0)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Pieces of a row that look alike: where each begins, its text with its width, and its style. Blanks at a piece's end
/// belong to nobody.
fn spans(screen: &Screen, row: u16) -> Vec<(u16, (String, u16), String)> {
    let mut spans: Vec<(u16, (String, u16), String)> = Vec::new();
    for column in 0..screen.size().1.get() {
        let Some(cell) = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation()) else { continue };
        let (style, width) = (style(cell), if cell.is_wide() { 2 } else { 1 });
        let contents = if cell.has_contents() { cell.contents() } else { " " };
        match spans.last_mut() {
            Some((start, text, same)) if *same == style && *start + text.1 == column => {
                text.0.push_str(contents);
                text.1 += width;
            }
            _ => spans.push((column, (contents.to_owned(), width), style)),
        }
    }
    for (_, text, _) in &mut spans {
        let kept = text.0.trim_end().len();
        text.1 -= u16::try_from(text.0.len() - kept).unwrap_or(0);
        text.0.truncate(kept);
    }
    spans.retain(|(_, text, _)| !text.0.is_empty());
    spans
}

/// The attributes of a cell that does not look like the rest.
fn style(cell: &Cell) -> String {
    let mut style = String::new();
    let index = match cell.fgcolor() {
        Color::Idx(index) => Some(usize::from(index) % PALETTE.len()),
        _ => None,
    };
    if let Some(index) = index {
        let _ = write!(style, " fill=\"{}\"", PALETTE[index]);
    }
    if cell.bold() {
        style.push_str(" font-weight=\"bold\"");
    }
    if cell.dim() {
        style.push_str(" fill-opacity=\"0.6\"");
    }
    style
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    #[test]
    fn a_screen_becomes_text_with_its_colours() {
        let (rows, columns) = (NonZeroU16::new(3).expect("not 0"), NonZeroU16::new(20).expect("not 0"));
        let mut parser = vt100::Parser::new(rows, columns, 0);
        parser.process(b"a <b>\r\n  \x1b[1;32mgood\x1b[0m  1");
        let svg = svg(parser.screen());
        let lines: Vec<&str> = svg.lines().filter(|line| line.starts_with("<text")).collect();
        assert_eq!(lines.len(), 3, "{svg}");
        assert!(lines[0].ends_with(">a &lt;b&gt;</text>"), "{svg}");
        assert!(lines[1].starts_with("<text x=\"28.8\" y=\"43\" textLength=\"33.6\""), "{svg}");
        assert!(lines[1].ends_with(" fill=\"#98c379\" font-weight=\"bold\">good</text>"), "{svg}");
        assert!(lines[2].ends_with(">  1</text>"), "{svg}");
    }
}
