//! Listing: pages of IDs come into the ledger under a fenced right.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::rows;
use super::sql;
use super::writer::Tx;
use crate::domain::{ListedItem, ListedPage, ListingLease, ListingProgress, Problem};
use crate::planted::Bug;
use crate::store::{Fenced, GrantedListing, PageOutcome};

/// Takes up the oldest listing that nobody holds.
pub(super) fn take(tx: &Tx<'_>, holder: &str, ttl: Duration) -> rusqlite::Result<Option<GrantedListing>> {
    let mut statement = tx.connection.prepare_cached(sql!("listing_take"))?;
    let row = params![holder, tx.now.as_millis(), (tx.now + ttl).as_millis()];
    let taken = statement.query_row(row, |row| {
        let total_pages: i64 = row.get(2)?;
        Ok((ListingLease { run: row.get(0)?, epoch: row.get(1)? }, total_pages.unsigned_abs()))
    });
    let Some((lease, total_pages)) = taken.optional()? else { return Ok(None) };
    let run = tx.connection.prepare_cached(sql!("run_by_key"))?.query_row([lease.run], rows::run)?;
    let (first_open, done_after) = committed_pages(tx.connection, lease.run)?;
    Ok(Some(GrantedListing { lease, run, progress: ListingProgress { total_pages, first_open, done_after } }))
}

/// The first page that is missing, and those after it that are not. The source's first page, whatever its number, is
/// committed or given up before any other is asked for; the rest come nearly in order, so the latter are few.
fn committed_pages(connection: &Connection, run: i64) -> rusqlite::Result<(u64, Vec<u64>)> {
    let mut statement = connection.prepare_cached(sql!("pages_of_run"))?;
    let pages = statement.query_map([run], |row| row.get::<_, i64>(0))?;
    let mut next: Option<u64> = None;
    let mut after = Vec::new();
    for page in pages {
        let page = page?.unsigned_abs();
        match next {
            None => next = Some(page + 1),
            Some(expected) if page == expected => next = Some(page + 1),
            Some(_) => after.push(page),
        }
    }
    Ok((next.unwrap_or(0), after))
}

/// Extends the right to a listing.
pub(super) fn renew(tx: &Tx<'_>, lease: &ListingLease, ttl: Duration) -> rusqlite::Result<Fenced<()>> {
    let row = params![lease.run, lease.epoch, (tx.now + ttl).as_millis()];
    Ok(fenced(tx.connection.prepare_cached(sql!("listing_renew"))?.execute(row)?))
}

/// Gives the right back.
pub(super) fn release(tx: &Tx<'_>, lease: &ListingLease) -> rusqlite::Result<Fenced<()>> {
    let row = params![lease.run, lease.epoch];
    tx.tell_work();
    Ok(fenced(tx.connection.prepare_cached(sql!("listing_release"))?.execute(row)?))
}

/// At start: only one process has the file, so nobody holds a listing.
pub(super) fn free_all(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(sql!("listings_of_the_dead"), []).map(drop)
}

fn fenced(rows: usize) -> Fenced<()> {
    if rows > 0 { Fenced::Committed(()) } else { Fenced::Stale }
}

/// A listing as its holder finds it.
struct Listing {
    run: i64,
    round: u32,
    total_pages: i64,
    next_seq: i64,
    next_batch: i64,
    max_batch: i64,
}

impl Listing {
    /// `None`: the right was lost, or the run is cancelled or over.
    fn held(tx: &Tx<'_>, lease: &ListingLease) -> rusqlite::Result<Option<Self>> {
        let mut statement = tx.connection.prepare_cached(sql!("listing_held"))?;
        let listing = statement.query_row(params![lease.run, lease.epoch], |row| {
            Ok(Self {
                run: lease.run,
                total_pages: row.get(0)?,
                next_seq: row.get(1)?,
                next_batch: row.get(2)?,
                round: row.get(3)?,
                max_batch: row.get(4)?,
            })
        });
        listing.optional()
    }

    /// Cuts full batches; when listing closes, also the last one.
    fn cut(&mut self, tx: &Tx<'_>, also_last: bool) -> rusqlite::Result<()> {
        let mut insert = tx.connection.prepare_cached(sql!("batch_insert"))?;
        loop {
            let first = self.next_batch * self.max_batch;
            let waiting = self.next_seq - first;
            if waiting < if also_last { 1 } else { self.max_batch } {
                return Ok(());
            }
            insert.execute(params![self.run, self.round, self.next_batch, first, waiting.min(self.max_batch)])?;
            self.next_batch += 1;
            tx.tell_work();
        }
    }

    fn write(&self, tx: &Tx<'_>) -> rusqlite::Result<()> {
        let row = params![self.run, self.total_pages, self.next_seq, self.next_batch];
        tx.connection.prepare_cached(sql!("listing_update"))?.execute(row).map(drop)
    }
}

fn note(tx: &Tx<'_>, run: i64, problem: &Problem) -> rusqlite::Result<()> {
    let row = params![run, problem.code, problem.detail];
    tx.connection.prepare_cached(sql!("problem_insert"))?.execute(row).map(drop)
}

/// Writes a page: IDs, full batches, the page's row.
pub(super) fn commit_page(
    tx: &Tx<'_>,
    lease: &ListingLease,
    page: &ListedPage,
) -> rusqlite::Result<Fenced<PageOutcome>> {
    let Some(mut listing) = Listing::held(tx, lease)? else { return Ok(Fenced::Stale) };
    let number = i64::try_from(page.page).unwrap_or(i64::MAX);
    let items = i64::try_from(page.items.len()).unwrap_or(i64::MAX);
    let row = params![listing.run, number, items, 0, false, tx.now.as_millis()];
    if tx.connection.prepare_cached(sql!("page_insert"))?.execute(row)? == 0 {
        return Ok(Fenced::Committed(PageOutcome::default()));
    }
    if let Some(total) = page.total_pages.and_then(|total| i64::try_from(total).ok()) {
        take_total(tx, &mut listing, page, number, total)?;
    }
    let outcome = insert_ids(tx, &mut listing, page, number)?;
    if listing.total_pages == 0 && outcome.is_repeated() {
        let detail =
            format!("page {} brought only IDs already listed: the source seems to ignore the page number", page.page);
        note(tx, listing.run, &Problem { code: "PAGE_REPEATED", detail })?;
    }
    tx.connection.prepare_cached(sql!("page_fresh"))?.execute(params![
        listing.run,
        number,
        i64::try_from(outcome.fresh).unwrap_or(i64::MAX)
    ])?;
    listing.cut(tx, false)?;
    listing.write(tx)?;
    Ok(Fenced::Committed(outcome))
}

/// Holds what the source says of its pages against what it said before and against this page.
fn take_total(tx: &Tx<'_>, listing: &mut Listing, page: &ListedPage, number: i64, total: i64) -> rusqlite::Result<()> {
    let before = listing.total_pages;
    listing.total_pages = before.max(total);
    // Which of the source's pages this is, whatever number its first one has.
    let place: i64 =
        tx.connection.prepare_cached(sql!("page_place"))?.query_row(params![listing.run, number], |row| row.get(0))?;
    let found = if before != 0 && before != total {
        let detail = format!("the source spoke of {before} pages before and of {total} on page {number}");
        Some(Problem { code: "TOTAL_DISAGREES", detail })
    } else if place > total && !page.items.is_empty() {
        let detail = format!("the source speaks of {total} pages, and page {number} has items");
        Some(Problem { code: "TOTAL_DISAGREES", detail })
    } else {
        None
    };
    if let Some(problem) = found {
        note(tx, listing.run, &problem)?;
    }
    if place < listing.total_pages && page.items.is_empty() {
        let detail = format!("page {number} has no items, and the source speaks of {} pages", listing.total_pages);
        note(tx, listing.run, &Problem { code: "EMPTY_PAGE", detail })?;
    }
    Ok(())
}

fn insert_ids(tx: &Tx<'_>, listing: &mut Listing, page: &ListedPage, number: i64) -> rusqlite::Result<PageOutcome> {
    let mut insert = tx.connection.prepare_cached(sql!("record_insert"))?;
    let mut outcome = PageOutcome::default();
    let lost = usize::from(tx.planted.has(Bug::LosesLastId));
    let mut insert_body = tx.connection.prepare_cached(sql!("item_insert"))?;
    for ListedItem { id, version, body } in page.items.iter().take(page.items.len().saturating_sub(lost)) {
        let row = params![listing.run, listing.round, listing.next_seq, id, number, version];
        if insert.execute(row)? > 0 {
            if let Some(body) = body {
                insert_body.execute(params![listing.run, listing.round, listing.next_seq, body.as_ref()])?;
            }
            listing.next_seq += 1;
            outcome.fresh += 1;
            continue;
        }
        outcome.duplicates += 1;
        let mut statement = tx.connection.prepare_cached(sql!("record_by_id"))?;
        let first: i64 = statement.query_row(params![listing.run, listing.round, id], |row| row.get(1))?;
        // Twice on one page is the source's habit; on two pages, something has moved, and what moved the other way
        // may have been missed.
        let (code, detail) = if first == number {
            ("ID_TWICE_ON_A_PAGE", format!("ID {id} stands twice on page {number}"))
        } else {
            (
                "IDS_SHIFTED",
                format!("ID {id} stood on page {first} and again on page {number}: IDs moved while they were listed"),
            )
        };
        note(tx, listing.run, &Problem { code, detail })?;
    }
    Ok(outcome)
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
    let row = params![listing.run, number, 0, 0, true, tx.now.as_millis()];
    if tx.connection.prepare_cached(sql!("page_insert"))?.execute(row)? > 0 {
        note(tx, listing.run, problem)?;
    }
    Ok(Fenced::Committed(()))
}

/// Closes a listing.
pub(super) fn close(tx: &Tx<'_>, lease: &ListingLease) -> rusqlite::Result<Fenced<()>> {
    let Some(mut listing) = Listing::held(tx, lease)? else { return Ok(Fenced::Stale) };
    listing.cut(tx, true)?;
    listing.write(tx)?;
    let row = params![listing.run, tx.now.as_millis()];
    tx.connection.prepare_cached(sql!("listing_close"))?.execute(row)?;
    tx.connection.prepare_cached(sql!("run_changed"))?.execute([listing.run])?;
    tx.tell_work();
    Ok(Fenced::Committed(()))
}
