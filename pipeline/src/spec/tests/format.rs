//! pipelines/pipeline.schema.json says what the reader knows: the same keys, words and defaults.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::samples::{samples, wrong_in_shape};
use crate::{FORMAT_SCHEMA, Pipeline, SpecError};

const NO_KEY: &str = "there-is-no-such-key";

fn format() -> Value {
    serde_json::from_str(FORMAT_SCHEMA).unwrap()
}

fn validator() -> jsonschema::Validator {
    jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&format()).unwrap()
}

fn from_yaml(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).unwrap()
}

fn problems(validator: &jsonschema::Validator, yaml: &str) -> Vec<String> {
    validator.iter_errors(&from_yaml(yaml)).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// A table in a pipeline, and what the format says of it.
struct Visited {
    /// Where in the pipeline it stands, as a JSON pointer.
    pointer: String,
    /// Where in the format it stands.
    named: String,
    table: Value,
}

/// All tables of a pipeline whose keys the format knows.
fn tables(instance: &Value, pointer: &str, schema: &Value, named: &str, root: &Value, found: &mut Vec<Visited>) {
    if let Some(to) = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#')) {
        return tables(instance, pointer, root.pointer(to).unwrap(), to, root, found);
    }
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        tables(instance, pointer, one, named, root, found);
    }
    if let (Some(items), Some(list)) = (schema.get("items"), instance.as_array()) {
        for (index, item) in list.iter().enumerate() {
            tables(item, &format!("{pointer}/{index}"), items, named, root, found);
        }
    }
    let Some(entries) = instance.as_object() else { return };
    if schema["properties"].is_object() {
        found.push(Visited { pointer: pointer.to_owned(), named: named.to_owned(), table: schema.clone() });
    }
    for (name, value) in entries {
        let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        if let Some(known) = known.filter(|known| known.is_object()) {
            tables(value, &format!("{pointer}/{name}"), known, &format!("{named}/properties/{name}"), root, found);
        }
    }
}

fn visited(canonical: &Value) -> Vec<Visited> {
    let (root, mut found) = (format(), Vec::new());
    tables(canonical, "", &root, "", &root, &mut found);
    found
}

/// The pipeline with a key put into one of its tables.
fn with(canonical: &Value, pointer: &str, key: &str, value: Value) -> Result<Pipeline, SpecError> {
    let mut changed = canonical.clone();
    changed.pointer_mut(pointer).unwrap()[key] = value;
    Pipeline::from_canonical(&changed.to_string())
}

fn known_here(error: &SpecError) -> BTreeSet<String> {
    let known = error.mend().unwrap_or_default();
    let known = known.strip_prefix("known here: ").or_else(|| known.strip_prefix("name one of "));
    known.unwrap_or_else(|| panic!("{error}")).split(", ").map(str::to_owned).collect()
}

fn pipelines() -> Vec<(Pipeline, Value)> {
    let read = |text: &String| {
        let pipeline = Pipeline::from_yaml(text, "sample").unwrap_or_else(|error| panic!("{error} in\n{text}"));
        let canonical = serde_json::from_str(pipeline.canonical()).unwrap();
        (pipeline, canonical)
    };
    samples().iter().chain([&BARE.to_owned()]).map(read).collect()
}

/// As little as a pipeline can say.
const BARE: &str = "muster: 1
name: bare
source:
  list: { request: { url: http://h.test/ }, pagination: { single: {} }, items: $, id: $.id }
  detail: none
load: { request: { url: http://h.test/ } }
";

#[test]
fn every_sample_is_right_by_the_format_and_what_is_wrong_in_shape_is_not() {
    let validator = validator();
    let mut all = samples();
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains("yaml-language-server: $schema=pipeline.schema.json"), "{}", path.display());
            all.push(text);
        }
    }
    for text in &all {
        assert_eq!(problems(&validator, text), [""; 0], "in\n{text}");
    }
    for text in wrong_in_shape() {
        assert!(!problems(&validator, &text).is_empty(), "it is taken:\n{text}");
    }
}

#[test]
fn every_table_has_the_keys_that_the_reader_knows() {
    let (mut seen, mut places) = (BTreeSet::new(), BTreeSet::new());
    for (_, canonical) in pipelines() {
        for Visited { pointer, named, table } in visited(&canonical) {
            if !places.insert((named.clone(), pointer.clone())) {
                continue;
            }
            let error = with(&canonical, &pointer, NO_KEY, json!(1)).unwrap_err();
            assert!(error.dotted_key().ends_with(NO_KEY), "{pointer}: {error}");
            let properties = table["properties"].as_object().unwrap().keys().cloned().collect();
            assert_eq!(known_here(&error), properties, "{pointer}, in the format at {named}");
            seen.insert(named);
        }
    }
    let root = format();
    let with_properties =
        root["$defs"].as_object().unwrap().iter().filter(|(_, table)| table["properties"].is_object());
    for (name, _) in with_properties {
        assert!(seen.contains(&format!("/$defs/{name}")), "no sample has the table {name}");
    }
}

#[test]
fn every_enumeration_has_the_words_that_the_reader_knows() {
    let mut seen = BTreeSet::new();
    for (_, canonical) in pipelines() {
        for Visited { pointer, named, table } in visited(&canonical) {
            for (name, property) in table["properties"].as_object().unwrap() {
                let Some(words) = property["enum"].as_array() else { continue };
                let at = format!("{named}/{name}");
                if seen.contains(&at) {
                    continue;
                }
                let Err(error) = with(&canonical, &pointer, name, json!(NO_KEY)) else {
                    panic!("{pointer}/{name} is taken");
                };
                if error.what().contains("says nothing beside") || error.what().contains("into a table") {
                    continue;
                }
                let words = words.iter().map(|word| word.as_str().unwrap().to_owned()).collect();
                assert_eq!(known_here(&error), words, "{pointer}/{name}: {error}");
                seen.insert(at);
            }
        }
    }
    assert!(seen.len() >= 9, "{seen:?}");
}

#[test]
fn every_default_is_the_reader_s() {
    let mut seen = BTreeSet::new();
    for (pipeline, canonical) in pipelines() {
        // What the canonical form fills in is a default that the format must name.
        let filled = Pipeline::from_yaml(&pipeline.filled_in(), "filled").unwrap_or_else(|error| {
            panic!("{error} in\n{}", pipeline.filled_in());
        });
        assert_eq!(filled.canonical(), pipeline.canonical());
        for Visited { pointer, named, table } in visited(&canonical) {
            for (name, property) in table["properties"].as_object().unwrap() {
                let at = format!("{named}/{name}");
                let Some(default) = property.get("default").filter(|_| !seen.contains(&at)) else { continue };
                let mut without = canonical.clone();
                without.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().remove(name);
                let Ok(without) = Pipeline::from_canonical(&without.to_string()) else { continue };
                let Ok(said) = with(&canonical, &pointer, name, default.clone()) else { continue };
                assert_eq!(without.canonical(), said.canonical(), "{pointer}/{name}");
                seen.insert(at);
            }
        }
    }
    let root = format();
    let all = std::iter::once(("", &root))
        .chain(root["$defs"].as_object().unwrap().iter().map(|(name, table)| (name.as_str(), table)));
    for (name, table) in all {
        for (key, property) in table["properties"].as_object().into_iter().flatten() {
            let at = if name.is_empty() { format!("/{key}") } else { format!("/$defs/{name}/{key}") };
            assert!(property.get("default").is_none() || seen.contains(&at), "no sample shows the default of {at}");
        }
    }
}

#[test]
fn what_the_reader_fills_in_has_a_default_in_the_format() {
    let minimal = samples().swap_remove(0);
    let given = from_yaml(&minimal);
    let pipeline = Pipeline::from_yaml(&minimal, "sample").unwrap();
    let canonical: Value = serde_json::from_str(pipeline.canonical()).unwrap();
    for Visited { pointer, table, .. } in visited(&canonical) {
        let before: BTreeMap<String, Value> = given
            .pointer(&pointer)
            .and_then(Value::as_object)
            .map(|entries| entries.clone().into_iter().collect())
            .unwrap_or_default();
        for (name, value) in canonical.pointer(&pointer).unwrap().as_object().unwrap() {
            // These two follow from other keys.
            let follows = ["required", "settle_after"].contains(&name.as_str());
            if !before.contains_key(name) && !follows && !["schema", "limits"].contains(&name.as_str()) {
                assert_eq!(table["properties"][name].get("default"), Some(value), "{pointer}/{name}");
            }
        }
    }
}
