//! A few records, read as a run would read them, and loaded nowhere: for whoever writes a pipeline.

use bytes::Bytes;

use crate::compiled::{CompiledPipeline, Processed, RecordError};
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
    pub source: Result<Bytes, FetchError>,
    /// As it would be loaded, or why it would not; nothing where the source does not have it.
    pub output: Option<Result<Processed, RecordError>>,
}

impl SampledRecord {
    /// Why the record would be a dead letter: the stage, and the reason. One that is gone would not.
    #[must_use]
    pub fn dead_letter(&self) -> Option<(&'static str, String)> {
        match (&self.source, &self.output) {
            (Err(FetchError::Gone { .. }), _) | (Ok(_), None | Some(Ok(_))) => None,
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
            Wanted::These(ids) => ids.iter().map(|id| (id.clone(), None)).collect(),
            Wanted::First(most) => self.first_items(requester, *most, &mut sample).await?,
        };
        for (id, whole) in items {
            let source = match whole {
                Some(body) => Ok(body),
                None => requester.get(&self.detail_url(&id), Get::Detail).await.0,
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
                    return SampledRecord { id, source: Err(FetchError::ClientError { status, detail }), output: None };
                }
                Err(error) => return SampledRecord { id, source: Err(error), output: None },
            }
        }
        let whole = if parts.is_empty() { Ok(raw.clone()) } else { self.join(&raw, &parts) };
        match whole {
            Ok(whole) => SampledRecord { id, output: Some(self.process(&whole)), source: Ok(whole) },
            Err(error) => SampledRecord { id, source: Ok(raw), output: Some(Err(error)) },
        }
    }

    /// The first items of the list, each ID once, with their bodies where those are whole records.
    async fn first_items(
        &self,
        requester: &Requester,
        most: usize,
        sample: &mut Sample,
    ) -> Result<Vec<(RecordId, Option<Bytes>)>, ListError> {
        let mut items: Vec<(RecordId, Option<Bytes>)> = Vec::new();
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
                if items.iter().all(|(id, _)| *id != item.id) {
                    items.push((item.id, item.body));
                }
            }
            if items.len() >= most || number >= last || !goes_on {
                items.truncate(most);
                return Ok(items);
            }
            cursor = page.cursor;
            number += 1;
        }
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
