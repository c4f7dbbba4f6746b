//! Senders: one for each destination, one notice at a time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use muster_telemetry::names;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::body::Told;
use super::{Way, body};
use crate::domain::Clock;
use crate::measures;
use crate::store::{Event, Fenced, NoticeClaim, Store, StoreError, StoreResult, Tried};

/// How long a sender has a notice to itself: longer than a try takes.
const HOLD: Duration = Duration::from_secs(90);
/// How often it looks whether there is one, besides when a run is over.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long it waits when the ledger does not answer.
const STORE_ILL: Duration = Duration::from_secs(5);
/// How long a try that is under way is awaited when the coordinator stops.
const LAST_TRY: Duration = Duration::from_secs(5);
/// Between the first try and the second, ...
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// ... twice as long before each further one, but no longer than this: ...
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// ... so many take a day.
const MOST_TRIES: u32 = 35;

/// How a try went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was accepted.
    Accepted,
    /// It will never be.
    Refused { error: String },
    /// Perhaps it will be later, not before `after`.
    Failed { error: String, after: Option<Duration> },
}

impl Sent {
    /// What follows from a try, of which this is the number from 1, with a random number of 0 to 1.
    fn tried(self, tries: u32, random: f64) -> Tried {
        match self {
            Self::Accepted => Tried::Delivered,
            Self::Refused { error } => Tried::GivenUp { error },
            Self::Failed { error, .. } if tries >= MOST_TRIES => Tried::GivenUp { error },
            Self::Failed { error, after } => {
                let doubled = FIRST_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST_WAIT);
                // A quarter more or less, so that what failed together does not come together again.
                let wait = doubled.mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0);
                Tried::Again { after: wait.max(after.unwrap_or_default()), error }
            }
        }
    }
}

/// Sends to one destination.
pub(super) struct Sender {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub way: Way,
    pub dashboard: Option<Url>,
}

impl Sender {
    /// Sends whatever is due until it is told to stop.
    pub async fn start(self, stop: &CancellationToken) {
        let mut pushed = self.store.events().pushed();
        while !stop.is_cancelled() {
            let wait = match self.run_once(stop).await {
                Ok(wait) => wait,
                // Said once, by the writer.
                Err(error) if self.store.writable().is_err() => {
                    tracing::debug!(error = %error, "no notices can be sent");
                    STORE_ILL
                }
                Err(error) => {
                    tracing::error!(error = %error, { names::NEXT } = "tried again", "no notices can be sent");
                    STORE_ILL
                }
            };
            let over = async {
                // What was missed may have been it.
                while !matches!(pushed.recv().await, Ok(Event::RunOver { .. }) | Err(RecvError::Lagged(_))) {}
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = tokio::time::timeout(wait, over) => {}
            }
        }
    }

    /// Sends what is due now; gives how long to wait for more.
    pub async fn run_once(&self, stop: &CancellationToken) -> StoreResult<Duration> {
        let destination = self.way.destination();
        while !stop.is_cancelled() {
            match self.store.next_notice(&destination.name).await? {
                Some(wait) if wait.is_zero() => {}
                wait => return Ok(wait.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)),
            }
            // Another coordinator may have been quicker.
            let Some(claim) = self.store.claim_notice(&destination.name, HOLD).await? else { return Ok(LOOK_EVERY) };
            let tried = self.try_once(&claim, stop).await?;
            let settled = self.store.settle_notice(&claim, tried.clone()).await?;
            if settled == Fenced::Committed(()) {
                measures::noticed(claim.event, &tried);
                log(&claim, &destination.shown, &tried);
            }
        }
        Ok(LOOK_EVERY)
    }

    async fn try_once(&self, claim: &NoticeClaim, stop: &CancellationToken) -> StoreResult<Tried> {
        if claim.tries > MOST_TRIES {
            // Whoever tried before died of it each time, or was stopped.
            return Ok(Tried::GivenUp { error: format!("{MOST_TRIES} tries were broken off") });
        }
        let now = self.clock.now();
        let sent = match body::of(self.store.as_ref(), claim, self.dashboard.as_ref(), now).await {
            Ok(Some(told)) => self.send(claim, told, stop).await,
            Ok(None) => Some(Sent::Refused { error: "the run was deleted".to_owned() }),
            Err(error) => Some(unwritten(error, self.store.writable().is_ok())?),
        };
        Ok(match sent {
            Some(sent) => sent.tried(claim.tries, fastrand::f64()),
            None => Tried::Again { after: Duration::ZERO, error: "broken off, as the coordinator stopped".to_owned() },
        })
    }

    /// Nothing: it was broken off.
    async fn send(&self, claim: &NoticeClaim, told: Told, stop: &CancellationToken) -> Option<Sent> {
        let sending = async {
            match &self.way {
                Way::Webhook(webhook) => webhook.send(&claim.id, SystemTime::now(), Bytes::from(told.text)).await,
                Way::Command(command) => command.send(claim, &told).await,
            }
        };
        tokio::pin!(sending);
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_TRY).await;
        };
        tokio::select! {
            sent = &mut sending => Some(sent),
            () = stopped => None,
        }
    }
}

/// What follows when a message cannot be written. It is a try that failed, so that one run that cannot be read holds up nobody
/// for ever; unless the ledger takes nothing now, not even that.
fn unwritten(error: StoreError, is_writable: bool) -> StoreResult<Sent> {
    if !is_writable {
        return Err(error);
    }
    tracing::error!(error = %error, { names::NEXT } = "tried again later", "a notice's run cannot be read");
    Ok(Sent::Failed { error: "its run cannot be read: the log says why".to_owned(), after: None })
}

fn log(claim: &NoticeClaim, shown: &str, tried: &Tried) {
    let (event, tries) = (claim.event.name(), claim.tries);
    match tried {
        Tried::Delivered => tracing::info!(
            { names::RUN } = %claim.run, event, tries, destination = shown, id = claim.id, "a notice was delivered"),
        Tried::Again { after, error } => tracing::warn!(
            { names::RUN } = %claim.run, event, tries, destination = shown, id = claim.id, error,
            { names::NEXT } = format!("tried again in {} s", after.as_secs()), "a notice was not delivered"),
        Tried::GivenUp { error } => tracing::error!(
            { names::RUN } = %claim.run, event, tries, destination = shown, id = claim.id, error,
            { names::NEXT } = "it is not tried again; what it tells stands in the ledger", "a notice was given up"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::domain::{DeliveryState, SystemClock, Timestamp};
    use crate::notify::Command;
    use crate::planted::Planted;
    use crate::store::NoticeState;
    use crate::store::conformance::Bench;
    use crate::store::conformance::bench::{A, new_run};
    use crate::store::sqlite::SqliteBackend;

    #[tokio::test]
    async fn a_notice_whose_tries_end_without_a_word_is_given_up_unsent() {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::new(&SqliteBackend::new(folder.path().to_owned(), Planted::default())).await;
        let (program, told) = (folder.path().join("hook"), folder.path().join("told"));
        std::fs::write(&program, format!("#!/bin/sh\n: >'{}'\n", told.display())).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let way = Way::Command(Arc::new(Command::of(&program).unwrap()));
        let to = way.destination();

        let run = bench.one_batch(new_run("one"), 2).await;
        let lease = bench.lease(A).await;
        bench.deliver(A, &lease, DeliveryState::Applied).await;
        let store = bench.store();
        let (run, verdict) = crate::audit::audit(store.as_ref(), &run.id, None).await.unwrap().unwrap();
        store.conclude(&run, &verdict, std::slice::from_ref(&to)).await.unwrap();
        for _ in 0..MOST_TRIES {
            assert!(store.claim_notice(&to.name, Duration::ZERO).await.unwrap().is_some());
        }
        let clock = Arc::new(SystemClock::starting_after(Timestamp::default()));
        let sender = Sender { store: Arc::clone(&store), clock, way, dashboard: None };
        sender.run_once(&CancellationToken::new()).await.unwrap();
        let notice = store.notices(&run, 1).await.unwrap().remove(0);
        assert!(matches!(notice.state, NoticeState::GivenUp(_)), "{notice:?}");
        assert!(!told.exists(), "it was started once more");
    }

    #[test]
    fn a_run_that_cannot_be_read_costs_a_try_unless_the_ledger_is_ill() {
        let error = || StoreError::Damaged("a row makes no sense".into());
        let failed = Sent::Failed { error: "its run cannot be read: the log says why".into(), after: None };
        assert_eq!(unwritten(error(), true).unwrap(), failed);
        assert!(unwritten(error(), false).is_err());
    }

    fn after(tries: u32, random: f64, wish: Option<u64>) -> Duration {
        let failed = Sent::Failed { error: "no".into(), after: wish.map(Duration::from_secs) };
        match failed.tried(tries, random) {
            Tried::Again { after, .. } => after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn waits_double_up_to_an_hour_and_a_day_is_enough() {
        assert_eq!((after(1, 0.5, None), after(3, 0.5, None)), (Duration::from_secs(1), Duration::from_secs(4)));
        assert_eq!(
            (after(1, 0.0, None), after(1, 1.0, None)),
            (Duration::from_millis(750), Duration::from_millis(1250))
        );
        assert_eq!(after(20, 0.5, None), LONGEST_WAIT);
        let all: Duration = (1..MOST_TRIES).map(|tries| after(tries, 0.5, None)).sum();
        assert!((23..=25).contains(&(all.as_secs() / 3600)), "{all:?}");
        let last = Sent::Failed { error: "no".into(), after: None }.tried(MOST_TRIES, 0.5);
        assert_eq!(last, Tried::GivenUp { error: "no".into() });
    }

    #[test]
    fn a_wish_to_be_left_alone_is_obeyed() {
        assert_eq!(after(1, 0.5, Some(120)), Duration::from_secs(120));
        assert_eq!(after(12, 0.5, Some(1)), Duration::from_secs(2048), "unless it is shorter anyway");
    }
}
