//! The styles of lists: how a page is asked for, and what it says of the pages after it.

use std::collections::BTreeMap;

use url::Url;

use super::{ListAnswer, ListStyle, NoPage, Page, link};
use crate::error::SpecError;
use crate::spec::types::{Auth, Cursor, KeyPlace, Offset, PageNumber, PagedList, Pagination, Spot};

/// The pages of a list.
#[derive(Debug)]
pub(super) struct Pages {
    url: Url,
    pagination: Pagination,
    /// What the first request carries, where pages go by cursors.
    first_cursor: Option<String>,
    /// The query parameter that carries a key: a source that repeats it in the URL of the next page must not bring it
    /// into the ledger.
    key_parameter: Option<String>,
}

impl Pages {
    pub(super) fn new(list: &PagedList, auth: &Auth, parameters: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        let key = "source.list.request.url";
        let url = list.request.url.fill(key, parameters)?.fixed();
        Ok(Self {
            url: url.map_err(|error| SpecError::new("the pipeline", error.to_string()).key(key))?,
            pagination: list.pagination.clone(),
            first_cursor: match &list.pagination {
                Pagination::Cursor(list) => list.first.as_ref().map(|first| first.fill_text(parameters)),
                _ => None,
            },
            key_parameter: match auth {
                Auth::ApiKey { place: KeyPlace::Query, name, .. } => Some(name.clone()),
                _ => None,
            },
        })
    }

    pub(super) fn style(&self) -> ListStyle {
        match self.pagination {
            Pagination::PageNumber(_) | Pagination::Offset(_) => ListStyle::Numbered,
            _ => ListStyle::Sequential,
        }
    }

    pub(super) fn first(&self) -> u64 {
        match &self.pagination {
            Pagination::PageNumber(pages) => pages.first,
            _ => 1,
        }
    }

    /// The list's URL without its query.
    pub(super) fn place(&self) -> Url {
        without_query(&self.url)
    }

    /// Where a page is read from.
    pub(super) fn url(&self, page: u64, cursor: Option<&str>) -> Result<Url, String> {
        let mut url = self.url.clone();
        match &self.pagination {
            Pagination::PageNumber(pages) => {
                set(&mut url, &pages.parameter, &page.to_string());
                if let (Some(name), Some(size)) = (&pages.size_parameter, pages.size) {
                    set(&mut url, name, &size.to_string());
                }
            }
            Pagination::Offset(list) => {
                let offset = list.first.saturating_add(page.saturating_sub(1).saturating_mul(list.limit));
                set(&mut url, &list.parameter, &offset.to_string());
                set(&mut url, &list.limit_parameter, &list.limit.to_string());
            }
            Pagination::Cursor(list) => {
                if let Some(cursor) = cursor.or(self.first_cursor.as_deref()) {
                    set(&mut url, &list.parameter, cursor);
                }
            }
            Pagination::NextUrl(_) | Pagination::LinkHeader(_) => {
                if let Some(next) = cursor {
                    url = self.follow(&url, next).map_err(NoPage::words)?;
                }
            }
            Pagination::Single(_) => {}
        }
        Ok(url)
    }

    /// What a page says, beside its items, which it has already.
    pub(super) fn read(
        &self,
        cursor: Option<&str>,
        url: &Url,
        answer: &ListAnswer,
        page: Page,
    ) -> Result<Page, NoPage> {
        match &self.pagination {
            Pagination::PageNumber(list) => Ok(self.numbered(list, answer, page)?),
            Pagination::Offset(list) => Ok(self.offset(list, answer, page)?),
            Pagination::Cursor(list) => Ok(by_cursor(list, cursor.or(self.first_cursor.as_deref()), answer, page)?),
            Pagination::NextUrl(list) => {
                let next = answer.text(&list.next)?.map(|next| self.follow(url, &next)).transpose()?;
                Ok(sequential(page, next.map(String::from), &list.total, answer)?)
            }
            Pagination::LinkHeader(list) => {
                let next = link::target(&answer.headers, &list.rel)?;
                let next = next.map(|next| self.follow(url, &next)).transpose()?;
                Ok(sequential(page, next.map(String::from), &list.total, answer)?)
            }
            Pagination::Single(list) => Ok(sequential(page, None, &list.total, answer)?),
        }
    }

    fn numbered(&self, list: &PageNumber, answer: &ListAnswer, page: Page) -> Result<Page, String> {
        let total_pages = list.total_pages.as_ref().map(|spot| answer.number(spot)).transpose()?;
        let total = list.total.as_ref().map(|spot| answer.number(spot)).transpose()?;
        let by_records = total.zip(list.size).map(|(total, size)| total.div_ceil(size.max(1)));
        let known = total_pages.or(by_records).map(|pages| list.first.saturating_add(pages).saturating_sub(1));
        let last = end(known, &list.more, list.size.filter(|_| total.is_none()), answer, &page, list.first)?;
        // With pages counted by the source, how many items one has is the source's own affair.
        let size = list.size.filter(|_| total_pages.is_none() && list.more.is_none());
        Ok(Page { total_pages, total, last, size, ..page })
    }

    fn offset(&self, list: &Offset, answer: &ListAnswer, page: Page) -> Result<Page, String> {
        let total = list.total.as_ref().map(|spot| answer.number(spot)).transpose()?;
        let known = total.map(|total| total.div_ceil(list.limit.max(1)));
        let last = end(known, &list.more, Some(list.limit), answer, &page, 1)?;
        Ok(Page { total, last, size: Some(list.limit), ..page })
    }

    /// The URL of a next page, as the page at `from` has it. The answer of a source must not send requests, and the
    /// credentials that go with them, anywhere else.
    fn follow(&self, from: &Url, next: &str) -> Result<Url, NoPage> {
        let mut url = from.join(next).map_err(|error| format!("the URL of the next page is none: {error}"))?;
        if url.origin() != self.url.origin() || !url.username().is_empty() || url.password().is_some() {
            let _ = (url.set_username(""), url.set_password(None));
            return Err(NoPage::Elsewhere(format!(
                "the next page is said to be at {}, which is not where the list is, {}: it is not followed",
                without_query(&url),
                self.url.origin().ascii_serialization()
            )));
        }
        url.set_fragment(None);
        if let Some(name) = &self.key_parameter {
            remove(&mut url, name);
        }
        Ok(url)
    }
}

/// The last page of a numbered list, if this one lets it be known: by what is `known` of all pages, by `more`, or because
/// there is nothing, or less than was asked for, on it.
fn end(
    known: Option<u64>,
    more: &Option<Spot>,
    size: Option<u64>,
    answer: &ListAnswer,
    page: &Page,
    first: u64,
) -> Result<Option<u64>, String> {
    if known.is_some() {
        return Ok(known);
    }
    if let Some(more) = more {
        return Ok((!answer.flag(more)?).then_some(page.number));
    }
    let items = page.len();
    // A first page that is short may be one whose size the source has capped, and then all of them are: the next tells.
    let short = size.is_some_and(|size| items < size) && page.number > first;
    Ok((items == 0 || short).then_some(page.number))
}

fn by_cursor(list: &Cursor, asked: Option<&str>, answer: &ListAnswer, page: Page) -> Result<Page, String> {
    let next = answer.text(&list.next)?;
    let more = list.more.as_ref().map(|spot| answer.flag(spot)).transpose()?;
    let next = match (more, next) {
        (Some(false), _) => None,
        (Some(true), None) => return Err("the source says that there is more, but not how to ask for it".to_owned()),
        // Where nothing is new, some sources give the same cursor back for a later time.
        (_, Some(next)) if page.len() == 0 && Some(next.as_str()) == asked => None,
        (_, next) => next,
    };
    sequential(page, next, &list.total, answer)
}

fn sequential(page: Page, next: Option<String>, total: &Option<Spot>, answer: &ListAnswer) -> Result<Page, String> {
    let total = total.as_ref().map(|spot| answer.number(spot)).transpose()?;
    let last = next.is_none().then_some(page.number);
    Ok(Page { total, last, cursor: next, ..page })
}

/// Gives a query parameter its one value.
fn set(url: &mut Url, name: &str, value: &str) {
    remove(url, name);
    url.query_pairs_mut().append_pair(name, value);
}

fn remove(url: &mut Url, name: &str) {
    if !url.query_pairs().any(|(known, _)| known == name) {
        return;
    }
    let others: Vec<(String, String)> = url.query_pairs().filter(|(known, _)| known != name).map(owned).collect();
    url.set_query(None);
    if !others.is_empty() {
        url.query_pairs_mut().extend_pairs(others);
    }
}

fn owned((name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), value.into_owned())
}

fn without_query(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
#[path = "style_tests.rs"]
mod tests;
