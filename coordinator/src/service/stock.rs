//! The end of a run: what one worker holds in stock goes to another one that has nothing to do.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until};

use crate::store::{Acquire, Event, Store, Want};

/// Between two looks of a process, however many of its workers wait.
pub(super) const PACE: Duration = Duration::from_millis(200);
/// Whoever was asked is left alone for so long: it has given what it can spare, or can spare nothing, and others are looked at
/// meanwhile. Workers order nothing ahead for as long.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Looks for leases that those who wait could work on.
pub(super) struct Stock {
    store: Arc<dyn Store>,
    pace: Duration,
    patience: Duration,
    /// Whoever has it looks; the others wait for their turn.
    look: Mutex<Look>,
}

/// What is known of the looks before.
struct Look {
    /// Where nothing was committed, there is nothing new to see.
    changed: watch::Receiver<u64>,
    next: Instant,
    /// Who was asked lately, and until when each is left alone.
    asked: Vec<(String, Instant)>,
}

impl Stock {
    /// Nobody has looked yet. `pace`: between two looks; `patience`: before who was asked is asked again.
    pub(super) fn new(store: Arc<dyn Store>, pace: Duration, patience: Duration) -> Self {
        let look = Look { changed: store.events().changed(), next: Instant::now(), asked: Vec::new() };
        Self { store, pace, patience, look: Mutex::new(look) }
    }

    /// Looks again and again for what an acquisition that waits could have, until it is dropped. What is given back wakes
    /// the acquisition, as all work does.
    pub(super) async fn look_around(&self, acquire: &Acquire) -> Infallible {
        loop {
            let mut look = self.look.lock().await;
            if look.changed.changed().await.is_err() {
                // The store is gone, and the acquisition with it.
                return std::future::pending().await;
            }
            sleep_until(look.next).await;
            look.begin(self.pace);
            let want = Want {
                session: acquire.session.id.clone(),
                capacity: acquire.capacity,
                protocol: acquire.protocol,
                passing_over: look.asked.iter().map(|(session, _)| session.clone()).collect(),
            };
            match self.store.want_leases(want).await {
                Ok(asked) => look.asked.extend(asked.map(|session| (session, Instant::now() + self.patience))),
                Err(error) => tracing::debug!(error = %error, "could not look for leases that others hold in stock"),
            }
        }
    }
}

impl Look {
    fn begin(&mut self, pace: Duration) {
        let now = Instant::now();
        self.changed.mark_unchanged();
        self.next = now + pace;
        self.asked.retain(|(_, until)| *until > now);
    }
}

/// Waits until this session is asked for leases: it must not wait for more then, or it would be the first to have back what
/// it gives.
pub(super) async fn asked(pushed: &mut Receiver<Event>, session: &str) {
    loop {
        match pushed.recv().await {
            Ok(Event::LeasesWanted { session: of, .. }) if of == session => return,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Share;
    use crate::planted::Planted;
    use crate::store::conformance::bench::{A, B, Bench, worker};
    use crate::store::conformance::sharing::batches;
    use crate::store::sqlite::SqliteBackend;

    const NEVER: Duration = Duration::from_secs(3_600);
    /// For what comes.
    const LONG: Duration = Duration::from_secs(30);
    /// For what does not come.
    const SHORT: Duration = Duration::from_millis(100);

    /// A ledger in which two sessions hold leases, and the acquisition of a third one.
    async fn scene(folder: &tempfile::TempDir) -> (Bench, Acquire) {
        let bench = Bench::new(&SqliteBackend::new(folder.path().to_owned(), Planted::default())).await;
        batches(&bench, "one", 9, Share::default()).await;
        bench.acquire(A, &[], 6).await;
        bench.acquire(B, &[], 3).await;
        let session = worker("session-of-an-idle-worker");
        let acquire = Acquire { session, capacity: 64, protocol: muster_proto::PROTOCOL, ..Acquire::default() };
        (bench, acquire)
    }

    /// Who is asked while these wait and the ledger changes: so many, if each is within this time.
    async fn asked_by(
        bench: &Bench,
        stock: &Stock,
        acquires: &[Acquire],
        most: usize,
        within: Duration,
    ) -> Vec<String> {
        let mut pushed = bench.store().events().pushed();
        let mut asked = Vec::new();
        let listening = async {
            while asked.len() < most {
                // The reaper is about, as it always is.
                bench.store().expire().await.unwrap();
                let Ok(event) = tokio::time::timeout(within, pushed.recv()).await else { return };
                let Ok(Event::LeasesWanted { session, .. }) = event else { panic!("{event:?}") };
                asked.push(session);
            }
            // Who was asked is noted a moment later than he hears of it.
            tokio::time::sleep(SHORT).await;
        };
        let looking = futures::future::join_all(acquires.iter().map(|acquire| stock.look_around(acquire)));
        tokio::select! {
            _ = looking => unreachable!("it never ends"),
            () = listening => {}
        }
        asked
    }

    #[tokio::test]
    async fn however_many_wait_one_looks_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (bench, acquire) = scene(&folder).await;
        let stock = Stock::new(bench.store(), NEVER, Duration::ZERO);
        let many = vec![acquire; 50];
        assert_eq!(asked_by(&bench, &stock, &many, 1, LONG).await, [A]);
        assert!(asked_by(&bench, &stock, &many, 1, SHORT).await.is_empty(), "it is not time yet");
    }

    #[tokio::test]
    async fn who_was_asked_is_left_alone_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let (bench, acquire) = scene(&folder).await;
        let waiting = [acquire];
        let stock = Stock::new(bench.store(), Duration::ZERO, NEVER);
        assert_eq!(asked_by(&bench, &stock, &waiting, 2, LONG).await, [A, B]);
        assert!(asked_by(&bench, &stock, &waiting, 1, SHORT).await.is_empty());
        let stock = Stock::new(bench.store(), Duration::ZERO, Duration::ZERO);
        assert_eq!(asked_by(&bench, &stock, &waiting, 3, LONG).await, [A, A, A], "the while is over");
    }

    #[tokio::test]
    async fn where_nothing_changes_nobody_looks_again() {
        let folder = tempfile::tempdir().unwrap();
        let (bench, acquire) = scene(&folder).await;
        let stock = Stock::new(bench.store(), Duration::ZERO, NEVER);
        let look = tokio::time::timeout(SHORT, stock.look_around(&acquire)).await;
        assert!(look.is_err() && stock.look.lock().await.asked.is_empty());
    }

    #[tokio::test]
    async fn only_who_is_asked_waits_no_more() {
        let (sender, mut pushed) = tokio::sync::broadcast::channel(8);
        let wanted = |session: &str| Event::LeasesWanted { session: session.to_owned(), leases: 1 };
        sender.send(wanted(B)).unwrap();
        sender.send(Event::RunDeleted).unwrap();
        assert!(tokio::time::timeout(SHORT, asked(&mut pushed, A)).await.is_err());
        sender.send(wanted(A)).unwrap();
        asked(&mut pushed, A).await;
    }
}
