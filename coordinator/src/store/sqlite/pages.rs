//! A page comes into the ledger: its IDs, what they say of the list, and where listing goes on.

use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::listing::{Listing, note};
use super::sql;
use super::unchanged::{self, Since};
use super::writer::Tx;
use crate::domain::{ListedItem, ListedPage, ListingLease, Problem};
use crate::planted::Bug;
use crate::store::{Fenced, PageOutcome};

/// Writes a page: IDs, full batches, the page's row, where listing goes on.
pub(super) fn commit_page(
    tx: &Tx<'_>,
    lease: &ListingLease,
    page: &ListedPage,
) -> rusqlite::Result<Fenced<PageOutcome>> {
    let Some(mut listing) = Listing::held(tx, lease)? else { return Ok(Fenced::Stale) };
    let number = i64::try_from(page.page).unwrap_or(i64::MAX);
    let items = i64::try_from(page.items.len()).unwrap_or(i64::MAX);
    let row = params![listing.run, number, items, 0, false, tx.now.as_millis(), listing.pass];
    if tx.connection.prepare_cached(sql!("page_insert"))?.execute(row)? == 0 {
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
    let mut outcome = insert_ids(tx, &mut listing, page, number)?;
    let row = params![listing.run, number, listing.listed() - before, listing.pass];
    tx.connection.prepare_cached(sql!("page_fresh"))?.execute(row)?;
    take_end(tx, &mut listing, page, number, outcome)?;
    take_gaps(tx, &listing, page, number)?;
    if let Some(problem) = &page.problem {
        note(tx, listing.run, problem)?;
    }
    listing.cut(tx, false)?;
    listing.write(tx)?;
    outcome.last = listing.last_page.map(i64::unsigned_abs);
    Ok(Fenced::Committed(outcome))
}

/// Holds what the source says of its pages against what it said before and against this page.
fn take_total_pages(
    tx: &Tx<'_>,
    listing: &mut Listing,
    page: &ListedPage,
    number: i64,
    total: i64,
) -> rusqlite::Result<()> {
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
fn place(tx: &Tx<'_>, listing: &Listing, number: i64) -> rusqlite::Result<i64> {
    let key = params![listing.run, number, listing.pass];
    tx.connection.prepare_cached(sql!("page_place"))?.query_row(key, |row| row.get(0))
}

/// Holds what the source says of its records against what it said before; against the records themselves, the close does.
fn take_total(tx: &Tx<'_>, listing: &mut Listing, number: i64, total: i64) -> rusqlite::Result<()> {
    if let Some(before) = listing.total.filter(|before| *before != total) {
        let detail = format!("the source spoke of {before} records before and of {total} on page {number}");
        listing.note(tx, "TOTAL_DISAGREES", detail)?;
    }
    listing.total = listing.total.max(Some(total));
    Ok(())
}

/// Where listing goes on, or that it does not.
fn take_end(
    tx: &Tx<'_>,
    listing: &mut Listing,
    page: &ListedPage,
    number: i64,
    outcome: PageOutcome,
) -> rusqlite::Result<()> {
    let last = page.last.map(|last| i64::try_from(last).unwrap_or(i64::MAX));
    // It may grow while it is listed. But a source that gives the same page for ever may promise one more with each.
    if listing.last_page.is_none() || !outcome.is_repeated() {
        listing.last_page = listing.last_page.max(last);
    }
    listing.cursor.clone_from(&page.cursor);
    if listing.last_page.is_none() && listing.total_pages == 0 && page.cursor.is_none() && outcome.is_repeated() {
        let detail =
            format!("page {number} brought only IDs already listed: the source seems to ignore the page number");
        listing.note(tx, "PAGE_REPEATED", detail)?;
        // It would go on for ever.
        listing.last_page = Some(number);
    }
    let Some(cursor) = &page.cursor else { return Ok(()) };
    let digest: [u8; 32] = Sha256::digest(cursor).into();
    let row = params![listing.run, listing.pass, digest];
    if tx.connection.prepare_cached(sql!("cursor_insert"))?.execute(row)? == 0 {
        let detail = format!("page {number} leads back to a page that was listed before: listing stopped there");
        listing.note(tx, "CURSOR_REPEATED", detail)?;
        listing.last_page = Some(number);
        listing.cursor = None;
    }
    Ok(())
}

/// Pages in the middle of a list that have less on them than they must.
fn take_gaps(tx: &Tx<'_>, listing: &Listing, page: &ListedPage, number: i64) -> rusqlite::Result<()> {
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
    let mut statement = tx.connection.prepare_cached(sql!("page_items"))?;
    let key = params![listing.run, listing.pass, number - 1];
    let before: Option<i64> = statement.query_row(key, |row| row.get(0)).optional()?;
    match before.map(i64::unsigned_abs) {
        Some(before) if before < size && page.total.is_none() => name(number - 1, before),
        _ => Ok(()),
    }
}

fn insert_ids(tx: &Tx<'_>, listing: &mut Listing, page: &ListedPage, number: i64) -> rusqlite::Result<PageOutcome> {
    let mut outcome = PageOutcome::default();
    let lost = usize::from(tx.planted.has(Bug::LosesLastId));
    let revision = listing.revision.clone();
    let mut since = listing.since.map(|since| Since::new(tx.connection, since, &revision));
    for item in page.items.iter().take(page.items.len().saturating_sub(lost)) {
        let id = &item.id;
        let Listed { seq, first, inserted } = insert(tx, listing, since.as_mut(), item, number)?;
        let again = listing.pass > 1;
        if again && inserted {
            let detail = format!("ID {id} was listed the second time (page {number}), and not the first");
            listing.note(tx, "MISSED_BY_FIRST_LISTING", detail)?;
        }
        let is_fresh = if again { see(tx, listing.run, id, seq)? } else { inserted };
        if is_fresh {
            outcome.fresh += 1;
        } else {
            outcome.duplicates += 1;
            // On which page the second pass had it before is not kept.
            note_duplicate(tx, listing, page, id, if again { None } else { Some(first) })?;
        }
    }
    Ok(outcome)
}

/// An ID as the ledger has it now.
struct Listed {
    /// Its sequence number; none: it is unchanged.
    seq: Option<i64>,
    /// The page on which it was listed first.
    first: i64,
    /// Which is this one.
    inserted: bool,
}

/// Writes an item, unless it was listed before. What the run that this one goes on from has at the target in this version is
/// set aside.
fn insert(
    tx: &Tx<'_>,
    listing: &mut Listing,
    since: Option<&mut Since<'_>>,
    item: &ListedItem,
    number: i64,
) -> rusqlite::Result<Listed> {
    let ListedItem { id, version, body } = item;
    if let Some(since) = since {
        if let Some((first, _)) = unchanged::row(tx.connection, listing.run, id)? {
            return Ok(Listed { seq: None, first, inserted: false });
        }
        if let Some(version) = version
            && since.loaded(id, version)?
            && record(tx, listing, id)?.is_none()
        {
            let row = params![listing.run, id, number, version];
            tx.connection.prepare_cached(sql!("unchanged_insert"))?.execute(row)?;
            listing.unchanged += 1;
            return Ok(Listed { seq: None, first: number, inserted: true });
        }
    }
    let seq = listing.next_seq;
    let row = params![listing.run, listing.round, seq, id, number, version];
    if tx.connection.prepare_cached(sql!("record_insert"))?.execute(row)? == 0 {
        let (seq, first) = record(tx, listing, id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        return Ok(Listed { seq: Some(seq), first, inserted: false });
    }
    if let Some(body) = body {
        let row = params![listing.run, listing.round, seq, body.as_ref()];
        tx.connection.prepare_cached(sql!("item_insert"))?.execute(row)?;
    }
    listing.next_seq += 1;
    Ok(Listed { seq: Some(seq), first: number, inserted: true })
}

/// Sequence number and page of a record that is to be loaded.
fn record(tx: &Tx<'_>, listing: &Listing, id: &str) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut find = tx.connection.prepare_cached(sql!("record_by_id"))?;
    find.query_row(params![listing.run, listing.round, id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Notes that the second pass brought an ID; gives whether it had not before.
fn see(tx: &Tx<'_>, run: i64, id: &str, seq: Option<i64>) -> rusqlite::Result<bool> {
    let rows = match seq {
        Some(seq) => tx.connection.prepare_cached(sql!("seen_insert"))?.execute(params![run, seq])?,
        None => tx.connection.prepare_cached(sql!("unchanged_seen"))?.execute(params![run, id])?,
    };
    Ok(rows > 0)
}

/// Twice on one page is the source's habit; on two pages, something has moved, and what moved the other way may have been
/// missed. A list that stands still has only itself to say it.
fn note_duplicate(
    tx: &Tx<'_>,
    listing: &Listing,
    page: &ListedPage,
    id: &str,
    first: Option<i64>,
) -> rusqlite::Result<()> {
    let number = page.page;
    let same_page = match first {
        Some(first) => first.unsigned_abs() == number,
        None => page.items.iter().filter(|item| item.id == id).count() > 1,
    };
    let (code, detail) = match first {
        _ if page.given => ("ID_TWICE_IN_LIST", format!("ID {id} stands twice in the list")),
        _ if same_page => ("ID_TWICE_ON_A_PAGE", format!("ID {id} stands twice on page {number}")),
        Some(first) => (
            "IDS_SHIFTED",
            format!("ID {id} stood on page {first} and again on page {number}: IDs moved while they were listed"),
        ),
        None => (
            "IDS_SHIFTED",
            format!("ID {id} stood on two pages of the second listing: IDs moved while they were listed"),
        ),
    };
    listing.note(tx, code, detail)
}

/// Gives a page up: listing goes on without it, the verdict names it.
pub(super) fn give_up_page(
    tx: &Tx<'_>,
    lease: &ListingLease,
    page: u64,
    problem: &Problem,
) -> rusqlite::Result<Fenced<()>> {
    let Some(listing) = Listing::held(tx, lease)? else { return Ok(Fenced::Stale) };
    let number = i64::try_from(page).unwrap_or(i64::MAX);
    let row = params![listing.run, number, 0, 0, true, tx.now.as_millis(), listing.pass];
    if tx.connection.prepare_cached(sql!("page_insert"))?.execute(row)? > 0 {
        note(tx, listing.run, problem)?;
    }
    Ok(Fenced::Committed(()))
}
