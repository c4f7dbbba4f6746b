//! The identity of a record, as its source wrote it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;

/// The longest canonical text of a record ID, in bytes: IDs are keys of the ledger and parts of URLs.
pub const MAX_RECORD_ID_BYTES: usize = 512;

/// Everything but RFC 3986's unreserved characters, so that no ID can leave its path segment or query value.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A record's ID: a JSON string or number in canonical JSON text, so that `7` and `"7"` stay different.
///
/// A string has one spelling (serde_json's escapes); a number stays as the source wrote it, because IDs may exceed
/// every machine type. `""`, `"."` and `".."` are refused: no URL can carry them as a path segment (the WHATWG URL
/// standard resolves even `%2e%2e`), and a request for them would ask for something else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Arc<str>);

/// Why something is no record ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordIdError {
    /// It is an object, an array, a boolean or null.
    #[error("a record ID must be a string or a number, not {0}")]
    NotScalar(&'static str),
    /// Its canonical text is too long.
    #[error("a record ID may have at most {MAX_RECORD_ID_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// It is empty, `.` or `..`.
    #[error("the record ID {0} cannot be a path segment of a URL")]
    NotAddressable(String),
    /// A text that should have been canonical JSON is not.
    #[error("{0:?} is not the canonical JSON text of a record ID")]
    NotCanonical(String),
}

impl RecordId {
    /// Reads an ID from a JSON value of any spelling.
    pub fn from_json(raw: &RawValue) -> Result<Self, RecordIdError> {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => {
                // An escape makes at most 6 bytes of one, so this bounds the work on a hostile ID as well.
                if text.len() > MAX_RECORD_ID_BYTES * 6 {
                    return Err(RecordIdError::TooLong(text.len()));
                }
                let plain: Cow<'_, str> =
                    serde_json::from_str(text).map_err(|_| RecordIdError::NotCanonical(text.to_owned()))?;
                Self::from_string(&plain)
            }
            Some(b'-' | b'0'..=b'9') => bounded(text),
            Some(b'{') => Err(RecordIdError::NotScalar("an object")),
            Some(b'[') => Err(RecordIdError::NotScalar("an array")),
            Some(b'n') => Err(RecordIdError::NotScalar("null")),
            _ => Err(RecordIdError::NotScalar("a boolean")),
        }
    }

    /// Takes back what [`RecordId::as_text`] gave.
    pub fn from_text(text: &str) -> Result<Self, RecordIdError> {
        let not_canonical = || RecordIdError::NotCanonical(text.chars().take(80).collect());
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| not_canonical())?;
        let id = Self::from_json(raw)?;
        if id.as_text() == text { Ok(id) } else { Err(not_canonical()) }
    }

    fn from_string(plain: &str) -> Result<Self, RecordIdError> {
        let text = serde_json::Value::from(plain).to_string();
        match plain {
            "" | "." | ".." => Err(RecordIdError::NotAddressable(text)),
            _ => bounded(&text),
        }
    }

    /// The canonical JSON text: `7`, `"7"`.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.0
    }

    /// The ID percent-encoded into exactly one path segment or query value of a URL.
    #[must_use]
    pub fn path_segment(&self) -> Cow<'_, str> {
        if !self.0.starts_with('"') {
            return utf8_percent_encode(&self.0, SEGMENT).into();
        }
        let inner = &self.0[1..self.0.len() - 1];
        if !inner.contains('\\') {
            return utf8_percent_encode(inner, SEGMENT).into();
        }
        let plain: String = serde_json::from_str(&self.0).unwrap_or_default();
        utf8_percent_encode(&plain, SEGMENT).to_string().into()
    }
}

fn bounded(text: &str) -> Result<RecordId, RecordIdError> {
    if text.len() > MAX_RECORD_ID_BYTES { Err(RecordIdError::TooLong(text.len())) } else { Ok(RecordId(text.into())) }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for RecordId {
    type Err = RecordIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_text(text)
    }
}

impl From<u64> for RecordId {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> Result<RecordId, RecordIdError> {
        RecordId::from_json(serde_json::from_str::<&RawValue>(json).unwrap())
    }

    #[test]
    fn a_number_and_its_string_stay_different() {
        assert_ne!(id("7").unwrap(), id("\"7\"").unwrap());
        assert_eq!(id("7").unwrap().path_segment(), id("\"7\"").unwrap().path_segment());
        assert_eq!(id("0").unwrap().as_text(), "0");
        assert_eq!(RecordId::from(7), id("7").unwrap());
    }

    #[test]
    fn a_string_has_one_canonical_spelling() {
        let one = id(r#""a\u0062\/\u00e9\n""#).unwrap();
        assert_eq!(one.as_text(), r#""ab/é\n""#);
        assert_eq!(RecordId::from_text(one.as_text()).unwrap(), one);
        assert_eq!(one.path_segment(), "ab%2F%C3%A9%0A");
        assert!(matches!(RecordId::from_text(r#""\u0062""#), Err(RecordIdError::NotCanonical(_))));
        assert!(matches!(RecordId::from_text(" 7"), Err(RecordIdError::NotCanonical(_))));
    }

    #[test]
    fn numbers_beyond_every_machine_type_keep_their_digits() {
        for text in ["123456789012345678901234567890", "-5", "1.50", "1e3", "18446744073709551616"] {
            assert_eq!(id(text).unwrap().as_text(), text);
            assert_eq!(RecordId::from_text(text).unwrap().as_text(), text);
        }
    }

    #[test]
    fn no_id_leaves_its_path_segment() {
        let corpus = [
            "../../etc/passwd",
            "a/b",
            "a\\b",
            "%2e%2e",
            "%2E%2E%2F",
            "..%2f",
            "?q=1",
            "#frag",
            "a b",
            "..;/",
            "a:b@c",
            "//evil.example",
            "http://evil.example/",
            "\u{0}",
            "\r\nHost: x",
            "日本語",
            "🦫",
            "..\u{2025}",
            ". .",
            "...",
            ".hidden",
            "+",
            "&a=b",
            "\t..",
            "..\n",
        ];
        for plain in corpus {
            let id = RecordId::from_string(plain).unwrap();
            let url = url::Url::parse(&format!("http://host.test/base/{}", id.path_segment())).unwrap();
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            assert_eq!(segments.len(), 2, "{plain:?} became {url}");
            assert_eq!((segments[0], url.host_str()), ("base", Some("host.test")), "{plain:?}");
            assert_eq!((url.query(), url.fragment()), (None, None), "{plain:?}");
            let back = percent_encoding::percent_decode_str(segments[1]).decode_utf8().unwrap();
            assert_eq!(back, plain);
        }
    }

    #[test]
    fn what_no_url_can_carry_is_refused() {
        for plain in ["", ".", ".."] {
            assert!(matches!(RecordId::from_string(plain), Err(RecordIdError::NotAddressable(_))), "{plain:?}");
        }
        for json in ["null", "true", "[1]", "{}"] {
            assert!(matches!(id(json), Err(RecordIdError::NotScalar(_))), "{json}");
        }
        assert!(matches!(id(&format!("\"{}\"", "x".repeat(511))), Err(RecordIdError::TooLong(513))));
        assert!(id(&format!("\"{}\"", "x".repeat(510))).is_ok());
        assert!(matches!(id(&"9".repeat(600)), Err(RecordIdError::TooLong(600))));
    }
}
