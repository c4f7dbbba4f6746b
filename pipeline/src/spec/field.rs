//! Reading typed values out of the located tree, so that every error says what, where and what to do.

use std::time::Duration;

use crate::error::{SpecError, suggest};
use crate::spec::tree::{Located, Node};
use crate::spec::units;

/// A value under a dotted key.
#[derive(Clone)]
pub(crate) struct Field<'a> {
    origin: &'a str,
    key: String,
    node: &'a Located<Node>,
}

/// A table whose keys are all known.
pub(crate) struct Table<'a> {
    origin: &'a str,
    key: String,
    node: &'a Located<Node>,
    entries: &'a [(Located<String>, Located<Node>)],
}

impl<'a> Field<'a> {
    pub(crate) fn root(origin: &'a str, node: &'a Located<Node>) -> Self {
        Self { origin, key: String::new(), node }
    }

    pub(crate) fn node(&self) -> &'a Located<Node> {
        self.node
    }

    pub(crate) fn error(&self, what: impl Into<String>) -> SpecError {
        SpecError::new(self.origin, what).at(self.node.place).key(self.key.clone())
    }

    fn expected(&self, wanted: &str) -> SpecError {
        self.error(format!("this must be {wanted}, not {}", self.node.value.kind()))
    }

    /// A table in which only `known` keys may stand.
    pub(crate) fn table(&self, known: &[&str]) -> Result<Table<'a>, SpecError> {
        let table = self.any_table()?;
        for (key, _) in table.entries {
            if !known.contains(&key.value.as_str()) {
                return Err(SpecError::new(self.origin, "there is no such key")
                    .at(key.place)
                    .key(join(&self.key, &key.value))
                    .help(suggest(&key.value, known.iter().copied())));
            }
        }
        Ok(table)
    }

    /// A table whose keys are names that the file chooses.
    pub(crate) fn any_table(&self) -> Result<Table<'a>, SpecError> {
        match &self.node.value {
            Node::Table(entries) => Ok(Table { origin: self.origin, key: self.key.clone(), node: self.node, entries }),
            _ => Err(self.expected("a table of keys")),
        }
    }

    /// A table with exactly one of these keys: which, and its value (an empty table where none stands).
    pub(crate) fn only_one_of(&self, known: &[&'static str]) -> Result<(&'static str, Field<'a>), SpecError> {
        let table = self.table(known)?;
        let mut entries = table.entries();
        let choices = || format!("name one of {}", known.join(", "));
        let (name, field) = entries.next().ok_or_else(|| self.error("nothing is chosen here").help(choices()))?;
        if let Some((_, second)) = entries.next() {
            return Err(second.error("only one of these can be meant").help(choices()));
        }
        let name = known.iter().find(|word| **word == name).copied().unwrap_or_default();
        Ok((name, field))
    }

    /// Whether it is this plain word.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.node.value, Node::Text(text) if text == word)
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.node.value, Node::Table(_))
    }

    pub(crate) fn list(&self) -> Result<Vec<Field<'a>>, SpecError> {
        let Node::List(items) = &self.node.value else { return Err(self.expected("a list")) };
        let item = |(index, node)| Field { origin: self.origin, key: format!("{}[{index}]", self.key), node };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(crate) fn text(&self) -> Result<&'a str, SpecError> {
        match &self.node.value {
            Node::Text(text) => Ok(text),
            Node::Number(_) | Node::Bool(_) => Err(self.expected("a text").help("put it in quotes")),
            _ => Err(self.expected("a text")),
        }
    }

    pub(crate) fn boolean(&self) -> Result<bool, SpecError> {
        match &self.node.value {
            Node::Bool(value) => Ok(*value),
            _ => Err(self.expected("true or false")),
        }
    }

    pub(crate) fn integer(&self, least: u64, most: u64) -> Result<u64, SpecError> {
        let Node::Number(number) = &self.node.value else {
            return Err(self.expected(&format!("a whole number from {least} to {most}")));
        };
        number
            .as_u64()
            .filter(|value| (least..=most).contains(value))
            .ok_or_else(|| self.error(format!("this must be a whole number from {least} to {most}, not {number}")))
    }

    /// One of a few words.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, SpecError> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            self.error(format!("\"{text}\" is not known")).help(suggest(text, words.iter().map(|(word, _)| *word)))
        })
    }

    pub(crate) fn duration(&self, least: Duration, most: Duration) -> Result<Duration, SpecError> {
        let value = self.unit(units::parse_duration)?;
        if value < least || value > most {
            let (least, most) = (units::write_duration(least), units::write_duration(most));
            return Err(self.error(format!("this must be from {least} to {most}")));
        }
        Ok(value)
    }

    pub(crate) fn size(&self, least: usize, most: usize) -> Result<usize, SpecError> {
        let value = self.unit(units::parse_size)?;
        if value < least || value > most {
            let (least, most) = (units::write_size(least), units::write_size(most));
            return Err(self.error(format!("this must be from {least} to {most}")));
        }
        Ok(value)
    }

    /// A share from `0%` to `100%`, as a ratio.
    pub(crate) fn percent(&self) -> Result<f64, SpecError> {
        self.unit(units::parse_percent)
    }

    /// `50/s`: how many in how much time.
    pub(crate) fn rate(&self) -> Result<(u32, Duration), SpecError> {
        self.unit(units::parse_rate)
    }

    fn unit<T>(&self, parse: fn(&str) -> Result<T, String>) -> Result<T, SpecError> {
        let text = match &self.node.value {
            Node::Text(text) => text.clone(),
            Node::Number(number) => number.to_string(),
            _ => return Err(self.expected("a number with its unit")),
        };
        parse(&text).map_err(|what| self.error(what))
    }
}

impl<'a> Table<'a> {
    /// The value of a key; a key without a value is as good as absent.
    pub(crate) fn get(&self, name: &str) -> Option<Field<'a>> {
        self.entries
            .iter()
            .find(|(key, node)| key.value == name && !matches!(node.value, Node::Null))
            .map(|(_, node)| Field { origin: self.origin, key: join(&self.key, name), node })
    }

    pub(crate) fn need(&self, name: &str) -> Result<Field<'a>, SpecError> {
        self.get(name).ok_or_else(|| {
            SpecError::new(self.origin, format!("the key \"{name}\" is missing"))
                .at(self.node.place)
                .key(&self.key)
                .help(format!("such as {}", example_of(name)))
        })
    }

    /// Reads a key if it is there, else takes the default.
    pub(crate) fn or<T>(
        &self,
        name: &str,
        default: T,
        read: impl FnOnce(Field<'a>) -> Result<T, SpecError>,
    ) -> Result<T, SpecError> {
        self.get(name).map_or(Ok(default), read)
    }

    /// All keys with their values, in the order of the file.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.entries.iter().map(|(key, node)| {
            let name = key.value.as_str();
            (name, Field { origin: self.origin, key: join(&self.key, name), node })
        })
    }
}

fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

/// What a key that must be there looks like.
fn example_of(name: &str) -> String {
    let table = [
        ("muster", "muster: 1"),
        ("name", "name: my-herd"),
        ("list", "list: { request: ..., pagination: ..., items: $.items, id: $.id }"),
        ("detail", "detail: { request: { url: \"https://api.example/items/${record:id}\" } }, or detail: none"),
        ("load", "load: { request: { url: \"https://api.example/items\" } }"),
        ("request", "request: { url: \"https://api.example/items\" }"),
        ("url", "url: \"https://api.example/items\""),
        ("pagination", "pagination: { page_number: {} }"),
        ("items", "items: $.items"),
        ("id", "id: $.id"),
        ("next", "next: $.next"),
        ("status", "status: [503]"),
        ("outcomes", "outcomes: .results"),
        ("value", "value: \"${env:NAME}\""),
        ("password", "password: \"${env:NAME}\""),
        ("client_secret", "client_secret: \"${env:NAME}\""),
        ("table", "table: animals"),
    ];
    let known = table.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| format!("{name}: ..."), |(_, example)| (*example).to_owned())
}
