//! A few records, read as a run would read them, and loaded nowhere: for whoever writes a pipeline.

use bytes::Bytes;

use crate::compiled::{CompiledPipeline, ItemTooLarge, Processed, RecordError};
use crate::drift::Drift;
use crate::http::{FetchError, Get, Requester};
use crate::list::{ListError, ListStyle};
use crate::record_id::RecordId;

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

    /// The wanted records in the list, each once, with their items where those are whole records. The list is read for as
    /// long as one is missing; what is named and not there comes without an item.
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
        let mut last = list.most_pages();
        loop {
            let page = list.fetch_page(requester, number, cursor.as_deref()).await?;
            sample.pages += 1;
            sample.listed += page.items.len();
            sample.total_pages = page.total_pages;
            sample.total = page.total;
            last = page.last.unwrap_or(last).min(last);
            let goes_on = match list.style() {
                ListStyle::Numbered => !page.items.is_empty(),
                ListStyle::Sequential => page.cursor.is_some(),
            };
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
