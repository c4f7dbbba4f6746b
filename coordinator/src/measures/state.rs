//! How it is now, by the ledger: read when somebody asks, and not again within a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use muster_telemetry::metrics::{Label, Observed, label, names as metrics};
use muster_telemetry::names;

use crate::domain::{Clock, Progress, Run, RunState};
use crate::store::{Store, StoreResult};

/// What was read is good for so long: whoever asks more often costs the ledger nothing.
const FRESH: Duration = Duration::from_secs(1);
/// Among so many of the newest runs ...
const LOOKED_AT: u32 = 100;
/// ... so many are shown, so that a ledger of years is no larger for Prometheus than one of today: ...
const SHOWN: usize = 20;
/// ... those that are not over, and those that ended so short a time ago that their verdicts are still news.
const NEWS: Duration = Duration::from_secs(3_600);

/// What the ledger says of its runs and workers.
pub(crate) struct States {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// One reads, the others wait for what it brings.
    read_at: tokio::sync::Mutex<Option<Instant>>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    runs: Vec<SeenRun>,
    workers: Option<i64>,
}

#[derive(Clone)]
struct SeenRun {
    run: Run,
    progress: Progress,
    age: Duration,
}

impl States {
    /// Shows them from now on, once [`States::read`] has been asked.
    pub fn shown(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let writing = Arc::clone(&store);
        metrics::STORE_WRITABLE.observe(move |now| now.is(yes(writing.writable().is_ok()), &[]));
        let looked = Arc::clone(&seen);
        metrics::FLEET_WORKERS.observe(move |now| {
            if let Some(workers) = lock(&looked).workers {
                now.is(workers as f64, &[]);
            }
        });
        for (metric, show) in OF_RUNS {
            let looked = Arc::clone(&seen);
            metric.observe(move |now| lock(&looked).runs.iter().for_each(|run| show(run, now)));
        }
        Self { store, clock, read_at: tokio::sync::Mutex::new(None), seen }
    }

    /// Reads them, unless they were read a moment ago. What cannot be read is shown as nothing, rather than as it was.
    pub async fn read(&self) {
        let mut read_at = self.read_at.lock().await;
        if read_at.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        let before = lock(&self.seen).runs.clone();
        let (runs, workers) = tokio::join!(self.runs(&before), self.store.workers_heard());
        for error in [runs.as_ref().err(), workers.as_ref().err()].into_iter().flatten() {
            tracing::debug!(error = %error, "metrics lack what the ledger says");
        }
        *lock(&self.seen) = Seen { runs: runs.unwrap_or_default(), workers: workers.ok() };
        *read_at = Some(Instant::now());
    }

    async fn runs(&self, before: &[SeenRun]) -> StoreResult<Vec<SeenRun>> {
        let now = self.clock.now();
        let is_news = |run: &Run| run.finished_at.is_none_or(|finished_at| now.since(finished_at) < NEWS);
        let runs = self.store.runs(None, LOOKED_AT).await?.into_iter().filter(is_news).take(SHOWN);
        let mut seen = Vec::new();
        for run in runs {
            let age = run.finished_at.unwrap_or(now).since(run.opened_at);
            // Of a run that is over, which may be large, nothing changes but what this number tells of.
            let same = |of: &&SeenRun| (of.run.key, of.run.round, of.run.changes) == (run.key, run.round, run.changes);
            let known = before.iter().filter(|of| of.run.state.is_over() && run.state.is_over()).find(same);
            let progress = match known {
                Some(known) => known.progress.clone(),
                None => self.store.progress(&run).await?,
            };
            seen.push(SeenRun { run, progress, age });
        }
        Ok(seen)
    }
}

type Show = fn(&SeenRun, &Observed<'_>);

const OF_RUNS: [(metrics::Metric, Show); 8] = [
    (metrics::RUN_RECORDS, show_records),
    (metrics::RUN_BATCHES, show_batches),
    (metrics::RUN_PAGES, show_pages),
    (metrics::RUN_DELIVERIES_OPEN, |of, now| now.is(of.progress.deliveries_open as f64, &of.labels())),
    (metrics::RUN_WORKERS, |of, now| now.is(of.progress.workers as f64, &of.labels())),
    (metrics::RUN_AGE, |of, now| now.is(of.age.as_secs_f64(), &of.labels())),
    (metrics::RUN_STATUS, |of, now| now.is(1.0, &of.labelled(metrics::RUN_STATE, state(of.run.state)))),
    (metrics::RUN_VERDICT, show_verdict),
];

impl SeenRun {
    fn labels(&self) -> [Label; 2] {
        [label(names::PIPELINE, self.run.pipeline.clone()), label(names::RUN, self.run.id.as_str().to_owned())]
    }

    fn labelled(&self, name: &'static str, value: &'static str) -> [Label; 3] {
        let [pipeline, run] = self.labels();
        [pipeline, run, label(name, value)]
    }
}

fn show_records(of: &SeenRun, now: &Observed<'_>) {
    let Progress { listed, unchanged, loaded, dead_letter, gone, in_doubt, .. } = of.progress;
    let open = listed - unchanged - loaded - dead_letter - gone - in_doubt;
    let (pending, cancelled) = if of.run.state == RunState::Cancelled { (0, open) } else { (open, 0) };
    let outcomes = [
        ("pending", pending),
        ("loaded", loaded),
        ("dead_letter", dead_letter),
        ("gone", gone),
        ("in_doubt", in_doubt),
        ("unchanged", unchanged),
        ("cancelled", cancelled),
    ];
    for (outcome, records) in outcomes {
        now.is(records as f64, &of.labelled(names::OUTCOME, outcome));
    }
}

fn show_batches(of: &SeenRun, now: &Observed<'_>) {
    let Progress { batches_ready, batches_leased, batches_done, .. } = of.progress;
    for (state, batches) in [("ready", batches_ready), ("leased", batches_leased), ("done", batches_done)] {
        now.is(batches as f64, &of.labelled(metrics::BATCH_STATE, state));
    }
}

fn show_pages(of: &SeenRun, now: &Observed<'_>) {
    now.is(of.progress.pages_committed as f64, &of.labelled(metrics::PAGE_STATE, "committed"));
    // 0: the source does not say.
    if of.progress.pages_total > 0 {
        now.is(of.progress.pages_total as f64, &of.labelled(metrics::PAGE_STATE, "total"));
    }
}

fn show_verdict(of: &SeenRun, now: &Observed<'_>) {
    let Some(verdict) = of.run.verdict.as_ref().filter(|_| of.run.state.is_over()) else { return };
    now.is(yes(verdict.is_complete()), &of.labelled(metrics::VERDICT, "complete"));
    now.is(yes(verdict.is_balanced()), &of.labelled(metrics::VERDICT, "balanced"));
}

fn state(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Paused => "paused",
        RunState::Cancelling => "cancelling",
        RunState::Cancelled => "cancelled",
        RunState::Finished => "finished",
    }
}

fn yes(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    // It is replaced as a whole.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
