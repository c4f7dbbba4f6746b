//! The document that describes the API, made of the routes and of what the protocol says of its calls and messages.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use super::super::problem::{MEDIA_TYPE, TYPE};
use super::call::{PROTOCOL, method};
use super::json::{is_duration, is_time, name, words};
use super::routes::{Answer, ROUTES, Route, names};
use super::stream::LINES;
use crate::access::{Admits, of_path};

/// It is the same for as long as the program is.
pub(super) static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));

const ABOUT: &str = "\
    The same calls as over gRPC, with the same meaning: `muster/v1/*.proto` is the reference. A text in a request's path is \
    percent-encoded. A record ID is JSON text: `7` is the number, `\"7\"` with its quotes (`%227%22` in a path) the string. \
    Errors are problem details (RFC 9457) whose `reason` is the one that a call's description names; a request that cannot be \
    read is `REQUEST_INVALID`. Where the coordinator asks who comes, send `Authorization: Bearer TOKEN`.";

fn document() -> Value {
    let mut schemas = Schemas::default();
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let Some(call) = method(route.call) else { continue };
        let operation = operation(route, &call, &mut schemas);
        let place = paths.entry(route.path).or_insert_with(|| json!({}));
        place[route.method.to_ascii_lowercase()] = operation;
    }
    schemas.made.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Muster",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": schemas.made,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "certificate": { "type": "mutualTLS" },
            },
        },
        // None: a coordinator that asks nobody who he is.
        "security": [{}, { "token": [] }, { "certificate": [] }],
    })
}

fn tags() -> Vec<Value> {
    let mut tags: Vec<Value> = Vec::new();
    for route in ROUTES {
        let Some(service) = method(route.call).map(|call| call.parent_service().clone()) else { continue };
        if !tags.iter().any(|tag| tag["name"] == service.name()) {
            let about = comment(service.parent_file().name(), service.path());
            tags.push(json!({ "name": service.name(), "description": about }));
        }
    }
    tags
}

fn operation(route: &Route, call: &MethodDescriptor, schemas: &mut Schemas) -> Value {
    let about = comment(call.parent_service().parent_file().name(), call.path());
    let in_path: Vec<&str> = names(route.path).collect();
    let mut operation = json!({
        "operationId": operation_id(route, call),
        "tags": [call.parent_service().name()],
        "summary": about.split_inclusive(". ").next().unwrap_or_default().trim().trim_end_matches('.'),
        "description": about,
        "x-roles": roles(route.call),
        "responses": {
            "default": { "description": "A problem", "content": { MEDIA_TYPE: { "schema": reference("Problem") } } },
        },
    });
    let mut parameters: Vec<Value> = Vec::new();
    for field in call.input().fields() {
        let place = match in_path.contains(&field.name()) {
            true => "path",
            false if route.method == "POST" => continue,
            false => "query",
        };
        parameters.push(json!({
            "name": field.name(),
            "in": place,
            "required": place == "path",
            "description": about_field(&field),
            "schema": schemas.of_field(&field, Side::Asked),
        }));
    }
    operation["parameters"] = parameters.into();
    if route.method == "POST" {
        let schema = schemas.of_request(&call.input(), &in_path);
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": schema } } });
    }
    let (status, answer) = answer(route, call, schemas);
    operation["responses"][status] = answer;
    operation
}

/// The call's name; of two places for one call, the second says by what.
fn operation_id(route: &Route, call: &MethodDescriptor) -> String {
    let first = ROUTES.iter().find(|other| other.call == route.call);
    match (first, names(route.path).next()) {
        (Some(first), Some(by)) if first.path != route.path => format!("{}By_{by}", call.name()),
        _ => call.name().to_owned(),
    }
}

fn roles(call: &str) -> Vec<&'static str> {
    match of_path(&format!("/{call}")) {
        Some(Admits::Roles(roles)) => roles.iter().map(|role| role.word()).collect(),
        _ => Vec::new(),
    }
}

fn answer(route: &Route, call: &MethodDescriptor, schemas: &mut Schemas) -> (&'static str, Value) {
    let of_field = |name: &str| call.output().get_field_by_name(name);
    let mut shown = |field: Option<FieldDescriptor>| match field.map(|field| field.kind()) {
        Some(Kind::Message(message)) => schemas.reference_to(&message, Side::Answered),
        _ => json!({}),
    };
    match route.answer {
        Answer::Nothing => ("204", json!({ "description": "Done" })),
        Answer::Whole => {
            let schema = schemas.reference_to(&call.output(), Side::Answered);
            ("200", json!({ "description": "Done", "content": { "application/json": { "schema": schema } } }))
        }
        Answer::Field(name) => {
            let schema = shown(of_field(name));
            ("200", json!({ "description": "Done", "content": { "application/json": { "schema": schema } } }))
        }
        Answer::Events(name) => {
            let schema = shown(of_field(name));
            let about = format!(
                "Server-sent events called `{name}`, whose data is this; what goes wrong is one called `problem`"
            );
            ("200", json!({ "description": about, "content": { "text/event-stream": { "schema": schema } } }))
        }
        Answer::Lines(name) => {
            let schema = shown(of_field(name));
            let about = "A line of this for each; an answer that is broken off is not whole";
            ("200", json!({ "description": about, "content": { LINES: { "schema": schema } } }))
        }
    }
}

/// Whether a message is in a request, where nothing need be set, or in an answer, where all is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Asked,
    Answered,
}

#[derive(Default)]
struct Schemas {
    made: BTreeMap<String, Value>,
}

impl Schemas {
    fn reference_to(&mut self, message: &MessageDescriptor, side: Side) -> Value {
        let name = message.name().to_owned();
        if !self.made.contains_key(&name) {
            // A place for it first, so that a message within itself comes to an end.
            self.made.insert(name.clone(), json!({}));
            let schema = self.of_message(message, side, &[]);
            self.made.insert(name.clone(), schema);
        }
        reference(&name)
    }

    /// A request without what the path says.
    fn of_request(&mut self, message: &MessageDescriptor, in_path: &[&str]) -> Value {
        let schema = self.of_message(message, Side::Asked, in_path);
        self.made.insert(message.name().to_owned(), schema);
        reference(message.name())
    }

    fn of_message(&mut self, message: &MessageDescriptor, side: Side, without: &[&str]) -> Value {
        let mut properties = Map::new();
        for field in message.fields().filter(|field| !without.contains(&field.name())) {
            let mut schema = self.of_field(&field, side);
            let about = about_field(&field);
            if !about.is_empty() {
                schema["description"] = about.into();
            }
            properties.insert(name(&field), schema);
        }
        let mut schema = json!({ "type": "object" });
        let about = comment(message.parent_file().name(), message.path());
        if !about.is_empty() {
            schema["description"] = about.into();
        }
        match side {
            Side::Answered => schema["required"] = properties.keys().cloned().collect(),
            // What is not known is refused.
            Side::Asked => schema["additionalProperties"] = false.into(),
        }
        schema["properties"] = properties.into();
        schema
    }

    fn of_field(&mut self, field: &FieldDescriptor, side: Side) -> Value {
        let kind = field.kind();
        if let (true, Kind::Message(entry)) = (field.is_map(), &kind) {
            let values = self.of_kind(&entry.map_entry_value_field().kind(), side);
            return json!({ "type": "object", "additionalProperties": values });
        }
        let one = self.of_kind(&kind, side);
        match (field.is_list(), field.supports_presence()) {
            (true, _) => json!({ "type": "array", "items": one }),
            (false, true) => json!({ "anyOf": [one, { "type": "null" }] }),
            (false, false) => one,
        }
    }

    fn of_kind(&mut self, kind: &Kind, side: Side) -> Value {
        match kind {
            _ if is_time(kind) => json!({ "type": "string", "format": "date-time" }),
            _ if is_duration(kind) => json!({ "type": "number" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Double => json!({ "type": "number", "format": "double" }),
            Kind::Int32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Int64 => json!({ "type": "integer", "format": "int64" }),
            Kind::Enum(of) => json!({ "type": "string", "enum": words(of) }),
            Kind::Message(message) => self.reference_to(message, side),
            _ => json!({ "type": "string" }),
        }
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "required": ["type", "title", "status", "detail", "reason"],
        "properties": {
            "type": { "type": "string", "description": format!("`{TYPE}REASON`, or `about:blank`") },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "In words: what, where, what to do." },
            "reason": { "type": "string", "description": "A stable name; empty where the status says it all." },
        },
    })
}

fn about_field(field: &FieldDescriptor) -> String {
    comment(field.parent_message().parent_file().name(), field.path())
}

/// Comments of the protocol by file and place.
static COMMENTS: LazyLock<HashMap<(String, Vec<i32>), String>> = LazyLock::new(|| {
    let mut comments = HashMap::new();
    for file in PROTOCOL.files() {
        let info = file.file_descriptor_proto().source_code_info.as_ref();
        for place in info.iter().flat_map(|info| &info.location) {
            let text = place.leading_comments().lines().map(str::trim).collect::<Vec<_>>().join(" ");
            if !text.is_empty() {
                comments.insert((file.name().to_owned(), place.path.clone()), text.trim().to_owned());
            }
        }
    }
    comments
});

fn comment(file: &str, path: &[i32]) -> String {
    COMMENTS.get(&(file.to_owned(), path.to_vec())).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let described: usize = paths.values().map(|place| place.as_object().unwrap().len()).sum();
        assert_eq!(described, ROUTES.len());
        let mut ids = Vec::new();
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
            for text in ["summary", "description", "operationId"] {
                assert!(!operation[text].as_str().unwrap().is_empty(), "{}: no {text}", route.path);
            }
            assert!(!operation["x-roles"].as_array().unwrap().is_empty(), "{}", route.path);
            ids.push(operation["operationId"].clone());
        }
        ids.sort_by_key(ToString::to_string);
        ids.dedup();
        assert_eq!(ids.len(), ROUTES.len(), "{ids:?}");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_field_of_an_answer_is_described() {
        let text = TEXT.as_str();
        let document: Value = serde_json::from_str(text).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas[name]["properties"].is_object(), "{name}");
        }
        assert_eq!(schemas["Run"]["properties"]["state"]["enum"][1], "running");
        assert_eq!(schemas["Run"]["properties"]["elapsed_seconds"]["anyOf"][0]["type"], "number");
        assert_eq!(schemas["PauseRunRequest"]["properties"]["run_id"], Value::Null);
        assert!(schemas["Progress"]["description"].as_str().unwrap().starts_with("How far the current round is."));
    }
}
