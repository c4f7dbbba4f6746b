//! A pipeline that is ready to run: URLs filled in, schema and transform compiled.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use url::Url;

use crate::enrich::EnrichPart;
use crate::http::{Access, Process, RequesterError, check_secrets};
use crate::list::ListSource;
use crate::record_id::RecordId;
use crate::schema::{Schema, Unmet};
use crate::spec::template::RecordUrl;
use crate::spec::{Limits, OnDrift, Spec};
use crate::target::Target;

/// A pipeline with its parameters, ready to run. Cheap to share and to clone.
#[derive(Debug, Clone)]
pub struct CompiledPipeline {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    spec: Arc<Spec>,
    list: ListSource,
    /// None: the items of the list are whole records.
    detail: Option<RecordUrl>,
    enrich: Vec<EnrichPart>,
    target: Target,
    access: Arc<Access>,
}

/// The step at which a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is not the JSON, or not of the schema, that was expected.
    Validate,
    /// The transform gave an error, nothing, or more than one output.
    Transform,
}

impl Stage {
    /// The name of the stage in ledgers and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Validate => "validate",
            Stage::Transform => "transform",
        }
    }
}

/// Why a record cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", stage.as_str())]
pub struct RecordError {
    /// At which step it failed.
    pub stage: Stage,
    /// What is wrong, with the path in the record where there is one.
    pub reason: String,
    /// Whether the run is to pause for it: the pipeline wants no record of which its schema does not know every field.
    pub pauses: bool,
}

/// An item of the list that is a whole record, and larger than a record may be.
// Without its own size: dead letters are grouped by their reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the item is larger than {limit} bytes; limits.record_size says how large it may be")]
pub struct ItemTooLarge {
    /// How large it may be, in bytes.
    pub limit: usize,
}

/// A record that is ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processed {
    /// As transformed: JSON.
    pub body: Bytes,
    /// Paths of the fields that its schema does not know, ascending, where the pipeline wants them reported: JSON pointers
    /// with `*` for any place in an array. One more than [`MAX_UNKNOWN_FIELDS`](crate::MAX_UNKNOWN_FIELDS) at most: the
    /// last then stands for all others.
    pub unknown: Vec<String>,
}

/// How many unknown fields of one record are named in an error.
const MAX_NAMED: usize = 20;

impl CompiledPipeline {
    pub(crate) fn new(
        spec: Arc<Spec>,
        list: ListSource,
        detail: Option<RecordUrl>,
        enrich: Vec<EnrichPart>,
        target: Target,
        access: Access,
    ) -> Self {
        Self { inner: Arc::new(Inner { spec, list, detail, enrich, target, access: Arc::new(access) }) }
    }

    /// What its requests carry beside their URLs.
    pub(crate) fn access(&self) -> &Arc<Access> {
        &self.inner.access
    }

    /// The bounds of its requests.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.spec.limits
    }

    /// Whether a process has all secrets that it needs for this pipeline; else which is missing, where, and what to do.
    pub fn check_secrets(&self, process: Process) -> Result<(), RequesterError> {
        check_secrets(&self.inner.access, &self.inner.spec.load.target, process)
    }

    /// How IDs are listed.
    #[must_use]
    pub fn list(&self) -> &ListSource {
        &self.inner.list
    }

    /// Where batches go.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.inner.target
    }

    /// Where one record is read from; nowhere where the items of the list are whole records.
    #[must_use]
    pub fn detail_url(&self, id: &RecordId) -> Option<Url> {
        let detail = self.inner.detail.as_ref()?;
        // The template was checked with its parameters when the pipeline was compiled, and an encoded ID is made of
        // unreserved characters and %XX only: such a URL cannot fail to parse.
        Some(detail.of(id).expect("a checked template with an encoded record ID is a URL"))
    }

    /// Whether the items of the list are whole records.
    #[must_use]
    pub fn lists_whole_records(&self) -> bool {
        self.inner.detail.is_none()
    }

    /// Whether an item of so many bytes may be a record.
    ///
    /// # Errors
    /// When it is larger than `limits.record_size`.
    pub fn check_item(&self, size: usize) -> Result<(), ItemTooLarge> {
        let limit = self.limits().record_size;
        if size > limit { Err(ItemTooLarge { limit }) } else { Ok(()) }
    }

    /// The schema of source records.
    pub(crate) fn schema(&self) -> &Schema {
        &self.inner.spec.schema
    }

    /// What else is read of each record.
    #[must_use]
    pub fn enrich(&self) -> &[EnrichPart] {
        &self.inner.enrich
    }

    /// Puts parts under their names into a record, `null` for nothing: what [`CompiledPipeline::process`] then takes.
    pub fn join(&self, raw: &[u8], parts: &[(&str, Option<Bytes>)]) -> Result<Bytes, RecordError> {
        crate::enrich::join(raw, parts).map(Bytes::from)
    }

    /// Validates and transforms one source record into exactly one output record, and checks that.
    pub fn process(&self, raw: &[u8]) -> Result<Processed, RecordError> {
        let spec = &*self.inner.spec;
        // Read twice on purpose: serde_json is strict and bounds the depth, the transform's own reader keeps the
        // digits of every number. Together they are 5% of what a transform costs.
        let record: serde_json::Value = serde_json::from_slice(raw).map_err(|problem| unreadable(raw, &problem))?;
        let unknown = match spec.schema.check(&record) {
            Ok(()) => Vec::new(),
            Err(Unmet::Violated(what)) => return Err(failed(Stage::Validate, what)),
            Err(Unmet::Unknown(paths)) if spec.on_schema_drift == OnDrift::Report => paths,
            Err(Unmet::Unknown(paths)) => return Err(drifted(spec.on_schema_drift, &paths)),
        };
        let body = spec.transform.apply(raw).map(Bytes::from).map_err(|what| failed(Stage::Transform, what))?;
        if spec.output_schema.is_given() {
            check_output(&spec.output_schema, &body)?;
        }
        Ok(Processed { body, unknown })
    }
}

fn failed(stage: Stage, reason: String) -> RecordError {
    RecordError { stage, reason, pauses: false }
}

/// What is said of a record that could not be read. JSON's grammar knows no bounds: what is only too deep, too large a
/// number or half a surrogate pair is JSON nevertheless.
fn unreadable(raw: &[u8], problem: &serde_json::Error) -> RecordError {
    let reason = if raw.starts_with(b"\xef\xbb\xbf") {
        "this begins with a byte order mark (BOM), which JSON does not have".to_owned()
    } else if serde_json::from_slice::<&RawValue>(raw).is_ok() {
        // Such a text is held against the grammar, and no more.
        format!("this is JSON that cannot be carried on: {problem}")
    } else {
        format!("this is not JSON: {problem}")
    };
    failed(Stage::Validate, reason)
}

/// What becomes of a record with fields that its schema does not know, where the pipeline wants none.
fn drifted(on_drift: OnDrift, paths: &[String]) -> RecordError {
    let mut named: Vec<String> = paths.iter().take(MAX_NAMED).cloned().collect();
    if paths.len() > MAX_NAMED {
        named.push("and others".to_owned());
    }
    let reason = format!("the schema does not know {}", named.join(", "));
    RecordError { stage: Stage::Validate, reason, pauses: on_drift == OnDrift::Fail }
}

/// Checks what the transform gave.
fn check_output(schema: &Schema, body: &[u8]) -> Result<(), RecordError> {
    let wrong = |what: String| failed(Stage::Transform, format!("the transform's output: {what}"));
    let output: serde_json::Value = serde_json::from_slice(body).map_err(|problem| wrong(problem.to_string()))?;
    match schema.check(&output) {
        Err(Unmet::Violated(what)) => Err(wrong(what.replace("the record: ", "it: "))),
        // No schema of outputs looks for unknown fields.
        Ok(()) | Err(Unmet::Unknown(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_cannot_be_carried_on_is_not_called_something_else() {
        let reason = |raw: &[u8]| {
            let problem = serde_json::from_slice::<serde_json::Value>(raw).unwrap_err();
            let error = unreadable(raw, &problem);
            assert_eq!(error.stage, Stage::Validate);
            error.reason
        };
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        for (json, part) in [
            ("{\"a\":1e400}", "number out of range"),
            ("[\"\\ud800\"]", "hex escape"),
            ("[\"\\udc00\"]", "surrogate"),
            (&*deep, "recursion limit"),
        ] {
            let said = reason(json.as_bytes());
            assert!(
                said.starts_with("this is JSON that cannot be carried on: ") && said.contains(part),
                "{json}: {said}"
            );
        }
        let bom = "this begins with a byte order mark (BOM), which JSON does not have";
        assert_eq!(reason(b"\xef\xbb\xbf{\"id\":1}"), bom);
        for other in [&b""[..], b"{\"a\":1", b"<html>", b"{} {}", b"[1e400", b"\"\xff\"", b"[NaN]"] {
            let said = reason(other);
            assert!(said.starts_with("this is not JSON: "), "{said}");
        }
    }
}
