//! How records differ from what their schema says there is: the earliest notice that an API changed.

use std::collections::BTreeMap;

use serde_json::Value;

/// What was seen in some records, held against the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// Fields that the schema does not know: path, and in how many records, with an example.
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
    pub(crate) fn of<'a>(schema: &Value, records: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        let mut drift = Self::default();
        let mut any = false;
        for record in records {
            any = true;
            let mut unknown = BTreeMap::new();
            walk("", schema, schema, record, &mut known, &mut unknown);
            for (path, example) in unknown {
                drift.unknown.entry(path).or_insert(Unknown { records: 0, example }).records += 1;
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

fn walk(
    path: &str,
    schema: &Value,
    root: &Value,
    value: &Value,
    known: &mut BTreeMap<String, bool>,
    unknown: &mut BTreeMap<String, String>,
) {
    let schema = followed(schema, root);
    if let (Some(items), Value::Array(values)) = (schema.get("items"), value) {
        for value in values {
            walk(&format!("{path}[]"), items, root, value, known, unknown);
        }
    }
    // A schema that names no fields has nothing to say about them.
    let (Some(properties), Value::Object(fields)) = (schema["properties"].as_object(), value) else { return };
    let at = |name: &str| format!("{path}.{name}");
    for name in properties.keys() {
        *known.entry(at(name)).or_default() |= fields.contains_key(name);
    }
    let others = ["patternProperties", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"];
    // One that lets others pass by name, even as `true`, expects them.
    let lets_pass = |key: &&str| !schema[*key].is_null() && schema[*key] != false;
    let says_more = others.iter().any(|key| schema.get(key).is_some())
        || ["additionalProperties", "unevaluatedProperties"].iter().any(lets_pass);
    for (name, value) in fields {
        match properties.get(name) {
            Some(schema) => walk(&at(name), schema, root, value, known, unknown),
            None if says_more => {}
            None => {
                unknown.entry(at(name)).or_insert_with(|| shortened(value));
            }
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

    #[test]
    fn what_the_schema_does_not_know_and_what_never_came_is_named() {
        let schema = json!({
            "properties": {"id": {}, "gone": {}, "lines": {"items": {"$ref": "#/$defs/line"}}, "any": {}},
            "$defs": {"line": {"properties": {"sku": {}, "price": {}}}},
        });
        let records = [
            json!({"id": 1, "new": [1], "lines": [{"sku": 1}, {"sku": 2, "tax": "x"}], "any": {"thing": 1}}),
            json!({"id": 2, "new": null, "lines": []}),
        ];
        let drift = Drift::of(&schema, &records);
        let unknown: Vec<(&str, usize, &str)> =
            drift.unknown.iter().map(|(path, seen)| (path.as_str(), seen.records, seen.example.as_str())).collect();
        assert_eq!(unknown, [(".lines[].tax", 1, "\"x\""), (".new", 2, "[1]")]);
        let open = json!({"properties": {"id": {}}, "additionalProperties": true});
        assert!(Drift::of(&open, &[json!({"id": 1, "new": 1})]).is_none());
        let closed = json!({"properties": {"id": {}}, "additionalProperties": false});
        assert_eq!(Drift::of(&closed, &[json!({"id": 1, "new": 1})]).unknown.len(), 1);
        assert_eq!(drift.never_came, [".gone", ".lines[].price"]);
        assert!(Drift::of(&json!(true), &records).is_none());
        assert!(Drift::of(&schema, []).is_none(), "nobody looked at anything");
    }
}
