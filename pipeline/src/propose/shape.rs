//! The JSON Schema that some records have in common.

use serde_json::{Map, Value, json};

/// How deep objects are described; what is deeper may be anything.
const DEPTH: usize = 4;

/// A schema that all these records meet.
pub(super) fn schema(records: &[Value]) -> Value {
    of(&records.iter().collect::<Vec<_>>(), 0)
}

fn of(values: &[&Value], depth: usize) -> Value {
    let mut types: Vec<&str> = Vec::new();
    for value in values {
        let kind = kind(value);
        if !types.contains(&kind) {
            types.push(kind);
        }
    }
    if types.contains(&"number") {
        types.retain(|kind| *kind != "integer");
    }
    // Nothing but null says nothing about what else may come.
    if types.is_empty() || types == ["null"] {
        return json!({});
    }
    // "null" last, as people write it.
    types.sort_by_key(|kind| *kind == "null");
    let mut schema = Map::new();
    schema.insert("type".to_owned(), if types.len() == 1 { types[0].into() } else { types.into() });
    let objects: Vec<&Map<String, Value>> = values.iter().filter_map(|value| value.as_object()).collect();
    if !objects.is_empty() && depth < DEPTH {
        describe(&mut schema, &objects, depth);
    }
    let items: Vec<&Value> = values.iter().filter_map(|value| value.as_array()).flatten().collect();
    if !items.is_empty() && depth < DEPTH {
        schema.insert("items".to_owned(), of(&items, depth + 1));
    }
    Value::Object(schema)
}

fn describe(schema: &mut Map<String, Value>, objects: &[&Map<String, Value>], depth: usize) {
    let mut names: Vec<&str> = Vec::new();
    for name in objects.iter().flat_map(|object| object.keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let required: Vec<&str> =
        names.iter().copied().filter(|name| objects.iter().all(|object| object.contains_key(*name))).collect();
    let properties: Map<String, Value> = names
        .iter()
        .map(|name| {
            let values: Vec<&Value> = objects.iter().filter_map(|object| object.get(*name)).collect();
            ((*name).to_owned(), of(&values, depth + 1))
        })
        .collect();
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.insert("properties".to_owned(), properties.into());
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_records_have_in_common_is_described() {
        let records = [
            json!({"id": 1, "price": 1, "name": null, "tags": ["a"], "at": {"x": 1}, "gone": null}),
            json!({"id": 2, "price": 1.5, "name": "b", "tags": [], "at": {"x": 1, "y": 2}, "extra": true, "gone": null}),
        ];
        let expected = json!({
            "type": "object",
            "required": ["id", "price", "name", "tags", "at", "gone"],
            "properties": {
                "id": {"type": "integer"},
                "price": {"type": "number"},
                "name": {"type": ["string", "null"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "at": {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}},
                "gone": {},
                "extra": {"type": "boolean"},
            },
        });
        assert_eq!(schema(&records), expected);
        let validator = jsonschema::validator_for(&expected).unwrap();
        assert!(records.iter().all(|record| validator.is_valid(record)));
    }
}
