//! The writer: one thread, one connection, one transaction at a time, shared by all transitions that are waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use muster_telemetry::crash::{self, Point};
use muster_telemetry::names;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::classify;
use super::serving::Kept;
use crate::domain::Clock;
use crate::measures;
use crate::planted::Planted;
use crate::store::ledger::{Halt, News, Tx, Writable, words_of};
use crate::store::{Event, Events, StoreError, StoreResult, WorkerResult};

/// Most transitions that share a commit.
const GROUP: usize = 256;
/// Transitions that may wait; more wait in their tasks.
const QUEUE: usize = 4096;

/// Answers a caller, once it is known whether the commit went through.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// A transition on its way: runs in the transaction (`Err`: its savepoint is rolled back), then answers.
type Job = Box<dyn FnOnce(&Tx<'_>) -> (Result<(), ()>, Answer) + Send>;

/// The way to the writer thread.
pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    writable: Arc<Writable>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(group: Group) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writable = Arc::clone(&group.writable);
        let thread = std::thread::Builder::new().name("ledger-writer".to_owned()).spawn(move || group.serve(queue))?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)), writable })
    }

    /// Why nothing can be written, if that is so.
    pub fn writable(&self) -> Result<(), String> {
        self.writable.check(Instant::now())
    }

    /// Runs a transition and answers after its commit. One that panics is rolled back like one that fails, since a
    /// thread that died of it would leave a coordinator that serves and cannot write.
    pub async fn call_worker<T, F>(&self, transition: F) -> WorkerResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Halt> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let done = catch_unwind(AssertUnwindSafe(|| transition(tx)));
            let done = done.unwrap_or_else(|panic| Err(Halt::Panicked(words_of(panic.as_ref()))));
            let status = if done.is_ok() { Ok(()) } else { Err(()) };
            let answer: Answer = Box::new(move |commit| {
                let result = match (done, commit) {
                    (Ok(value), Ok(())) => Ok(Ok(value)),
                    (Err(Halt::Misuse(misuse)), Ok(())) => Ok(Err(misuse)),
                    (Err(Halt::Fault(fault)), Ok(())) => Err(fault.into()),
                    (Err(Halt::Panicked(words)), Ok(())) => {
                        Err(StoreError::Damaged(format!("a transition panicked and was undone: {words}")))
                    }
                    (_, Err(error)) => Err(error),
                };
                // The caller has gone: what was committed stays committed.
                let _ = reply.send(result);
            });
            (status, answer)
        });
        let closed = || StoreError::Unavailable("the coordinator is shutting down".to_owned());
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| StoreError::Unavailable("the ledger could not begin a transaction".to_owned()))?
    }

    /// Lets the thread finish what is queued.
    pub async fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the ledger's writer thread has panicked");
            }
        }
    }
}

/// What the writer thread works with.
pub(super) struct Group {
    pub connection: Connection,
    pub clock: Arc<dyn Clock>,
    pub serving: Kept,
    pub planted: Planted,
    pub events: Arc<Events>,
    pub writable: Arc<Writable>,
    /// Keeps a second coordinator out until the last transition is committed.
    pub _ownership: std::fs::File,
}

impl Group {
    fn serve(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut answers = Vec::new();
            let began = Instant::now();
            let outcome = self.transaction(first, &mut queue, &mut answers);
            measures::committed(measures::Database::Sqlite, began, answers.len(), outcome.is_ok());
            self.note(&outcome, answers.len());
            for answer in answers {
                answer(outcome.clone());
            }
        }
        self.gather();
    }

    /// Says once that nothing can be written, and once that it can again.
    fn note(&self, outcome: &StoreResult<()>, transitions: usize) {
        let now = Instant::now();
        let news = match outcome {
            Ok(()) => self.writable.committed(now),
            Err(StoreError::Unavailable(reason) | StoreError::Damaged(reason)) => self.writable.failed(reason, now),
            Err(StoreError::ReadOnly) => None,
        };
        let ledger = self.connection.path().unwrap_or_default();
        match (news, outcome) {
            (Some(News::Failing), Err(error)) => tracing::error!(
                ledger,
                error = %error,
                { names::NEXT } = "calls are answered UNAVAILABLE and workers keep their results; make room or mend the \
                                   disk: no restart is needed, a line tells when it can be written again",
                "the ledger cannot be written"
            ),
            (Some(News::Recovered(after)), _) => {
                tracing::warn!(ledger, muster.seconds = after.as_secs_f64(), "the ledger can be written again");
            }
            (_, Err(error)) => tracing::debug!(error = %error, transitions, "a group could not be committed"),
            _ => {}
        }
    }

    /// The last act: everything into the one file that people copy. Whatever stays in the log is read from there.
    fn gather(&self) {
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
        let next = "copy its -wal file with it, or start and stop a coordinator on it once more";
        match checkpoint {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!({ names::NEXT } = next, "somebody reads the ledger: its file is not whole by itself")
            }
            Err(error) => {
                tracing::error!(error = %error, { names::NEXT } = next, "the ledger's file is not whole by itself");
            }
        }
    }

    /// One commit for the first transition and all that are waiting behind it.
    fn transaction(
        &mut self,
        first: Job,
        queue: &mut mpsc::Receiver<Job>,
        answers: &mut Vec<Answer>,
    ) -> StoreResult<()> {
        let serving_before = self.serving;
        // A transition that never ran is dropped, and its caller told so.
        let mut next = Some(first);
        let mut body = || -> rusqlite::Result<(bool, Vec<Event>)> {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            let now = self.clock.now();
            let serving_since = self.serving.seen(&self.connection, now)?;
            let tx = Tx::new(&self.connection, now, serving_since, self.planted);
            while let Some(job) = next.take() {
                in_savepoint(&self.connection, &tx, job, answers)?;
                if answers.len() < GROUP {
                    next = queue.try_recv().ok();
                }
            }
            crash::pass(Point::BeforeCommit);
            self.connection.execute_batch("COMMIT")?;
            crash::pass(Point::AfterCommit);
            Ok((tx.work.get(), tx.pushes.into_inner()))
        };
        let result = body();
        match result {
            Ok((work, pushes)) => {
                self.events.tell(work, pushes);
                Ok(())
            }
            Err(error) => {
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    tracing::error!(error = %error, "rollback failed");
                }
                // Who cannot commit does not serve: once it can again, the silence counts as a gap, and holders that
                // could not renew meanwhile lose nothing.
                self.serving = serving_before;
                Err(match classify(&error) {
                    StoreError::Damaged(reason) => StoreError::Unavailable(reason),
                    other => other,
                })
            }
        }
    }
}

/// Runs one transition so that its failure takes nothing else with it.
fn in_savepoint(connection: &Connection, tx: &Tx<'_>, job: Job, answers: &mut Vec<Answer>) -> rusqlite::Result<()> {
    let pushes_before = tx.pushes.borrow().len();
    connection.prepare_cached("SAVEPOINT transition")?.execute([])?;
    let (status, answer) = job(tx);
    answers.push(answer);
    if status.is_err() {
        tx.pushes.borrow_mut().truncate(pushes_before);
        // A full disk may have ended the whole transaction by itself; then this fails and all are told so.
        connection.prepare_cached("ROLLBACK TO transition")?.execute([])?;
    }
    connection.prepare_cached("RELEASE transition")?.execute([])?;
    Ok(())
}
