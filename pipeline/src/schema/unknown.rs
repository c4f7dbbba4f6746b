//! Fields of a record that its schema does not know: for whoever refuses them, reports them or looks for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::fields::{Fields, escaped};

/// How many unknown fields are told apart, by path: of a record, of a delivery, of a run.
pub const MAX_UNKNOWN_FIELDS: usize = 100;
/// The longest path of an unknown field, in bytes; the rest of a longer one is cut off.
pub const MAX_UNKNOWN_PATH: usize = 256;

/// Looks for fields that a schema does not know.
#[derive(Clone)]
pub(crate) struct Strict(Arc<Fields>);

impl Strict {
    /// Of a schema; nothing when it names no fields of the record, so that all would be unknown.
    pub(super) fn of(source: &Value) -> Option<Result<Self, String>> {
        let fields = Fields::of(source);
        let names_none = fields.as_ref().is_ok_and(|fields| !fields.name_any(&[0]));
        (!names_none).then(|| fields.map(|fields| Self(Arc::new(fields))))
    }

    /// What the schema does not know: by path, with the first value that stands there. A path is a JSON pointer in which
    /// `*` stands for any place in an array, such as `/visits/*/vet`. Of more than [`MAX_UNKNOWN_FIELDS`] one more is given
    /// than are told apart: it stands for all others.
    pub(crate) fn unknown<'a>(&self, record: &'a Value) -> BTreeMap<String, &'a Value> {
        let mut found = BTreeMap::new();
        self.look("", &[0], record, &mut found);
        found
    }

    fn look<'a>(&self, above: &str, schemas: &[usize], value: &'a Value, found: &mut BTreeMap<String, &'a Value>) {
        if schemas.is_empty() || !(value.is_object() || value.is_array()) {
            return;
        }
        let applying: Vec<_> = self.0.applying(schemas, Some(value)).collect();
        if applying.iter().any(|known| known.is_open) {
            return;
        }
        match value {
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    self.look(&format!("{above}/*"), &Fields::item(&applying, index), value, found);
                }
            }
            Value::Object(fields) => {
                let all_are_free = !self.0.name_any(schemas);
                for (name, value) in fields {
                    let schemas = self.0.field(&applying, name);
                    let mut path = format!("{above}/{}", escaped(name));
                    if !schemas.is_empty() {
                        self.look(&path, &schemas, value, found);
                    } else if !all_are_free {
                        path.truncate(path.floor_char_boundary(MAX_UNKNOWN_PATH));
                        if found.len() <= MAX_UNKNOWN_FIELDS || found.contains_key(&path) {
                            found.entry(path).or_insert(value);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Notes which of the fields that the schema names came, by path, whatever branch names them.
    pub(crate) fn note_came(&self, record: &Value, came: &mut BTreeMap<String, bool>) {
        self.note_within("", &[0], record, came);
    }

    fn note_within(&self, above: &str, schemas: &[usize], value: &Value, came: &mut BTreeMap<String, bool>) {
        if schemas.is_empty() {
            return;
        }
        let applying: Vec<_> = self.0.applying(schemas, None).collect();
        if let Value::Array(values) = value {
            for (index, value) in values.iter().enumerate() {
                self.note_within(&format!("{above}/*"), &Fields::item(&applying, index), value, came);
            }
        }
        let Value::Object(fields) = value else { return };
        let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (name, schema) in applying.iter().flat_map(|known| &known.properties) {
            named.entry(name).or_default().push(*schema);
        }
        for (name, schemas) in named {
            let path = format!("{above}/{}", escaped(name));
            *came.entry(path.clone()).or_default() |= fields.contains_key(name);
            if let Some(value) = fields.get(name) {
                self.note_within(&path, &schemas, value, came);
            }
        }
    }
}
