//! Whether runs stall: by the ledger's rows, looked at now and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use muster_telemetry::names;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::domain::{RunId, RunState, Timestamp};
use crate::store::{
    Destination, Event, Fenced, NoticeEvent, Outbox, Pace, Stall, Store, StoreError, StoreResult, Watched,
};

/// Looks at least and at most so often; between, ten times in the time after which a run has stalled.
const LOOK_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(30);

/// Writes notices of stalls until it is told to stop.
pub(super) async fn start(store: Arc<dyn Store>, after: Duration, to: Vec<Destination>, stop: CancellationToken) {
    let mut pushed = store.events().pushed();
    let wait = (after / 10).clamp(*LOOK_EVERY.start(), *LOOK_EVERY.end());
    let mut watch = Watch::new(after, to);
    loop {
        match watch.look(store.as_ref()).await {
            Ok(failed) => failed.iter().for_each(|(run, error)| log(store.as_ref(), Some(run), error)),
            Err(error) => log(store.as_ref(), None, &error),
        }
        let stopped =
            async { while !matches!(pushed.recv().await, Ok(Event::RunStopped { .. }) | Err(RecvError::Lagged(_))) {} };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tokio::time::timeout(wait, stopped) => {}
        }
    }
}

/// Writes notices of the stalls that there are. The error is the first one; it keeps no other run from being looked at.
pub(super) async fn run_once(store: &dyn Store, after: Duration, to: &[Destination]) -> StoreResult<()> {
    let failed = Watch::new(after, to.to_vec()).look(store).await?;
    failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

fn log(store: &dyn Store, run: Option<&RunId>, error: &StoreError) {
    let run = run.map(tracing::field::display);
    // What is wrong with the whole ledger is said once, by its writer.
    if store.writable().is_err() {
        tracing::debug!({ names::RUN } = run, error = %error, "stalled runs cannot be looked for");
    } else {
        tracing::error!({ names::RUN } = run, error = %error, { names::NEXT } = "tried again",
            "stalled runs cannot be looked for");
    }
}

/// Looks for stalls.
struct Watch {
    after: Duration,
    to: Vec<Destination>,
    /// Runs that did not go on at the last look, by their key. To find that out all of a run was read, which is not done again
    /// while nothing has changed. Only of runs that are not over.
    still: HashMap<i64, Still>,
}

/// What was found out of a run.
struct Still {
    /// As it was then.
    at: At,
    /// What could not be told yet.
    untold: Option<Stall>,
}

/// What differs whenever something of a run has changed.
type At = (RunState, u32, i64, Timestamp);

fn at(watched: &Watched) -> At {
    let run = &watched.run;
    (run.state, run.round, run.changes, watched.began)
}

impl Watch {
    fn new(after: Duration, to: Vec<Destination>) -> Self {
        Self { after, to, still: HashMap::new() }
    }

    /// Looks at each run once; gives those that could not be looked at.
    async fn look(&mut self, store: &dyn Outbox) -> StoreResult<Vec<(RunId, StoreError)>> {
        let runs = store.watched().await?;
        let mut before = std::mem::take(&mut self.still);
        let mut failed = Vec::new();
        for watched in runs {
            let known = before.remove(&watched.run.key).filter(|still| still.at == at(&watched));
            match self.judge(store, &watched, known).await {
                Ok(Some(still)) => drop(self.still.insert(watched.run.key, still)),
                Ok(None) => {}
                Err(error) => failed.push((watched.run.id, error)),
            }
        }
        Ok(failed)
    }

    /// Tells a run's stall, if there is one; gives what is to be remembered.
    async fn judge(&self, store: &dyn Outbox, watched: &Watched, known: Option<Still>) -> StoreResult<Option<Still>> {
        let still = match known {
            Some(known) => known,
            None => match store.pace(watched, self.after, &self.to).await? {
                Pace::GoesOn => return Ok(None),
                Pace::Told => Still { at: at(watched), untold: None },
                Pace::Still(stall) => Still { at: at(watched), untold: Some(stall) },
            },
        };
        let Some(stall) = &still.untold else { return Ok(Some(still)) };
        // Stale: it has changed since, which the next look sees, or coordinators have not served for long enough.
        if store.tell_stall(stall, self.after, &self.to).await? == Fenced::Stale {
            return Ok(Some(still));
        }
        if stall.event == NoticeEvent::Stalled {
            tracing::warn!({ names::RUN } = %stall.run.id, { names::NEXT } = "those who are to be told of it are",
                "the run makes no progress");
        }
        Ok(Some(Still { untold: None, ..still }))
    }
}

#[cfg(test)]
mod tests;
