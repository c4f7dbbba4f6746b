//! Listing: pages of IDs come into the ledger under a fenced right.

use std::time::Duration;

use super::{Connection, Hold, OptionalRow, SqlResult, Tx, params, rows, sql};
use crate::domain::{ListingLease, ListingProgress, Problem};
use crate::planted::Bug;
use crate::store::{Fenced, GrantedListing};

/// Takes up the oldest listing that nobody holds.
pub(super) fn take(tx: &Tx<'_>, holder: &str, ttl: Duration) -> SqlResult<Option<GrantedListing>> {
    let row = params![holder, tx.now.as_millis(), (tx.now + ttl).as_millis()];
    let taken = tx.connection.query_row(sql!("listing_take"), row, |row| {
        let total_pages: i64 = row.get(2)?;
        let pass: i64 = row.get(3)?;
        let last_page: Option<i64> = row.get(4)?;
        let progress = ListingProgress {
            total_pages: total_pages.unsigned_abs(),
            again: pass > 1,
            last_page: last_page.map(i64::unsigned_abs),
            cursor: row.get(5)?,
            ..ListingProgress::default()
        };
        Ok((ListingLease { run: row.get(0)?, epoch: row.get(1)? }, pass, progress))
    });
    let Some((lease, pass, progress)) = taken.optional()? else { return Ok(None) };
    let run = tx.connection.query_row(sql!("run_by_key"), params![lease.run], rows::run)?;
    let (first_open, done_after) = committed_pages(tx.connection, lease.run, pass)?;
    Ok(Some(GrantedListing { lease, run, progress: ListingProgress { first_open, done_after, ..progress } }))
}

/// The first page that is missing, and those after it that are not. The source's first page, whatever its number, is
/// committed or given up before any other is asked for; the rest come nearly in order, so the latter are few.
fn committed_pages(connection: &dyn Connection, run: i64, pass: i64) -> SqlResult<(u64, Vec<u64>)> {
    let pages = connection.query_map(sql!("pages_of_run"), params![run, pass], |row| row.get::<i64>(0))?;
    let mut next: Option<u64> = None;
    let mut after = Vec::new();
    for page in pages {
        let page = page.unsigned_abs();
        match next {
            None => next = Some(page + 1),
            Some(expected) if page == expected => next = Some(page + 1),
            Some(_) => after.push(page),
        }
    }
    Ok((next.unwrap_or(0), after))
}

/// Extends the right to a listing.
pub(super) fn renew(tx: &Tx<'_>, lease: &ListingLease, ttl: Duration) -> SqlResult<Fenced<()>> {
    let row = params![lease.run, lease.epoch, (tx.now + ttl).as_millis()];
    Ok(fenced(tx.connection.execute(sql!("listing_renew"), row)?))
}

/// Gives the right back.
pub(super) fn release(tx: &Tx<'_>, lease: &ListingLease) -> SqlResult<Fenced<()>> {
    let row = params![lease.run, lease.epoch];
    tx.tell_work();
    Ok(fenced(tx.connection.execute(sql!("listing_release"), row)?))
}

/// At start: only one process has the file, so nobody holds a listing.
pub(in crate::store) fn free_all(connection: &dyn Connection) -> SqlResult<()> {
    connection.execute(sql!("listings_of_the_dead"), params![]).map(drop)
}

fn fenced(rows: usize) -> Fenced<()> {
    if rows > 0 { Fenced::Committed(()) } else { Fenced::Stale }
}

/// A listing as its holder finds it.
pub(super) struct Listing {
    pub run: i64,
    pub round: u32,
    pub total_pages: i64,
    pub next_seq: i64,
    next_batch: i64,
    max_batch: i64,
    /// 2: it is listed a second time.
    pub pass: i64,
    pub last_page: Option<i64>,
    pub cursor: Option<String>,
    pub total: Option<i64>,
    /// Records that need not be loaded again.
    pub unchanged: i64,
    pub revision: String,
    /// The run that this one goes on from, while it is there.
    pub since: Option<i64>,
}

impl Listing {
    /// `None`: the right was lost, or the run is cancelled or over.
    pub(super) fn held(tx: &Tx<'_>, lease: &ListingLease) -> SqlResult<Option<Self>> {
        tx.connection.hold(lease.run, Hold::Together)?;
        let listing = tx.connection.query_row(sql!("listing_held"), params![lease.run, lease.epoch], |row| {
            Ok(Self {
                run: lease.run,
                total_pages: row.get(0)?,
                next_seq: row.get(1)?,
                next_batch: row.get(2)?,
                round: row.get(3)?,
                max_batch: row.get(4)?,
                pass: row.get(5)?,
                last_page: row.get(6)?,
                cursor: row.get(7)?,
                total: row.get(8)?,
                unchanged: row.get(9)?,
                revision: row.get(10)?,
                since: row.get(11)?,
            })
        });
        listing.optional()
    }

    /// Cuts full batches; when listing closes, also the last one.
    pub(super) fn cut(&mut self, tx: &Tx<'_>, also_last: bool) -> SqlResult<()> {
        let mut batches = Vec::new();
        loop {
            let first = self.next_batch * self.max_batch;
            let waiting = self.next_seq - first;
            if waiting < if also_last { 1 } else { self.max_batch } {
                break;
            }
            batches.push(params![self.next_batch, first, waiting.min(self.max_batch)].to_vec());
            self.next_batch += 1;
            tx.tell_work();
        }
        tx.connection.execute_each(sql!("batch_insert"), params![self.run, self.round], &batches).map(drop)
    }

    pub(super) fn write(&self, tx: &Tx<'_>) -> SqlResult<()> {
        tx.connection.execute(
            sql!("listing_update"),
            params![
                self.run,
                self.total_pages,
                self.next_seq,
                self.next_batch,
                self.pass,
                self.last_page,
                self.cursor,
                self.total,
                self.unchanged
            ],
        )?;
        Ok(())
    }

    /// How many different records were listed.
    pub(super) fn listed(&self) -> i64 {
        self.next_seq + self.unchanged
    }

    /// Makes a suspicion part of the verdict.
    pub(super) fn note(&self, tx: &Tx<'_>, code: &'static str, detail: String) -> SqlResult<()> {
        note(tx, self.run, &Problem { code, detail })
    }
}

/// Makes a suspicion part of the verdict.
pub(super) fn note(tx: &Tx<'_>, run: i64, problem: &Problem) -> SqlResult<()> {
    let row = params![run, problem.code, problem.detail, 1_i64];
    tx.connection.execute(sql!("problem_insert"), row).map(drop)
}

/// First pass -> second pass.
pub(super) fn again(tx: &Tx<'_>, lease: &ListingLease) -> SqlResult<Fenced<()>> {
    let Some(listing) = Listing::held(tx, lease)? else { return Ok(Fenced::Stale) };
    if listing.pass == 1 {
        let (last_page, cursor) = match tx.planted.has(Bug::GoesOnInSecondPass) {
            true => (listing.last_page, listing.cursor.clone()),
            false => (None, None),
        };
        Listing { pass: 2, last_page, cursor, ..listing }.write(tx)?;
    }
    Ok(Fenced::Committed(()))
}

/// Closes a listing. What its second pass has seen is left to the sweeper: of a long list, that takes longer to take
/// out than a transition may last.
pub(super) fn close(tx: &Tx<'_>, lease: &ListingLease) -> SqlResult<Fenced<()>> {
    let Some(mut listing) = Listing::held(tx, lease)? else { return Ok(Fenced::Stale) };
    if let Some(total) = listing.total.filter(|total| *total != listing.listed()) {
        let listed = listing.listed();
        let detail = format!("the source speaks of {total} records, and {listed} different ones were listed");
        listing.note(tx, "TOTAL_DISAGREES", detail)?;
    }
    if listing.pass > 1 && !tx.planted.has(Bug::OverlooksVanished) {
        vanished(tx, &listing)?;
    }
    tx.connection.execute(sql!("cursors_forget"), params![listing.run])?;
    listing.cursor = None;
    listing.cut(tx, true)?;
    listing.write(tx)?;
    let row = params![listing.run, tx.now.as_millis()];
    tx.connection.execute(sql!("listing_close"), row)?;
    tx.connection.execute(sql!("run_changed"), params![listing.run])?;
    tx.tell_work();
    Ok(Fenced::Committed(()))
}

/// Names what the first pass listed and the second did not.
fn vanished(tx: &Tx<'_>, listing: &Listing) -> SqlResult<()> {
    let (count, first): (i64, Option<String>) =
        tx.connection.query_row(sql!("records_unseen"), params![listing.run, listing.round], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let Some(first) = first else { return Ok(()) };
    let detail = format!("{count} IDs of the first listing, such as {first}, were not in the second");
    listing.note(tx, "VANISHED_FROM_LIST", detail)
}
