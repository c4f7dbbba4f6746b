//! What all tools that look at records have in common: a pipeline that can be asked, and what may be wrong with the
//! source.

use std::time::{SystemTime, UNIX_EPOCH};
use url::Url;

use muster_pipeline::{
    CompiledPipeline, ListError, Pipeline, Process, Processed, RecordId, Requester, RequesterConfig, SampledRecord,
};
use serde_json::{Value, json};

use crate::args::SetArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pipeline_choice;

/// A pipeline with its parameters.
pub struct Ready {
    /// What it says.
    pub pipeline: Pipeline,
    /// Ready to be asked.
    pub compiled: CompiledPipeline,
}

/// Reads a pipeline and fills its parameters in.
pub fn ready(file: &str, set: &SetArgs) -> Result<Ready, Failure> {
    let pipeline = pipeline_choice::choose(file)?.pipeline;
    let parameters = pipeline_choice::parameters(&set.set)?;
    let compiled = pipeline.compile(&parameters).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Ready { pipeline, compiled })
}

/// What asks the source. A secret that is missing is named.
pub fn requester(ready: &Ready, proxy: Option<Url>) -> Result<Requester, Failure> {
    let requester = Requester::of(&ready.compiled, Process::Reader, &config(proxy));
    requester.map_err(|error| Failure::usage(error.to_string()))
}

/// How a tool asks.
pub fn config(proxy: Option<Url>) -> RequesterConfig {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    RequesterConfig { seed: u64::from(since.subsec_nanos()), proxy, ..RequesterConfig::default() }
}

/// The IDs that were typed, as JSON texts.
pub fn ids(typed: &[String]) -> Result<Vec<RecordId>, Failure> {
    let one = |text: &String| {
        RecordId::from_text(text.trim()).map_err(|error| {
            Failure::usage(format!("--id {text}: {error}")).help("an ID is JSON text: 7, or '\"7\"' for the text")
        })
    };
    typed.iter().filter(|text| !text.trim().is_empty()).map(one).collect()
}

/// A source whose list cannot be read.
pub fn unreadable(error: &ListError) -> Failure {
    let failure = Failure::new(format!("the source's list cannot be read: {error}"));
    match error {
        ListError::Fetch(error) => failure.help(error.advice()),
        ListError::Given(_) => failure.help("IDs stand one a line, or in a JSON list"),
        ListError::Shape(_) => {
            failure.help("do source.list.items and source.list.id say where they stand in the answer?")
        }
    }
}

/// A source that listed records but gives none of them, though not because they are gone.
pub fn all_unreadable(records: &[SampledRecord]) -> Option<Failure> {
    let fetched = |record: &&SampledRecord| !matches!(record.dead_letter(), Some(("fetch", _)));
    let first = records.first()?.source.as_ref().err()?;
    if records.iter().any(|record| fetched(&record)) {
        return None;
    }
    Some(Failure::new(format!("no record can be read: {first}")).help(first.advice()))
}

/// How a look at some records ends.
pub fn exit(records: &[SampledRecord]) -> Exit {
    if records.iter().any(|record| record.dead_letter().is_some()) { Exit::Exceptions } else { Exit::Fine }
}

/// What became of a record, as JSON: one member says what it is.
pub fn outcome(record: &SampledRecord) -> Value {
    let id: Value = serde_json::from_str(record.id.as_text()).unwrap_or_default();
    if let Some((stage, reason)) = record.dead_letter() {
        return json!({"id": id, "dead_letter": {"stage": stage, "reason": reason}});
    }
    match &record.output {
        Some(Ok(output)) => {
            let mut value = json!({"id": id, "record": parsed(&output.body)});
            add_unknown(&mut value, output);
            value
        }
        _ => json!({"id": id, "gone": true}),
    }
}

/// Adds the fields that the schema does not know, where there are any and the pipeline wants them reported.
pub fn add_unknown(value: &mut Value, output: &Processed) {
    if !output.unknown.is_empty() {
        value["unknown_fields"] = json!(output.unknown);
    }
}

/// JSON as a tree, its keys in their order.
pub fn parsed(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_else(|_| String::from_utf8_lossy(json).into_owned().into())
}
