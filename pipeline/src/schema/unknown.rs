//! Fields of a record that its schema does not know: for whoever refuses them, reports them or looks for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use super::{options, strict};

/// How many unknown fields are told apart, by path: of a record, of a delivery, of a run.
pub const MAX_UNKNOWN_FIELDS: usize = 100;
/// The longest path of an unknown field, in bytes; the rest of a longer one is cut off.
pub const MAX_UNKNOWN_PATH: usize = 256;

/// The strict form of a schema.
#[derive(Clone)]
pub(crate) struct Strict(Arc<jsonschema::Validator>);

impl Strict {
    /// Of a schema; nothing when it describes no fields of any object, so that all would be unknown.
    pub(super) fn of(source: &Value) -> Option<Result<Self, String>> {
        let strict = strict::strict(source)?;
        Some(options().build(&strict).map(|built| Self(Arc::new(built))).map_err(|error| error.to_string()))
    }

    /// Whether a record meets the schema and has no field that it does not know.
    pub(super) fn is_met(&self, record: &Value) -> bool {
        self.0.is_valid(record)
    }

    /// What the schema does not know: by path, with the first value that stands there. A path is a JSON pointer in which
    /// `*` stands for any place in an array, such as `/visits/*/vet`. Of more than [`MAX_UNKNOWN_FIELDS`] one more is given
    /// than are told apart: it stands for all others.
    pub(crate) fn unknown<'a>(&self, record: &'a Value) -> BTreeMap<String, &'a Value> {
        let mut found = BTreeMap::new();
        for error in self.0.iter_errors(record) {
            // What the schema itself forbids is in no record that meets it, but whoever looks for drift wants to know of it.
            let (ValidationErrorKind::UnevaluatedProperties { unexpected }
            | ValidationErrorKind::AdditionalProperties { unexpected }) = error.kind()
            else {
                continue;
            };
            let Some((above, object)) = folded(error.instance_path().as_str(), record) else { continue };
            for name in unexpected {
                let Some(value) = object.get(name) else { continue };
                let mut path = format!("{above}/{}", name.replace('~', "~0").replace('/', "~1"));
                path.truncate(path.floor_char_boundary(MAX_UNKNOWN_PATH));
                if found.len() <= MAX_UNKNOWN_FIELDS || found.contains_key(&path) {
                    found.entry(path).or_insert(value);
                }
            }
        }
        found
    }
}

/// The path to what a JSON pointer points at, and that itself.
fn folded<'a>(pointer: &str, record: &'a Value) -> Option<(String, &'a Value)> {
    let (mut path, mut at) = (String::new(), record);
    for step in pointer.split('/').skip(1) {
        path.push('/');
        at = match at {
            Value::Array(values) => {
                path.push('*');
                values.get(step.parse::<usize>().ok()?)?
            }
            _ => {
                path.push_str(step);
                at.get(step.replace("~1", "/").replace("~0", "~"))?
            }
        };
    }
    Some((path, at))
}
