//! A few records, read as a run would read them, and loaded nowhere: for whoever writes a pipeline.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;

use crate::compiled::{CompiledPipeline, ItemTooLarge, Processed, RecordError};
use crate::drift::Drift;
use crate::http::{FetchError, Get, Requester};
use crate::list::{ListError, ListStyle, Page};
use crate::record_id::RecordId;

/// How many empty pages in a row are read: some sources have a few between others, some have them without end.
const EMPTY_PAGES: u32 = 10;

/// Which records are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The first so many that the source lists.
    First(usize),
    /// These.
    These(Vec<RecordId>),
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Sample {
    /// How many pages of the list were read.
    pub pages: u64,
    /// How many items stand on them.
    pub listed: usize,
    /// How many pages the source says it has, where it says so.
    pub total_pages: Option<u64>,
    /// How many records it says it has, where it says so.
    pub total: Option<u64>,
    /// The records.
    pub records: Vec<SampledRecord>,
}

/// A record before and after.
#[derive(Debug)]
pub struct SampledRecord {
    /// Its ID.
    pub id: RecordId,
    /// As the source has it, with its further parts.
    pub source: Result<Bytes, Unread>,
    /// As it would be loaded, or why it would not; nothing where the source does not have it.
    pub output: Option<Result<Processed, RecordError>>,
}

/// Why a record could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// Its request, or that of a part, came to nothing.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The items of the list are the records, and none has this ID.
    #[error("the list does not have it")]
    NotListed,
    /// Its item is too large for a record.
    #[error(transparent)]
    TooLarge(#[from] ItemTooLarge),
}

impl Unread {
    /// What a person may do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Unread::Fetch(error) => error.advice(),
            Unread::NotListed => "check the ID, and the parameters that go into the list's URL",
            Unread::TooLarge(_) => "raise that limit in the pipeline",
        }
    }

    /// Whether the record is not there: no dead letter.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Unread::Fetch(FetchError::Gone { .. }) | Unread::NotListed)
    }
}

/// Each ID once, in their order.
fn once(ids: &[RecordId]) -> Vec<&RecordId> {
    let mut once: Vec<&RecordId> = Vec::new();
    for id in ids {
        if !once.contains(&id) {
            once.push(id);
        }
    }
    once
}

/// What a list has shown so far. A source that does not heed which page it is asked for shows the same one for ever.
#[derive(Default)]
struct Seen {
    hasher: RandomState,
    /// Hashes: a list that is read for an ID that is not on it may be long.
    ids: HashSet<u64>,
    cursors: HashSet<u64>,
    /// Pages in a row with nothing on them.
    empty: u32,
}

impl Seen {
    /// Takes a page in, and says whether the next one may have something new.
    fn goes_on(&mut self, page: &Page, style: ListStyle) -> bool {
        let known = self.ids.len();
        self.ids.extend(page.items.iter().map(|item| self.hasher.hash_one(&item.id)));
        self.empty = if page.items.is_empty() { self.empty + 1 } else { 0 };
        let is_new = self.ids.len() > known;
        match (style, &page.cursor) {
            // Where the end is known, a page behind this one may have what is new.
            (ListStyle::Numbered, _) => is_new || (page.last.is_some() && !page.items.is_empty()),
            (ListStyle::Sequential, None) => false,
            (ListStyle::Sequential, Some(cursor)) => {
                self.cursors.insert(self.hasher.hash_one(cursor)) && (is_new || (1..EMPTY_PAGES).contains(&self.empty))
            }
        }
    }
}

impl SampledRecord {
    /// Why the record would be a dead letter: the stage, and the reason. One that is gone would not.
    #[must_use]
    pub fn dead_letter(&self) -> Option<(&'static str, String)> {
        match (&self.source, &self.output) {
            (Ok(_), None | Some(Ok(_))) => None,
            (Err(error), _) if error.is_gone() => None,
            (Err(error), _) => Some(("fetch", error.to_string())),
            (Ok(_), Some(Err(error))) => Some((error.stage.as_str(), error.reason.clone())),
        }
    }
}

impl CompiledPipeline {
    /// Reads some records, validates and transforms them.
    ///
    /// # Errors
    /// When the list cannot be read. What is wrong with a record stands with it.
    pub async fn sample(&self, requester: &Requester, wanted: &Wanted) -> Result<Sample, ListError> {
        let mut sample = Sample::default();
        let items = match wanted {
            Wanted::These(ids) if !self.lists_whole_records() => ids.iter().map(|id| (id.clone(), None)).collect(),
            Wanted::These(_) | Wanted::First(_) => self.items(requester, wanted, &mut sample).await?,
        };
        for (id, item) in items {
            let source = match (self.detail_url(&id), item) {
                (Some(url), _) => requester.get(&url, Get::Detail).await.0.map_err(Unread::Fetch),
                (None, Some(item)) => self.check_item(item.len()).map(|()| item).map_err(Unread::TooLarge),
                (None, None) => Err(Unread::NotListed),
            };
            sample.records.push(match source {
                Ok(raw) => self.sampled(requester, id, raw).await,
                Err(error) => SampledRecord { id, source: Err(error), output: None },
            });
        }
        Ok(sample)
    }

    /// A record with its further parts, and what becomes of it.
    async fn sampled(&self, requester: &Requester, id: RecordId, raw: Bytes) -> SampledRecord {
        let mut parts = Vec::new();
        for (index, part) in self.enrich().iter().enumerate() {
            match requester.get(&part.url(&id), Get::Enrich(index)).await.0 {
                Ok(body) => parts.push((part.name(), Some(body))),
                Err(FetchError::Gone { .. }) if part.is_optional() => parts.push((part.name(), None)),
                // The record itself is there.
                Err(FetchError::Gone { status }) => {
                    let detail = format!("there is no enrich.{}", part.name());
                    let error = FetchError::ClientError { status, detail };
                    return SampledRecord { id, source: Err(error.into()), output: None };
                }
                Err(error) => return SampledRecord { id, source: Err(error.into()), output: None },
            }
        }
        let whole = if parts.is_empty() { Ok(raw.clone()) } else { self.join(&raw, &parts) };
        match whole {
            Ok(whole) => SampledRecord { id, output: Some(self.process(&whole)), source: Ok(whole) },
            Err(error) => SampledRecord { id, source: Ok(raw), output: Some(Err(error)) },
        }
    }

    /// The wanted records in the list, each once, with their items where those are whole records. The list is read for
    /// as long as one is missing and its pages have anything new; what is named and not there comes without an item.
    async fn items(
        &self,
        requester: &Requester,
        wanted: &Wanted,
        sample: &mut Sample,
    ) -> Result<Vec<(RecordId, Option<Bytes>)>, ListError> {
        let mut found: Vec<(RecordId, Option<Bytes>)> = Vec::new();
        let (most, named) = match wanted {
            Wanted::First(most) => (*most, None),
            Wanted::These(ids) => {
                let ids = once(ids);
                (ids.len(), Some(ids))
            }
        };
        let list = self.list();
        let (mut number, mut cursor) = (list.first_page(), None);
        let (mut last, mut seen) = (list.most_pages(), Seen::default());
        loop {
            let page = list.fetch_page(requester, number, cursor.as_deref()).await?;
            sample.pages += 1;
            sample.listed += page.items.len();
            sample.total_pages = page.total_pages;
            sample.total = page.total;
            last = page.last.unwrap_or(last).min(last);
            let goes_on = seen.goes_on(&page, list.style());
            for item in page.items {
                let is_wanted = named.as_ref().is_none_or(|ids| ids.contains(&&item.id));
                if is_wanted && found.iter().all(|(id, _)| *id != item.id) {
                    found.push((item.id, item.body));
                }
            }
            if found.len() >= most || number >= last || !goes_on {
                break;
            }
            cursor = page.cursor;
            number += 1;
        }
        found.truncate(most);
        let Some(named) = named else { return Ok(found) };
        let of = |id: &RecordId| found.iter().find(|(known, _)| known == id).and_then(|(_, item)| item.clone());
        Ok(named.into_iter().map(|id| (id.clone(), of(id))).collect())
    }

    /// How the records of a sample differ from what the schema says there is.
    #[must_use]
    pub fn drift(&self, sample: &Sample) -> Drift {
        let records: Vec<serde_json::Value> = sample
            .records
            .iter()
            .filter_map(|record| record.source.as_ref().ok())
            .filter_map(|raw| serde_json::from_slice(raw).ok())
            .collect();
        Drift::of(self.schema(), &records)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Cassette, Pipeline, Player, RequesterConfig};

    const PIPELINE: &str = r#"
muster: 1
name: test
source:
  list:
    request: { url: "http://a.test/list" }
    pagination: PAGINATION
    items: $.items
    id: $.id
  detail: none
load:
  request: { url: "http://a.test/home" }
"#;

    /// A sample of a list with these pages: query and answer. One that is asked for beside them cannot be read.
    async fn sampled(pagination: &str, pages: &[(String, String)], wanted: &Wanted) -> Sample {
        let mut yaml = "version: 1\ninteractions:\n".to_owned();
        for (query, answer) in pages {
            yaml.push_str(&format!(
                "- request: {{ method: GET, uri: 'http://a.test/list{query}' }}\n  \
                 response: {{ status: {{ code: 200 }}, headers: {{ content-type: [application/json] }}, \
                 body: {{ string: '{answer}' }} }}\n"
            ));
        }
        let player = Player::new(Cassette::from_yaml(&yaml).unwrap());
        let pipeline = Pipeline::from_yaml(&PIPELINE.replace("PAGINATION", pagination), "test").unwrap();
        let requester = Requester::playing(pipeline.limits(), &RequesterConfig::default(), &player);
        pipeline.compile(&BTreeMap::new()).unwrap().sample(&requester, wanted).await.unwrap()
    }

    fn ids(sample: &Sample) -> Vec<&str> {
        sample.records.iter().map(|record| record.id.as_text()).collect()
    }

    #[tokio::test]
    async fn a_list_that_does_not_heed_the_page_is_read_no_further() {
        let same = |page: u64| (format!("?page={page}"), r#"{"items":[{"id":1},{"id":2}]}"#.to_owned());
        let pages = [same(1), same(2)];
        let first = sampled("{ page_number: {} }", &pages, &Wanted::First(10)).await;
        assert_eq!((first.pages, ids(&first)), (2, vec!["1", "2"]));
        let named = sampled("{ page_number: {} }", &pages, &Wanted::These(vec![RecordId::from(9)])).await;
        assert_eq!((named.pages, &named.records[0].source), (2, &Err(Unread::NotListed)));
    }

    #[tokio::test]
    async fn cursors_that_lead_to_nothing_new_are_not_followed() {
        let page = |asked: &str, items: &str, next: &str| {
            let query = if asked.is_empty() { String::new() } else { format!("?after={asked}") };
            (query, format!(r#"{{"items":[{items}],"next":{next}}}"#))
        };
        let cursors = "{ cursor: { parameter: after, next: $.next } }";
        let (one, two) = (r#"{"id":1}"#, r#"{"id":2}"#);
        for (pages, expected) in [
            // The same cursor again, and the same items under cursors of their own.
            (vec![page("", one, "\"a\""), page("a", two, "\"a\"")], vec!["1", "2"]),
            (vec![page("", one, "\"a\""), page("a", one, "\"b\"")], vec!["1"]),
            // An empty page may stand between two others.
            (vec![page("", one, "\"a\""), page("a", "", "\"b\""), page("b", two, "null")], vec!["1", "2"]),
        ] {
            let sample = sampled(cursors, &pages, &Wanted::First(10)).await;
            assert_eq!((sample.pages, ids(&sample)), (pages.len() as u64, expected), "{pages:?}");
        }
        let mut pages = vec![page("", one, "1")];
        pages.extend((1..=EMPTY_PAGES).map(|number| page(&number.to_string(), "", &(number + 1).to_string())));
        let sample = sampled(cursors, &pages, &Wanted::First(10)).await;
        assert_eq!((sample.pages, ids(&sample)), (u64::from(EMPTY_PAGES) + 1, vec!["1"]));
    }
}
