//! The canonical form: JSON, keys sorted, defaults filled in, no whitespace. Its SHA-256 is the revision.
//!
//! Keys that came after the format's first release stand in it only where they say something: a pipeline that does not
//! use them keeps its revision.

use serde_json::{Map, Value, json};

use crate::spec::Spec;
use crate::spec::read::{FORMAT, ON_DRIFT, PARAMETER_KINDS};
use crate::spec::types::{Limits, OnDrift, Parameter};
use crate::spec::units::{write_duration, write_percent, write_rate, write_size};

mod auth;
mod first;
mod load;
mod source;

/// A pipeline in its canonical form.
pub(crate) struct Canonical {
    pub(crate) text: String,
    /// It says only what the format's first release knew.
    pub(crate) is_first: bool,
}

/// Writes a pipeline. Reading the result gives the same pipeline, and the same text again.
pub(crate) fn write(spec: &Spec) -> Canonical {
    let parameters: Map<String, Value> =
        spec.parameters.iter().map(|parameter| (parameter.name.clone(), parameter_json(parameter))).collect();
    let mut value = json!({
        "muster": FORMAT,
        "name": spec.name,
        "description": spec.description,
        "parameters": parameters,
        "source": source::source_json(&spec.source),
        "schema": spec.schema.source(),
        "transform": spec.transform.source(),
        "load": load::load_json(&spec.load),
        "limits": limits_json(&spec.limits),
    });
    if spec.on_schema_drift != OnDrift::Ignore {
        value["on_schema_drift"] = word(&ON_DRIFT, &spec.on_schema_drift).into();
    }
    if spec.output_schema.is_given() {
        value["output_schema"] = spec.output_schema.source().clone();
    }
    value.sort_all_objects();
    Canonical { text: value.to_string(), is_first: first::is_first(&value) }
}

fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, known)| known == value).map_or("", |(word, _)| *word)
}

fn parameter_json(parameter: &Parameter) -> Value {
    let mut value = json!({
        "description": parameter.description,
        "type": word(&PARAMETER_KINDS, &parameter.kind),
        "required": parameter.required,
    });
    if let Some(default) = &parameter.default {
        value["default"] = default.as_str().into();
    }
    if let Some(watermark) = &parameter.watermark {
        value["watermark"] = json!({"overlap": write_duration(watermark.overlap)});
    }
    value
}

/// Puts a value where there is one.
fn put(object: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object[key] = value.into();
    }
}

fn limits_json(limits: &Limits) -> Value {
    let mut value = json!({
        "concurrency": match limits.fixed_concurrency {
            true => json!({"fixed": limits.concurrency}),
            false => limits.concurrency.into(),
        },
        "get_timeout": write_duration(limits.get_timeout),
        "get_attempts": limits.get_attempts,
        "backoff": write_duration(limits.backoff),
        "backoff_max": write_duration(limits.backoff_max),
        "hedge_after": write_duration(limits.hedge_after),
        "hedge_copies": limits.hedge_copies,
        "retry_budget": write_percent(limits.retry_budget),
        "retry_after_max": write_duration(limits.retry_after_max),
        "page_size": write_size(limits.page_size),
        "record_size": write_size(limits.record_size),
    });
    if let Some(rate) = &limits.rate {
        value["rate"] = write_rate(rate.requests, rate.per).into();
        value["burst"] = rate.burst.into();
    }
    value
}
