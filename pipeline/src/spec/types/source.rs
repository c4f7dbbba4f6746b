//! Where records come from, typed.

use std::time::{Duration, SystemTime};

use crate::spec::json_path::JsonPath;
use crate::spec::template::Template;
use crate::spec::types::auth::{Auth, Headers};

/// Where records come from.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    pub(crate) auth: Auth,
    /// Sent with every request to the source.
    pub(crate) headers: Headers,
    pub(crate) list: ListSpec,
    pub(crate) detail: Detail,
    /// What else is read of each record, by name.
    pub(crate) enrich: Vec<Enrich>,
    /// The share of `gone` records (from 0 to 1) above which a run pauses and asks.
    pub max_gone: f64,
}

impl SourceSpec {
    /// Whether the items of the list are whole records, so that the ledger keeps them and no record is read by itself.
    #[must_use]
    pub fn lists_whole_records(&self) -> bool {
        matches!(self.detail, Detail::None)
    }
}

/// A GET.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpec {
    pub(crate) url: Template,
    pub(crate) headers: Headers,
}

/// Which records there are.
#[derive(Debug, Clone)]
pub(crate) enum ListSpec {
    /// The source says, page by page.
    Paged(Box<PagedList>),
    /// The pipeline's user says.
    Ids(IdList),
}

/// How IDs are listed.
#[derive(Debug, Clone)]
pub(crate) struct PagedList {
    pub(crate) request: RequestSpec,
    pub(crate) pagination: Pagination,
    pub(crate) items: JsonPath,
    pub(crate) id: JsonPath,
    pub(crate) version: Option<Version>,
    pub(crate) concurrency: usize,
    /// A list that has not ended after so many pages is given up.
    pub(crate) max_pages: u64,
    pub(crate) order_check: OrderCheck,
}

/// A list that is known beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdList {
    /// The parameter of this name: IDs with commas or line ends between them, or a JSON list.
    Parameter(String),
    /// A file on the coordinator's machine: one ID a line, or a JSON list.
    File(Template),
}

/// What tells two versions of a record apart, so that one that was loaded before need not be loaded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Version {
    /// What stands there in the item of the list.
    Path(JsonPath),
    /// A hash of the whole item.
    Item,
}

/// Whether a list is held against itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderCheck {
    /// No.
    None,
    /// It is listed a second time.
    Relist,
}

/// How one page leads to the next.
#[derive(Debug, Clone)]
pub(crate) enum Pagination {
    /// `?page=1`, `?page=2`, …
    PageNumber(PageNumber),
    /// `?offset=0&limit=100`, `?offset=100&limit=100`, …
    Offset(Offset),
    /// Each answer carries what the next request is to carry.
    Cursor(Cursor),
    /// Each answer carries the URL of the next page.
    NextUrl(NextUrl),
    /// RFC 8288: `Link: <…>; rel="next"`.
    LinkHeader(LinkHeader),
    /// There is one page.
    Single(Single),
}

#[derive(Debug, Clone)]
pub(crate) struct PageNumber {
    pub(crate) parameter: String,
    pub(crate) first: u64,
    /// How many items a page has, and the query parameter that asks for as many.
    pub(crate) size: Option<u64>,
    pub(crate) size_parameter: Option<String>,
    pub(crate) total_pages: Option<Spot>,
    pub(crate) total: Option<Spot>,
    pub(crate) more: Option<Spot>,
}

#[derive(Debug, Clone)]
pub(crate) struct Offset {
    pub(crate) parameter: String,
    pub(crate) first: u64,
    pub(crate) limit_parameter: String,
    pub(crate) limit: u64,
    pub(crate) total: Option<Spot>,
    pub(crate) more: Option<Spot>,
}

#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub(crate) parameter: String,
    /// What the first request carries; nothing: the parameter is left out.
    pub(crate) first: Option<Template>,
    pub(crate) next: Spot,
    pub(crate) total: Option<Spot>,
    pub(crate) more: Option<Spot>,
}

#[derive(Debug, Clone)]
pub(crate) struct NextUrl {
    pub(crate) next: Spot,
    pub(crate) total: Option<Spot>,
}

#[derive(Debug, Clone)]
pub(crate) struct LinkHeader {
    pub(crate) rel: String,
    pub(crate) total: Option<Spot>,
}

#[derive(Debug, Clone)]
pub(crate) struct Single {
    pub(crate) total: Option<Spot>,
}

/// Where something stands in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spot {
    /// In its body.
    Body(JsonPath),
    /// In this header.
    Header(String),
}

/// Where one record is read.
#[derive(Debug, Clone)]
pub(crate) enum Detail {
    /// By a request of its own.
    Request(RequestSpec),
    /// Nowhere: the list's items are whole records.
    None,
}

/// A further part of a record, read by a request of its own.
#[derive(Debug, Clone)]
pub(crate) struct Enrich {
    /// The key of the record under which it is put.
    pub(crate) name: String,
    pub(crate) request: RequestSpec,
    /// Where there is none (404, 410), it is `null`; else the record is a dead letter.
    pub(crate) optional: bool,
}

/// A parameter that follows from the run that this one goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// So much before that run was started: clocks differ, and sources show what is new late.
    pub overlap: Duration,
}

impl Watermark {
    /// The parameter's value where the earlier run was started at this time.
    pub(crate) fn after(&self, started: SystemTime) -> String {
        crate::spec::units::write_time(started.checked_sub(self.overlap).unwrap_or(SystemTime::UNIX_EPOCH))
    }
}
