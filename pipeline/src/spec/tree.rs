//! A YAML document as a tree whose every key and value knows its line and column.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::Spanned;

use crate::error::{Place, SpecError};

/// A value and where it stands, if it stands anywhere (canonical JSON has no places worth naming).
#[derive(Debug)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) place: Option<Place>,
}

#[derive(Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Located<Node>>),
    Table(Vec<(Located<String>, Located<Node>)>),
}

/// Reads YAML; an error of the grammar carries its place.
pub(crate) fn from_yaml(text: &str, origin: &str) -> Result<Located<Node>, SpecError> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options::<Spanned<Node>>(text, options).map(Located::from).map_err(|error| {
        let place =
            error.location().map(|found| Place { line: found.line(), column: found.column() }).filter(|p| p.line > 0);
        let message = error.to_string();
        let what = message.split(", set DuplicateKeyPolicy").next().unwrap_or(&message);
        // The place is said once, by SpecError.
        let what = what.rsplit_once(" at line ").map_or(what, |(head, _)| head);
        SpecError::new(origin, format!("this is not the YAML of a pipeline: {what}")).at(place).help(mend_of(what))
    })
}

/// What usually mends an error of the grammar, by the parser's words for it.
fn mend_of(what: &str) -> &'static str {
    let table = [
        ("tab", "indent with blanks, not with tabs"),
        ("quoted scalar", "close the quote, on the same line"),
        ("expected ':'", "write `name: value`: a colon and a blank stand between a key and its value"),
        ("uplicate", "give each key once"),
        ("bracket", "close each { and [ , with commas between what stands in them"),
        ("flow", "close each { and [ , with commas between what stands in them"),
        ("", "keys of one table begin in the same column, what belongs to a key stands deeper"),
    ];
    table.into_iter().find(|(words, _)| what.contains(words)).map_or("", |(_, mend)| mend)
}

/// Reads canonical JSON, for which no places are kept.
pub(crate) fn from_json(text: &str, origin: &str) -> Result<Located<Node>, SpecError> {
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| SpecError::new(origin, format!("this is not the canonical form of a pipeline: {error}")))?;
    Ok(Located { value: Node::from(value), place: None })
}

impl Node {
    /// What a person calls this kind of value.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Node::Null => "nothing",
            Node::Bool(_) => "true or false",
            Node::Number(_) => "a number",
            Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Table(_) => "a table of keys",
        }
    }

    /// The same value without places, for parts that have a format of their own (JSON Schema).
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(*value),
            Node::Number(value) => Value::Number(value.clone()),
            Node::Text(value) => Value::String(value.clone()),
            Node::List(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Node::Table(entries) => {
                Value::Object(entries.iter().map(|(key, item)| (key.value.clone(), item.value.to_json())).collect())
            }
        }
    }
}

impl From<serde_json::Value> for Node {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        let bare = |value: Value| Located { value: Node::from(value), place: None };
        match value {
            Value::Null => Node::Null,
            Value::Bool(value) => Node::Bool(value),
            Value::Number(value) => Node::Number(value),
            Value::String(value) => Node::Text(value),
            Value::Array(items) => Node::List(items.into_iter().map(bare).collect()),
            Value::Object(entries) => Node::Table(
                entries.into_iter().map(|(key, item)| (Located { value: key, place: None }, bare(item))).collect(),
            ),
        }
    }
}

impl<T> From<Spanned<T>> for Located<T> {
    fn from(spanned: Spanned<T>) -> Self {
        let found = spanned.referenced;
        let place = (found.line() > 0).then(|| Place { line: found.line(), column: found.column() });
        Located { value: spanned.value, place }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false, a list or a table")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Number::from_f64(value).map(Node::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Node>>()? {
            items.push(item.into());
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, item)) = table.next_entry::<Spanned<String>, Spanned<Node>>()? {
            entries.push((key.into(), item.into()));
        }
        Ok(Node::Table(entries))
    }
}
