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
    /// Whether it is listed a second time, to hold it against itself; all pages below are those of that pass.
    pub again: bool,
    /// The number of the last page, if it is known.
    pub last_page: Option<u64>,
    /// What the request for the next page carries, in a list where only a page says how the next is asked for.
    pub cursor: Option<String>,
    /// Pages at or after `first_open` that are committed or given up, ascending; bounded by the lister's window.
    pub done_after: Vec<u64>,
}

/// One page of the source's list.
#[derive(Debug, Clone, Default)]
pub struct ListedPage {
    /// Page number, or how many pages came before it plus one.
    pub page: u64,
    /// Its items, in their order, duplicates included.
    pub items: Vec<ListedItem>,
    /// Pages the source says it has.
    pub total_pages: Option<u64>,
    /// Records the source says it has.
    pub total: Option<u64>,
    /// The number of the last page, where this one lets it be known.
    pub last: Option<u64>,
    /// What the request for the next page carries; without it the next number is asked for.
    pub cursor: Option<String>,
    /// Items that each page but the last must have, where records are lost if one has fewer.
    pub size: Option<u64>,
    /// Whether the IDs were given by the pipeline's user: such a list stands still.
    pub given: bool,
    /// What is wrong with the list beyond what the ledger finds.
    pub problem: Option<Problem>,
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
