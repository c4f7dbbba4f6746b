//! What need not be loaded again: the run that a listing goes on from, asked record by record.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{rows, sql};
use crate::domain::{BatchRef, RecordState, Run, RunId};
use crate::store::{RecordStory, UnchangedStory};

/// An earlier run, as it is asked while one page is written.
pub(super) struct Since<'a> {
    connection: &'a Connection,
    run: i64,
    /// Of the pipeline, as the run that is listed has it.
    revision: &'a str,
    /// Of each batch that was asked for, by its round and its first record: which of its records are loaded.
    batches: BTreeMap<(u32, i64), Vec<bool>>,
}

impl<'a> Since<'a> {
    pub fn new(connection: &'a Connection, run: i64, revision: &'a str) -> Self {
        Self { connection, run, revision, batches: BTreeMap::new() }
    }

    /// Is this version of the record at the target? So it is when that run found it unchanged, or when the newest of its
    /// rounds that has the record loaded it, under the same revision of the pipeline.
    pub fn loaded(&mut self, id: &str, version: &str) -> rusqlite::Result<bool> {
        if let Some((_, before)) = row(self.connection, self.run, id)? {
            return Ok(before == version);
        }
        let mut statement = self.connection.prepare_cached(sql!("since_record"))?;
        let key = params![self.run, id, version, self.revision];
        let found =
            statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, bool>(2)?))).optional()?;
        match found {
            Some((round, seq, true)) => self.is_loaded(round, seq),
            _ => Ok(false),
        }
    }

    fn is_loaded(&mut self, round: u32, seq: i64) -> rusqlite::Result<bool> {
        let place = |first: i64| usize::try_from(seq - first).unwrap_or(usize::MAX);
        let known = self.batches.range((round, i64::MIN)..=(round, seq)).next_back();
        if let Some(loaded) = known.and_then(|((_, first), loaded)| loaded.get(place(*first))) {
            return Ok(*loaded);
        }
        let mut statement = self.connection.prepare_cached(sql!("batch_of_seq"))?;
        let batch = statement.query_row(params![self.run, round, seq], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, u32>(2)?))
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
pub(super) fn row(connection: &Connection, run: i64, id: &str) -> rusqlite::Result<Option<(i64, String)>> {
    let mut statement = connection.prepare_cached(sql!("unchanged_by_id"))?;
    statement.query_row(params![run, id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// The story of an unchanged record.
pub(super) fn story(view: &Connection, run: &Run, record_id: &str) -> rusqlite::Result<Option<RecordStory>> {
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
fn loaded_by(view: &Connection, mut run: i64, record_id: &str) -> rusqlite::Result<Option<RunId>> {
    loop {
        let mut statement = view.prepare_cached(sql!("run_since"))?;
        let since =
            statement.query_row([run], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).optional()?;
        let Some((key, id)) = since else { return Ok(None) };
        if row(view, key, record_id)?.is_none() {
            return Ok(Some(RunId::from_text(id)));
        }
        run = key;
    }
}
