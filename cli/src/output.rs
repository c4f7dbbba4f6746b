//! Standard output: only what the command was asked for, and never a panic when nobody reads it any more.

use std::io::{self, ErrorKind, Write};

use crate::failure::Failure;
use crate::manner;
use crate::render::fold::hanging;

/// Whether anyone still reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// As far as one can know.
    There,
    /// It has closed its end, as `head` does: what is left need not be written.
    Gone,
}

/// Writes a text that ends its own lines.
pub fn print(text: &str) -> Result<Reader, Failure> {
    write_to(&mut io::stdout().lock(), text)
}

/// Writes a sentence, in lines that fit the terminal.
pub fn print_folded(sentence: &str) -> Result<Reader, Failure> {
    print(&format!("{}\n", hanging(0, sentence).join("\n")))
}

/// Writes a text that nobody asked for by name, such as a summary; not when the process is to be quiet.
pub fn remark(text: &str) -> Result<Reader, Failure> {
    if manner::is_quiet() { Ok(Reader::There) } else { print(text) }
}

/// Writes one JSON object or array as indented lines.
pub fn print_json(value: &serde_json::Value) -> Result<Reader, Failure> {
    print(&format!("{value:#}\n"))
}

/// Writes one JSON object as one line: of streams, so that each line can be read as it comes.
pub fn print_json_line(value: &serde_json::Value) -> Result<Reader, Failure> {
    print(&format!("{value}\n"))
}

fn write_to(output: &mut impl Write, text: &str) -> Result<Reader, Failure> {
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::new(format!("cannot write to standard output: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_no_failure_but_a_full_disk_is() {
        assert_eq!(write_to(&mut Vec::new(), "a\n").expect("written"), Reader::There);
        assert_eq!(write_to(&mut Fails(ErrorKind::BrokenPipe), "a\n").expect("left"), Reader::Gone);
        assert!(write_to(&mut Fails(ErrorKind::StorageFull), "a\n").is_err());
    }
}
