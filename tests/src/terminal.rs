//! A program on a real pseudo-terminal, and an emulator that keeps what a person would see.

use std::num::NonZeroU16;
use std::path::Path;

use pty_process::{Pty, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use vt100::{Parser, Screen};

use crate::deadline::within;
use crate::programs;

/// What a program writes behind each frame: the end of a synchronized update.
const END_OF_FRAME: &[u8] = b"\x1b[?2026l";
/// Lines that the emulator keeps above its screen.
const SCROLLBACK: usize = 1000;

/// A terminal with `muster` in it.
pub struct Terminal {
    pty: Pty,
    child: Child,
    parser: Parser,
    /// Read, but not yet up to the end of a frame.
    rest: Vec<u8>,
    /// The screen as it was at the end of each frame.
    frames: Vec<Frame>,
}

/// What a person sees after one frame of the live display.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The emulator's screen.
    pub screen: Screen,
    /// Everything above the display, what has been scrolled away included.
    pub above: Vec<String>,
    /// The display: where the cursor waits, and below.
    pub panel: Vec<String>,
}

/// How a program left its terminal.
pub struct Left {
    /// Its exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// The screen as it was left.
    pub screen: Screen,
    /// Everything that can be seen and scrolled back to, without empty lines at its end.
    pub lines: Vec<String>,
    /// All frames that were drawn.
    pub frames: Vec<Frame>,
}

impl Terminal {
    /// `muster` with these arguments on a terminal of 24 lines, in `folder`; above it stand the lines of an earlier
    /// command, so that the display begins at the bottom.
    pub fn muster(folder: &Path, columns: u16, arguments: &[&str], env: &[(&str, &str)]) -> Terminal {
        Terminal::start(folder, (24, columns), arguments, env, &Terminal::earlier())
    }

    /// The same on a high and empty terminal, under a prompt with the command.
    pub fn prompted(folder: &Path, columns: u16, arguments: &[&str]) -> Terminal {
        Terminal::start(folder, (48, columns), arguments, &[], &[format!("$ muster {}", arguments.join(" "))])
    }

    fn start(folder: &Path, size: (u16, u16), arguments: &[&str], env: &[(&str, &str)], before: &[String]) -> Terminal {
        let (pty, pts) = pty_process::open().expect("a pseudo-terminal");
        pty.resize(Size::new(size.0, size.1)).expect("a size");
        let mut command = pty_process::Command::new(programs::muster()).args(arguments).current_dir(folder);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let says_how_to_print = ["MUSTER_", "RUST_LOG", "NO_COLOR", "CLICOLOR"];
            if text == "CI" || says_how_to_print.iter().any(|start| text.starts_with(start)) {
                command = command.env_remove(&name);
            }
        }
        command = command.env("TERM", "xterm-256color").envs(env.iter().copied()).kill_on_drop(true);
        let child = command.spawn(pts).expect("muster starts");
        let mut parser = Parser::new(nonzero(size.0), nonzero(size.1), SCROLLBACK);
        for line in before {
            parser.process(format!("{line}\r\n").as_bytes());
        }
        Terminal { pty, child, parser, rest: Vec::new(), frames: Vec::new() }
    }

    /// What stood on the terminal before the program began.
    pub fn earlier() -> Vec<String> {
        (1..=30).map(|line| format!("earlier line {line}")).collect()
    }

    /// Types something: `"\x03"` is Ctrl-C.
    pub async fn type_in(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).await.expect("it can be typed into");
    }

    /// Makes the terminal wider or narrower. A program cannot know at once, so the emulator is wide enough for the
    /// frames of both sizes until one has been drawn that fits the new one.
    pub async fn resize(&mut self, columns: u16) {
        let wider = columns.max(self.parser.screen().size().1.get());
        self.parser.set_size(nonzero(24), nonzero(wider));
        self.pty.resize(Size::new(24, columns)).expect("a size");
        let fits = |frame: &Frame| frame.panel.iter().all(|line| line.chars().count() < columns.into());
        let drawn = self.frames.len();
        self.until("a frame of the new size", |frame, number| number > drawn + 1 && fits(frame)).await;
        self.parser.set_size(nonzero(24), nonzero(columns));
    }

    /// Reads until a frame shows what it should; gives that frame.
    pub async fn until(&mut self, what: &str, mut shows: impl FnMut(&Frame, usize) -> bool) -> Frame {
        loop {
            let seen = self.frames.len();
            assert!(
                within(what, self.read()).await,
                "the program ended before {what}:\n{}",
                self.parser.screen().contents()
            );
            for number in seen..self.frames.len() {
                if shows(&self.frames[number], number + 1) {
                    return self.frames[number].clone();
                }
            }
        }
    }

    /// Reads until the program has ended.
    pub async fn left(mut self) -> Left {
        while within("the program ends", self.read()).await {}
        let status = within("the program ends", self.child.wait()).await.expect("a child can be waited for");
        self.parser.process(&self.rest);
        let screen = self.parser.screen().clone();
        let mut lines = all_lines(&screen);
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        Left { code: status.code(), screen, lines, frames: self.frames }
    }

    /// Reads once and draws whole frames; false at the end.
    async fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        // A pseudo-terminal whose other end is closed gives an error in place of an end.
        let Ok(count @ 1..) = self.pty.read(&mut buffer).await else { return false };
        self.rest.extend_from_slice(&buffer[..count]);
        while let Some(at) = self.rest.windows(END_OF_FRAME.len()).position(|window| window == END_OF_FRAME) {
            let frame: Vec<u8> = self.rest.drain(..at + END_OF_FRAME.len()).collect();
            self.parser.process(&frame);
            self.frames.push(Frame::of(self.parser.screen()));
        }
        true
    }
}

impl Left {
    /// Lines that the terminal has broken because they were too wide, each with the one it runs on in. Of those that were scrolled
    /// away nothing is known.
    pub fn torn(&self) -> Vec<String> {
        let (rows, columns) = self.screen.size();
        let line = |row: u16| self.screen.rows(0, columns.get()).nth(row.into()).unwrap_or_default();
        let torn = (0..rows.get()).filter(|row| self.screen.row_wrapped(*row));
        torn.map(|row| format!("{}{}", line(row), line(row + 1))).collect()
    }
}

impl Frame {
    fn of(screen: &Screen) -> Frame {
        let mut above = all_lines(screen);
        let rows = usize::from(screen.size().0.get());
        let top = above.len() - rows + usize::from(screen.cursor_position().0);
        let mut panel = above.split_off(top);
        while panel.last().is_some_and(String::is_empty) {
            panel.pop();
        }
        Frame { screen: screen.clone(), above, panel }
    }

    /// Whether a line of the display runs on in the next one, because it was too wide.
    pub fn is_torn(&self) -> bool {
        let top = self.screen.cursor_position().0;
        (top..self.screen.size().0.get()).any(|row| self.screen.row_wrapped(row))
    }

    /// Whether anything is in a colour or stands out otherwise.
    pub fn is_coloured(&self) -> bool {
        is_coloured(&self.screen)
    }
}

/// Whether anything on the screen is in a colour or stands out otherwise.
pub fn is_coloured(screen: &Screen) -> bool {
    let (rows, columns) = screen.size();
    let mut cells =
        (0..rows.get()).flat_map(|row| (0..columns.get()).filter_map(move |column| screen.cell(row, column)));
    cells.any(|cell| {
        let plain = cell.fgcolor() == vt100::Color::Default && cell.bgcolor() == vt100::Color::Default;
        !plain || cell.bold() || cell.dim() || cell.italic() || cell.underline() || cell.inverse()
    })
}

/// All lines, those that were scrolled away first.
fn all_lines(screen: &Screen) -> Vec<String> {
    let mut screen = screen.clone();
    let columns = screen.size().1.get();
    let mut lines = Vec::new();
    for back in (1..=screen.scrollback_len()).rev() {
        screen.set_scrollback(back);
        lines.extend(screen.rows(0, columns).next());
    }
    screen.set_scrollback(0);
    lines.extend(screen.rows(0, columns));
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

fn nonzero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("not 0")
}
