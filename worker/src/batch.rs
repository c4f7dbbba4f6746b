//! One batch, from its lease to its end.

use std::sync::Arc;
use std::time::Duration;

use muster_proto::v1::LeasedRun;
use muster_telemetry::names;
use muster_telemetry::trace::in_trace;
use tracing::{debug, warn};

use crate::delivery::{self, Ending};
use crate::fetch::{self, Interrupted};
use crate::held::{HeldLease, Stop};
use crate::lease_loop::Granted;
use crate::pipelines::NoPipeline;
use crate::plan::{MAX_OUTAGE, MAX_PAUSE};
use crate::probe::{self, Answers};
use crate::ready::ReadyPipeline;
use crate::report::{Book, End, settle};
use crate::session::Session;
use crate::slots::{BatchSlots, Slot};

/// What all steps of a batch need.
pub(crate) struct Work {
    pub(crate) session: Arc<Session>,
    pub(crate) lease: Arc<HeldLease>,
    pub(crate) pipeline: Arc<ReadyPipeline>,
    slots: BatchSlots,
}

impl Work {
    /// A slot for one of the batch's records, with which work on it has begun. Never there when the batch is given back.
    pub(crate) async fn slot(&self) -> Slot<'_> {
        // Records that came with the list wait for nothing else: without this a whole batch of them would be one turn, in which
        // this thread hears of no pause and renews no lease.
        tokio::task::coop::consume_budget().await;
        let slot = self.slots.take().await;
        if self.lease.begin() {
            return slot;
        }
        drop(slot);
        // Whoever waits for this hears that the lease is given back.
        std::future::pending().await
    }

    /// Leaves the batch's slots to others while source or target are down, and ends when they have been for too long. The
    /// reading of its records goes on meanwhile: it may be what asks whether the host is back.
    async fn outage(&self) {
        let heed = |down| if down { self.slots.rest() } else { self.slots.resume() };
        self.pipeline.down_for(MAX_OUTAGE, heed).await;
    }
}

/// Works on a granted batch until the coordinator knows what came of it.
pub(crate) async fn work(session: Arc<Session>, granted: Granted) {
    let lease = Arc::clone(&granted.held);
    in_trace(lease.trace().map(|trace| trace.tail()), until_known(session, granted)).await;
}

async fn until_known(session: Arc<Session>, granted: Granted) {
    let lease = Arc::clone(&granted.held);
    debug!(
        { names::RUN } = lease.run_id(),
        { names::BATCH } = lease.batch(),
        { names::ATTEMPT } = lease.attempt(),
        "batch leased"
    );
    let _broken_off = BrokenOff { session: &session, lease: &lease };
    let mut book = Book::default();
    let end = match prepare(&session, &lease, &granted.run).await {
        Ok(pipeline) => {
            // In this order: whoever waits for room hears of the second, and looks at the limit then.
            session.saw_limit(pipeline.concurrency());
            lease.needs(&pipeline);
            let slots = session.slots.of_batch(lease.run_id());
            let work = Work { session: Arc::clone(&session), lease: Arc::clone(&lease), pipeline, slots };
            // Boxed: a batch's state is large, and most of the time it waits.
            Box::pin(fetch_and_deliver(&work, granted, &mut book)).await
        }
        Err(end) => end,
    };
    lease.fetch_over();
    settle(&session, &lease, book, end).await;
    session.leases.remove(&lease);
}

/// What is left to do when the work on a batch breaks off: because the worker ends before it, or by a bug.
struct BrokenOff<'a> {
    session: &'a Session,
    lease: &'a HeldLease,
}

impl Drop for BrokenOff<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // It is not given back as if nothing had been: its lease expires, and the attempt counts, so that the ledger
            // says how often it came to nothing.
            self.session.leases.lose(self.lease.token());
        }
        if let Some(trace) = self.lease.trace() {
            trace.abandon(self.lease.pipeline(), &self.session.config.name);
        }
    }
}

/// Gets the run's pipeline, for as long as the lease is worth it.
async fn prepare(session: &Session, lease: &HeldLease, run: &LeasedRun) -> Result<Arc<ReadyPipeline>, End> {
    let mut backoff = session.call_backoff();
    let tries = async {
        loop {
            match session.pipelines.get(&session.coordinator, run).await {
                Ok(pipeline) => return Ok(pipeline),
                Err(NoPipeline::Unusable(reason)) => return Err(End { pause_reason: Some(reason), ..End::default() }),
                Err(NoPipeline::Later(status)) => {
                    debug!({ names::RUN } = run.run_id, { names::ERROR } = ?status.code(), "pipeline not there yet");
                    tokio::time::sleep(backoff.next()).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        _ = lease.stopped(Stop::Wanted) => Err(End { untouched: true, ..End::default() }),
        pipeline = tries => pipeline,
    }
}

async fn fetch_and_deliver(work: &Work, granted: Granted, book: &mut Book) -> End {
    let (parts, answers) = (&granted.lease.parts[..], Answers::default());
    let reading = async { tokio::try_join!(fetch::fetch(work, parts, book), probe::ask(work, parts, &answers)) };
    let read = tokio::select! {
        biased;
        read = reading => read,
        () = work.outage() => Err(Interrupted::Down),
    };
    let (probes, ask_again) = answers.into_reports();
    book.note_probes(probes);
    let chunks = match read {
        Ok((chunks, ())) => chunks,
        Err(Interrupted::Stopped) => return End { untouched: true, ..End::default() },
        Err(Interrupted::Down) => return down(work, true),
        Err(Interrupted::PipelineWrong(reason)) => return End { pause_reason: Some(reason), ..End::default() },
    };
    // Of a batch without a record that can be fetched nothing has begun yet.
    if !work.lease.begin() {
        return End { untouched: true, ..End::default() };
    }
    work.lease.fetch_over();
    match delivery::deliver(work, chunks, book).await {
        Ending::Over => End { retry_after: ask_again, ..End::default() },
        Ending::Down => down(work, false),
        Ending::Later(after) => {
            let after = Some(after).filter(|after| *after > Duration::ZERO);
            End { retry_after: after.max(ask_again), ..End::default() }
        }
        Ending::PipelineWrong(reason) => End { pause_reason: Some(reason), ..End::default() },
    }
}

/// Source or target have been down for so long that the batch is given back; `untouched` when no record was judged. It is
/// reported, not released, so that the pause counts: another run's batches come first then.
fn down(work: &Work, untouched: bool) -> End {
    warn!(
        { names::RUN } = work.lease.run_id(),
        { names::BATCH } = work.lease.batch(),
        { names::NEXT } = "the batch is given back; it is leased again after a minute",
        "source or target are down for too long"
    );
    End { untouched, retry_after: Some(MAX_PAUSE), ..End::default() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use muster_proto::v1::Lease;

    use super::*;
    use crate::{WorkerConfig, connect};

    #[tokio::test]
    async fn many_records_that_wait_for_nothing_let_others_have_their_turn() {
        let session = Session::new(WorkerConfig::default(), &connect("http://127.0.0.1:1").unwrap()).unwrap();
        let session = Arc::new(session);
        let (lease, now) = (Lease::default(), tokio::time::Instant::now());
        let lease = session.leases.adopt(&lease, &LeasedRun::default(), now).unwrap();
        let (pipeline, slots) = (Arc::new(crate::ready::animals()), session.slots.of_batch("run"));
        let work = Work { session, lease, pipeline, slots };
        let had_its_turn = Arc::new(AtomicBool::new(false));
        let other = Arc::clone(&had_its_turn);
        tokio::spawn(async move { other.store(true, Ordering::Relaxed) });
        for _ in 0..1_000 {
            drop(work.slot().await);
        }
        assert!(had_its_turn.load(Ordering::Relaxed));
    }
}
