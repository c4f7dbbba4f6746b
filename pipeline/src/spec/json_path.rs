//! Where something stands in an answer: `$.items`, `$.meta.pages`, `$.data[0]["odd name"]`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A path of names and indices; `$` is the whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

impl JsonPath {
    /// Reads a path; the error says what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("\"{text}\" is not a path such as $.items, $.meta.pages or $.data[0]; $ alone is the whole answer")
        };
        let mut rest = text.strip_prefix('$').ok_or_else(wrong)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let name = &after[..end];
                if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '@')) {
                    return Err(wrong());
                }
                steps.push(Step::Name(name.to_owned()));
                rest = &after[end..];
            } else if let Some(after) = rest.strip_prefix("[\"") {
                let (name, after) = after.split_once("\"]").ok_or_else(wrong)?;
                steps.push(Step::Name(name.to_owned()));
                rest = after;
            } else {
                let (index, after) = rest.strip_prefix('[').and_then(|r| r.split_once(']')).ok_or_else(wrong)?;
                steps.push(Step::Index(index.parse().map_err(|_| wrong())?));
                rest = after;
            }
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// The part of `json` that stands there, unread; `None` when nothing does.
    ///
    /// Nothing else is built, and numbers keep their digits.
    pub(crate) fn find<'a>(&self, json: &'a [u8]) -> Result<Option<&'a RawValue>, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let found = Seek(&self.steps).deserialize(&mut reader)?;
        reader.end()?;
        Ok(found)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct Seek<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return serde::Deserialize::deserialize(deserializer).map(Some);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match &self.0[0] {
                Step::Name(name) if *name == key => found = map.next_value_seed(Seek(&self.0[1..]))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let wanted = match &self.0[0] {
            Step::Index(index) => Some(*index),
            Step::Name(_) => None,
        };
        let mut found = None;
        let mut at = 0;
        loop {
            if Some(at) == wanted {
                match list.next_element_seed(Seek(&self.0[1..]))? {
                    Some(value) => found = value,
                    None => return Ok(None),
                }
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            at += 1;
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, json: &str) -> Option<String> {
        JsonPath::parse(path).unwrap().find(json.as_bytes()).unwrap().map(|raw| raw.get().to_owned())
    }

    #[test]
    fn paths_find_values_with_their_digits() {
        let json = r#" {"a":{"b":[1,{"c d":123456789012345678901}]},"n":null,"x":5} "#;
        assert_eq!(at("$.a.b[1][\"c d\"]", json).as_deref(), Some("123456789012345678901"));
        assert_eq!(at("$.a.b[0]", json).as_deref(), Some("1"));
        assert_eq!(at("$.n", json).as_deref(), Some("null"));
        assert_eq!(at("$", "[1, 2]").as_deref(), Some("[1, 2]"));
        for path in ["$.zz", "$.a.b[7]", "$.x.y", "$.a[0]", "$.a.b.c", "$.n.x"] {
            assert_eq!(at(path, json), None, "{path}");
        }
        assert!(JsonPath::parse("$.a").unwrap().find(b"{\"a\":1").is_err());
        assert!(JsonPath::parse("$.a").unwrap().find(b"<html>").is_err());
    }

    #[test]
    fn wrong_paths_are_refused() {
        for path in ["", "items", ".items", "$items", "$..items", "$.items[*]", "$.items[", "$.a b"] {
            assert!(JsonPath::parse(path).unwrap_err().contains("$.items"), "{path}");
        }
    }
}
