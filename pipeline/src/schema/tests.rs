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

#[test]
fn what_stands_in_a_branch_is_looked_at_to_the_bottom() {
    let owner = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    let source = json!({
        "$defs": { "owner": owner, "vet": { "$anchor": "vet", "properties": { "name": true } } },
        "properties": {
            "visits": { "anyOf": [{ "type": "array", "items": { "properties": { "fee": true } } }, { "type": "null" }] },
            "owner": { "oneOf": [{ "type": "string" }, owner] },
            "keeper": { "allOf": [{ "$ref": "#/$defs/owner" }, { "properties": { "since": { "properties": { "year": true } } } }] },
            "vet": { "anyOf": [{ "$ref": "#vet" }, { "type": "null" }] },
            "pet": {
                "oneOf": [
                    { "required": ["claws"], "properties": { "claws": { "properties": { "n": true } } } },
                    { "required": ["wings"], "properties": { "wings": { "properties": { "span": true } } } },
                ],
                "if": { "required": ["claws"] },
                "then": { "properties": { "box": { "properties": { "clean": true } } } },
                "else": { "properties": { "cage": { "properties": { "bars": true } } } },
                "dependentSchemas": { "food": { "properties": { "food": { "properties": { "kind": true } } } } },
            },
            "any": { "anyOf": [{ "type": "object", "additionalProperties": true }, { "properties": { "a": true } }] },
        },
    });
    let known = json!({
        "visits": [{ "fee": 1 }], "owner": { "name": "Ada" }, "keeper": { "name": "Bo", "since": { "year": 1 } },
        "vet": { "name": "Cy" }, "any": { "b": { "c": 1 } },
        "pet": { "claws": { "n": 1 }, "box": { "clean": true }, "food": { "kind": "hay" } },
    });
    assert_eq!(unknown_in(&source, &known), [""; 0]);
    assert_eq!(unknown_in(&source, &json!({ "visits": null, "owner": "Ada", "vet": null })), [""; 0]);
    let strange = json!({
        "visits": [{ "fee": 1, "tax": 1 }], "owner": { "age": 7 }, "keeper": { "age": 1, "since": { "day": 1 } },
        "vet": { "age": 1 },
        "pet": { "claws": { "m": 1 }, "box": { "dirty": 1 }, "cage": { "bars": 1 }, "food": { "kilos": 1 } },
    });
    assert_eq!(
        unknown_in(&source, &strange),
        [
            "/keeper/age",
            "/keeper/since/day",
            "/owner/age",
            "/pet/box/dirty",
            "/pet/cage",
            "/pet/claws/m",
            "/pet/food/kilos",
            "/vet/age",
            "/visits/*/tax"
        ]
    );
    let bird = json!({ "pet": { "wings": { "span": 1, "n": 1 }, "cage": { "bars": 1, "box": 1 } } });
    assert_eq!(unknown_in(&source, &bird), ["/pet/cage/box", "/pet/wings/n"]);
}

#[test]
fn a_field_inside_two_branches_is_known_by_either() {
    let born = |name: &str| json!({ "properties": { "born": { "properties": { name: true } } } });
    let source =
        json!({ "allOf": [born("year"), born("day")], "properties": { "born": { "properties": { "at": true } } } });
    assert_eq!(unknown_in(&source, &json!({ "born": { "year": 1, "day": 2, "at": 3 } })), [""; 0]);
    assert_eq!(unknown_in(&source, &json!({ "born": { "year": 1, "hour": 2 } })), ["/born/hour"]);
    // What a reference leads to that has its own base is not looked at: it may know anything.
    let elsewhere = json!({
        "$defs": { "part": { "$id": "https://host.test/part", "properties": { "a": true } } },
        "properties": { "id": true, "part": { "$ref": "https://host.test/part" } },
    });
    assert_eq!(unknown_in(&elsewhere, &json!({ "id": 1, "part": { "b": 1 }, "odd": 1 })), ["/odd"]);
    let named = json!({
        "$id": "https://host.test/herd",
        "$defs": { "a": { "properties": { "x": true } } },
        "anyOf": [{ "required": ["x"], "$ref": "https://host.test/herd#/$defs/a" }, { "properties": { "y": true } }],
    });
    assert_eq!(unknown_in(&named, &json!({ "y": 1, "z": 1 })), ["/z"]);
    assert_eq!(unknown_in(&named, &json!({ "x": 1 })), [""; 0]);
}
