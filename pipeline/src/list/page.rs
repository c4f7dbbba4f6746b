//! Reading a page: its items, and what else stands in the answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{ListAnswer, ListedItem, Nameless};
use crate::load::sha256;
use crate::record_id::RecordId;
use crate::spec::json_path::JsonPath;
use crate::spec::types::{Detail, PagedList, Spot, Version};

/// The longest version that is kept as it is, in bytes; of a longer one its hash is.
const MAX_VERSION: usize = 128;

/// Where the items of a page stand, and what of them is kept.
#[derive(Debug)]
pub(super) struct Items {
    items: JsonPath,
    id: JsonPath,
    version: Option<Version>,
    /// Whether items are whole records.
    whole: bool,
}

impl Items {
    pub(super) fn new(list: &PagedList, detail: &Detail) -> Self {
        Self {
            items: list.items.clone(),
            id: list.id.clone(),
            version: list.version.clone(),
            whole: matches!(detail, Detail::None),
        }
    }

    /// The items of a page that can be listed, and those that cannot.
    pub(super) fn read(&self, body: &[u8]) -> Result<(Vec<ListedItem>, Option<Nameless>), String> {
        let items =
            self.items.find(body).map_err(|error| not_json(&error))?.ok_or_else(|| missing(&self.items, body))?;
        let elements: Vec<&RawValue> = serde_json::from_str(items.get())
            .map_err(|_| format!("{} must be a list, it is {}", self.items, kind_of(items)))?;
        let mut listed = Vec::with_capacity(elements.len());
        let mut nameless: Option<Nameless> = None;
        for (index, element) in elements.iter().enumerate() {
            let id = match self.id(element) {
                Ok(id) => id,
                Err(why) => {
                    let first = || Nameless { items: 0, first: format!("item {index} of {}: {why}", self.items) };
                    nameless.get_or_insert_with(first).items += 1;
                    continue;
                }
            };
            let version = self.version(element).map_err(|error| not_json(&error))?;
            let body = self.whole.then(|| Bytes::copy_from_slice(element.get().as_bytes()));
            listed.push(ListedItem { id, version, body });
        }
        match nameless {
            Some(nameless) if listed.is_empty() => Err(nameless.first),
            nameless => Ok((listed, nameless)),
        }
    }

    fn id(&self, item: &RawValue) -> Result<RecordId, String> {
        let raw = self.id.find(item.get().as_bytes()).map_err(|error| not_json(&error))?;
        let raw = raw.ok_or_else(|| missing(&self.id, item.get().as_bytes()))?;
        RecordId::from_json(raw).map_err(|error| format!("{}: {error}", self.id))
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
}

impl ListAnswer {
    /// A number that must stand there.
    pub(super) fn number(&self, spot: &Spot) -> Result<u64, String> {
        match spot {
            Spot::Body(path) => {
                let raw = self.raw(path)?.ok_or_else(|| missing(path, &self.body))?;
                serde_json::from_str(raw.get())
                    .map_err(|_| format!("{path} must be a whole number, it is {}", kind_of(raw)))
            }
            Spot::Header(name) => {
                let text = self.header(name)?.ok_or_else(|| no_header(name))?;
                text.parse().map_err(|_| format!("the header {name} must be a whole number, it is {}", short(text)))
            }
        }
    }

    /// Yes or no, which must stand there.
    pub(super) fn flag(&self, spot: &Spot) -> Result<bool, String> {
        let yes_or_no = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        match spot {
            Spot::Body(path) => {
                let raw = self.raw(path)?.ok_or_else(|| missing(path, &self.body))?;
                yes_or_no(raw.get().trim_matches('"'))
                    .ok_or_else(|| format!("{path} must be true or false, it is {}", kind_of(raw)))
            }
            Spot::Header(name) => {
                let text = self.header(name)?.ok_or_else(|| no_header(name))?;
                yes_or_no(text).ok_or_else(|| format!("the header {name} must be true or false, it is {}", short(text)))
            }
        }
    }

    /// A text or number that need not stand there: nothing, `null`, `false` and `""` say that there is none.
    pub(super) fn text(&self, spot: &Spot) -> Result<Option<String>, String> {
        let found = match spot {
            Spot::Header(name) => self.header(name)?.map(str::to_owned),
            Spot::Body(path) => match self.raw(path)? {
                Some(raw) if matches!(raw.get(), "null" | "false") => None,
                Some(raw) => match raw.get().as_bytes().first() {
                    Some(b'"') => Some(serde_json::from_str(raw.get()).map_err(|error| not_json(&error))?),
                    Some(b'-' | b'0'..=b'9') => Some(raw.get().to_owned()),
                    _ => return Err(format!("{path} must be a text or a number, it is {}", kind_of(raw))),
                },
                None => None,
            },
        };
        Ok(found.filter(|text| !text.is_empty()))
    }

    fn raw(&self, path: &JsonPath) -> Result<Option<&RawValue>, String> {
        path.find(&self.body).map_err(|error| not_json(&error))
    }

    fn header(&self, name: &str) -> Result<Option<&str>, String> {
        let Some(value) = self.headers.get(name) else { return Ok(None) };
        value.to_str().map(|text| Some(text.trim())).map_err(|_| format!("the header {name} is no plain text"))
    }
}

fn sha256_of(text: &str) -> String {
    hex::encode(sha256(text.as_bytes()))
}

fn not_json(error: &serde_json::Error) -> String {
    format!("the answer is not JSON: {error}")
}

fn no_header(name: &str) -> String {
    format!("the answer has no header {name}")
}

/// Says that nothing stands at a path, and what there is instead.
fn missing(path: &JsonPath, body: &[u8]) -> String {
    let names: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_slice(body).unwrap_or_default();
    if names.is_empty() {
        return format!("{path} is missing");
    }
    let names: Vec<String> = names.into_keys().take(12).map(|name| short(&name)).collect();
    format!("{path} is missing; there is {}", names.join(", "))
}

fn kind_of(raw: &RawValue) -> String {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "a list".to_owned(),
        _ => short(raw.get()),
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
