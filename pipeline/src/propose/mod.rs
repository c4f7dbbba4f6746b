//! A pipeline for an API that nobody described yet, from a look at its list.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use self::detail::Details;
use crate::error::SpecError;
use crate::http::{LookError, RequesterConfig, look};
use crate::spec::Pipeline;

mod detail;
mod guess;
mod shape;
mod write;

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

/// All that was found out.
struct Findings {
    items: String,
    id: String,
    pages: guess::Pages,
    detail: Option<Details>,
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
    guessed.extend(write::left_out(wish));
    if let Some((path, longer)) = guess::nameless(&body, count) {
        guessed.push(format!("{path} was passed over: its {longer} entries are lists of values without names"));
    }
    let listed = detail::Listed { items: items.values, id: &id, sets: &pages.sets };
    let detail = detail::read(wish, &headers, config, &listed).await;
    let (detail, records) = match detail {
        Some(details) if details.records.iter().zip(items.values).all(|(record, item)| record == item) => {
            let (place, read) = (details.path("ID"), details.records.len());
            guessed.push(format!("the items are whole records: {read} were read at {place} and have nothing more"));
            (None, items.values.to_vec())
        }
        Some(details) => {
            let at = match details.within().as_str() {
                "$" => String::new(),
                within => format!(", in the answer at {within}"),
            };
            seen.push(format!("each record at {}{at}: {} were read", details.path("ID"), details.records.len()));
            let records = with_items(&details.records, items.values);
            (Some(details), records)
        }
        None => {
            let list = write::plain_path(&wish.url);
            guessed.push(format!("the items are whole records: no record was found at {list}/ID or the like"));
            (None, items.values.to_vec())
        }
    };
    guessed.push(format!("the schema is what {} records have in common: loosen what may be otherwise", records.len()));
    let schema = shape::schema(&records);
    let schema = detail.as_ref().map_or(schema.clone(), |detail| detail.around(schema));
    let findings = Findings { items: items.path, id, pages, detail, schema };
    let yaml = write::yaml(wish, &findings, &seen, &guessed);
    Pipeline::from_yaml(&yaml, "the proposal")?.compile(&BTreeMap::new())?;
    Ok(Proposal { yaml, seen, guessed })
}

/// The records, and the items as well where they show as much: what is empty in some of them is seen in more of them.
fn with_items(records: &[Value], items: &[Value]) -> Vec<Value> {
    let keys = |value: &Value| value.as_object().map(|entries| entries.keys().cloned().collect::<BTreeSet<_>>());
    let known = records.first().and_then(keys);
    let whole = known.is_some() && records.iter().chain(items).all(|value| keys(value) == known);
    let further = if whole { &items[records.len().min(items.len())..] } else { &[] };
    records.iter().chain(further).cloned().collect()
}

/// A URL without its query, which may hold a secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}
