//! What is read from the ledger, each query in one consistent view.

use async_trait::async_trait;

use super::batches::batch_row;
use super::{
    Connection, Database, OptionalRow, Row, SqlResult, dead_letters, doubts, evidence, export, history, items, params,
    rounds, rows, run_report, runs, sql, stories, unknown,
};
use crate::domain::{BatchRef, LeaseToken, Progress, Run, RunId, Timestamp, UnknownField};
use crate::store::{
    Acknowledgement, DeadLetter, DeadLetterFilter, DeadLetterGroup, Demand, Doubt, EvidenceSink, ExportFrom, History,
    ItemsRead, LedgerRow, Queries, RecordPlace, RecordStory, Redrive, Redriven, ReportBounds, Round, RunDemand,
    RunReport, StaleRound, StoreResult, StoredPipeline, WorkerResult,
};

#[async_trait]
impl<D: Database> Queries for D {
    async fn run(&self, id: &RunId) -> StoreResult<Option<Run>> {
        let id = id.clone();
        self.read(move |view| view.query_row(sql!("run_by_id"), params![id.as_str()], rows::run).optional()).await
    }

    async fn runs(&self, before: Option<i64>, limit: u32) -> StoreResult<Vec<Run>> {
        let before = before.unwrap_or(i64::MAX);
        self.read(move |view| view.query_map(sql!("runs_page"), params![before, limit], rows::run)).await
    }

    async fn runs_over(&self, pipeline: &str, before: Option<i64>, limit: u32) -> StoreResult<Vec<Run>> {
        let (pipeline, before) = (pipeline.to_owned(), before.unwrap_or(i64::MAX));
        self.read(move |view| view.query_map(sql!("runs_over"), params![pipeline, before, limit], rows::run)).await
    }

    async fn started(&self, run: &Run, wall: Timestamp) -> StoreResult<Timestamp> {
        let run = run.clone();
        self.read(move |view| runs::started(view, &run, wall)).await
    }

    async fn run_of_request(&self, request_id: &str) -> StoreResult<Option<(Run, [u8; 32])>> {
        let request_id = request_id.to_owned();
        self.read(move |view| {
            let found = view
                .query_row(sql!("run_by_request"), params![request_id], |row| Ok((row.get::<i64>(0)?, row.get(1)?)))
                .optional()?;
            let Some((key, digest)) = found else { return Ok(None) };
            let run = view.query_row(sql!("run_by_key"), params![key], rows::run)?;
            Ok(Some((run, digest)))
        })
        .await
    }

    async fn progress(&self, run: &Run) -> StoreResult<Progress> {
        let (key, round) = (run.key, run.round);
        self.read(move |view| progress(view.connection, key, round)).await
    }

    async fn revisions(&self, pipeline: &str) -> StoreResult<Vec<StoredPipeline>> {
        let pipeline = pipeline.to_owned();
        self.read(move |view| view.query_map(sql!("pipelines_by_name"), params![pipeline], stored_pipeline)).await
    }

    async fn pipeline(&self, revision: &str) -> StoreResult<Option<StoredPipeline>> {
        let revision = revision.to_owned();
        self.read(move |view| {
            view.query_row(sql!("pipeline_by_revision"), params![revision], stored_pipeline).optional()
        })
        .await
    }

    async fn demand(&self, pipeline: Option<&str>) -> StoreResult<Demand> {
        let pipeline = pipeline.map(ToOwned::to_owned);
        self.read(move |view| {
            let runs = view.query_map(sql!("demand"), params![pipeline], |row| {
                Ok(RunDemand { max_workers: row.get(0)?, batches: row.get(1)? })
            })?;
            Ok(Demand { runs })
        })
        .await
    }

    async fn concludable(&self) -> StoreResult<Vec<Run>> {
        self.read(|view| view.query_map(sql!("runs_concludable"), params![], rows::run)).await
    }

    async fn stale_rounds(&self) -> StoreResult<Vec<StaleRound>> {
        self.read(|view| {
            let stale = |row: &Row| {
                let run = RunId::from_text(row.get::<String>(1)?);
                Ok(StaleRound { key: row.get(0)?, run, round: row.get(2)?, learnt: row.get(3)? })
            };
            view.query_map(sql!("rounds_stale"), params![], stale)
        })
        .await
    }

    async fn redriven(&self, id: &RunId, redrive: &Redrive) -> StoreResult<Option<Redriven>> {
        let (id, redrive) = (id.clone(), redrive.clone());
        self.read(move |view| {
            let run = view.query_row(sql!("run_by_id"), params![id.as_str()], rows::run).optional()?;
            run.map_or(Ok(None), |run| rounds::same_request(view.connection, &run, &redrive))
        })
        .await
    }

    async fn rounds(&self, run: &Run) -> StoreResult<Vec<Round>> {
        let key = run.key;
        self.read(move |view| view.query_map(sql!("rounds_of_run"), params![key], rows::round)).await
    }

    async fn items(&self, session: &str, token: LeaseToken, from: u32, bytes: usize) -> WorkerResult<ItemsRead> {
        let session = session.to_owned();
        self.read(move |view| items::read(view.connection, &session, &token, from, bytes)).await
    }

    async fn unknown_fields(&self, run: &Run, round: u32) -> StoreResult<Vec<UnknownField>> {
        let key = run.key;
        self.read(move |view| unknown::of_round(view.connection, key, round)).await
    }

    async fn dead_letters(
        &self,
        run: &Run,
        filter: &DeadLetterFilter,
        after: Option<RecordPlace>,
        limit: u32,
    ) -> StoreResult<Vec<DeadLetter>> {
        let (run, filter) = (run.clone(), filter.clone());
        self.read(move |view| dead_letters::page(view.connection, &run, &filter, after, limit as usize)).await
    }

    async fn dead_letter_groups(
        &self,
        run: &Run,
        filter: &DeadLetterFilter,
        limit: u32,
    ) -> StoreResult<Vec<DeadLetterGroup>> {
        let (run, filter) = (run.clone(), filter.clone());
        self.read(move |view| dead_letters::groups(view.connection, &run, &filter, limit as usize)).await
    }

    async fn doubts(&self, run: &Run, after: i64, limit: u32) -> StoreResult<Vec<Doubt>> {
        let run = run.clone();
        self.read(move |view| doubts::page(view.connection, &run, after, limit as usize)).await
    }

    async fn export(&self, run: &Run, from: ExportFrom) -> StoreResult<(Vec<LedgerRow>, Option<ExportFrom>)> {
        let run = run.clone();
        self.read(move |view| export::next(view.connection, &run, from)).await
    }

    async fn history(&self, run: &Run, spans: u32) -> StoreResult<History> {
        let run = run.clone();
        self.read(move |view| {
            let rounds = view.query_map(sql!("rounds_of_run"), params![run.key], rows::round)?;
            history::of(view.connection, &run, &rounds, |_| spans)
        })
        .await
    }

    async fn run_report(&self, id: &RunId, bounds: ReportBounds) -> StoreResult<Option<RunReport>> {
        let id = id.clone();
        self.read(move |view| run_report::read(view.connection, &id, bounds, view.now()?)).await
    }

    async fn evidence(&self, id: &RunId, round: Option<u32>, sink: Box<dyn EvidenceSink>) -> StoreResult<Option<()>> {
        let id = id.clone();
        self.read(move |view| evidence::read(view.connection, &id, round, view.now()?, sink)).await
    }

    async fn stories(&self, run: &Run, record_id: &str) -> StoreResult<Vec<RecordStory>> {
        let (run, record_id) = (run.clone(), record_id.to_owned());
        self.read(move |view| stories::read(view.connection, &run, &record_id)).await
    }

    async fn runs_with_unwritten_files(&self) -> StoreResult<Vec<Run>> {
        self.read(|view| view.query_map(sql!("runs_with_unwritten_files"), params![], rows::run)).await
    }

    async fn acknowledgements(&self, run: &Run, after: i64, limit: u32) -> StoreResult<Vec<Acknowledgement>> {
        let key = run.key;
        self.read(move |view| acknowledgements(view.connection, key, after, limit)).await
    }

    async fn listed_ids(&self, run: &Run, from: u64, limit: u32) -> StoreResult<Vec<String>> {
        // Later rounds list nothing.
        let (key, round) = (run.key, 1);
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        self.read(move |view| ids(view.connection, key, round, from, from.saturating_add(i64::from(limit)))).await
    }

    async fn unchanged_ids(&self, run: &Run, after: &str, limit: u32) -> StoreResult<Vec<String>> {
        let (key, after) = (run.key, after.to_owned());
        self.read(move |view| view.query_map(sql!("unchanged_ids"), params![key, after, limit], |row| row.get(0))).await
    }
}

fn ids(view: &dyn Connection, run: i64, round: u32, from: i64, to: i64) -> SqlResult<Vec<String>> {
    view.query_map(sql!("record_ids"), params![run, round, from, to], |row| row.get(0))
}

pub(super) fn progress(view: &dyn Connection, run: i64, round: u32) -> SqlResult<Progress> {
    let mut progress = view.query_row(sql!("progress_listing"), params![run, round], |row| {
        Ok(Progress {
            listing_closed: row.get(0)?,
            pages_total: row.get(1)?,
            listed: row.get(2)?,
            pages_committed: row.get(3)?,
            unchanged: row.get(4)?,
            ..Progress::default()
        })
    })?;
    view.query_row(sql!("progress_batches"), params![run, round], |row| {
        (progress.batches_ready, progress.batches_leased, progress.batches_done) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        (progress.loaded, progress.dead_letter, progress.gone) = (row.get(3)?, row.get(4)?, row.get(5)?);
        (progress.in_doubt, progress.workers) = (row.get(6)?, row.get(7)?);
        Ok(())
    })?;
    let (open, delivering): (i64, i64) =
        view.query_row(sql!("progress_open"), params![run, round], |row| Ok((row.get(0)?, row.get(1)?)))?;
    progress.deliveries_open = open;
    progress.fetched =
        (progress.loaded + progress.dead_letter + progress.gone + progress.in_doubt + delivering).min(progress.listed);
    Ok(progress)
}

/// What each acknowledgement brought that none before it had.
fn acknowledgements(view: &dyn Connection, run: i64, after: i64, limit: u32) -> SqlResult<Vec<Acknowledgement>> {
    let rows = view.query_map(sql!("acknowledgements"), params![run, after, limit], |row| {
        let batch = BatchRef { run, round: row.get(2)?, batch: row.get(3)? };
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, batch))
    })?;
    let one = |(number, delivery, batch): (i64, i64, BatchRef)| {
        let (of, ..) = batch_row(view, batch)?;
        let ledger = of.ledger(view)?;
        let key = params![batch.run, batch.round, batch.batch, number];
        let earlier = view.query_map(sql!("acknowledged_before"), key, |row| row.get(0))?;
        let all = of.ids(view)?;
        let first = ledger.first_applied(delivery, &earlier);
        let ids = first.into_iter().filter_map(|place| all.get(place as usize).cloned()).collect();
        Ok(Acknowledgement { number, ids })
    };
    rows.into_iter().map(one).collect()
}

fn stored_pipeline(row: &Row) -> SqlResult<StoredPipeline> {
    Ok(StoredPipeline { name: row.get(0)?, revision: row.get(1)?, canonical: row.get(2)? })
}
