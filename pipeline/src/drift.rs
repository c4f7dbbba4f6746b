//! How records differ from what their schema says there is: the earliest notice that an API changed.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::schema::Schema;

/// What was seen in some records, held against the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// Fields that the schema does not know: path (a JSON pointer, `*` for any place in an array), and in how many records,
    /// with an example. Beyond [`MAX_UNKNOWN_FIELDS`](crate::MAX_UNKNOWN_FIELDS) of one record the rest is not told apart.
    pub unknown: BTreeMap<String, Unknown>,
    /// Fields that the schema knows and no record had, by path.
    pub never_came: Vec<String>,
}

/// A field that the schema does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// In how many records.
    pub records: usize,
    /// What stood there first, shortened.
    pub example: String,
}

/// How long an example may be.
const MAX_EXAMPLE: usize = 60;

impl Drift {
    /// Compares records with a schema.
    pub(crate) fn of<'a>(schema: &Schema, records: impl IntoIterator<Item = &'a Value>) -> Self {
        let (source, strict) = (schema.source(), schema.strict());
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        let mut drift = Self::default();
        let mut any = false;
        for record in records {
            any = true;
            walk("", source, source, record, &mut known);
            let unknown = strict.as_ref().map(|strict| strict.unknown(record)).unwrap_or_default();
            for (path, value) in unknown {
                let seen = drift.unknown.entry(path);
                seen.or_insert_with(|| Unknown { records: 0, example: shortened(value) }).records += 1;
            }
        }
        if any {
            drift.never_came = known.into_iter().filter(|(_, came)| !came).map(|(path, _)| path).collect();
        }
        drift
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.unknown.is_empty() && self.never_came.is_empty()
    }
}

/// Notes which of the fields that the schema names came.
fn walk(path: &str, schema: &Value, root: &Value, value: &Value, known: &mut BTreeMap<String, bool>) {
    let schema = followed(schema, root);
    if let (Some(items), Value::Array(values)) = (schema.get("items"), value) {
        for value in values {
            walk(&format!("{path}/*"), items, root, value, known);
        }
    }
    let (Some(properties), Value::Object(fields)) = (schema["properties"].as_object(), value) else { return };
    for (name, schema) in properties {
        let at = format!("{path}/{name}");
        *known.entry(at.clone()).or_default() |= fields.contains_key(name);
        if let Some(value) = fields.get(name) {
            walk(&at, schema, root, value, known);
        }
    }
}

fn followed<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let pointer = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
    pointer.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_EXAMPLE) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(source: &Value) -> Schema {
        let node = crate::spec::tree::from_json(&source.to_string(), "test").unwrap();
        Schema::read(&crate::spec::field::Field::root("test", &node)).unwrap()
    }

    #[test]
    fn what_the_schema_does_not_know_and_what_never_came_is_named() {
        let of_lines = schema(&json!({
            "properties": {"id": {}, "gone": {}, "lines": {"items": {"$ref": "#/$defs/line"}}, "any": {}},
            "$defs": {"line": {"properties": {"sku": {}, "price": {}}}},
        }));
        let records = [
            json!({"id": 1, "new": [1], "lines": [{"sku": 1}, {"sku": 2, "tax": "x"}], "any": {"thing": 1}}),
            json!({"id": 2, "new": null, "lines": [{"tax": 1}, {"tax": 2}]}),
        ];
        let drift = Drift::of(&of_lines, &records);
        let unknown: Vec<(&str, usize, &str)> =
            drift.unknown.iter().map(|(path, seen)| (path.as_str(), seen.records, seen.example.as_str())).collect();
        assert_eq!(unknown, [("/lines/*/tax", 2, "\"x\""), ("/new", 2, "[1]")]);
        assert_eq!(drift.never_came, ["/gone", "/lines/*/price"]);
        assert!(Drift::of(&Schema::anything(), &records).is_none());
        let open = schema(&json!({"properties": {"id": {}}, "additionalProperties": true}));
        assert!(Drift::of(&open, &[json!({"id": 1, "new": 1})]).is_none());
        let closed = schema(&json!({"properties": {"id": {}}, "additionalProperties": false}));
        assert_eq!(Drift::of(&closed, &[json!({"id": 1, "new": 1})]).unknown.len(), 1);
        assert!(Drift::of(&of_lines, []).is_none(), "nobody looked at anything");
    }
}
