//! Listing a source's record IDs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use url::Url;

use crate::error::SpecError;
use crate::http::{FetchError, Requester};
use crate::record_id::RecordId;
use crate::spec::types::{ListSpec, OrderCheck, SourceSpec};

mod ids;
mod link;
mod page;
mod style;

use ids::GivenIds;
use page::Items;
use style::Pages;

/// How a source lists its IDs, with the parameters filled in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ListSource {
    from: Arc<From>,
}

#[derive(Debug)]
enum From {
    /// The source says, page by page.
    Source(Box<Paged>),
    /// The pipeline's user says.
    Given(GivenIds),
}

#[derive(Debug)]
struct Paged {
    pages: Pages,
    items: Items,
    concurrency: usize,
    max_pages: u64,
    twice: bool,
}

/// How one page leads to the next, and so what can be resumed and fetched at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListStyle {
    /// A page's number is enough to ask for it: pages may be fetched in any order and at the same time.
    Numbered,
    /// Only a page says how the next is asked for.
    Sequential,
}

/// One page of IDs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Its number; in a sequential list, one more than that of the page before.
    pub number: u64,
    /// Its items, in their order, as they came: duplicates included.
    pub items: Vec<ListedItem>,
    /// Further items on it, which have no ID that a record can have.
    pub nameless: Option<Nameless>,
    /// How many pages the source says it has, where it says so.
    pub total_pages: Option<u64>,
    /// How many records the source says it has, where it says so.
    pub total: Option<u64>,
    /// The number of the last page, where this one lets it be known.
    pub last: Option<u64>,
    /// What the request for the next page carries, in a sequential list that goes on.
    pub cursor: Option<String>,
    /// How many items each page but the last must have, where records are lost if one has fewer.
    pub size: Option<u64>,
}

impl Page {
    /// How many items are on it.
    pub(crate) fn len(&self) -> u64 {
        self.items.len() as u64 + self.nameless.as_ref().map_or(0, |nameless| nameless.items)
    }
}

/// Items of a page that no record is made of. A page with no others is of another shape than the pipeline says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nameless {
    /// How many.
    pub items: u64,
    /// Which is the first, and what is wrong with it.
    pub first: String,
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
    /// The next page is said to be elsewhere, where nobody is asked; names the page and both places.
    #[error("{0}")]
    Elsewhere(String),
    /// The list that the pipeline's user gave cannot be read.
    #[error("{0}")]
    Given(String),
}

impl ListError {
    /// What to do about a next page that is elsewhere.
    pub const NOT_FOLLOWED: &str = "a next page is read only at the scheme, host and port of the list: does \
                                    source.list.request have those that the source itself writes?";
}

/// Why an answer is no page, or leads to none.
#[derive(Debug)]
pub(crate) enum NoPage {
    /// It is not what the pipeline says.
    Shape(String),
    /// It leads elsewhere.
    Elsewhere(String),
}

impl NoPage {
    /// What is wrong.
    fn words(self) -> String {
        let (Self::Shape(what) | Self::Elsewhere(what)) = self;
        what
    }
}

impl std::convert::From<String> for NoPage {
    fn from(what: String) -> Self {
        Self::Shape(what)
    }
}

/// What a source answered when it was asked for a page.
pub(crate) struct ListAnswer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ListSource {
    pub(crate) fn new(source: &SourceSpec, parameters: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        let from = match &source.list {
            ListSpec::Ids(ids) => From::Given(GivenIds::new(ids, parameters)?),
            ListSpec::Paged(list) => From::Source(Box::new(Paged {
                pages: Pages::new(list, &source.auth, parameters)?,
                items: Items::new(list, &source.detail),
                concurrency: list.concurrency,
                max_pages: list.max_pages,
                twice: list.order_check == OrderCheck::Relist,
            })),
        };
        Ok(Self { from: Arc::new(from) })
    }

    /// How one page leads to the next.
    #[must_use]
    pub fn style(&self) -> ListStyle {
        match &*self.from {
            From::Source(list) => list.pages.style(),
            From::Given(ids) => ids.style(),
        }
    }

    /// The number of the first page.
    #[must_use]
    pub fn first_page(&self) -> u64 {
        match &*self.from {
            From::Source(list) => list.pages.first(),
            From::Given(_) => 1,
        }
    }

    /// The number of the last of so many pages.
    #[must_use]
    pub fn last_page(&self, total_pages: u64) -> u64 {
        self.first_page().saturating_add(total_pages).saturating_sub(1)
    }

    /// The number of the last page that is asked for, whatever the list says.
    #[must_use]
    pub fn most_pages(&self) -> u64 {
        match &*self.from {
            From::Source(list) => self.last_page(list.max_pages),
            From::Given(_) => u64::MAX,
        }
    }

    /// How many pages may be fetched at once, once the last one is known.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        match &*self.from {
            From::Source(list) => list.concurrency,
            From::Given(_) => 1,
        }
    }

    /// Whether it is listed a second time and held against the first.
    #[must_use]
    pub fn is_listed_twice(&self) -> bool {
        matches!(&*self.from, From::Source(list) if list.twice)
    }

    /// Whether the pipeline's user gave the IDs: such a list stands still, and the source is not asked.
    #[must_use]
    pub fn is_given(&self) -> bool {
        matches!(&*self.from, From::Given(_))
    }

    /// Where a numbered page is read from, or the first of a sequential list. A list that was given has no URL.
    #[must_use]
    pub fn page_url(&self, page: u64) -> Option<Url> {
        match &*self.from {
            From::Source(list) => list.pages.url(page, None).ok(),
            From::Given(_) => None,
        }
    }

    /// What it is and where, for people. What stands in a query may be nobody's business.
    #[must_use]
    pub fn place(&self) -> String {
        match &*self.from {
            From::Source(list) => format!("the source's list at {}", list.pages.place()),
            From::Given(ids) => ids.place(),
        }
    }

    /// Fetches and reads one page; in a sequential list with what the page before said that its request carries.
    pub async fn fetch_page(&self, requester: &Requester, page: u64, cursor: Option<&str>) -> Result<Page, ListError> {
        let Paged { pages, items, .. } = match &*self.from {
            From::Source(list) => &**list,
            From::Given(ids) => return ids.page(page, cursor).await.map_err(ListError::Given),
        };
        let at = |what: String| format!("page {page}: {what}");
        let wrong = |what: String| ListError::Shape(at(what));
        let url = pages.url(page, cursor).map_err(wrong)?;
        let answer = requester.list_page(&url).await?;
        let (listed, nameless) = items.read(&answer.body).map_err(wrong)?;
        let nothing = Page { number: page, items: listed, nameless, ..Page::default() };
        pages.read(cursor, &url, &answer, nothing).map_err(|unread| match unread {
            NoPage::Shape(what) => wrong(what),
            NoPage::Elsewhere(what) => ListError::Elsewhere(at(what)),
        })
    }
}
