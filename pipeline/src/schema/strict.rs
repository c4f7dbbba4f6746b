//! A schema made strict: it refuses what the pipeline's schema does not know.
//!
//! A strict schema is the pipeline's own with `unevaluatedProperties: false` wherever it describes an object that is a
//! value of the record: at the top, under `properties`, `patternProperties`, `additionalProperties`, `items` and
//! `prefixItems`, and what is reached from there by `$ref`. `unevaluatedProperties` knows what `properties` beside it, its
//! `$ref`, and those branches of `allOf`, `anyOf`, `oneOf` and `if` that hold have looked at; so nothing is put into such
//! a branch: it need not know what the others know. Nor into `not`, `contains` and the like: there it would turn what
//! the schema means around.
//!
//! A definition may be used as a value in one place and as a branch in another. So a reference from a value goes to a
//! strict twin of its definition, and the definition itself stays as it is.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Where twins stand, under `$defs`. No schema of a person has this name.
const TWINS: &str = "muster strict";

/// Keywords whose branches look at the same value.
const BRANCHES: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// The same, with a single schema each.
const CONDITIONS: [&str; 3] = ["if", "then", "else"];

/// The strict form of a schema; nothing when it describes no fields of any object, so that all would be unknown.
pub(super) fn strict(source: &Value) -> Option<Value> {
    if !knows_fields(source, source, &mut Vec::new()) {
        return None;
    }
    let mut making = Making { root: source, twins: BTreeMap::new() };
    let mut made = making.value(source);
    let twins: Map<String, Value> =
        making.twins.into_iter().filter_map(|(_, (name, twin))| Some((name, twin?))).collect();
    if let (Value::Object(made), false) = (&mut made, twins.is_empty()) {
        let definitions = made.entry("$defs").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(definitions) = definitions {
            definitions.insert(TWINS.to_owned(), serde_json::json!({ "$defs": twins }));
        }
    }
    Some(made)
}

struct Making<'a> {
    root: &'a Value,
    /// By reference: its name, and the twin once it is made (a definition may contain itself).
    twins: BTreeMap<String, (String, Option<Value>)>,
}

impl Making<'_> {
    /// A schema of a value.
    fn value(&mut self, schema: &Value) -> Value {
        let mut made = self.within(schema);
        if let Value::Object(made) = &mut made
            && !made.contains_key("additionalProperties")
            && !made.contains_key("unevaluatedProperties")
            && knows_fields(self.root, schema, &mut Vec::new())
        {
            made.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
        }
        made
    }

    /// A schema whose own value is somebody else's concern, but not the values in it.
    fn within(&mut self, schema: &Value) -> Value {
        let Value::Object(keywords) = schema else { return schema.clone() };
        let made = keywords.iter().map(|(keyword, given)| {
            let made = match (keyword.as_str(), given) {
                ("properties" | "patternProperties", Value::Object(named)) => {
                    Value::Object(named.iter().map(|(name, schema)| (name.clone(), self.value(schema))).collect())
                }
                ("prefixItems", Value::Array(schemas)) => {
                    Value::Array(schemas.iter().map(|schema| self.value(schema)).collect())
                }
                ("items" | "additionalProperties" | "unevaluatedProperties", schema) => self.value(schema),
                ("$ref", Value::String(reference)) => Value::String(self.twin(reference)),
                _ => given.clone(),
            };
            (keyword.clone(), made)
        });
        Value::Object(made.collect())
    }

    /// The reference to the strict twin of what is referred to; the reference itself where that is not a place of this
    /// schema (an anchor, say): then fields in it are known by whoever looks at them, and by nobody else.
    fn twin(&mut self, reference: &str) -> String {
        let Some(target) = referred(self.root, reference) else { return reference.to_owned() };
        if !self.twins.contains_key(reference) {
            let name = self.twins.len().to_string();
            self.twins.insert(reference.to_owned(), (name, None));
            let mut twin = self.within(target);
            if let Value::Object(twin) = &mut twin {
                // Of the whole schema: it is one and has one name.
                twin.remove("$id");
                twin.remove("$schema");
                twin.remove("$defs");
            }
            if let Some((_, made)) = self.twins.get_mut(reference) {
                *made = Some(twin);
            }
        }
        let name = self.twins.get(reference).map_or("", |(name, _)| name.as_str());
        format!("#/$defs/{}/$defs/{name}", TWINS.replace(' ', "%20"))
    }
}

/// Whether a schema names fields of the value it describes: itself, in a branch, or by reference.
fn knows_fields(root: &Value, schema: &Value, seen: &mut Vec<String>) -> bool {
    let Value::Object(keywords) = schema else { return false };
    if keywords.contains_key("properties") || keywords.contains_key("patternProperties") {
        return true;
    }
    let branches = BRANCHES.iter().filter_map(|keyword| keywords.get(*keyword)?.as_array()).flatten();
    let conditions = CONDITIONS.iter().filter_map(|keyword| keywords.get(*keyword));
    let dependent = keywords.get("dependentSchemas").and_then(Value::as_object).into_iter().flat_map(Map::values);
    if branches.chain(conditions).chain(dependent).any(|branch| knows_fields(root, branch, seen)) {
        return true;
    }
    let Some(reference) = keywords.get("$ref").and_then(Value::as_str) else { return false };
    if seen.iter().any(|known| known == reference) {
        return false;
    }
    seen.push(reference.to_owned());
    referred(root, reference).is_some_and(|target| knows_fields(root, target, seen))
}

/// What a reference within the schema (`#`, `#/$defs/herd`) refers to.
fn referred<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#')?;
    let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?;
    root.pointer(&pointer)
}
