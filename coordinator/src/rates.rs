//! What the lister's requests share with those of all workers: its places on the hosts' timetables come from the ledger.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use muster_pipeline::{ClosedHosts, Fleet, Rate};
use muster_telemetry::names;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::domain::Pace;
use crate::store::{Event, Reserve, Reserved, Store, StoreResult};

/// Before the ledger is asked again.
const AGAIN: Duration = Duration::from_millis(250);

/// The fleet, as requests of one listing see it.
#[derive(Clone)]
pub(crate) struct ListerRates {
    store: Arc<dyn Store>,
    closed: Arc<ClosedHosts>,
    pace: Option<Pace>,
}

impl ListerRates {
    /// Of a pipeline with this rate.
    pub(crate) fn new(store: &Arc<dyn Store>, closed: &Arc<ClosedHosts>, rate: Option<Rate>) -> Self {
        Self { store: Arc::clone(store), closed: Arc::clone(closed), pace: rate.map(Pace::of) }
    }
}

impl std::fmt::Debug for ListerRates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListerRates").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Fleet for ListerRates {
    fn reserve(&self, host: &str, count: u32, lead: Duration) -> BoxFuture<'static, Vec<Instant>> {
        let (store, host, pace) = (Arc::clone(&self.store), host.to_owned(), self.pace);
        async move {
            // Only hosts of a pipeline with a rate are asked for.
            let Some(pace) = pace else { return Vec::new() };
            loop {
                let ask = Reserve { session: None, host: host.clone(), pace, count, lead };
                match store.reserve(ask).await {
                    Ok(Ok(Reserved { after, as_of })) => {
                        return after.into_iter().map(|after| Instant::from_std(as_of + after)).collect();
                    }
                    Ok(Err(misuse)) => {
                        tracing::error!(error = ?misuse, { names::NEXT } = "tried again", "no place for a page")
                    }
                    // Said once, by the ledger's writer.
                    Err(error) => {
                        tracing::debug!(error = %error, { names::NEXT } = "tried again", "no place for a page")
                    }
                }
                sleep(AGAIN).await;
            }
        }
        .boxed()
    }

    fn pressed(&self, host: &str, time: Duration) {
        if !self.closed.close(host, Instant::now() + time) {
            return;
        }
        tracing::info!(
            url.full = host,
            muster.seconds = time.as_secs_f64(),
            "a host asked to be left alone: all workers are told"
        );
        let (store, host) = (Arc::clone(&self.store), host.to_owned());
        tokio::spawn(async move {
            if let Err(error) = store.close_host(None, &host, time).await {
                tracing::debug!(error = %error, "workers could not be told of a host's wish");
            }
        });
    }

    fn closed_until(&self, host: &str) -> Option<Instant> {
        self.closed.until(host)
    }
}

/// Keeps in mind which hosts want to be left alone, until it is told to stop.
pub(crate) async fn heed(store: Arc<dyn Store>, closed: Arc<ClosedHosts>, stop: CancellationToken) {
    let heed = async {
        let mut pushed = store.events().pushed();
        catch_up(store.as_ref(), &closed).await;
        loop {
            match pushed.recv().await {
                Ok(Event::HostClosed { host, time }) => drop(closed.close(&host, Instant::now() + time)),
                Ok(_) => {}
                // It may have been among what was missed.
                Err(_) => catch_up(store.as_ref(), &closed).await,
            }
        }
    };
    stop.run_until_cancelled(heed).await;
}

async fn catch_up(store: &dyn Store, closed: &ClosedHosts) {
    let hosts: StoreResult<Vec<_>> = store.closed_hosts().await;
    for host in hosts.unwrap_or_default() {
        closed.close(&host.host, Instant::now() + host.left);
    }
}
