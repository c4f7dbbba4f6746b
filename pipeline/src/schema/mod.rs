//! Validation of source records by JSON Schema 2020-12.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Place, SpecError, suggest};
use crate::spec::field::Field;
use crate::spec::tree::{Located, Node};

mod fields;
mod unknown;

pub(crate) use unknown::Strict;
pub use unknown::{MAX_UNKNOWN_FIELDS, MAX_UNKNOWN_PATH};

/// How many violations of one record are told; the first ones are enough to mend it.
const MAX_TOLD: usize = 5;

/// A compiled schema.
#[derive(Clone)]
pub(crate) struct Schema {
    source: Arc<Value>,
    validator: Option<Arc<jsonschema::Validator>>,
    /// Where somebody asks.
    strict: Option<Strict>,
}

/// A record that is not as its schema says.
#[derive(Debug)]
pub(crate) enum Unmet {
    /// It violates it: where, and what.
    Violated(String),
    /// It meets it, and has fields that it does not know: their paths, as of [`Strict::unknown`].
    Unknown(Vec<String>),
}

impl Schema {
    /// Compiles the schema of a pipeline. Nothing is fetched: a `$ref` must stay within the schema.
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, SpecError> {
        let source = field.node().value.to_json();
        if let Err(error) = jsonschema::draft202012::meta::validate(&source) {
            let at = error.instance_path().to_string();
            let within = if at.is_empty() { String::new() } else { format!(" (at {at})") };
            let what = match error.instance().as_str() {
                Some(word) if at.ends_with("/type") => format!("\"{word}\" is no type"),
                _ => error.to_string(),
            };
            let wrong = field.error(format!("this is not a JSON Schema of 2020-12: {what}{within}"));
            return Err(wrong.at(place_at(field.node(), &at)).help(mend_of(error.instance(), &at)));
        }
        let validator = build(&source, field)?;
        Ok(Self { source: Arc::new(source), validator: Some(Arc::new(validator)), strict: None })
    }

    /// The same schema, looking for fields that it does not know; `field` is where it stands.
    pub(crate) fn looking_for_drift(self, field: &Field<'_>) -> Result<Self, SpecError> {
        let Some(strict) = Strict::of(&self.source) else {
            return Err(field
                .error("this schema names no fields, so that every field is unknown to it")
                .help("name them under properties, or drop on_schema_drift"));
        };
        Ok(Self { strict: Some(strict.map_err(|what| unusable(field, &what))?), ..self })
    }

    /// What looks for unknown fields, whether the pipeline asks for it or not; nothing when it names no
    /// fields.
    pub(crate) fn strict(&self) -> Option<Strict> {
        self.strict.clone().or_else(|| Strict::of(&self.source)?.ok())
    }

    /// The schema that every record meets.
    pub(crate) fn anything() -> Self {
        Self { source: Arc::new(Value::Bool(true)), validator: None, strict: None }
    }

    /// The schema as the pipeline has it.
    pub(crate) fn source(&self) -> &Value {
        &self.source
    }

    /// Whether the pipeline says anything.
    pub(crate) fn is_given(&self) -> bool {
        self.validator.is_some()
    }

    /// Checks a record; the error names the path within it.
    pub(crate) fn check(&self, record: &Value) -> Result<(), Unmet> {
        let Some(validator) = &self.validator else { return Ok(()) };
        violated(validator, record).map_err(Unmet::Violated)?;
        let unknown = self.strict.as_ref().map(|strict| strict.unknown(record)).unwrap_or_default();
        if unknown.is_empty() { Ok(()) } else { Err(Unmet::Unknown(unknown.into_keys().collect())) }
    }
}

fn options() -> jsonschema::ValidationOptions<'static> {
    jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true)
}

/// Compiles a schema that stands at `field`.
fn build(source: &Value, field: &Field<'_>) -> Result<jsonschema::Validator, SpecError> {
    options().build(source).map_err(|error| unusable(field, &error.to_string()))
}

fn unusable(field: &Field<'_>, what: &str) -> SpecError {
    // What follows is about the library's own settings.
    let what = what.split(" and retrieving it failed").next().unwrap_or(what);
    field
        .error(format!("this JSON Schema cannot be used: {what}"))
        .help("a $ref must point into this schema; nothing is fetched")
}

/// What a record violates.
fn violated(validator: &jsonschema::Validator, record: &Value) -> Result<(), String> {
    if validator.is_valid(record) {
        return Ok(());
    }
    let told: Vec<String> = validator
        .iter_errors(record)
        .take(MAX_TOLD)
        .map(|error| {
            let path = error.instance_path().to_string();
            let path = if path.is_empty() { "the record".to_owned() } else { path };
            let mut what = error.to_string();
            if what.len() > 300 {
                let end = (0..=300).rev().find(|at| what.is_char_boundary(*at)).unwrap_or(0);
                what.truncate(end);
                what.push('…');
            }
            format!("{path}: {what}")
        })
        .collect();
    Err(told.join("; "))
}

/// Where a JSON pointer leads in the file: the last part of the way that has a place.
fn place_at(node: &Located<Node>, pointer: &str) -> Option<Place> {
    let (mut node, mut place) = (node, node.place);
    for word in pointer.split('/').skip(1) {
        let word = word.replace("~1", "/").replace("~0", "~");
        let next = match &node.value {
            Node::Table(entries) => entries.iter().find(|(key, _)| key.value == word).map(|(_, value)| value),
            Node::List(items) => word.parse().ok().and_then(|index: usize| items.get(index)),
            _ => None,
        };
        let Some(next) = next else { break };
        node = next;
        place = node.place.or(place);
    }
    place
}

fn mend_of(wrong: &Value, pointer: &str) -> String {
    const TYPES: [&str; 7] = ["string", "integer", "number", "boolean", "object", "array", "null"];
    match wrong.as_str() {
        Some(word) if pointer.ends_with("/type") => suggest(word, TYPES),
        _ => "see https://json-schema.org for what may stand there".to_owned(),
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)
    }
}

#[cfg(test)]
mod tests;
