//! A page's IDs come into the ledger: looked up together, judged one by one, written together.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::listing::Listing;
use super::unchanged::Since;
use super::{OptionalRow, SqlResult, Tx, Value, params, sql};
use crate::domain::{ListedItem, ListedPage};
use crate::planted::Bug;
use crate::store::PageOutcome;

/// What a page brought.
pub(super) struct Brought {
    pub outcome: PageOutcome,
    /// Nothing but what stands on one other page, in a list that goes by page numbers.
    pub is_copy: bool,
}

/// Writes the IDs of a page that are not there yet, and names what is odd about them.
pub(super) fn insert(tx: &Tx<'_>, listing: &mut Listing, page: &ListedPage, number: i64) -> SqlResult<Brought> {
    let lost = usize::from(tx.planted.has(Bug::LosesLastId));
    let items = &page.items[..page.items.len().saturating_sub(lost)];
    let (run, revision) = (listing.run, listing.revision.clone());
    let mut since = listing.since.map(|since| Since::read(tx.connection, since, run, &revision, items)).transpose()?;
    let mut ids = Ids::read(tx, listing, items)?;
    let mut outcome = PageOutcome::default();
    let again = listing.pass > 1;
    let mut stood_on = BTreeSet::new();
    for item in items {
        let listed = ids.list(listing, since.as_mut(), item, number)?;
        stood_on.insert(listed.first);
        if again && listed.inserted {
            let detail = format!("ID {} was listed the second time (page {number}), and not the first", item.id);
            ids.note("MISSED_BY_FIRST_LISTING", detail);
        }
        let is_fresh = if again { ids.see(&item.id, listed.seq) } else { listed.inserted };
        if is_fresh {
            outcome.fresh += 1;
        } else {
            outcome.duplicates += 1;
            // On which page the second pass had it before is not kept.
            let (code, detail) = duplicate(page, &item.id, if again { None } else { Some(listed.first) });
            ids.note(code, detail);
        }
    }
    ids.write(tx, listing)?;
    // In the second pass, each page is the like of one of the first. The cursor is the one that led to this page.
    let by_number = !again && !page.given && page.cursor.is_none() && listing.cursor.is_none();
    let is_copy = by_number && is_copy(tx, listing, page, number, &stood_on)?;
    Ok(Brought { outcome, is_copy })
}

/// Whether a page is the like of another one, when its IDs were listed first on these pages: IDs that only moved stand on
/// several, or fill another page in part.
fn is_copy(
    tx: &Tx<'_>,
    listing: &Listing,
    page: &ListedPage,
    number: i64,
    stood_on: &BTreeSet<i64>,
) -> SqlResult<bool> {
    let Some(other) = stood_on.first().copied().filter(|other| stood_on.len() == 1 && *other != number) else {
        return Ok(false);
    };
    let key = params![listing.run, listing.pass, other];
    let has: Option<i64> = tx.connection.query_row(sql!("page_items"), key, |row| row.get(0)).optional()?;
    Ok(has.is_some_and(|has| has.unsigned_abs() == page.items.len() as u64))
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

/// The IDs of a page: what the ledger has of them, and what is to be written.
struct Ids {
    /// Sequence number and page of those that are to be loaded.
    records: HashMap<String, (i64, i64)>,
    /// Page of those that need not be.
    unchanged: HashMap<String, i64>,
    /// Those that the second pass has brought: by sequence number, and unchanged ones.
    seen: HashSet<i64>,
    seen_unchanged: HashSet<String>,
    new_records: Vec<Vec<Value>>,
    new_items: Vec<Vec<Value>>,
    new_unchanged: Vec<Vec<Value>>,
    new_seen: Vec<Vec<Value>>,
    new_seen_unchanged: Vec<Vec<Value>>,
    /// What is odd, by its code: the first in words, and how many.
    notes: BTreeMap<&'static str, (String, i64)>,
}

impl Ids {
    fn read(tx: &Tx<'_>, listing: &Listing, items: &[ListedItem]) -> SqlResult<Self> {
        let each: Vec<_> = items.iter().map(|item| params![item.id].to_vec()).collect();
        let mut records = HashMap::new();
        for row in tx.connection.query_each(sql!("records_known"), params![listing.run, listing.round], &each)? {
            records.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
        }
        let (mut unchanged, mut seen_unchanged) = (HashMap::new(), HashSet::new());
        if listing.since.is_some() || listing.unchanged > 0 {
            for row in tx.connection.query_each(sql!("unchanged_known"), params![listing.run], &each)? {
                let id: String = row.get(0)?;
                if row.get(3)? {
                    seen_unchanged.insert(id.clone());
                }
                unchanged.insert(id, row.get(1)?);
            }
        }
        let mut seen = HashSet::new();
        if listing.pass > 1 {
            let each: Vec<_> = records.values().map(|(seq, _): &(i64, i64)| params![seq].to_vec()).collect();
            for row in tx.connection.query_each(sql!("seen_known"), params![listing.run], &each)? {
                seen.insert(row.get(0)?);
            }
        }
        Ok(Self {
            records,
            unchanged,
            seen,
            seen_unchanged,
            new_records: Vec::new(),
            new_items: Vec::new(),
            new_unchanged: Vec::new(),
            new_seen: Vec::new(),
            new_seen_unchanged: Vec::new(),
            notes: BTreeMap::new(),
        })
    }

    /// Takes an item, unless it was listed before. What the run that this one goes on from has at the target in this
    /// version is set aside.
    fn list(
        &mut self,
        listing: &mut Listing,
        since: Option<&mut Since<'_>>,
        item: &ListedItem,
        number: i64,
    ) -> SqlResult<Listed> {
        let ListedItem { id, version, body } = item;
        if let Some(first) = self.unchanged.get(id) {
            return Ok(Listed { seq: None, first: *first, inserted: false });
        }
        if let Some((seq, first)) = self.records.get(id) {
            return Ok(Listed { seq: Some(*seq), first: *first, inserted: false });
        }
        if let Some((since, version)) = since.zip(version.as_deref())
            && since.loaded(id, version)?
        {
            self.new_unchanged.push(params![id, number, version].to_vec());
            self.unchanged.insert(id.clone(), number);
            listing.unchanged += 1;
            return Ok(Listed { seq: None, first: number, inserted: true });
        }
        let seq = listing.next_seq;
        self.new_records.push(params![seq, id, number, version].to_vec());
        if let Some(body) = body {
            self.new_items.push(params![seq, body.as_ref()].to_vec());
        }
        self.records.insert(id.clone(), (seq, number));
        listing.next_seq += 1;
        Ok(Listed { seq: Some(seq), first: number, inserted: true })
    }

    /// Notes that the second pass brought an ID; gives whether it had not before.
    fn see(&mut self, id: &str, seq: Option<i64>) -> bool {
        let fresh = match seq {
            Some(seq) => self.seen.insert(seq),
            None => self.seen_unchanged.insert(id.to_owned()),
        };
        match seq {
            Some(seq) if fresh => self.new_seen.push(params![seq].to_vec()),
            None if fresh => self.new_seen_unchanged.push(params![id].to_vec()),
            _ => {}
        }
        fresh
    }

    /// Makes a suspicion part of the verdict.
    fn note(&mut self, code: &'static str, detail: String) {
        self.notes.entry(code).or_insert((detail, 0)).1 += 1;
    }

    fn write(self, tx: &Tx<'_>, listing: &Listing) -> SqlResult<()> {
        let (run, in_round) = (params![listing.run], params![listing.run, listing.round]);
        tx.connection.execute_each(sql!("record_insert"), in_round, &self.new_records)?;
        tx.connection.execute_each(sql!("item_insert"), in_round, &self.new_items)?;
        tx.connection.execute_each(sql!("unchanged_insert"), run, &self.new_unchanged)?;
        tx.connection.execute_each(sql!("seen_insert"), run, &self.new_seen)?;
        tx.connection.execute_each(sql!("unchanged_seen"), run, &self.new_seen_unchanged)?;
        for (code, (detail, times)) in self.notes {
            tx.connection.execute(sql!("problem_insert"), params![listing.run, code, detail, times])?;
        }
        Ok(())
    }
}

/// Twice on one page is the source's habit; on two pages, something has moved, and what moved the other way may have been
/// missed. A list that stands still has only itself to say it.
fn duplicate(page: &ListedPage, id: &str, first: Option<i64>) -> (&'static str, String) {
    let number = page.page;
    let same_page = match first {
        Some(first) => first.unsigned_abs() == number,
        None => page.items.iter().filter(|item| item.id == id).count() > 1,
    };
    match first {
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
    }
}
