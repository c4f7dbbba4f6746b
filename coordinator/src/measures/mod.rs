//! What a coordinator counts where it happens. What is a state is read from the ledger (`state.rs`), never added up here.

mod state;

use std::sync::LazyLock;
use std::time::Instant;

use muster_telemetry::metrics::{Counter, Histogram, kept, label, names as metrics};
use muster_telemetry::names;

use crate::domain::{Run, Verdict};
use crate::store::{Acquired, Expired, NoticeEvent, Tried};

pub(crate) use state::States;

/// Of transactions, in seconds: from a disk that only pretends to one that is ill.
const COMMIT_SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Of transitions in a transaction.
const TRANSITIONS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

static COMMITS: LazyLock<Histogram> = LazyLock::new(|| metrics::COMMIT_DURATION.histogram(COMMIT_SECONDS));
static GROUPS: LazyLock<Histogram> = LazyLock::new(|| metrics::COMMIT_TRANSITIONS.histogram(TRANSITIONS));
static FAILURES: LazyLock<Counter> = LazyLock::new(|| metrics::COMMIT_FAILURES.counter());
static GRANTED: LazyLock<Counter> = LazyLock::new(|| metrics::LEASES_GRANTED.counter());
static EXPIRED: LazyLock<Counter> = LazyLock::new(|| metrics::LEASES_EXPIRED.counter());
static NOTICES: LazyLock<Counter> = LazyLock::new(|| metrics::NOTICES.counter());
static VERDICTS: LazyLock<Counter> = LazyLock::new(|| metrics::VERDICTS.counter());

/// A kind of database, as OpenTelemetry calls it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgresql",
        }
    }
}

/// A transaction that so many transitions share has ended.
pub(crate) fn committed(database: Database, began: Instant, transitions: usize, is_committed: bool) {
    if !kept() {
        return;
    }
    let labels = [label(metrics::DATABASE, database.name())];
    if is_committed {
        COMMITS.record(began.elapsed().as_secs_f64(), &labels);
        GROUPS.record(transitions as f64, &labels);
    }
    // There from the first transaction on, so that a rate of it has a beginning.
    FAILURES.add(u64::from(!is_committed), &labels);
}

/// Runs a transaction that so many transitions share.
pub(crate) fn transaction<T, E>(
    database: Database,
    transitions: usize,
    transact: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let began = Instant::now();
    let done = transact();
    committed(database, began, transitions, done.is_ok());
    done
}

/// Leases were granted.
pub(crate) fn granted(acquired: &Acquired) {
    if !kept() {
        return;
    }
    for lease in &acquired.leases {
        let run = acquired.runs.iter().find(|run| run.id == lease.run_id);
        let pipeline = run.map(|run| run.pipeline.clone()).unwrap_or_default();
        GRANTED.add(1, &[label(names::PIPELINE, pipeline)]);
    }
}

/// Leases have run out.
pub(crate) fn expired(expired: &Expired) {
    EXPIRED.add(u64::from(expired.leases), &[]);
}

/// From the first moment on, so that a rate of them has a beginning.
pub(crate) fn notices_from_now_on() {
    for event in [NoticeEvent::Ended, NoticeEvent::Stalled] {
        for outcome in ["delivered", "failed", "given_up"] {
            NOTICES.add(0, &[label(metrics::EVENT, event.name()), label(metrics::NOTICE_OUTCOME, outcome)]);
        }
    }
}

/// Somebody was told, or not.
pub(crate) fn noticed(event: NoticeEvent, tried: &Tried) {
    let outcome = match tried {
        Tried::Delivered => "delivered",
        Tried::Again { .. } => "failed",
        Tried::GivenUp { .. } => "given_up",
    };
    NOTICES.add(1, &[label(metrics::EVENT, event.name()), label(metrics::NOTICE_OUTCOME, outcome)]);
}

/// A round is over.
pub(crate) fn concluded(run: &Run, verdict: &Verdict) {
    let word = |yes: bool| if yes { "true" } else { "false" };
    let labels = [
        label(names::PIPELINE, run.pipeline.clone()),
        label(metrics::COMPLETE, word(verdict.is_complete())),
        label(metrics::BALANCED, word(verdict.is_balanced())),
    ];
    VERDICTS.add(1, &labels);
}
