//! `load` in the canonical form.

use serde_json::{Value, json};

use super::auth::{put_auth, put_headers};
use super::{put, word};
use crate::spec::read::load::{ANSWERS, COMPRESS, IDEMPOTENCY_KEY, METHODS, ON_DOUBT};
use crate::spec::types::{
    AnswerPattern, BodyForm, Compress, FilesTarget, HttpTarget, LoadSpec, PostgresTarget, TargetSpec,
};
use crate::spec::units::write_duration;

pub(super) fn load_json(load: &LoadSpec) -> Value {
    let mut value = match &load.target {
        TargetSpec::Http(http) => http_json(http),
        TargetSpec::Files(files) => files_json(files),
        TargetSpec::Postgres(postgres) => postgres_json(postgres),
    };
    value["max_batch"] = load.max_batch.into();
    value["on_doubt"] = word(&ON_DOUBT, &load.on_doubt).into();
    value["post_timeout"] = write_duration(load.post_timeout).into();
    value["settle_after"] = write_duration(load.settle_after).into();
    value["max_attempts"] = load.max_attempts.into();
    value["max_rejected_in_a_row"] = load.max_rejected_in_a_row.into();
    value
}

fn http_json(http: &HttpTarget) -> Value {
    let mut value = json!({
        "request": {"method": word(&METHODS, &http.method), "url": http.url.text()},
        "not_applied": http.not_applied.iter().map(pattern_json).collect::<Vec<Value>>(),
        "rejected": http.rejected,
        "answer": word(&ANSWERS, &http.answer),
    });
    put_headers(&mut value["request"], &http.headers);
    put_auth(&mut value, &http.auth);
    match &http.body {
        BodyForm::Array => {}
        BodyForm::Wrapped(object) => value["wrap"] = object.clone(),
        BodyForm::Ndjson => value["body"] = "ndjson".into(),
        BodyForm::Record => value["body"] = "record".into(),
    }
    put_compress(&mut value, http.compress);
    if http.idempotency_header.as_deref() != Some(IDEMPOTENCY_KEY) {
        value["idempotency_header"] = http.idempotency_header.as_deref().unwrap_or("none").into();
    }
    if let Some(per_record) = &http.per_record {
        value["per_record"] = json!({"status": per_record.status, "outcomes": per_record.outcomes.source()});
    }
    if let Some(probe) = &http.probe {
        value["probe"] = json!({"url": probe.url.text(), "present": probe.present, "absent": probe.absent});
    }
    value
}

fn put_compress(value: &mut Value, compress: Compress) {
    if compress != Compress::None {
        value["compress"] = word(&COMPRESS, &compress).into();
    }
}

fn pattern_json(pattern: &AnswerPattern) -> Value {
    let mut value = json!({"status": pattern.status});
    if let Some(body) = &pattern.body {
        value["body"] = body.as_str().into();
    }
    value
}

fn files_json(files: &FilesTarget) -> Value {
    let mut value = json!({"url": files.url.text()});
    put(&mut value, "endpoint", files.endpoint.as_ref().map(|endpoint| endpoint.text()));
    put(&mut value, "region", files.region.as_ref().map(|region| region.text()));
    put(&mut value, "access_key_id", files.access_key_id.as_ref().map(|value| value.text()));
    put(&mut value, "secret_access_key", files.secret_access_key.as_ref().map(|value| value.text()));
    let mut value = json!({"files": value});
    put_compress(&mut value, files.compress);
    value
}

fn postgres_json(postgres: &PostgresTarget) -> Value {
    let mut value = json!({"url": postgres.url.text(), "table": postgres.table});
    if !postgres.update_by.is_empty() {
        value["update_by"] = postgres.update_by.clone().into();
    }
    json!({"postgres": value})
}
