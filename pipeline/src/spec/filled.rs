//! A pipeline with everything in it that its file leaves to defaults.

use serde_json::{Map, Value};

use super::Pipeline;
use crate::format::FORMAT_SCHEMA;

/// The keys of a file in the order in which people write them.
const ORDER: [&str; 11] = [
    "muster",
    "name",
    "description",
    "parameters",
    "source",
    "schema",
    "on_schema_drift",
    "transform",
    "output_schema",
    "load",
    "limits",
];

/// Keys of `load` that say something whatever the target is.
const OF_EVERY_TARGET: [&str; 6] =
    ["max_batch", "on_doubt", "post_timeout", "settle_after", "max_attempts", "max_rejected_in_a_row"];

impl Pipeline {
    /// The pipeline as YAML with every default filled in. Read again, it is the same pipeline, with the same revision.
    #[must_use]
    pub fn filled_in(&self) -> String {
        let canonical: Value = serde_json::from_str(self.canonical()).unwrap_or_default();
        let format: Value = serde_json::from_str(FORMAT_SCHEMA).unwrap_or_default();
        let mut whole = fill(canonical, &format, &format, "");
        let mut ordered = Map::new();
        for key in ORDER {
            if let Some(value) = whole.get_mut(key) {
                ordered.insert(key.to_owned(), value.take());
            }
        }
        let options = serde_saphyr::ser_options! { prefer_block_scalars: true, quote_all: false };
        // A tree of JSON has nothing in it that YAML cannot write.
        serde_saphyr::to_string_with_options(&Value::Object(ordered), options).unwrap_or_default()
    }
}

/// Puts the defaults of the format into a value and all that stands in it.
fn fill(value: Value, schema: &Value, root: &Value, key: &str) -> Value {
    let Value::Object(mut entries) = value else { return value };
    let tables: Vec<&Value> = tables_of(schema, root);
    let Some(table) = tables.first() else { return Value::Object(entries) };
    let others = |name: &str| match key {
        "load" if entries.contains_key("request") => false,
        "load" => !OF_EVERY_TARGET.contains(&name),
        "list" => entries.contains_key("ids"),
        _ => false,
    };
    let mut missing = Vec::new();
    for (name, property) in table["properties"].as_object().into_iter().flatten() {
        if let (false, Some(default), false) = (entries.contains_key(name), property.get("default"), others(name)) {
            missing.push((name.clone(), default.clone()));
        }
    }
    entries.extend(missing);
    let filled = entries.into_iter().map(|(name, value)| {
        let property = table["properties"].get(&name).unwrap_or(&table["additionalProperties"]);
        let value = fill(value, property, root, &name);
        (name, value)
    });
    Value::Object(filled.collect())
}

/// The tables that a part of the format allows, with its references followed within the format.
fn tables_of<'a>(schema: &'a Value, root: &'a Value) -> Vec<&'a Value> {
    if let Some(pointer) = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#')) {
        return root.pointer(pointer).map_or_else(Vec::new, |schema| tables_of(schema, root));
    }
    if schema["properties"].is_object() || schema["additionalProperties"].is_object() {
        return vec![schema];
    }
    schema["anyOf"].as_array().into_iter().flatten().flat_map(|schema| tables_of(schema, root)).collect()
}
