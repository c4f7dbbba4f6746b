//! Lists that the pipeline's user gives: in a parameter, or in a file on the coordinator's machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{ListStyle, ListedItem, Page};
use crate::error::SpecError;
use crate::record_id::{MAX_RECORD_ID_BYTES, RecordId};
use crate::spec::types::IdList;

/// IDs on a page.
const PAGE: usize = 1000;
/// The largest file, in bytes.
const MAX_FILE: u64 = 256 << 20;
/// The longest text of one ID, in bytes: an escape of JSON makes at most 6 of one.
const MAX_ENTRY: usize = MAX_RECORD_ID_BYTES * 6 + 2;
/// What some programs put before a text: no blank, and no part of the first ID.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A list of IDs.
#[derive(Debug)]
pub(super) enum GivenIds {
    Parameter { name: String, ids: Vec<RecordId> },
    File(PathBuf),
}

impl GivenIds {
    pub(super) fn new(list: &IdList, parameters: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        match list {
            IdList::Parameter(name) => {
                let ids = of_text(parameters.get(name).map_or("", String::as_str));
                let wrong = |what| SpecError::new("the pipeline with these parameters", what).key(name);
                Ok(Self::Parameter { name: name.clone(), ids: ids.map_err(wrong)? })
            }
            IdList::File(path) => Ok(Self::File(path.fill_text(parameters).into())),
        }
    }

    pub(super) fn style(&self) -> ListStyle {
        match self {
            Self::Parameter { .. } => ListStyle::Numbered,
            Self::File(_) => ListStyle::Sequential,
        }
    }

    pub(super) fn place(&self) -> String {
        match self {
            Self::Parameter { name, .. } => format!("the list of IDs in the parameter {name}"),
            Self::File(path) => format!("the list of IDs in the file {}", path.display()),
        }
    }

    pub(super) async fn page(&self, number: u64, cursor: Option<&str>) -> Result<Page, String> {
        match self {
            Self::Parameter { ids, .. } => {
                let total_pages = (ids.len().div_ceil(PAGE) as u64).max(1);
                let before = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX).saturating_mul(PAGE);
                let items = ids.iter().skip(before).take(PAGE).cloned().map(bare).collect();
                Ok(Page { total_pages: Some(total_pages), last: Some(total_pages), ..page_of(number, items) })
            }
            Self::File(path) => {
                let (path, cursor) = (path.clone(), cursor.map(str::to_owned));
                let reading = tokio::task::spawn_blocking(move || of_file(&path, number, cursor.as_deref()));
                reading.await.map_err(|error| format!("reading it was broken off: {error}"))?
            }
        }
    }
}

fn page_of(number: u64, items: Vec<ListedItem>) -> Page {
    Page { number, items, ..Page::default() }
}

fn bare(id: RecordId) -> ListedItem {
    ListedItem { id, version: None, body: None }
}

/// An ID as people write it: what is a JSON number is that number, what stands in quotes is a JSON string, anything else
/// is a text. So `7` is the number, and `"7"` and `007` are texts.
fn plain(text: &str) -> Result<RecordId, String> {
    let json = match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) if matches!(raw.get().as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9')) => raw.get().to_owned(),
        _ if text.starts_with('"') => {
            return Err(format!("{} is no JSON string; write all IDs as a JSON list", shown(text)));
        }
        _ => serde_json::Value::from(text).to_string(),
    };
    from_json(&json)
}

fn from_json(json: &str) -> Result<RecordId, String> {
    let raw: &RawValue = serde_json::from_str(json).map_err(|_| format!("{} is no JSON value", shown(json)))?;
    RecordId::from_json(raw).map_err(|error| error.to_string())
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// IDs with commas or line ends between them, or a JSON list.
fn of_text(text: &str) -> Result<Vec<RecordId>, String> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if text.trim_start().starts_with('[') {
        let all: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| format!("it begins like a JSON list and is none: {error}"))?;
        return all.into_iter().map(|raw| from_json(raw.get())).collect();
    }
    text.split([',', '\n']).map(str::trim).filter(|text| !text.is_empty()).map(plain).collect()
}

/// Where a page of a file begins; the cursor of such a list.
struct Mark {
    /// Of the whole file: it must not change while it is listed.
    digest: String,
    offset: u64,
    /// IDs before it.
    ids: u64,
}

impl Mark {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let digest = parts.next()?.to_owned();
        Some(Self { digest, offset: parts.next()?.parse().ok()?, ids: parts.next()?.parse().ok()? })
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.digest, self.offset, self.ids)
    }
}

fn of_file(path: &Path, number: u64, cursor: Option<&str>) -> Result<Page, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let before = state(&file)?;
    // All of it, for each page: 1,000 IDs cost the ledger more than a few megabytes cost here, and a file that somebody
    // writes over in place, to the same length and time, is noticed as well.
    let digest = digest(&mut file)?;
    let mark = match cursor {
        None => Mark { digest: digest.clone(), offset: 0, ids: 0 },
        Some(text) => Mark::parse(text).ok_or_else(|| "the ledger has no place in it to go on from".to_owned())?,
    };
    let changed = || "it has changed since it began to be listed; put it back as it was, or start a new run".to_owned();
    if mark.digest != digest {
        return Err(changed());
    }
    file.seek(SeekFrom::Start(mark.offset)).map_err(|error| error.to_string())?;
    let mut reader = Reader::at(mark.offset, &mut file)?;
    let list = is_list(path)?;
    let mut items = Vec::with_capacity(PAGE);
    let mut ended = false;
    if list && mark.offset == 0 {
        ended = reader.open()?;
    }
    while !ended && items.len() < PAGE {
        let place = |what: String| format!("ID number {}: {what}", mark.ids + items.len() as u64 + 1);
        let found = if list { reader.element() } else { reader.line() }.map_err(place)?;
        let Some((text, last)) = found else {
            ended = true;
            break;
        };
        let id = if list { from_json(&text) } else { plain(&text) };
        items.push(bare(id.map_err(place)?));
        ended = last;
    }
    let offset = reader.offset;
    if state(&file)? != before {
        return Err(changed());
    }
    let next = Mark { digest, offset, ids: mark.ids + items.len() as u64 };
    let page = page_of(number, items);
    Ok(Page { last: ended.then_some(number), cursor: (!ended).then(|| next.text()), ..page })
}

fn state(file: &File) -> Result<(u64, Option<SystemTime>), String> {
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if metadata.len() > MAX_FILE {
        return Err(format!("it has {} bytes, more than {MAX_FILE}; share it among several runs", metadata.len()));
    }
    Ok((metadata.len(), metadata.modified().ok()))
}

fn digest(file: &mut File) -> Result<String, String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut file = file.take(MAX_FILE);
    loop {
        match file.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => return Ok(hex::encode(hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Whether it is a JSON list: nothing but space stands before its `[`.
fn is_list(path: &Path) -> Result<bool, String> {
    let mut reader = Reader::at(0, File::open(path).map_err(|error| error.to_string())?)?;
    Ok(reader.after_space()? == Some(b'['))
}

/// Reads one ID after the other, and knows where it is.
struct Reader<R> {
    inner: BufReader<R>,
    offset: u64,
}

impl<R: Read> Reader<R> {
    /// Reads on at this place in a file; at its beginning, behind its byte order mark.
    fn at(offset: u64, inner: R) -> Result<Self, String> {
        let mut reader = Self { inner: BufReader::new(inner), offset };
        let ahead = reader.inner.fill_buf().map_err(|error| error.to_string())?;
        if offset == 0 && ahead.starts_with(BYTE_ORDER_MARK.as_bytes()) {
            reader.inner.consume(BYTE_ORDER_MARK.len());
            reader.offset = BYTE_ORDER_MARK.len() as u64;
        }
        Ok(reader)
    }

    fn peek(&mut self) -> Result<Option<u8>, String> {
        Ok(self.inner.fill_buf().map_err(|error| error.to_string())?.first().copied())
    }

    fn take(&mut self) -> Result<Option<u8>, String> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.inner.consume(1);
            self.offset += 1;
        }
        Ok(byte)
    }

    /// The next byte that is no space, not taken.
    fn after_space(&mut self) -> Result<Option<u8>, String> {
        while self.peek()?.is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.take()?;
        }
        self.peek()
    }

    /// Takes the `[` of a list; true when nothing is in it.
    fn open(&mut self) -> Result<bool, String> {
        self.after_space()?;
        self.take()?;
        if self.after_space()? != Some(b']') {
            return Ok(false);
        }
        self.take()?;
        self.nothing_more().map(|()| true)
    }

    fn nothing_more(&mut self) -> Result<(), String> {
        match self.after_space()? {
            None => Ok(()),
            Some(_) => Err("something stands after the list".to_owned()),
        }
    }

    /// The next element of a list, with the comma or `]` after it; and whether it was the last.
    fn element(&mut self) -> Result<Option<(String, bool)>, String> {
        let mut text = Vec::new();
        self.after_space()?;
        let (mut quoted, mut escaped) = (false, false);
        loop {
            let byte = self.take()?.ok_or_else(|| "the list is not closed".to_owned())?;
            match byte {
                b',' | b']' if !quoted => {
                    let last = byte == b']';
                    if last {
                        self.nothing_more()?;
                    }
                    return Ok(Some((utf8(text)?.trim().to_owned(), last)));
                }
                b'"' if !escaped => quoted = !quoted,
                _ => {}
            }
            escaped = quoted && byte == b'\\' && !escaped;
            push(&mut text, byte)?;
        }
    }

    /// The next line that is not empty; never known to be the last.
    fn line(&mut self) -> Result<Option<(String, bool)>, String> {
        if self.after_space()?.is_none() {
            return Ok(None);
        }
        let mut text = Vec::new();
        while let Some(byte) = self.take()?.filter(|byte| *byte != b'\n') {
            push(&mut text, byte)?;
        }
        Ok(Some((utf8(text)?.trim().to_owned(), false)))
    }
}

fn push(text: &mut Vec<u8>, byte: u8) -> Result<(), String> {
    if text.len() >= MAX_ENTRY {
        return Err(format!("it is longer than {MAX_RECORD_ID_BYTES} bytes"));
    }
    text.push(byte);
    Ok(())
}

fn utf8(text: Vec<u8>) -> Result<String, String> {
    String::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
#[path = "ids_tests.rs"]
mod tests;
