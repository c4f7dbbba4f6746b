//! The pipeline file: read, checked, explained, and brought to its canonical form.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::compiled::CompiledPipeline;
use crate::enrich::EnrichPart;
use crate::error::{SpecError, suggest};
use crate::http::Access;
use crate::schema::Schema;
use crate::spec::field::Field;
use crate::spec::tree::{Located, Node};
use crate::target::Target;
use crate::transform::Transform;

mod canonical;
mod explain;
pub(crate) mod field;
mod filled;
pub(crate) mod json_path;
mod read;
mod references;
pub(crate) mod template;
pub(crate) mod tree;
pub(crate) mod types;
mod units;
pub(crate) mod value;

pub(crate) use read::load::BATCH;
pub use references::SecretReference;
pub use types::{Limits, LoadSpec, OnDoubt, OnDrift, Parameter, ParameterKind, Rate, SourceSpec, Watermark};

/// A pipeline that was read and checked, with all its defaults filled in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pipeline {
    spec: Arc<Spec>,
    canonical: Arc<str>,
    revision: Arc<str>,
    is_first: bool,
}

#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) source: SourceSpec,
    pub(crate) schema: Schema,
    pub(crate) on_schema_drift: OnDrift,
    /// What the transform must give.
    pub(crate) output_schema: Schema,
    pub(crate) transform: Transform,
    pub(crate) load: LoadSpec,
    pub(crate) limits: Limits,
}

impl Pipeline {
    /// Reads a pipeline file; `origin` names it in errors.
    pub fn from_yaml(text: &str, origin: &str) -> Result<Self, SpecError> {
        Self::from_tree(&tree::from_yaml(text, origin)?, origin)
    }

    /// Reads what [`Pipeline::canonical`] gave.
    pub fn from_canonical(json: &str) -> Result<Self, SpecError> {
        let origin = "the stored pipeline";
        Self::from_tree(&tree::from_json(json, origin)?, origin)
    }

    fn from_tree(root: &Located<Node>, origin: &str) -> Result<Self, SpecError> {
        let spec = read::spec(&Field::root(origin, root))?;
        let canonical = canonical::write(&spec);
        let revision = hex::encode(crate::load::sha256(canonical.text.as_bytes()));
        let (text, is_first) = (canonical.text.into(), canonical.is_first);
        Ok(Self { spec: Arc::new(spec), canonical: text, revision: revision.into(), is_first })
    }

    /// Canonical JSON: keys sorted, defaults filled in, no whitespace.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The SHA-256 of the canonical form, in hex.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Whether another one in its canonical form loads the same records in the same way: it differs in its limits at most,
    /// which say how hard two APIs may be worked.
    #[must_use]
    pub fn loads_like(&self, canonical: &str) -> bool {
        let without_limits = |text: &str| {
            let mut value = serde_json::from_str::<serde_json::Value>(text).ok()?;
            value.as_object_mut()?.remove("limits");
            Some(value)
        };
        without_limits(canonical).is_some_and(|other| without_limits(&self.canonical) == Some(other))
    }

    /// Whether it says only what the format's first release knew, so that programs of that time can read it.
    #[must_use]
    pub fn is_of_first_format(&self) -> bool {
        self.is_first
    }

    /// The pipeline's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// What it does, in the words of its author.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.spec.description
    }

    /// What a run may be told.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.spec.parameters
    }

    /// Where records come from.
    #[must_use]
    pub fn source(&self) -> &SourceSpec {
        &self.spec.source
    }

    /// Where records go.
    #[must_use]
    pub fn load(&self) -> &LoadSpec {
        &self.spec.load
    }

    /// The bounds of its requests.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.spec.limits
    }

    /// Whether a run of it can go on from an earlier one: its list tells versions of a record apart, or one of its
    /// parameters follows from that run.
    #[must_use]
    pub fn can_go_on(&self) -> bool {
        let tells_versions = matches!(&self.spec.source.list, types::ListSpec::Paged(list) if list.version.is_some());
        tells_versions || self.watermarks().next().is_some()
    }

    /// Names of the parameters that follow from the run that one goes on from.
    pub fn watermarks(&self) -> impl Iterator<Item = &str> {
        self.spec.parameters.iter().filter(|parameter| parameter.watermark.is_some()).map(|it| it.name.as_str())
    }

    /// Checks what a run was told, fills in defaults and brings each value to its one form.
    pub fn resolve_parameters(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, SpecError> {
        self.resolve_parameters_since(given, None)
    }

    /// The same for a run that goes on from an earlier one, `since` being when that one was started: a watermark that
    /// nobody set is this time less its overlap.
    pub fn resolve_parameters_since(
        &self,
        given: &BTreeMap<String, String>,
        since: Option<SystemTime>,
    ) -> Result<BTreeMap<String, String>, SpecError> {
        let origin = format!("pipeline {}", self.spec.name);
        let names = || self.spec.parameters.iter().map(|parameter| parameter.name.as_str());
        if let Some(unknown) = given.keys().find(|name| names().all(|known| known != *name)) {
            return Err(SpecError::new(&origin, "there is no such parameter")
                .key(unknown)
                .help(suggest(unknown, names())));
        }
        let (mut resolved, mut missing) = (BTreeMap::new(), Vec::new());
        for parameter in &self.spec.parameters {
            let error = |what: String| SpecError::new(&origin, what).key(&parameter.name);
            let followed = parameter.watermark.as_ref().zip(since).map(|(watermark, since)| watermark.after(since));
            let value = match (given.get(&parameter.name), followed, &parameter.default) {
                (Some(value), ..) => read::parameter_value(parameter.kind, value).map_err(error)?,
                (None, Some(followed), _) => followed,
                (None, None, Some(default)) => default.clone(),
                (None, None, None) => {
                    missing.push(parameter);
                    continue;
                }
            };
            resolved.insert(parameter.name.clone(), value);
        }
        if missing.is_empty() { Ok(resolved) } else { Err(unset(&origin, &missing)) }
    }

    /// Makes the pipeline ready to run with these parameters (resolved as by [`Pipeline::resolve_parameters`]).
    pub fn compile(&self, parameters: &BTreeMap<String, String>) -> Result<CompiledPipeline, SpecError> {
        let parameters = self.resolve_parameters(parameters)?;
        let spec = &self.spec;
        let list = crate::list::ListSource::new(&spec.source, &parameters)?;
        let detail = match &spec.source.detail {
            types::Detail::Request(detail) => Some(detail.url.fill("source.detail.request.url", &parameters)?),
            types::Detail::None => None,
        };
        let enrich = spec.source.enrich.iter().map(|part| {
            let url = part.request.url.fill(&format!("source.enrich.{}.request.url", part.name), &parameters)?;
            Ok(EnrichPart { name: part.name.clone(), url, optional: part.optional })
        });
        let enrich = enrich.collect::<Result<_, SpecError>>()?;
        let target = Target::new(&spec.load, &spec.limits, &parameters)?;
        let access = Access::new(&spec.source, &spec.load, &parameters)?;
        Ok(CompiledPipeline::new(Arc::clone(spec), list, detail, enrich, target, access))
    }
}

/// What is said of parameters that have no value.
fn unset(origin: &str, missing: &[&types::Parameter]) -> SpecError {
    let about = |parameter: &types::Parameter| match parameter.description.trim().trim_end_matches('.') {
        "" => String::new(),
        description => format!(": {description}"),
    };
    if let [only] = missing {
        return SpecError::new(origin, format!("this parameter must be set{}", about(only)))
            .key(&only.name)
            .help(format!("set it with --set {}=VALUE", only.name));
    }
    let each: Vec<_> = missing.iter().map(|parameter| format!("{}{}", parameter.name, about(parameter))).collect();
    let flags: Vec<_> = missing.iter().map(|parameter| format!("--set {}=VALUE", parameter.name)).collect();
    SpecError::new(origin, format!("these parameters must be set: {}", each.join("; ")))
        .help(format!("set them with {}", flags.join(" ")))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "tests/samples.rs"]
mod samples;

#[cfg(test)]
#[path = "tests/format.rs"]
mod format_tests;

#[cfg(test)]
#[path = "tests/references.rs"]
mod reference_tests;
