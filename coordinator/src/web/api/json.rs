//! Messages as JSON and back, by their descriptors: what `muster … --json` prints. The protocol's own names; numbers as
//! numbers; enums as lower-case words; times as RFC 3339 text or null; durations as seconds, under `NAME_seconds`.

use std::collections::HashMap;

use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value as Field,
};
use serde_json::{Map, Value};

const TIMESTAMP: &str = "google.protobuf.Timestamp";
const DURATION: &str = "google.protobuf.Duration";

/// A message. All of its fields are there; what is not set and could be is null.
pub(super) fn of_message(message: &DynamicMessage) -> Value {
    let mut members = Map::new();
    for field in message.descriptor().fields() {
        let value = match message.get_field(&field).as_ref() {
            _ if field.supports_presence() && !message.has_field(&field) => Value::Null,
            Field::List(items) => items.iter().map(|item| of_value(item, &field.kind())).collect(),
            Field::Map(entries) => of_map(entries, &field),
            value => of_value(value, &field.kind()),
        };
        members.insert(name(&field), value);
    }
    Value::Object(members)
}

/// The name of a field's member.
pub(super) fn name(field: &FieldDescriptor) -> String {
    if is(&field.kind(), DURATION) { format!("{}_seconds", field.name()) } else { field.name().to_owned() }
}

/// Whether a field holds a time.
pub(super) fn is_time(kind: &Kind) -> bool {
    is(kind, TIMESTAMP)
}

/// Whether a field holds a duration.
pub(super) fn is_duration(kind: &Kind) -> bool {
    is(kind, DURATION)
}

fn is(kind: &Kind, name: &str) -> bool {
    matches!(kind, Kind::Message(message) if message.full_name() == name)
}

fn of_map(entries: &HashMap<MapKey, Field>, field: &FieldDescriptor) -> Value {
    let Kind::Message(entry) = field.kind() else { return Value::Null };
    let kind = entry.map_entry_value_field().kind();
    let mut sorted: Vec<_> = entries.iter().filter_map(|(key, value)| Some((key.as_str()?, value))).collect();
    sorted.sort_by_key(|(key, _)| *key);
    sorted.into_iter().map(|(key, value)| (key.to_owned(), of_value(value, &kind))).collect::<Map<_, _>>().into()
}

fn of_value(value: &Field, kind: &Kind) -> Value {
    match value {
        Field::Bool(is) => (*is).into(),
        Field::I32(number) => (*number).into(),
        Field::I64(number) => (*number).into(),
        Field::U32(number) => (*number).into(),
        Field::U64(number) => (*number).into(),
        Field::F32(number) => f64::from(*number).into(),
        Field::F64(number) => (*number).into(),
        Field::String(text) => text.as_str().into(),
        Field::Bytes(bytes) => hex::encode(bytes).into(),
        Field::EnumNumber(number) => kind.as_enum().map_or_else(|| (*number).into(), |of| word(of, *number).into()),
        Field::Message(message) if is_time(kind) => {
            message.transcode_to::<prost_types::Timestamp>().ok().map(|time| time.to_string()).into()
        }
        Field::Message(message) if is_duration(kind) => message.transcode_to().ok().map(seconds).into(),
        Field::Message(message) => of_message(message),
        Field::List(_) | Field::Map(_) => Value::Null,
    }
}

/// To the millisecond.
fn seconds(time: prost_types::Duration) -> f64 {
    let time = std::time::Duration::try_from(time).unwrap_or_default();
    // Through whole milliseconds: their quotient prints as short as it is.
    time.as_millis() as f64 / 1000.0
}

/// `RUN_STATE_RUNNING` as `running`; a number that has no name yet, as itself.
fn word(of: &EnumDescriptor, number: i32) -> String {
    of.get_value(number).map_or_else(|| number.to_string(), |value| short(of, value.name()))
}

/// The words of an enum that can be said.
pub(super) fn words(of: &EnumDescriptor) -> Vec<String> {
    of.values().map(|value| short(of, value.name())).collect()
}

/// The same for somebody who is to say one: that it is not said is no choice.
fn sayable(of: &EnumDescriptor) -> Vec<String> {
    of.values().filter(|value| value.number() != 0).map(|value| short(of, value.name())).collect()
}

/// After the style that `buf lint` holds the protocol to, values begin with the enum's name.
fn short(of: &EnumDescriptor, value: &str) -> String {
    let mut prefix = String::new();
    for (place, letter) in of.name().char_indices() {
        if place > 0 && letter.is_ascii_uppercase() {
            prefix.push('_');
        }
        prefix.push(letter.to_ascii_uppercase());
    }
    prefix.push('_');
    value.strip_prefix(&prefix).unwrap_or(value).to_ascii_lowercase()
}

/// A message of the members of an object. An error says which member is wrong.
pub(super) fn to_message(of: &MessageDescriptor, members: &Map<String, Value>) -> Result<DynamicMessage, String> {
    let mut message = DynamicMessage::new(of.clone());
    for (member, value) in members {
        let Some(field) = of.fields().find(|field| name(field) == *member) else {
            let known = of.fields().map(|field| name(&field)).collect::<Vec<_>>().join(", ");
            return Err(format!("there is no {member:?} here; there are: {known}"));
        };
        if value.is_null() {
            continue;
        }
        let read = read(&field, value).map_err(|wrong| format!("{member}{wrong}"))?;
        message.set_field(&field, read);
    }
    Ok(message)
}

fn read(field: &FieldDescriptor, value: &Value) -> Result<Field, String> {
    if field.is_map() {
        return read_map(field, value);
    }
    if field.is_list() {
        let items = value.as_array().ok_or(" must be an array")?;
        let each = items.iter().enumerate();
        let read = each.map(|(place, item)| one(&field.kind(), item).map_err(|wrong| format!("[{place}]{wrong}")));
        return read.collect::<Result<_, _>>().map(Field::List);
    }
    one(&field.kind(), value)
}

fn read_map(field: &FieldDescriptor, value: &Value) -> Result<Field, String> {
    let Kind::Message(entry) = field.kind() else { return Err(" cannot be given".to_owned()) };
    let kind = entry.map_entry_value_field().kind();
    let entries = value.as_object().ok_or(" must be an object")?.iter();
    let read = entries.map(|(key, value)| match one(&kind, value) {
        Ok(value) => Ok((MapKey::String(key.clone()), value)),
        Err(wrong) => Err(format!(".{key}{wrong}")),
    });
    read.collect::<Result<_, _>>().map(Field::Map)
}

fn one(kind: &Kind, value: &Value) -> Result<Field, String> {
    match kind {
        Kind::Bool => value.as_bool().map(Field::Bool).ok_or_else(|| " must be true or false".to_owned()),
        Kind::String => {
            value.as_str().map(|text| Field::String(text.to_owned())).ok_or_else(|| " must be a text".to_owned())
        }
        Kind::Int32 => {
            let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
            number.map(Field::I32).ok_or_else(|| " must be a whole number of 32 bits".to_owned())
        }
        Kind::Int64 => value.as_i64().map(Field::I64).ok_or_else(|| " must be a whole number".to_owned()),
        Kind::Enum(of) => {
            let said = value.as_str().and_then(|said| of.values().find(|value| short(of, value.name()) == said));
            said.map(|value| Field::EnumNumber(value.number()))
                .ok_or_else(|| format!(" must be one of {}", sayable(of).join(", ")))
        }
        Kind::Message(of) if !is_time(kind) && !is_duration(kind) => {
            let members = value.as_object().ok_or(" must be an object")?;
            to_message(of, members).map(Field::Message).map_err(|wrong| format!(": {wrong}"))
        }
        // No call for people takes any other kind; a test of all routes would find one that does.
        _ => Err(" cannot be given".to_owned()),
    }
}

/// The value that a query's text stands for.
pub(super) fn of_text(field: &FieldDescriptor, text: &str) -> Value {
    match field.kind() {
        Kind::Bool => match text {
            "true" => true.into(),
            "false" => false.into(),
            _ => text.into(),
        },
        Kind::Int32 | Kind::Int64 => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::v1;
    use serde_json::json;

    use super::super::call::PROTOCOL;
    use super::*;

    fn described(name: &str) -> MessageDescriptor {
        PROTOCOL.get_message_by_name(&format!("muster.v1.{name}")).expect("a message")
    }

    #[test]
    fn a_run_is_shown_as_the_command_shows_it() {
        let run = v1::Run {
            run_id: "animals-1".into(),
            state: v1::RunState::Finished.into(),
            parameters: [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
            created_at: Some(prost_types::Timestamp { seconds: 1_444_102_907, nanos: 778_000_000 }),
            elapsed: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            verdict: Some(v1::Verdict { complete: true, ..v1::Verdict::default() }),
            share: Some(v1::RunShare { priority: Some(0), weight: Some(100), max_workers: None }),
            ..v1::Run::default()
        };
        let mut message = DynamicMessage::new(described("Run"));
        message.transcode_from(&run).unwrap();
        let value = of_message(&message);
        assert_eq!(value["run_id"], "animals-1");
        assert_eq!(value["state"], "finished");
        assert_eq!(value["parameters"].to_string(), r#"{"a":"1","b":"2"}"#);
        assert_eq!(value["created_at"], "2015-10-06T03:41:47.778Z");
        assert_eq!(value["finished_at"], Value::Null);
        assert_eq!(value["elapsed_seconds"], 1.5);
        assert_eq!(value["progress"], Value::Null);
        assert_eq!(value["rounds"], json!([]));
        assert_eq!(value["verdict"]["complete"], true);
        assert_eq!(value["verdict"]["durability"], "unspecified");
        assert_eq!(value["share"], json!({ "priority": 0, "weight": 100, "max_workers": null }));
    }

    #[test]
    fn a_request_is_read_and_what_is_wrong_is_named() {
        let read = |name: &str, value: Value| to_message(&described(name), value.as_object().unwrap());
        let message = read(
            "StartRunRequest",
            json!({ "pipeline": "animals", "parameters": { "base_url": "x" }, "audit_mode": true, "share": { "weight": 3 } }),
        );
        let request: v1::StartRunRequest = message.unwrap().transcode_to().unwrap();
        assert_eq!((request.pipeline.as_str(), request.audit_mode), ("animals", true));
        assert_eq!(request.parameters["base_url"], "x");
        assert_eq!(request.share, Some(v1::RunShare { weight: Some(3), ..v1::RunShare::default() }));
        let settle = read("SettleDeliveryRequest", json!({ "delivery_numbers": [1, 2], "settlement": "not_applied" }));
        let settle: v1::SettleDeliveryRequest = settle.unwrap().transcode_to().unwrap();
        assert_eq!((settle.delivery_numbers.clone(), settle.settlement()), (vec![1, 2], v1::Settlement::NotApplied));
        let wrong = [
            ("StartRunRequest", json!({ "pipelin": 1 }), "there is no \"pipelin\" here; there are: pipeline, "),
            ("StartRunRequest", json!({ "pipeline": 1 }), "pipeline must be a text"),
            ("StartRunRequest", json!({ "parameters": { "n": 1 } }), "parameters.n must be a text"),
            (
                "StartRunRequest",
                json!({ "share": { "weight": "x" } }),
                "share: weight must be a whole number of 32 bits",
            ),
            ("SettleDeliveryRequest", json!({ "delivery_numbers": [1, "x"] }), "delivery_numbers[1] must be a whole"),
            (
                "SettleDeliveryRequest",
                json!({ "settlement": "maybe" }),
                "settlement must be one of applied, not_applied",
            ),
        ];
        for (name, value, expected) in wrong {
            let error = read(name, value).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
