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
        let Some(strict) = schema.strict() else { return Self::default() };
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        let mut drift = Self::default();
        let mut any = false;
        for record in records {
            any = true;
            strict.note_came(record, &mut known);
            for (path, value) in strict.unknown(record) {
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

    #[test]
    fn what_branches_name_came_or_did_not() {
        let nullable = schema(&json!({
            "properties": {
                "lines": {"anyOf": [{"type": "array", "items": {"properties": {"sku": {}, "price": {}}}}, {"type": "null"}]},
                "pet": {"oneOf": [
                    {"required": ["claws"], "properties": {"claws": {}}}, {"required": ["wings"], "properties": {"wings": {}}}
                ]},
            },
            "allOf": [{"$ref": "#/$defs/named"}],
            "$defs": {"named": {"properties": {"name": {}, "a/b": {}}}},
        }));
        let records =
            [json!({"lines": null, "name": 1}), json!({"lines": [{"sku": 1, "tax": 1}], "pet": {"claws": 1}})];
        let drift = Drift::of(&nullable, &records);
        assert_eq!(drift.never_came, ["/a~1b", "/lines/*/price", "/pet/wings"]);
        assert_eq!(drift.unknown.keys().collect::<Vec<_>>(), ["/lines/*/tax"]);
    }
}
