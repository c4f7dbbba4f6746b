//! The canonical form: JSON, keys sorted, defaults filled in, no whitespace. Its SHA-256 is the revision.

use serde_json::{Map, Value, json};

use crate::spec::Spec;
use crate::spec::read::{ANSWERS, FORMAT, ON_DOUBT, PARAMETER_KINDS};
use crate::spec::types::{Limits, LoadSpec, Pagination, Parameter, SourceSpec};
use crate::spec::units::{write_duration, write_percent, write_size};

/// Writes a pipeline. Reading the result gives the same pipeline, and the same text again.
pub(crate) fn write(spec: &Spec) -> String {
    let parameters: Map<String, Value> =
        spec.parameters.iter().map(|parameter| (parameter.name.clone(), parameter_json(parameter))).collect();
    let mut value = json!({
        "muster": FORMAT,
        "name": spec.name,
        "description": spec.description,
        "parameters": parameters,
        "source": source_json(&spec.source),
        "schema": spec.schema.source(),
        "transform": spec.transform.source(),
        "load": load_json(&spec.load),
        "limits": limits_json(&spec.limits),
    });
    value.sort_all_objects();
    value.to_string()
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
    value
}

fn source_json(source: &SourceSpec) -> Value {
    let list = &source.list;
    let Pagination::PageNumber(pages) = &list.pagination;
    let mut page_number = json!({"parameter": pages.parameter, "first": pages.first});
    if let Some(path) = &pages.total_pages {
        page_number["total_pages"] = path.to_string().into();
    }
    json!({
        "list": {
            "request": {"url": list.url.text()},
            "pagination": {"page_number": page_number},
            "items": list.items.to_string(),
            "id": list.id.to_string(),
            "concurrency": list.concurrency,
        },
        "detail": {"request": {"url": source.detail.text()}},
        "max_gone": write_percent(source.max_gone),
    })
}

fn load_json(load: &LoadSpec) -> Value {
    let not_applied: Vec<Value> = load
        .not_applied
        .iter()
        .map(|pattern| {
            let mut value = json!({"status": pattern.status});
            if let Some(body) = &pattern.body {
                value["body"] = body.as_str().into();
            }
            value
        })
        .collect();
    let mut value = json!({
        "request": {"method": "POST", "url": load.url.text()},
        "max_batch": load.max_batch,
        "on_doubt": word(&ON_DOUBT, &load.on_doubt),
        "not_applied": not_applied,
        "rejected": load.rejected,
        "answer": word(&ANSWERS, &load.answer),
        "post_timeout": write_duration(load.post_timeout),
        "settle_after": write_duration(load.settle_after),
        "max_attempts": load.max_attempts,
        "max_rejected_in_a_row": load.max_rejected_in_a_row,
    });
    if let Some(probe) = &load.probe {
        value["probe"] = json!({"url": probe.url.text(), "present": probe.present, "absent": probe.absent});
    }
    value
}

fn limits_json(limits: &Limits) -> Value {
    json!({
        "concurrency": limits.concurrency,
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
    })
}
