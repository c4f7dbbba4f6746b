//! The watch, against a ledger that counts what it is asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::domain::{Run, Share};
use crate::store::{Notice, NoticeClaim, Tried};

/// Runs that all stand still; of the key `FAILS` it cannot say so.
#[derive(Default)]
struct Ledger {
    runs: Mutex<Vec<Watched>>,
    read: AtomicUsize,
    told: Mutex<Vec<i64>>,
    /// So many times nothing can be told yet.
    too_early: AtomicUsize,
}

const FAILS: i64 = 1;

fn watched(key: i64, changes: i64) -> Watched {
    let run = Run {
        key,
        id: RunId::from_text(format!("run-{key}")),
        pipeline: "test".to_owned(),
        revision: String::new(),
        parameters: std::collections::BTreeMap::new(),
        audit_mode: false,
        state: RunState::Running,
        state_reason: String::new(),
        round: 1,
        opened_at: Timestamp::default(),
        created_at: Timestamp::default(),
        finished_at: None,
        acknowledged: 0,
        changes,
        verdict: None,
        since: None,
        share: Share::default(),
    };
    Watched { run, began: Timestamp::default() }
}

impl Ledger {
    fn of(runs: Vec<Watched>) -> Self {
        Self { runs: Mutex::new(runs), ..Self::default() }
    }

    fn now_has(&self, runs: Vec<Watched>) {
        *self.runs.lock().unwrap() = runs;
    }

    fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }

    fn told(&self) -> Vec<i64> {
        self.told.lock().unwrap().clone()
    }
}

#[async_trait]
impl Outbox for Ledger {
    async fn watched(&self) -> StoreResult<Vec<Watched>> {
        Ok(self.runs.lock().unwrap().clone())
    }

    async fn pace(&self, watched: &Watched, _: Duration, _: &[Destination]) -> StoreResult<Pace> {
        self.read.fetch_add(1, Ordering::Relaxed);
        if watched.run.key == FAILS {
            return Err(StoreError::Damaged("no state of a run".to_owned()));
        }
        let stall = Stall { run: watched.run.clone(), event: NoticeEvent::Stalled, since: watched.began };
        Ok(if self.told().contains(&watched.run.key) { Pace::Told } else { Pace::Still(stall) })
    }

    async fn tell_stall(&self, stall: &Stall, _: Duration, _: &[Destination]) -> StoreResult<Fenced<()>> {
        if self.too_early.load(Ordering::Relaxed) > 0 {
            self.too_early.fetch_sub(1, Ordering::Relaxed);
            return Ok(Fenced::Stale);
        }
        self.told.lock().unwrap().push(stall.run.key);
        Ok(Fenced::Committed(()))
    }

    async fn claim_notice(&self, _: &str, _: Duration) -> StoreResult<Option<NoticeClaim>> {
        unreachable!("a watch sends nothing")
    }

    async fn settle_notice(&self, _: &NoticeClaim, _: Tried) -> StoreResult<Fenced<()>> {
        unreachable!("a watch sends nothing")
    }

    async fn next_notice(&self, _: &str) -> StoreResult<Option<Duration>> {
        unreachable!("a watch sends nothing")
    }

    async fn notices(&self, _: &Run, _: u32) -> StoreResult<Vec<Notice>> {
        unreachable!("a watch sends nothing")
    }
}

fn watch() -> Watch {
    let to = Destination { name: "a".to_owned(), shown: "a.example".to_owned() };
    Watch::new(Duration::from_secs(300), vec![to])
}

#[tokio::test]
async fn a_run_that_cannot_be_judged_keeps_no_other_from_it() {
    let ledger = Ledger::of(vec![watched(FAILS, 0), watched(2, 0), watched(3, 0)]);
    let failed = watch().look(&ledger).await.unwrap();
    let failed: Vec<_> = failed.iter().map(|(run, _)| run.to_string()).collect();
    assert_eq!((failed, ledger.told()), (vec!["run-1".to_owned()], vec![2, 3]));
}

#[tokio::test]
async fn a_stalled_run_is_read_once_until_it_changes() {
    let ledger = Ledger::of(vec![watched(2, 0)]);
    let mut watch = watch();
    for _ in 0..3 {
        watch.look(&ledger).await.unwrap();
    }
    assert_eq!((ledger.read(), ledger.told()), (1, vec![2]));
    ledger.now_has(vec![watched(2, 1)]);
    for _ in 0..3 {
        watch.look(&ledger).await.unwrap();
    }
    assert_eq!((ledger.read(), ledger.told()), (2, vec![2]), "another one told it");
    let resumed = Watched { began: Timestamp::from_millis(1), ..watched(2, 1) };
    ledger.now_has(vec![resumed]);
    watch.look(&ledger).await.unwrap();
    assert_eq!(ledger.read(), 3);
    ledger.now_has(Vec::new());
    watch.look(&ledger).await.unwrap();
    assert!(watch.still.is_empty(), "what is over is forgotten");
}

#[tokio::test]
async fn what_is_told_too_early_is_told_later_without_reading_the_run_again() {
    let ledger = Ledger::of(vec![watched(2, 0)]);
    ledger.too_early.store(2, Ordering::Relaxed);
    let mut watch = watch();
    for _ in 0..4 {
        watch.look(&ledger).await.unwrap();
    }
    assert_eq!((ledger.read(), ledger.told()), (1, vec![2]));
}
