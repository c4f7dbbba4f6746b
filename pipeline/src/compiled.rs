//! A pipeline that is ready to run: URLs filled in, schema and transform compiled.

use std::sync::Arc;

use bytes::Bytes;
use url::Url;

use crate::http::{Access, Process, RequesterError, check_secrets};
use crate::list::ListSource;
use crate::record_id::RecordId;
use crate::spec::template::RecordUrl;
use crate::spec::{Limits, Spec};
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
    detail: RecordUrl,
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
}

impl CompiledPipeline {
    pub(crate) fn new(spec: Arc<Spec>, list: ListSource, detail: RecordUrl, target: Target, access: Access) -> Self {
        Self { inner: Arc::new(Inner { spec, list, detail, target, access: Arc::new(access) }) }
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
        check_secrets(&self.inner.access, process)
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

    /// Where one record is read from.
    #[must_use]
    pub fn detail_url(&self, id: &RecordId) -> Url {
        // The template was checked with its parameters when the pipeline was compiled, and an encoded ID is made of
        // unreserved characters and %XX only: such a URL cannot fail to parse.
        self.inner.detail.of(id).expect("a checked template with an encoded record ID is a URL")
    }

    /// The schema of source records, as the pipeline has it.
    pub(crate) fn schema_source(&self) -> &serde_json::Value {
        self.inner.spec.schema.source()
    }

    /// Validates and transforms one source record into the compact JSON of exactly one output record.
    pub fn process(&self, raw: &[u8]) -> Result<Bytes, RecordError> {
        let error = |stage| move |reason| RecordError { stage, reason };
        // Read twice on purpose: serde_json is strict and bounds the depth, the transform's own reader keeps the
        // digits of every number. Together they are 5% of what a transform costs.
        let record: serde_json::Value = serde_json::from_slice(raw)
            .map_err(|problem| error(Stage::Validate)(format!("this is not JSON: {problem}")))?;
        self.inner.spec.schema.check(&record).map_err(error(Stage::Validate))?;
        self.inner.spec.transform.apply(raw).map(Bytes::from).map_err(error(Stage::Transform))
    }
}
