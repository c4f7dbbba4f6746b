//! A page comes into the ledger: its IDs, what they say of the list, and where listing goes on.

use sha2::{Digest, Sha256};

use super::listing::{Listing, note};
use super::page_ids::Brought;
use super::{OptionalRow, SqlResult, Tx, page_ids, params, sql};
use crate::domain::{ListedPage, ListingLease, Problem};
use crate::store::{Fenced, PageOutcome};

/// Writes a page: IDs, full batches, the page's row, where listing goes on.
pub(super) fn commit_page(tx: &Tx<'_>, lease: &ListingLease, page: &ListedPage) -> SqlResult<Fenced<PageOutcome>> {
    let Some(mut listing) = Listing::held(tx, lease)? else { return Ok(Fenced::Stale) };
    let number = i64::try_from(page.page).unwrap_or(i64::MAX);
    let items = i64::try_from(page.items.len()).unwrap_or(i64::MAX);
    let row = params![listing.run, number, items, 0, false, tx.now.as_millis(), listing.pass];
    if tx.connection.execute(sql!("page_insert"), row)? == 0 {
        let last = listing.last_page.map(i64::unsigned_abs);
        return Ok(Fenced::Committed(PageOutcome { last, ..PageOutcome::default() }));
    }
    if let Some(total) = page.total_pages.and_then(|total| i64::try_from(total).ok()) {
        take_total_pages(tx, &mut listing, page, number, total)?;
    }
    if let Some(total) = page.total.and_then(|total| i64::try_from(total).ok()) {
        take_total(tx, &mut listing, number, total)?;
    }
    let before = listing.listed();
    let brought = page_ids::insert(tx, &mut listing, page, number)?;
    let row = params![listing.run, number, listing.listed() - before, listing.pass];
    tx.connection.execute(sql!("page_fresh"), row)?;
    take_end(tx, &mut listing, page, number, &brought)?;
    take_gaps(tx, &listing, page, number)?;
    if let Some(problem) = &page.problem {
        note(tx, listing.run, problem)?;
    }
    listing.cut(tx, false)?;
    listing.write(tx)?;
    let last = listing.last_page.map(i64::unsigned_abs);
    Ok(Fenced::Committed(PageOutcome { last, ..brought.outcome }))
}

/// Holds what the source says of its pages against what it said before and against this page.
fn take_total_pages(tx: &Tx<'_>, listing: &mut Listing, page: &ListedPage, number: i64, total: i64) -> SqlResult<()> {
    let before = listing.total_pages;
    listing.total_pages = before.max(total);
    let place = place(tx, listing, number)?;
    let found = if before != 0 && before != total {
        Some(format!("the source spoke of {before} pages before and of {total} on page {number}"))
    } else if place > total && !page.items.is_empty() {
        Some(format!("the source speaks of {total} pages, and page {number} has items"))
    } else {
        None
    };
    if let Some(detail) = found {
        listing.note(tx, "TOTAL_DISAGREES", detail)?;
    }
    if place < listing.total_pages && page.items.is_empty() {
        let detail = format!("page {number} has no items, and the source speaks of {} pages", listing.total_pages);
        listing.note(tx, "EMPTY_PAGE", detail)?;
    }
    Ok(())
}

/// Which of the source's pages this is, whatever number its first one has.
fn place(tx: &Tx<'_>, listing: &Listing, number: i64) -> SqlResult<i64> {
    let key = params![listing.run, number, listing.pass];
    tx.connection.query_row(sql!("page_place"), key, |row| row.get(0))
}

/// Holds what the source says of its records against what it said before; against the records themselves, the close does.
fn take_total(tx: &Tx<'_>, listing: &mut Listing, number: i64, total: i64) -> SqlResult<()> {
    if let Some(before) = listing.total.filter(|before| *before != total) {
        let detail = format!("the source spoke of {before} records before and of {total} on page {number}");
        listing.note(tx, "TOTAL_DISAGREES", detail)?;
    }
    listing.total = listing.total.max(Some(total));
    Ok(())
}

/// Where listing goes on, or that it does not.
fn take_end(tx: &Tx<'_>, listing: &mut Listing, page: &ListedPage, number: i64, brought: &Brought) -> SqlResult<()> {
    let outcome = brought.outcome;
    let last = page.last.map(|last| i64::try_from(last).unwrap_or(i64::MAX));
    // It may grow while it is listed. But a source that gives the same page for ever may promise one more with each.
    if listing.last_page.is_none() || !outcome.is_repeated() {
        listing.last_page = listing.last_page.max(last);
    }
    listing.cursor.clone_from(&page.cursor);
    let endless =
        listing.last_page.is_none() && listing.total_pages == 0 && page.cursor.is_none() && outcome.is_repeated();
    if endless || brought.is_copy {
        let detail =
            format!("page {number} brought only IDs already listed: the source seems to ignore the page number");
        listing.note(tx, "PAGE_REPEATED", detail)?;
    }
    if endless {
        // It would go on for ever. Where the end is known, a page after this one may bring what is new.
        listing.last_page = Some(number);
    }
    let Some(cursor) = &page.cursor else { return Ok(()) };
    let digest: [u8; 32] = Sha256::digest(cursor).into();
    let row = params![listing.run, listing.pass, digest];
    if tx.connection.execute(sql!("cursor_insert"), row)? == 0 {
        let detail = format!("page {number} leads back to a page that was listed before: listing stopped there");
        listing.note(tx, "CURSOR_REPEATED", detail)?;
        listing.last_page = Some(number);
        listing.cursor = None;
    }
    Ok(())
}

/// Pages in the middle of a list that have less on them than they must.
fn take_gaps(tx: &Tx<'_>, listing: &Listing, page: &ListedPage, number: i64) -> SqlResult<()> {
    let goes_on = listing.cursor.is_some() || listing.last_page.is_some_and(|last| number < last);
    if page.items.is_empty() {
        if goes_on && page.total_pages.is_none() {
            let detail = format!("page {number} has no items, and the list goes on after it");
            listing.note(tx, "EMPTY_PAGE", detail)?;
        }
        return Ok(());
    }
    let Some(size) = page.size else { return Ok(()) };
    let name = |number: i64, items: u64| {
        let detail = format!(
            "page {number} has {items} items where {size} were asked for, and the list goes on after it: what the source \
             left out is not listed"
        );
        listing.note(tx, "SHORT_PAGE", detail)
    };
    let items = page.items.len() as u64;
    if goes_on && items < size {
        return name(number, items);
    }
    if page.last.is_some_and(|last| last > page.page) {
        return Ok(());
    }
    // Where the source does not say how much there is, only the page after a short one shows that it was not the last.
    let key = params![listing.run, listing.pass, number - 1];
    let before: Option<i64> = tx.connection.query_row(sql!("page_items"), key, |row| row.get(0)).optional()?;
    match before.map(i64::unsigned_abs) {
        Some(before) if before < size && page.total.is_none() => name(number - 1, before),
        _ => Ok(()),
    }
}

/// Gives a page up: listing goes on without it, the verdict names it.
pub(super) fn give_up_page(tx: &Tx<'_>, lease: &ListingLease, page: u64, problem: &Problem) -> SqlResult<Fenced<()>> {
    let Some(listing) = Listing::held(tx, lease)? else { return Ok(Fenced::Stale) };
    let number = i64::try_from(page).unwrap_or(i64::MAX);
    let row = params![listing.run, number, 0, 0, true, tx.now.as_millis(), listing.pass];
    if tx.connection.execute(sql!("page_insert"), row)? > 0 {
        note(tx, listing.run, problem)?;
    }
    Ok(Fenced::Committed(()))
}
