//! What need not be loaded again: the run that a listing goes on from, asked record by record.

use std::collections::{BTreeMap, HashMap};

use super::{Connection, OptionalRow, SqlResult, params, rows, sql};
use crate::domain::{BatchRef, ListedItem, RecordState, Run, RunId};
use crate::store::{RecordStory, UnchangedStory};

/// An earlier run, as it is asked while one page is written.
pub(super) struct Since<'a> {
    connection: &'a dyn Connection,
    run: i64,
    /// Version of those of the page's IDs that it found unchanged itself.
    unchanged: HashMap<String, String>,
    /// Where the newest of its rounds that has an ID has it, by ID and version: only what is of this version, and of a
    /// revision of the pipeline that loads as that of the run that is listed does.
    records: HashMap<(String, String), (u32, i64)>,
    /// Of each batch that was asked for, by its round and its first record: which of its records are loaded.
    batches: BTreeMap<(u32, i64), Vec<bool>>,
}

impl<'a> Since<'a> {
    /// Looks up the items of a page that have a version, for the run `listed`, which works under this revision.
    pub fn read(
        connection: &'a dyn Connection,
        run: i64,
        listed: i64,
        revision: &str,
        items: &[ListedItem],
    ) -> SqlResult<Self> {
        let versioned = items.iter().filter(|item| item.version.is_some());
        let each: Vec<_> = versioned.clone().map(|item| params![item.id].to_vec()).collect();
        let mut unchanged = HashMap::new();
        for row in connection.query_each(sql!("unchanged_known"), params![run], &each)? {
            unchanged.insert(row.get(0)?, row.get(2)?);
        }
        let each: Vec<_> = versioned.map(|item| params![item.id, item.version].to_vec()).collect();
        let mut records = HashMap::new();
        for row in connection.query_each(sql!("since_record"), params![run, revision, listed], &each)? {
            if row.get(4)? {
                records.insert((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?));
            }
        }
        Ok(Self { connection, run, unchanged, records, batches: BTreeMap::new() })
    }

    /// Is this version of the record at the target? So it is when that run found it unchanged, or when the newest of its
    /// rounds that has the record loaded it, under a revision of the pipeline that loads alike.
    pub fn loaded(&mut self, id: &str, version: &str) -> SqlResult<bool> {
        if let Some(before) = self.unchanged.get(id) {
            return Ok(before == version);
        }
        match self.records.get(&(id.to_owned(), version.to_owned())) {
            Some((round, seq)) => self.is_loaded(*round, *seq),
            None => Ok(false),
        }
    }

    fn is_loaded(&mut self, round: u32, seq: i64) -> SqlResult<bool> {
        let place = |first: i64| usize::try_from(seq - first).unwrap_or(usize::MAX);
        let known = self.batches.range((round, i64::MIN)..=(round, seq)).next_back();
        if let Some(loaded) = known.and_then(|((_, first), loaded)| loaded.get(place(*first))) {
            return Ok(*loaded);
        }
        let batch = self.connection.query_row(sql!("batch_of_seq"), params![self.run, round, seq], |row| {
            Ok((row.get(0)?, row.get::<i64>(1)?, row.get::<u32>(2)?))
        });
        // One that was cancelled left some in no batch.
        let Some((batch, first, size)) = batch.optional()? else { return Ok(false) };
        let ledger = rows::batch_ledger(self.connection, BatchRef { run: self.run, round, batch }, size)?;
        let states = ledger.states(RecordState::Pending).into_iter();
        let loaded: Vec<bool> = states.map(|state| state == RecordState::Loaded).collect();
        let answer = loaded.get(place(first)).copied().unwrap_or(false);
        self.batches.insert((round, first), loaded);
        Ok(answer)
    }
}

/// Page and version of an unchanged record.
pub(super) fn row(connection: &dyn Connection, run: i64, id: &str) -> SqlResult<Option<(i64, String)>> {
    connection.query_row(sql!("unchanged_by_id"), params![run, id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// The story of an unchanged record.
pub(super) fn story(view: &dyn Connection, run: &Run, record_id: &str) -> SqlResult<Option<RecordStory>> {
    let Some((page, version)) = row(view, run.key, record_id)? else { return Ok(None) };
    let since = run.since.clone().unwrap_or_else(|| RunId::from_text(""));
    Ok(Some(RecordStory {
        round: 1,
        state: RecordState::Unchanged,
        page: page.unsigned_abs(),
        batch: None,
        position: 0,
        leases: Vec::new(),
        deliveries: Vec::new(),
        exception: None,
        unchanged: Some(UnchangedStory { version, since, loaded_by: loaded_by(view, run.key, record_id)? }),
    }))
}

/// The run that loaded what is unchanged in this one: the first, going back, that did not find it unchanged itself. None
/// when one of them was deleted.
fn loaded_by(view: &dyn Connection, mut run: i64, record_id: &str) -> SqlResult<Option<RunId>> {
    loop {
        let since = view
            .query_row(sql!("run_since"), params![run], |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?)))
            .optional()?;
        let Some((key, id)) = since else { return Ok(None) };
        if row(view, key, record_id)?.is_none() {
            return Ok(Some(RunId::from_text(id)));
        }
        run = key;
    }
}
