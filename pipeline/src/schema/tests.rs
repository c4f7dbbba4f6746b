//! Records, schemas, and fields that schemas do not know.

use serde_json::json;

use super::*;
use crate::spec::tree::from_json;

fn schema(source: &Value) -> Schema {
    let node = from_json(&source.to_string(), "test").unwrap();
    let field = Field::root("test", &node);
    Schema::read(&field).and_then(|schema| schema.looking_for_drift(&field)).unwrap_or_else(|error| panic!("{error}"))
}

fn unknown_in(source: &Value, record: &Value) -> Vec<String> {
    match schema(source).check(record) {
        Ok(()) => Vec::new(),
        Err(Unmet::Unknown(told)) => {
            assert!(told.is_sorted());
            assert!(!told.is_empty(), "{record}: a strict schema refuses it, and nobody says why");
            told
        }
        Err(Unmet::Violated(what)) => panic!("{record}: {what}"),
    }
}

#[test]
fn unknown_fields_are_found_wherever_objects_are_described() {
    let source = json!({
        "type": "object",
        "properties": {
            "id": { "type": "integer" },
            "free": { "type": "object" },
            "open": { "properties": { "a": true }, "additionalProperties": true },
            "owner": { "properties": { "name": { "type": "string" } } },
            "visits": { "items": { "properties": { "vet": { "properties": { "name": true } } } } },
            "pair": { "prefixItems": [{ "properties": { "x": true } }] },
            "prices": { "additionalProperties": { "properties": { "cents": true } } },
        },
        "patternProperties": { "^x-": true },
    });
    let known = json!({
        "id": 1, "x-more": 1, "free": { "any": 1 }, "open": { "b": 1 }, "owner": { "name": "Ada" },
        "visits": [{ "vet": { "name": "Bo" } }], "pair": [{ "x": 1 }, { "y": 1 }], "prices": { "EUR": { "cents": 1 } },
    });
    assert_eq!(unknown_in(&source, &known), [""; 0]);
    let strange = json!({
        "id": 1, "a/b": 1, "owner": { "name": "Ada", "age": 7 }, "visits": [{}, { "vet": { "cat": 1 }, "fee": 2 }],
        "pair": [{ "z": 1 }], "prices": { "EUR": { "unit": 1 }, "7/8": { "unit": 1 } },
    });
    assert_eq!(
        unknown_in(&source, &strange),
        [
            "/a~1b",
            "/owner/age",
            "/pair/*/z",
            "/prices/7~18/unit",
            "/prices/EUR/unit",
            "/visits/*/fee",
            "/visits/*/vet/cat"
        ]
    );
}

#[test]
fn branches_know_together_what_each_knows_alone() {
    let source = json!({
        "$defs": { "named": { "properties": { "name": true, "born": { "properties": { "year": true } } } } },
        "allOf": [{ "$ref": "#/$defs/named" }, { "properties": { "id": true, "born": { "properties": { "day": true } } } }],
        "anyOf": [{ "required": ["a"], "properties": { "a": true } }, { "properties": { "b": true } }],
        "properties": { "mother": { "$ref": "#/$defs/named" }, "kind": true },
        "if": { "properties": { "kind": { "const": "bird" } }, "required": ["kind"] },
        "then": { "properties": { "wings": true } },
    });
    let record = json!({ "id": 1, "name": "x", "born": { "year": 1, "day": 2 }, "b": 1, "kind": "bird", "wings": 2 });
    assert_eq!(unknown_in(&source, &record), [""; 0]);
    assert_eq!(unknown_in(&source, &json!({ "b": 1, "kind": "fish", "wings": 2 })), ["/wings"]);
    // The same definition is a branch above and a value here.
    let mother = json!({ "mother": { "name": "y", "born": { "year": 1, "day": 2 }, "tail": 1 } });
    assert_eq!(unknown_in(&source, &mother), ["/mother/born/day", "/mother/tail"]);
}

#[test]
fn a_definition_may_contain_itself() {
    let source = json!({
        "$id": "https://host.test/herd",
        "$defs": { "animal": { "properties": { "young": { "items": { "$ref": "#/$defs/animal" } }, "all": { "$ref": "#" } } } },
        "$ref": "#/$defs/animal",
    });
    let record = json!({ "young": [{ "young": [{ "odd": 1 }] }], "all": { "young": [], "more": 1 } });
    assert_eq!(unknown_in(&source, &record), ["/all/more", "/young/*/young/*/odd"]);
}

#[test]
fn what_violates_the_schema_is_no_drift() {
    let source = json!({ "properties": { "id": { "type": "integer" } } });
    let violated = schema(&source).check(&json!({ "id": "x", "odd": 1 }));
    assert!(matches!(violated, Err(Unmet::Violated(what)) if what.starts_with("/id: ")));
    let node = from_json(r#"{"type":"object","required":["id"]}"#, "test").unwrap();
    let field = Field::root("test", &node);
    let error = Schema::read(&field).unwrap().looking_for_drift(&field).unwrap_err().to_string();
    assert!(error.contains("names no fields") && error.contains("properties"), "{error}");
}

#[test]
fn unknown_fields_are_told_apart_up_to_a_bound() {
    let source = json!({ "properties": { "lines": { "items": { "properties": { "sku": true } } } } });
    let line = json!({ "sku": 1, "tax": 2 });
    assert_eq!(unknown_in(&source, &json!({ "lines": vec![line; 1000] })), ["/lines/*/tax"]);
    let many: Value = (0..1000).map(|name| (name.to_string(), json!(name))).collect::<serde_json::Map<_, _>>().into();
    assert_eq!(unknown_in(&source, &many).len(), MAX_UNKNOWN_FIELDS + 1, "the last stands for all others");
    let long = unknown_in(&source, &json!({ "é".repeat(1000): 1 }));
    assert!(long[0].len() <= MAX_UNKNOWN_PATH && long[0].ends_with('é'), "{long:?}");
}
