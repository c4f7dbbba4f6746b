//! Listing a source's record IDs.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;
use url::Url;

use crate::error::SpecError;
use crate::http::{FetchError, Get, Requester};
use crate::load::sha256;
use crate::record_id::RecordId;
use crate::spec::json_path::JsonPath;
use crate::spec::types::{Detail, ListSpec, PageNumber, Pagination, SourceSpec, Spot, Version};

/// The longest version that is kept as it is, in bytes; of a longer one its hash is.
const MAX_VERSION: usize = 128;

/// How a source lists its IDs, with the parameters filled in.
#[derive(Debug, Clone)]
pub struct ListSource {
    url: Url,
    pages: PageNumber,
    items: JsonPath,
    id: JsonPath,
    version: Option<Version>,
    /// Whether items are whole records.
    whole: bool,
    concurrency: usize,
}

/// How one page leads to the next, and so what can be resumed and fetched at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListStyle {
    /// Each page has a number: pages may be fetched in any order and at the same time.
    PageNumber,
}

/// One page of IDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its number.
    pub number: u64,
    /// Its items, in their order, as they came: duplicates included.
    pub items: Vec<ListedItem>,
    /// How many pages the source says it has, where it says so.
    pub total_pages: Option<u64>,
}

/// One item of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedItem {
    /// Its record's ID.
    pub id: RecordId,
    /// What tells its versions apart, where the pipeline asks for it and the item has it.
    pub version: Option<String>,
    /// The item itself, as JSON, where it is the whole record.
    pub body: Option<Bytes>,
}

/// Why a page could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It is not what the pipeline says; names the page, the place in it and what stands there.
    #[error("{0}")]
    Shape(String),
}

impl ListSource {
    pub(crate) fn new(source: &SourceSpec, parameters: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        let key = "source.list.request.url";
        let later = || SpecError::new("the pipeline", "this way of listing is not built yet").key("source.list");
        let ListSpec::Paged(list) = &source.list else { return Err(later()) };
        let url = list.request.url.fill(key, parameters)?.fixed();
        let Pagination::PageNumber(pages) = &list.pagination else { return Err(later()) };
        Ok(Self {
            url: url.map_err(|error| SpecError::new("the pipeline", error.to_string()).key(key))?,
            pages: pages.clone(),
            items: list.items.clone(),
            id: list.id.clone(),
            version: list.version.clone(),
            whole: matches!(source.detail, Detail::None),
            concurrency: list.concurrency,
        })
    }

    /// How one page leads to the next.
    #[must_use]
    pub fn style(&self) -> ListStyle {
        ListStyle::PageNumber
    }

    /// The number of the first page.
    #[must_use]
    pub fn first_page(&self) -> u64 {
        self.pages.first
    }

    /// How many pages may be fetched at once.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Where a page is read from.
    #[must_use]
    pub fn page_url(&self, page: u64) -> Url {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair(&self.pages.parameter, &page.to_string());
        url
    }

    /// Fetches and reads one page.
    pub async fn fetch_page(&self, requester: &Requester, page: u64) -> Result<Page, ListError> {
        let (body, _) = requester.get(&self.page_url(page), Get::List).await;
        self.read_page(page, &body?).map_err(|what| ListError::Shape(format!("page {page}: {what}")))
    }

    fn read_page(&self, number: u64, body: &[u8]) -> Result<Page, String> {
        let not_json = |error: serde_json::Error| format!("the answer is not JSON: {error}");
        let items = self.items.find(body).map_err(not_json)?.ok_or_else(|| missing(&self.items, body))?;
        let elements: Vec<&RawValue> = serde_json::from_str(items.get())
            .map_err(|_| format!("{} must be a list, it is {}", self.items, kind_of(items)))?;
        let mut listed = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let place = || format!("item {index} of {}", self.items);
            let raw = self.id.find(element.get().as_bytes()).map_err(not_json)?;
            let raw = raw.ok_or_else(|| format!("{}: {}", place(), missing(&self.id, element.get().as_bytes())))?;
            let id = RecordId::from_json(raw).map_err(|error| format!("{}: {}: {error}", place(), self.id))?;
            let version = self.version(element).map_err(not_json)?;
            let body = self.whole.then(|| Bytes::copy_from_slice(element.get().as_bytes()));
            listed.push(ListedItem { id, version, body });
        }
        Ok(Page { number, items: listed, total_pages: self.total_pages(body)? })
    }

    /// An item without a version, or with `null` in its place, has none: nothing can be said of it.
    fn version(&self, item: &RawValue) -> Result<Option<String>, serde_json::Error> {
        let path = match &self.version {
            None => return Ok(None),
            Some(Version::Item) => return Ok(Some(sha256_of(item.get()))),
            Some(Version::Path(path)) => path,
        };
        let found = path.find(item.get().as_bytes())?.filter(|raw| raw.get() != "null");
        Ok(found.map(|raw| {
            // The same text may be escaped in several ways.
            let text = serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
            if text.len() > MAX_VERSION { sha256_of(&text) } else { text }
        }))
    }

    fn total_pages(&self, body: &[u8]) -> Result<Option<u64>, String> {
        let Some(Spot::Body(path)) = &self.pages.total_pages else { return Ok(None) };
        let raw = path.find(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
        let raw = raw.ok_or_else(|| missing(path, body))?;
        let total = serde_json::from_str(raw.get());
        total.map(Some).map_err(|_| format!("{path} must be a whole number, it is {}", kind_of(raw)))
    }
}

fn sha256_of(text: &str) -> String {
    hex::encode(sha256(text.as_bytes()))
}

/// Says that nothing stands at a path, and what there is instead.
fn missing(path: &JsonPath, body: &[u8]) -> String {
    let names: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_slice(body).unwrap_or_default();
    if names.is_empty() {
        return format!("{path} is missing");
    }
    let names: Vec<String> = names.into_keys().take(12).map(|name| name.chars().take(40).collect()).collect();
    format!("{path} is missing; there is {}", names.join(", "))
}

fn kind_of(raw: &RawValue) -> String {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "a list".to_owned(),
        _ => raw.get().chars().take(40).collect(),
    }
}
