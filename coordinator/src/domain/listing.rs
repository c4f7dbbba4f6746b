//! Listing: how the source's IDs come into the ledger.

use bytes::Bytes;

/// The fenced right to list a run: exactly one coordinator has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingLease {
    /// The run's number in its store.
    pub run: i64,
    /// The fencing number: grows with each grant.
    pub epoch: u32,
}

/// Where listing stands when it is taken up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListingProgress {
    /// Pages the source said it has; 0 when not known yet.
    pub total_pages: u64,
    /// Every page below this one is committed or given up.
    pub first_open: u64,
    /// Pages at or after `first_open` that are committed or given up, ascending; bounded by the lister's window.
    pub done_after: Vec<u64>,
}

/// One page of the source's list.
#[derive(Debug, Clone)]
pub struct ListedPage {
    /// Page number, or how many pages came before it plus one.
    pub page: u64,
    /// Its items, in their order, duplicates included.
    pub items: Vec<ListedItem>,
    /// Pages the source says it has.
    pub total_pages: Option<u64>,
}

/// One item of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedItem {
    /// The record's ID as JSON text.
    pub id: String,
    /// What tells its versions apart, if the pipeline asks for it and the item has it.
    pub version: Option<String>,
    /// The record itself, as JSON, where nothing else is read of it.
    pub body: Option<Bytes>,
}

/// Something that makes a listing suspicious; it is named in the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable name.
    pub code: &'static str,
    /// What and where.
    pub detail: String,
}
