//! Gets batches: no more than can be worked on, and the next ones before the fetch slots run dry.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::v1::{AcquireLeasesResponse, Lease, LeasedRun};
use muster_telemetry::names;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::{debug, error, info, warn};

use crate::WorkerError;
use crate::capacity::Capacity;
use crate::coordinator::is_final;
use crate::held::{HeldLease, MAX_TOKENS};
use crate::session::Session;
use crate::standing::Standing;

/// How long a push may take longer than an answer that was sent at the same time.
const PUSH: Duration = Duration::from_millis(20);

/// A lease just granted, with what it is for.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) held: Arc<HeldLease>,
    pub(crate) lease: Lease,
    pub(crate) run: Arc<LeasedRun>,
}

/// Acquires leases for as long as it is polled, and ends only with the reason why it cannot.
///
/// One acquisition is under way at a time; what each brings is `granted` at once. Where its answer gets lost, the next
/// one brings the same leases: so one that is under way when a host goes down or comes up is let go and asked anew.
pub(crate) async fn acquire(session: &Session, granted: &UnboundedSender<Granted>) -> WorkerError {
    let mut capacity = Capacity::new(session.config.max_leases);
    let mut backoff = session.call_backoff();
    let mut trouble = Trouble::default();
    let mut was_let_in = false;
    loop {
        let (wanted, standing) = wait_for_room(session, &capacity).await;
        session.leases.acquisition_starts();
        let sent_at = Instant::now();
        let wait = session.config.acquire_wait;
        let passed_over = standing.waiting().take(MAX_TOKENS).cloned().collect();
        let answer = tokio::select! {
            biased;
            answer = session.coordinator.acquire(session.leases.tokens(), wanted, passed_over, wait) => answer,
            () = standing.changed() => continue,
        };
        if answer.is_ok() {
            was_let_in = true;
            trouble.note(None);
        }
        match answer {
            // It waits no more because others want leases: how many it wants itself is another number now.
            Ok(answer) if answer.leases.is_empty() && is_wanted(session, sent_at).await => backoff.reset(),
            Ok(answer) if answer.leases.is_empty() => pause_when_hasty(sent_at, wait, backoff.next()).await,
            Ok(answer) => {
                backoff.reset();
                for new in adopt(session, answer, sent_at) {
                    capacity.saw_batch(new.lease.parts.iter().map(|part| part.record_ids.len()).sum());
                    // The receiver outlives this loop.
                    let _ = granted.send(new);
                }
            }
            // Whoever was let in before has a token that is being replaced: the file may have the new one any moment.
            Err(status) if refuses_worker(&status) && !(was_let_in && status.code() == Code::Unauthenticated) => {
                return WorkerError::Refused { code: status.code(), message: status.message().to_owned() };
            }
            Err(status) => {
                trouble.note(Some(&status));
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// Waits until more batches are wanted, and gives how many, and how the runs stand. None are of runs whose source or target
/// is down: their batches would only wait here, where another worker may have more luck. Where the coordinator would not pass
/// those over, none are at all.
async fn wait_for_room(session: &Session, capacity: &Capacity) -> (usize, Standing) {
    loop {
        // First, so that whatever is fetched from here on counts below.
        let fetched = session.leases.fetched();
        let standing = session.leases.standing();
        let without_stock = session.leases.without_stock_until(Instant::now());
        let load = session.leases.load(&standing);
        // Which coordinator answers next, nobody says: looked at again after each record.
        let mut to_go = Some(1);
        if load.waiting == 0 || session.coordinator.passes_over() {
            let (slots, others_want) = (session.useful_slots(), without_stock.is_some());
            let wanted = capacity.wanted(slots, load, others_want);
            if wanted > 0 {
                return (wanted, standing);
            }
            to_go = load.fetches_to_go(slots, others_want);
        }
        tokio::select! {
            () = session.leases.changed(to_go.map(|to_go| fetched + to_go)) => {}
            () = standing.changed() => {}
            () = passed(without_stock) => {}
        }
    }
}

/// Waits until this time, if there is one.
async fn passed(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Whether others want leases of this worker since then. The answer may be here before the push that says so.
async fn is_wanted(session: &Session, since: Instant) -> bool {
    if session.leases.wanted_since(since) {
        return true;
    }
    tokio::time::sleep(PUSH).await;
    session.leases.wanted_since(since)
}

/// A coordinator that answers "nothing" without waiting (it is about to stop, say) must not be asked in a tight loop.
async fn pause_when_hasty(sent_at: Instant, wait: Duration, pause: Duration) {
    if sent_at.elapsed() < wait / 2 {
        tokio::time::sleep(pause).await;
    }
}

fn adopt(session: &Session, answer: AcquireLeasesResponse, sent_at: Instant) -> Vec<Granted> {
    let runs: HashMap<String, Arc<LeasedRun>> =
        answer.runs.into_iter().map(|run| (run.run_id.clone(), Arc::new(run))).collect();
    let mut granted = Vec::new();
    for lease in answer.leases {
        let Some(run) = runs.get(&lease.run_id) else {
            warn!(
                { names::RUN } = lease.run_id,
                { names::BATCH } = lease.batch,
                { names::NEXT } = "the lease is not worked on and expires",
                "the coordinator leased a batch of a run that it did not describe"
            );
            continue;
        };
        if let Some(held) = session.leases.adopt(&lease, run, sent_at) {
            granted.push(Granted { held, lease, run: Arc::clone(run) });
        }
    }
    granted
}

/// An acquisition that fails though the coordinator is there, so that a person hears of it once for each change.
#[derive(Debug, Default)]
struct Trouble {
    last: Option<Code>,
}

impl Trouble {
    /// Takes what came of an acquisition, and says whether that is news.
    fn note(&mut self, error: Option<&Status>) -> bool {
        // What is not final is a coordinator that is away, and said so once for all calls.
        let now = error.filter(|status| is_final(status) || status.code() == Code::ResourceExhausted);
        let before = std::mem::replace(&mut self.last, now.map(Status::code));
        let news = before != self.last;
        match (now, error) {
            (Some(status), _) if news => error!(
                { names::ERROR } = ?status.code(),
                { names::REASON } = status.message(),
                { names::NEXT } = "asked for again, more and more slowly; until it succeeds this worker gets no work",
                "leases cannot be acquired"
            ),
            (None, None) if news => info!("leases can be acquired again"),
            (_, Some(status)) => {
                debug!({ names::ERROR } = ?status.code(), { names::REASON } = status.message(), "no leases acquired");
            }
            _ => {}
        }
        news
    }
}

/// Whether the coordinator will not have this worker at all, however often it asks.
fn refuses_worker(status: &Status) -> bool {
    use Code::{FailedPrecondition, InvalidArgument, PermissionDenied, Unauthenticated};
    // FAILED_PRECONDITION: the coordinator does not speak this version of the protocol.
    matches!(status.code(), InvalidArgument | PermissionDenied | Unauthenticated | FailedPrecondition)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use muster_proto::v1::LeasedPart;

    use super::*;
    use crate::{WorkerConfig, connect};

    /// A session of four slots, and its two leases of six records each.
    fn session() -> (Session, Vec<Arc<HeldLease>>) {
        let config = WorkerConfig { concurrency: Some(4), ..WorkerConfig::default() };
        let session = Session::new(config, &connect("http://127.0.0.1:1").unwrap()).unwrap();
        let adopt = |number: u8| {
            let parts = vec![LeasedPart { record_ids: vec!["7".to_owned(); 6], ..LeasedPart::default() }];
            let lease = Lease { lease_token: format!("token-{number}"), parts, ..Lease::default() };
            session.leases.adopt(&lease, &LeasedRun::default(), Instant::now()).unwrap()
        };
        let held = (0..2).map(adopt).collect();
        (session, held)
    }

    #[tokio::test]
    async fn batches_are_asked_for_as_soon_as_the_stock_runs_low() {
        let (session, held) = session();
        let capacity = Capacity::new(3);
        let mut room = std::pin::pin!(wait_for_room(&session, &capacity));
        assert!(room.as_mut().now_or_never().is_none());
        (0..4).for_each(|at| held[at % 2].record_fetched());
        assert!(room.as_mut().now_or_never().is_none(), "eight are left for four slots");
        held[0].record_fetched();
        assert_eq!(room.as_mut().now_or_never().map(|(wanted, _)| wanted), Some(1));
    }

    #[tokio::test]
    async fn at_the_lease_limit_only_the_end_of_a_lease_makes_room() {
        let (session, held) = session();
        let capacity = Capacity::new(2);
        let mut room = std::pin::pin!(wait_for_room(&session, &capacity));
        assert!(room.as_mut().now_or_never().is_none());
        (0..12).for_each(|at| held[at % 2].record_fetched());
        assert!(room.as_mut().now_or_never().is_none());
        session.leases.remove(&held[0]);
        assert_eq!(room.as_mut().now_or_never().map(|(wanted, _)| wanted), Some(1));
    }

    #[tokio::test]
    async fn a_pipeline_that_may_have_more_in_flight_makes_room() {
        let (session, held) = session();
        let capacity = Capacity::new(9);
        let mut room = std::pin::pin!(wait_for_room(&session, &capacity));
        assert!(room.as_mut().now_or_never().is_none());
        session.saw_limit(64);
        held[0].needs(&Arc::new(crate::ready::animals()));
        assert_eq!(room.as_mut().now_or_never().map(|(wanted, _)| wanted), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn stock_is_kept_again_when_others_have_wanted_none_for_a_while() {
        let (session, held) = session();
        let capacity = Capacity::new(3);
        session.leases.give_back(0, 0, Instant::now());
        // Seven are left: more than the four slots are busy with, fewer than a stock.
        (0..5).for_each(|at| held[at % 2].record_fetched());
        let mut room = std::pin::pin!(wait_for_room(&session, &capacity));
        assert!(room.as_mut().now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(room.await.0, 1);
    }

    #[test]
    fn an_answer_that_cannot_be_taken_is_news_once_for_each_change() {
        let mut trouble = Trouble::default();
        let large = Status::out_of_range("decoded message length too large");
        let full = Status::resource_exhausted("quota");
        assert!(!trouble.note(None));
        assert!(trouble.note(Some(&large)) && !trouble.note(Some(&large)));
        assert!(trouble.note(Some(&full)) && !trouble.note(Some(&full)));
        assert!(trouble.note(None) && !trouble.note(None));
        assert!(!trouble.note(Some(&Status::unavailable("away"))), "the link says so");
    }
}
