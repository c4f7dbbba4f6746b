//! Further parts of a record, each read by a request of its own and put under a key of the record.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use url::Url;

use crate::compiled::{RecordError, Stage};
use crate::record_id::RecordId;
use crate::spec::template::RecordUrl;

/// Where a further part of each record is read.
#[derive(Debug, Clone)]
pub struct EnrichPart {
    pub(crate) name: String,
    pub(crate) url: RecordUrl,
    pub(crate) optional: bool,
}

impl EnrichPart {
    /// The key of the record under which it is put.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is read for one record.
    #[must_use]
    pub fn url(&self, id: &RecordId) -> Url {
        // As for a record itself: the template was checked with its parameters when the pipeline was compiled.
        self.url.of(id).expect("a checked template with an encoded record ID is a URL")
    }

    /// Whether the record goes on, with `null` here, when there is no such part.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.optional
    }
}

/// Puts parts into a record, behind what it has; nothing is `null`. The texts are joined as they came, so that numbers
/// keep their digits and keys their order.
pub(crate) fn join(record: &[u8], parts: &[(&str, Option<Bytes>)]) -> Result<Vec<u8>, RecordError> {
    let wrong = |reason: String| RecordError { stage: Stage::Validate, reason, pauses: false };
    let mut reader = serde_json::Deserializer::from_slice(record);
    let keys = (&mut reader).deserialize_map(Keys { parts }).and_then(|keys| reader.end().map(|()| keys));
    let keys = keys.map_err(|problem| match problem.is_data() {
        true => wrong("only an object can be enriched, and this record is none".to_owned()),
        false => wrong(format!("this is not JSON: {problem}")),
    })?;
    if let Some(name) = keys.taken {
        return Err(wrong(format!("the record has \"{name}\" itself, and enrich.{name} would overwrite it")));
    }
    let more: usize = parts.iter().map(|(name, value)| name.len() + value.as_ref().map_or(4, Bytes::len) + 8).sum();
    let mut joined = Vec::with_capacity(record.len() + more);
    // It is an object, so its last character is its brace.
    joined.extend_from_slice(record.trim_ascii_end().strip_suffix(b"}").unwrap_or(record));
    let mut first = keys.is_empty;
    for (name, value) in parts {
        let value = value.as_deref().unwrap_or(b"null");
        serde_json::from_slice::<IgnoredAny>(value)
            .map_err(|problem| wrong(format!("enrich.{name}: this is not JSON: {problem}")))?;
        if !std::mem::take(&mut first) {
            joined.push(b',');
        }
        joined.extend_from_slice(serde_json::Value::from(*name).to_string().as_bytes());
        joined.push(b':');
        joined.extend_from_slice(value);
    }
    joined.push(b'}');
    Ok(joined)
}

/// What must be known of an object's keys.
struct Found {
    is_empty: bool,
    /// The name of a part that the record has already.
    taken: Option<String>,
}

/// Reads an object's keys and passes over its values.
struct Keys<'a> {
    parts: &'a [(&'a str, Option<Bytes>)],
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found { is_empty: true, taken: None };
        while let Some(key) = map.next_key::<Key<'de>>()? {
            found.is_empty = false;
            if self.parts.iter().any(|(name, _)| *name == key.0) {
                found.taken = Some(key.0.into_owned());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(found)
    }
}

/// A key, borrowed where it needs no unescaping.
struct Key<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(record: &str, parts: &[(&str, Option<&'static str>)]) -> Result<String, String> {
        let parts: Vec<_> = parts.iter().map(|(name, value)| (*name, value.map(Bytes::from))).collect();
        let made = join(record.as_bytes(), &parts).map_err(|error| error.to_string())?;
        serde_json::from_slice::<IgnoredAny>(&made).unwrap();
        Ok(String::from_utf8(made).unwrap())
    }

    #[test]
    fn parts_come_behind_what_the_record_has_as_they_came() {
        let record = "{ \"z\": 1.10, \"a\": 12345678901234567890123 } \n";
        assert_eq!(
            joined(record, &[("b", Some("[ 1.0e400 ]")), ("\"q\"", None)]).unwrap(),
            "{ \"z\": 1.10, \"a\": 12345678901234567890123 ,\"b\":[ 1.0e400 ],\"\\\"q\\\"\":null}"
        );
        assert_eq!(joined("{}", &[("b", Some("1"))]).unwrap(), "{\"b\":1}");
        assert_eq!(joined(" { } ", &[("b", Some("1")), ("c", None)]).unwrap(), " { \"b\":1,\"c\":null}");
    }

    #[test]
    fn what_cannot_be_joined_is_no_record() {
        for record in ["[1]", "7", "null", "\"{}\""] {
            assert!(joined(record, &[("b", None)]).unwrap_err().contains("only an object"), "{record}");
        }
        for record in [r#"{"a":1,"b":2}"#, r#"{"\u0062":2}"#] {
            let error = joined(record, &[("b", None)]).unwrap_err();
            assert!(error.contains("validate: the record has \"b\" itself"), "{error}");
        }
        for (record, part) in [("{\"a\":1", "1"), ("{} {}", "1"), ("{}", "1,\"x\":2"), ("{}", ""), ("{}", "<html>")] {
            assert!(joined(record, &[("b", Some(part))]).unwrap_err().contains("this is not JSON"), "{record} {part}");
        }
    }
}
