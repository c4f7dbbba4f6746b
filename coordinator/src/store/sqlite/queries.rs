//! What is read from the ledger, each query in one consistent view.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{SqliteStore, evidence, rows, sql, stories};
use crate::domain::{BatchRef, Progress, Run, RunId};
use crate::store::{Acknowledgement, EvidenceSink, Queries, RecordStory, StoreResult, StoredPipeline};

#[async_trait]
impl Queries for SqliteStore {
    async fn run(&self, id: &RunId) -> StoreResult<Option<Run>> {
        let id = id.clone();
        self.read(move |view| view.prepare_cached(sql!("run_by_id"))?.query_row([id.as_str()], rows::run).optional())
            .await
    }

    async fn runs(&self, before: Option<i64>, limit: u32) -> StoreResult<Vec<Run>> {
        let before = before.unwrap_or(i64::MAX);
        self.read(move |view| {
            view.prepare_cached(sql!("runs_page"))?.query_map(params![before, limit], rows::run)?.collect()
        })
        .await
    }

    async fn progress(&self, run: &Run) -> StoreResult<Progress> {
        let (key, round) = (run.key, run.round);
        self.read(move |view| progress(view, key, round)).await
    }

    async fn pipeline(&self, revision: &str) -> StoreResult<Option<StoredPipeline>> {
        let revision = revision.to_owned();
        self.read(move |view| {
            let mut statement = view.prepare_cached(sql!("pipeline_by_revision"))?;
            let pipeline = statement.query_row([revision], |row| {
                Ok(StoredPipeline { name: row.get(0)?, revision: row.get(1)?, canonical: row.get(2)? })
            });
            pipeline.optional()
        })
        .await
    }

    async fn concludable(&self) -> StoreResult<Vec<Run>> {
        self.read(|view| view.prepare_cached(sql!("runs_concludable"))?.query_map([], rows::run)?.collect()).await
    }

    async fn evidence(&self, id: &RunId, sink: Box<dyn EvidenceSink>) -> StoreResult<Option<()>> {
        let id = id.clone();
        let clock = std::sync::Arc::clone(&self.clock);
        self.read(move |view| evidence::read(view, &id, clock.now(), sink)).await
    }

    async fn stories(&self, run: &Run, record_id: &str) -> StoreResult<Vec<RecordStory>> {
        let (run, record_id) = (run.clone(), record_id.to_owned());
        self.read(move |view| stories::read(view, &run, &record_id)).await
    }

    async fn runs_with_unwritten_files(&self) -> StoreResult<Vec<Run>> {
        self.read(|view| view.prepare_cached(sql!("runs_with_unwritten_files"))?.query_map([], rows::run)?.collect())
            .await
    }

    async fn acknowledgements(&self, run: &Run, after: i64, limit: u32) -> StoreResult<Vec<Acknowledgement>> {
        let key = run.key;
        self.read(move |view| acknowledgements(view, key, after, limit)).await
    }

    async fn listed_ids(&self, run: &Run, from: u64, limit: u32) -> StoreResult<Vec<String>> {
        let (key, round) = (run.key, run.round);
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        self.read(move |view| ids(view, key, round, from, from.saturating_add(i64::from(limit)))).await
    }
}

fn ids(view: &Connection, run: i64, round: u32, from: i64, to: i64) -> rusqlite::Result<Vec<String>> {
    view.prepare_cached(sql!("record_ids"))?.query_map(params![run, round, from, to], |row| row.get(0))?.collect()
}

fn progress(view: &Connection, run: i64, round: u32) -> rusqlite::Result<Progress> {
    let mut statement = view.prepare_cached(sql!("progress_listing"))?;
    let mut progress = statement.query_row([run], |row| {
        Ok(Progress {
            listing_closed: row.get(0)?,
            pages_total: row.get(1)?,
            listed: row.get(2)?,
            pages_committed: row.get(3)?,
            ..Progress::default()
        })
    })?;
    let mut statement = view.prepare_cached(sql!("progress_batches"))?;
    statement.query_row(params![run, round], |row| {
        (progress.batches_ready, progress.batches_leased, progress.batches_done) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        (progress.loaded, progress.dead_letter, progress.gone) = (row.get(3)?, row.get(4)?, row.get(5)?);
        (progress.in_doubt, progress.workers) = (row.get(6)?, row.get(7)?);
        Ok(())
    })?;
    let mut statement = view.prepare_cached(sql!("progress_open"))?;
    let (open, delivering): (i64, i64) =
        statement.query_row(params![run, round], |row| Ok((row.get(0)?, row.get(1)?)))?;
    progress.deliveries_open = open;
    progress.fetched =
        (progress.loaded + progress.dead_letter + progress.gone + progress.in_doubt + delivering).min(progress.listed);
    Ok(progress)
}

/// What each acknowledgement brought that none before it had.
fn acknowledgements(view: &Connection, run: i64, after: i64, limit: u32) -> rusqlite::Result<Vec<Acknowledgement>> {
    let mut statement = view.prepare_cached(sql!("acknowledgements"))?;
    let rows = statement.query_map(params![run, after, limit], |row| {
        let batch = BatchRef { run, round: row.get(2)?, batch: row.get(3)? };
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, batch))
    })?;
    let one = |row: rusqlite::Result<(i64, i64, BatchRef)>| {
        let (number, delivery, batch) = row?;
        let key = params![batch.run, batch.round, batch.batch];
        let mut statement = view.prepare_cached(sql!("batch_row"))?;
        let (first_seq, size): (i64, u32) = statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let ledger = rows::batch_ledger(view, batch, size)?;
        let mut statement = view.prepare_cached(sql!("acknowledged_before"))?;
        let key = params![batch.run, batch.round, batch.batch, number];
        let earlier = statement.query_map(key, |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        let all = ids(view, run, batch.round, first_seq, first_seq + i64::from(size))?;
        let first = ledger.first_applied(delivery, &earlier);
        let ids = first.into_iter().filter_map(|place| all.get(place as usize).cloned()).collect();
        Ok(Acknowledgement { number, ids })
    };
    rows.map(one).collect()
}
