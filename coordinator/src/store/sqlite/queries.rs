//! What is read from the ledger, each query in one consistent view.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::batches::batch_row;
use super::{SqliteStore, dead_letters, doubts, evidence, export, items, rows, sql, stories, unknown};
use crate::domain::{BatchRef, LeaseToken, Progress, Run, RunId, UnknownField};
use crate::store::{
    Acknowledgement, DeadLetter, DeadLetterFilter, DeadLetterGroup, Demand, Doubt, EvidenceSink, ExportFrom, ItemsRead,
    LedgerRow, Queries, RecordPlace, RecordStory, Round, StaleRound, StoreResult, StoredPipeline, WorkerResult,
};

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

    async fn runs_over(
        &self,
        pipeline: &str,
        revision: &str,
        before: Option<i64>,
        limit: u32,
    ) -> StoreResult<Vec<Run>> {
        let (pipeline, revision, before) = (pipeline.to_owned(), revision.to_owned(), before.unwrap_or(i64::MAX));
        self.read(move |view| {
            let mut statement = view.prepare_cached(sql!("runs_over"))?;
            statement.query_map(params![pipeline, revision, before, limit], rows::run)?.collect()
        })
        .await
    }

    async fn run_of_request(&self, request_id: &str) -> StoreResult<Option<(Run, [u8; 32])>> {
        let request_id = request_id.to_owned();
        self.read(move |view| {
            let mut statement = view.prepare_cached(sql!("run_by_request"))?;
            let found = statement.query_row([request_id], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).optional()?;
            let Some((key, digest)) = found else { return Ok(None) };
            let run = view.prepare_cached(sql!("run_by_key"))?.query_row([key], rows::run)?;
            Ok(Some((run, digest)))
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

    async fn demand(&self, pipeline: Option<&str>) -> StoreResult<Demand> {
        let pipeline = pipeline.map(ToOwned::to_owned);
        self.read(move |view| {
            let demand = |row: &Row<'_>| Ok(Demand { active: row.get(0)?, batches: row.get(1)? });
            view.prepare_cached(sql!("demand"))?.query_row([pipeline], demand)
        })
        .await
    }

    async fn concludable(&self) -> StoreResult<Vec<Run>> {
        self.read(|view| view.prepare_cached(sql!("runs_concludable"))?.query_map([], rows::run)?.collect()).await
    }

    async fn stale_rounds(&self) -> StoreResult<Vec<StaleRound>> {
        self.read(|view| {
            let mut statement = view.prepare_cached(sql!("rounds_stale"))?;
            let stale = |row: &Row<'_>| {
                let run = RunId::from_text(row.get::<_, String>(1)?);
                Ok(StaleRound { key: row.get(0)?, run, round: row.get(2)?, learnt: row.get(3)? })
            };
            statement.query_map([], stale)?.collect()
        })
        .await
    }

    async fn rounds(&self, run: &Run) -> StoreResult<Vec<Round>> {
        let key = run.key;
        self.read(move |view| view.prepare_cached(sql!("rounds_of_run"))?.query_map([key], rows::round)?.collect())
            .await
    }

    async fn items(&self, session: &str, token: LeaseToken, from: u32, bytes: usize) -> WorkerResult<ItemsRead> {
        let session = session.to_owned();
        self.read(move |view| items::read(view, &session, &token, from, bytes)).await
    }

    async fn unknown_fields(&self, run: &Run, round: u32) -> StoreResult<Vec<UnknownField>> {
        let key = run.key;
        self.read(move |view| unknown::of_round(view, key, round)).await
    }

    async fn dead_letters(
        &self,
        run: &Run,
        filter: &DeadLetterFilter,
        after: Option<RecordPlace>,
        limit: u32,
    ) -> StoreResult<Vec<DeadLetter>> {
        let (run, filter) = (run.clone(), filter.clone());
        self.read(move |view| dead_letters::page(view, &run, &filter, after, limit as usize)).await
    }

    async fn dead_letter_groups(
        &self,
        run: &Run,
        filter: &DeadLetterFilter,
        limit: u32,
    ) -> StoreResult<Vec<DeadLetterGroup>> {
        let (run, filter) = (run.clone(), filter.clone());
        self.read(move |view| dead_letters::groups(view, &run, &filter, limit as usize)).await
    }

    async fn doubts(&self, run: &Run, after: i64, limit: u32) -> StoreResult<Vec<Doubt>> {
        let run = run.clone();
        self.read(move |view| doubts::page(view, &run, after, limit as usize)).await
    }

    async fn export(&self, run: &Run, from: ExportFrom) -> StoreResult<(Vec<LedgerRow>, Option<ExportFrom>)> {
        let run = run.clone();
        self.read(move |view| export::next(view, &run, from)).await
    }

    async fn evidence(&self, id: &RunId, round: Option<u32>, sink: Box<dyn EvidenceSink>) -> StoreResult<Option<()>> {
        let id = id.clone();
        let clock = std::sync::Arc::clone(&self.clock);
        self.read(move |view| evidence::read(view, &id, round, clock.now(), sink)).await
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
        // Later rounds list nothing.
        let (key, round) = (run.key, 1);
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        self.read(move |view| ids(view, key, round, from, from.saturating_add(i64::from(limit)))).await
    }

    async fn unchanged_ids(&self, run: &Run, after: &str, limit: u32) -> StoreResult<Vec<String>> {
        let (key, after) = (run.key, after.to_owned());
        self.read(move |view| {
            let mut statement = view.prepare_cached(sql!("unchanged_ids"))?;
            statement.query_map(params![key, after, limit], |row| row.get(0))?.collect()
        })
        .await
    }
}

fn ids(view: &Connection, run: i64, round: u32, from: i64, to: i64) -> rusqlite::Result<Vec<String>> {
    view.prepare_cached(sql!("record_ids"))?.query_map(params![run, round, from, to], |row| row.get(0))?.collect()
}

fn progress(view: &Connection, run: i64, round: u32) -> rusqlite::Result<Progress> {
    let mut statement = view.prepare_cached(sql!("progress_listing"))?;
    let mut progress = statement.query_row(params![run, round], |row| {
        Ok(Progress {
            listing_closed: row.get(0)?,
            pages_total: row.get(1)?,
            listed: row.get(2)?,
            pages_committed: row.get(3)?,
            unchanged: row.get(4)?,
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
        let (of, ..) = batch_row(view, batch)?;
        let ledger = of.ledger(view)?;
        let mut statement = view.prepare_cached(sql!("acknowledged_before"))?;
        let key = params![batch.run, batch.round, batch.batch, number];
        let earlier = statement.query_map(key, |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        let all = of.ids(view)?;
        let first = ledger.first_applied(delivery, &earlier);
        let ids = first.into_iter().filter_map(|place| all.get(place as usize).cloned()).collect();
        Ok(Acknowledgement { number, ids })
    };
    rows.map(one).collect()
}
