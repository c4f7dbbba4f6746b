//! A pipeline for an API that nobody described yet, from a look at its list.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use crate::error::SpecError;
use crate::http::{LookError, RequesterConfig, look};
use crate::record_id::RecordId;
use crate::spec::Pipeline;
use crate::spec::json_path::JsonPath;

mod guess;
mod shape;
mod write;

/// How many records are read one by one, where that works.
const DETAILS: usize = 3;

/// A proposal: the file, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// A pipeline file with comments, which can be run as it is.
    pub yaml: String,
    /// What was seen, in words.
    pub seen: Vec<String>,
    /// What was guessed, in words.
    pub guessed: Vec<String>,
}

/// Why nothing can be proposed.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// The list cannot be read.
    #[error("{url} cannot be read: {error}")]
    Look {
        /// Which list.
        url: String,
        /// Why.
        error: LookError,
    },
    /// The answer is no list.
    #[error("{0}")]
    Shape(String),
    /// The proposal would be no pipeline: a fault of this program.
    #[error("the proposal cannot be used: {0}")]
    Spec(#[from] SpecError),
}

/// What is known before anybody looks.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The list.
    pub url: Url,
    /// Headers to send; the file gets references in place of their values.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The pipeline's name, in place of one from the URL.
    pub name: Option<String>,
    /// The folder that records are written to until the file says otherwise, as a `file:` URL.
    pub out: String,
}

/// Where a record is read.
enum DetailGuess {
    /// At the list's URL and its ID.
    ByPath,
    /// Nowhere: the items of the list are taken.
    Items,
}

/// All that was found out.
struct Findings {
    items: String,
    id: String,
    pages: guess::Pages,
    detail: DetailGuess,
    schema: Value,
}

/// Looks at a list, and at a few of its records, and proposes a pipeline.
pub async fn propose(wish: &Wish, config: &RequesterConfig) -> Result<Proposal, ProposeError> {
    let mut headers: HeaderMap = wish.headers.iter().cloned().collect();
    headers.entry("accept").or_insert(HeaderValue::from_static("application/json"));
    let looked = look(&wish.url, &headers, config).await;
    let looked = looked.map_err(|error| ProposeError::Look { url: shown(&wish.url), error })?;
    let not_json = |error: serde_json::Error| ProposeError::Shape(format!("the answer is not JSON: {error}"));
    let body: Value = serde_json::from_slice(&looked.body).map_err(not_json)?;
    let items = guess::items(&body).ok_or_else(|| {
        ProposeError::Shape(
            "there is no list with anything in it in the answer: nothing can be told from it".to_owned(),
        )
    })?;
    let count = items.values.len();
    let id = guess::id(items.values).ok_or_else(|| {
        ProposeError::Shape(format!("nothing in the {count} items at {} tells each from the others", items.path))
    })?;
    let pages = guess::pages(&wish.url, &looked.headers, &body, count);

    let mut seen = vec![format!("{count} items at {}", items.path), format!("their IDs at {id}")];
    let mut guessed = Vec::new();
    (if pages.why.contains("guess") { &mut guessed } else { &mut seen }).push(pages.why.clone());
    let details = details(wish, &headers, config, items.values, &id).await;
    let (detail, records) = match details {
        Some(records) if records.iter().zip(items.values).all(|(record, item)| record == item) => {
            let (url, read) = (write::path_of(&wish.url, &[]), records.len());
            guessed.push(format!("the items are whole records: {read} were read at {url}/ID and have nothing more"));
            (DetailGuess::Items, items.values.to_vec())
        }
        Some(records) => {
            seen.push(format!("each record at {}/ID: {} were read", write::path_of(&wish.url, &[]), records.len()));
            (DetailGuess::ByPath, records)
        }
        None => {
            guessed.push(format!(
                "the items are whole records: {}/ID does not answer with one",
                write::path_of(&wish.url, &[])
            ));
            (DetailGuess::Items, items.values.to_vec())
        }
    };
    guessed.push(format!("the schema is what {} records have in common: loosen what may be otherwise", records.len()));
    let findings = Findings { items: items.path, id, pages, detail, schema: shape::schema(&records) };
    let yaml = write::yaml(wish, &findings, &seen, &guessed);
    Pipeline::from_yaml(&yaml, "the proposal")?.compile(&BTreeMap::new())?;
    Ok(Proposal { yaml, seen, guessed })
}

/// The records of the first items, where they can be read one by one.
async fn details(
    wish: &Wish,
    headers: &HeaderMap,
    config: &RequesterConfig,
    items: &[Value],
    id: &str,
) -> Option<Vec<Value>> {
    let path = JsonPath::parse(id).ok()?;
    let base = shown(&wish.url);
    let key = write::secret_query(&wish.url).map(|(name, value)| {
        url::form_urlencoded::Serializer::new(String::from("?")).append_pair(&name, &value).finish()
    });
    let mut records = Vec::new();
    for item in items.iter().take(DETAILS) {
        let item = item.to_string();
        let id = RecordId::from_json(path.find(item.as_bytes()).ok()??).ok()?;
        let url = format!("{}/{}{}", base.trim_end_matches('/'), id.path_segment(), key.as_deref().unwrap_or_default());
        let looked = look(&Url::parse(&url).ok()?, headers, config).await.ok()?;
        // Something else may stand there: a record has the ID that it was asked for.
        let has_id =
            path.find(&looked.body).ok()?.is_some_and(|raw| RecordId::from_json(raw).ok().as_ref() == Some(&id));
        let record: Value = serde_json::from_slice(&looked.body).ok()?;
        if !record.is_object() || !(has_id || id_is_whole_item(&path)) {
            return None;
        }
        records.push(record);
    }
    Some(records)
}

/// Whether the list is one of IDs.
fn id_is_whole_item(path: &JsonPath) -> bool {
    path.to_string() == "$"
}

/// A URL without its query, which may hold a secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}
