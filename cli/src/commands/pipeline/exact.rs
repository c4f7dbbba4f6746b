//! JSON as a tree that keeps the digits of its numbers, as a run does: serde_json's own holds them as machine types.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// How deep a tree may be. serde_json reads 127 levels of a record; a record may stand in a line about it.
const DEEPEST: usize = 130;

/// A tree of JSON. With `{}` it is one line, with `{:#}` it is indented, both as serde_json has them.
#[derive(Debug, Clone)]
pub enum Exact {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// An array.
    List(Vec<Exact>),
    /// An object, each key once, in their order.
    Object(Vec<(String, Exact)>),
}

impl Exact {
    /// Reads JSON; what cannot be read is a text.
    pub fn read(json: &[u8]) -> Exact {
        let raw = serde_json::from_slice::<&RawValue>(json).ok();
        let read = raw.and_then(|raw| tree(raw, DEEPEST));
        read.unwrap_or_else(|| Exact::Text(String::from_utf8_lossy(json).into_owned()))
    }

    /// An object with one member.
    pub fn with(key: &str, value: Exact) -> Exact {
        Exact::Object(vec![(key.to_owned(), value)])
    }

    /// Puts a member into an object: behind the others, or in the place of the one with its key.
    pub fn set(&mut self, key: &str, value: impl Into<Exact>) {
        let Exact::Object(members) = self else { return };
        match members.iter().position(|(known, _)| known == key) {
            Some(place) => members[place].1 = value.into(),
            None => members.push((key.to_owned(), value.into())),
        }
    }

    /// The member of an object with this key.
    pub fn member(&self, key: &str) -> Option<&Exact> {
        match self {
            Exact::Object(members) => members.iter().find(|(known, _)| known == key).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// The tree of a text that is JSON by its grammar; nothing where it is too deep, or has a string that is no text.
fn tree(raw: &RawValue, deep: usize) -> Option<Exact> {
    let text = raw.get();
    let below = deep.checked_sub(1)?;
    Some(match text.as_bytes().first()? {
        b'{' => {
            let Members(members): Members<'_> = serde_json::from_str(text).ok()?;
            let member = |(key, value)| tree(value, below).map(|value| (key, value));
            Exact::Object(members.into_iter().map(member).collect::<Option<Vec<_>>>()?)
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            Exact::List(items.into_iter().map(|item| tree(item, below)).collect::<Option<Vec<_>>>()?)
        }
        b'"' => Exact::Text(serde_json::from_str(text).ok()?),
        b'n' => Exact::Null,
        b't' => Exact::Bool(true),
        b'f' => Exact::Bool(false),
        _ => Exact::Number(text.to_owned()),
    })
}

/// An object's members. Of a key that comes twice the last counts, where the first stood, as in serde_json's own tree.
struct Members<'de>(Vec<(String, &'de RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members: Vec<(String, &'de RawValue)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            match places.get(&key).copied() {
                Some(place) => members[place].1 = value,
                None => {
                    places.insert(key.clone(), members.len());
                    members.push((key, value));
                }
            }
        }
        Ok(Members(members))
    }
}

impl From<Value> for Exact {
    fn from(value: Value) -> Exact {
        match value {
            Value::Null => Exact::Null,
            Value::Bool(is) => Exact::Bool(is),
            Value::Number(number) => Exact::Number(number.to_string()),
            Value::String(text) => Exact::Text(text),
            Value::Array(items) => Exact::List(items.into_iter().map(Exact::from).collect()),
            Value::Object(members) => {
                Exact::Object(members.into_iter().map(|(key, value)| (key, Exact::from(value))).collect())
            }
        }
    }
}

/// Numbers are the same that are written the same; the order of keys is no difference.
impl PartialEq for Exact {
    fn eq(&self, other: &Exact) -> bool {
        match (self, other) {
            (Exact::Null, Exact::Null) => true,
            (Exact::Bool(one), Exact::Bool(other)) => one == other,
            (Exact::Number(one), Exact::Number(other)) | (Exact::Text(one), Exact::Text(other)) => one == other,
            (Exact::List(one), Exact::List(other)) => one == other,
            (Exact::Object(one), Exact::Object(other)) => same_members(one, other),
            _ => false,
        }
    }
}

fn same_members(one: &[(String, Exact)], other: &[(String, Exact)]) -> bool {
    let same = |(place, (key, value)): (usize, &(String, Exact))| {
        // Nearly always in the same place.
        let here = other.get(place).filter(|(known, _)| known == key);
        here.or_else(|| other.iter().find(|(known, _)| known == key)).is_some_and(|(_, found)| found == value)
    };
    one.len() == other.len() && one.iter().enumerate().all(same)
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Exact::Null => serializer.serialize_unit(),
            Exact::Bool(is) => serializer.serialize_bool(*is),
            Exact::Number(text) => RawValue::from_string(text.clone()).map_err(S::Error::custom)?.serialize(serializer),
            Exact::Text(text) => serializer.serialize_str(text),
            Exact::List(items) => serializer.collect_seq(items),
            Exact::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if f.alternate() { serde_json::to_string_pretty(self) } else { serde_json::to_string(self) };
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &str) -> Exact {
        Exact::read(json.as_bytes())
    }

    #[test]
    fn numbers_keep_their_digits_on_one_line_and_on_many() {
        let json =
            r#"{"z":10000000000000000000000000001,"a":[1.10,1E5,-0,1e400],"e":{},"l":[],"t":"é\n\u0001\"","n":null}"#;
        assert_eq!(read(json).to_string(), json);
        assert_eq!(read(&format!(" {} \n", json.replace(',', " ,\t"))).to_string(), json);
        let pretty = format!("{:#}", read(r#"{"a":[1.10,{}],"b":10000000000000000000000000001}"#));
        assert_eq!(pretty, "{\n  \"a\": [\n    1.10,\n    {}\n  ],\n  \"b\": 10000000000000000000000000001\n}");
    }

    #[test]
    fn all_but_numbers_is_as_serde_json_has_it() {
        let json = r#"{"b":[true,false,null,"\u00e9\/\u007f",[],{},[{"x":[]}]],"a":{"":0},"b2":-7,"a":2}"#;
        let value: Value = serde_json::from_str(json).unwrap();
        for exact in [read(json), Exact::from(value.clone())] {
            assert_eq!((exact.to_string(), format!("{exact:#}")), (value.to_string(), format!("{value:#}")));
        }
    }

    #[test]
    fn numbers_are_the_same_that_are_written_the_same() {
        assert_ne!(read("[10000000000000000000000000001]"), read("[10000000000000000000000000002]"));
        assert_ne!(read("1.10"), read("1.1"));
        assert_ne!(read("1"), read("\"1\""));
        assert_eq!(read(r#"{"a":1.10,"b":[null]}"#), read(r#"{ "b": [null], "a": 1.10 }"#));
        assert_ne!(read(r#"{"a":1,"b":2}"#), read(r#"{"a":1,"c":2}"#));
        assert_ne!(read(r#"{"a":1}"#), read(r#"{"a":1,"b":2}"#));
        assert_ne!(read("[1,2]"), read("[2,1]"));
    }

    #[test]
    fn what_cannot_be_read_is_a_text() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for json in ["", "{", "{} {}", "<html>", r#"["\ud800"]"#, &*deep(200), &*deep(100_000)] {
            assert_eq!(read(json), Exact::Text(json.to_owned()));
        }
        assert_eq!(read(&deep(128)).to_string(), deep(128));
        assert_eq!(Exact::read(b"\"\xff\""), Exact::Text("\"\u{fffd}\"".to_owned()));
    }

    #[test]
    fn members_are_put_behind_the_others_or_in_their_place() {
        let mut line = Exact::with("id", read("7.0"));
        line.set("record", read("1.50"));
        line.set("id", json!("x"));
        assert_eq!(line.to_string(), r#"{"id":"x","record":1.50}"#);
        assert_eq!(line.member("record"), Some(&read("1.50")));
        assert_eq!((line.member("none"), Exact::Null.member("id")), (None, None));
    }
}
