//! Listing a source's record IDs.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use url::Url;

use crate::error::SpecError;
use crate::http::{FetchError, Get, Requester};
use crate::record_id::RecordId;
use crate::spec::json_path::JsonPath;
use crate::spec::types::{ListSpec, PageNumber, Pagination, Spot};

/// How a source lists its IDs, with the parameters filled in.
#[derive(Debug, Clone)]
pub struct ListSource {
    url: Url,
    pages: PageNumber,
    items: JsonPath,
    id: JsonPath,
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
    /// The IDs on it, in their order, as they came: duplicates included.
    pub ids: Vec<RecordId>,
    /// How many pages the source says it has, where it says so.
    pub total_pages: Option<u64>,
    /// How many items the page has; each has an ID.
    pub items: usize,
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
    pub(crate) fn new(list: &ListSpec, parameters: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        let key = "source.list.request.url";
        let later = || SpecError::new("the pipeline", "this way of listing is not built yet").key("source.list");
        let ListSpec::Paged(list) = list else { return Err(later()) };
        let url = list.request.url.fill(key, parameters)?.fixed();
        let Pagination::PageNumber(pages) = &list.pagination else { return Err(later()) };
        Ok(Self {
            url: url.map_err(|error| SpecError::new("the pipeline", error.to_string()).key(key))?,
            pages: pages.clone(),
            items: list.items.clone(),
            id: list.id.clone(),
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
        let mut ids = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let place = || format!("item {index} of {}", self.items);
            let raw = self.id.find(element.get().as_bytes()).map_err(not_json)?;
            let raw = raw.ok_or_else(|| format!("{}: {}", place(), missing(&self.id, element.get().as_bytes())))?;
            ids.push(RecordId::from_json(raw).map_err(|error| format!("{}: {}: {error}", place(), self.id))?);
        }
        Ok(Page { number, items: ids.len(), ids, total_pages: self.total_pages(body)? })
    }

    fn total_pages(&self, body: &[u8]) -> Result<Option<u64>, String> {
        let Some(Spot::Body(path)) = &self.pages.total_pages else { return Ok(None) };
        let raw = path.find(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
        let raw = raw.ok_or_else(|| missing(path, body))?;
        let total = serde_json::from_str(raw.get());
        total.map(Some).map_err(|_| format!("{path} must be a whole number, it is {}", kind_of(raw)))
    }
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
