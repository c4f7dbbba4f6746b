//! The book as NDJSON, piece by piece, so that a book of millions streams while it is being written.

use std::sync::Arc;

use bytes::Bytes;

use super::Book;

/// Entries per piece: the lock is held for as long as these take.
const PIECE: usize = 1000;

/// Iterates over pieces of NDJSON.
#[derive(Debug)]
pub(crate) struct Lines {
    book: Arc<Book>,
    /// The ID or the number of the POST to go on with; nothing at the end.
    next: Option<u64>,
    what: What,
}

#[derive(Debug)]
enum What {
    Accepted,
    Posts,
}

impl Lines {
    /// `{"id":..,"times":..,"wrong":..,"keys":[..]}` for every accepted ID, ascending.
    pub(crate) fn accepted(book: Arc<Book>) -> Lines {
        Lines { book, next: Some(0), what: What::Accepted }
    }

    /// Every applied POST in order.
    pub(crate) fn posts(book: Arc<Book>) -> Lines {
        Lines { book, next: Some(0), what: What::Posts }
    }

    fn accepted_piece(&mut self, from: u64) -> Vec<u8> {
        let entries = self.book.entries();
        let mut lines = Vec::new();
        let mut put = |id: u64, cell: &super::Cell| {
            let entry = entries.entry(id, *cell);
            let line = serde_json::json!({"id": id, "times": entry.times, "wrong": entry.wrong, "keys": entry.keys});
            lines.extend_from_slice(line.to_string().as_bytes());
            lines.push(b'\n');
        };
        let herd = self.book.herd.len;
        let start = usize::try_from(from.min(herd)).unwrap_or(usize::MAX).min(entries.cells.len());
        let within = (start as u64..).zip(&entries.cells[start..]).filter(|(_, cell)| cell.times > 0);
        let beyond = entries.beyond.range(from.max(herd)..).map(|(id, cell)| (*id, cell));
        let mut last = None;
        for (id, cell) in within.chain(beyond).take(PIECE) {
            put(id, cell);
            last = Some(id);
        }
        self.next = last.and_then(|last| last.checked_add(1));
        lines
    }

    fn posts_piece(&mut self, from: u64) -> Vec<u8> {
        let entries = self.book.entries();
        let mut lines = Vec::new();
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        for post in entries.posts.iter().skip(start).take(PIECE) {
            // Writing numbers and texts into memory cannot fail.
            let _ = serde_json::to_writer(&mut lines, post);
            lines.push(b'\n');
        }
        self.next = from.checked_add(PIECE as u64);
        lines
    }
}

impl Iterator for Lines {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let from = self.next?;
        let lines = match self.what {
            What::Accepted => self.accepted_piece(from),
            What::Posts => self.posts_piece(from),
        };
        (!lines.is_empty()).then(|| lines.into())
    }
}
