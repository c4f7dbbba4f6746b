//! What all tools that look at records have in common: a pipeline that can be asked, and what may be wrong with the
//! source.

use std::time::{SystemTime, UNIX_EPOCH};
use url::Url;

use muster_pipeline::{
    CompiledPipeline, ListError, Pipeline, Process, Processed, RecordId, Requester, RequesterConfig, SampledRecord,
};
use serde_json::json;

use super::exact::Exact;
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
        ListError::Elsewhere(_) => failure.help(ListError::NOT_FOLLOWED),
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
pub fn outcome(record: &SampledRecord) -> Exact {
    let mut line = Exact::with("id", Exact::read(record.id.as_text().as_bytes()));
    match (record.dead_letter(), &record.output) {
        (Some((stage, reason)), _) => line.set("dead_letter", json!({"stage": stage, "reason": reason})),
        (None, Some(Ok(output))) => {
            line.set("record", Exact::read(&output.body));
            add_unknown(&mut line, output);
        }
        (None, _) => line.set("gone", Exact::Bool(true)),
    }
    line
}

/// Adds the fields that the schema does not know, where there are any and the pipeline wants them reported.
pub fn add_unknown(line: &mut Exact, output: &Processed) {
    if !output.unknown.is_empty() {
        line.set("unknown_fields", json!(output.unknown));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use muster_pipeline::{Cassette, Player, Wanted};

    use super::*;

    const PIPELINE: &str = r#"
muster: 1
name: test
source:
  list:
    request: { url: "http://a.test/list" }
    pagination: { next_url: { next: $.next } }
    items: $.items
    id: $.id
  detail: { request: { url: "http://a.test/list/${record:id}" } }
load:
  request: { url: "http://a.test/home" }
"#;

    const CASSETTE: &str = r#"
version: 1
interactions:
  - request: { method: GET, uri: "http://a.test/list" }
    response:
      status: { code: 200 }
      headers: { content-type: [application/json] }
      body: { string: '{"items":[{"id":1}],"next":"http://b.test/list"}' }
"#;

    /// What is said of a list with this answer.
    async fn said(cassette: &str) -> String {
        let pipeline = Pipeline::from_yaml(PIPELINE, "test.yaml").unwrap();
        let compiled = pipeline.compile(&BTreeMap::new()).unwrap();
        let player = Player::new(Cassette::from_yaml(cassette).unwrap());
        let requester = Requester::playing(pipeline.limits(), &config(None), &player);
        let error = compiled.sample(&requester, &Wanted::First(10)).await.unwrap_err();
        unreadable(&error).to_string().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn a_next_page_elsewhere_has_a_help_of_its_own() {
        let text = said(CASSETTE).await;
        assert!(text.contains("at http://b.test/list") && text.contains("does source.list.request have"), "{text}");
        let text = said(&CASSETTE.replace("\"items\"", "\"animals\"")).await;
        assert!(text.contains("do source.list.items and source.list.id say"), "{text}");
    }
}
