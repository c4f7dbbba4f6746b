//! Telling somebody outside when a run ends or stalls.
//!
//! What is told stands in the ledger before anybody is told (`store/outbox.rs`). A sender for each destination takes one notice
//! at a time, sends it, and says how that went; what fails is tried again, for a day. All coordinators of a ledger that are given
//! a destination send to it, and of each notice one at a time.

mod address;
mod body;
mod command;
mod flags;
mod sender;
mod sign;
mod watch;
mod webhook;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::command::Command;
pub use self::flags::NotifyArgs;
use self::sender::Sender;
use self::webhook::Webhook;
use crate::domain::{Clock, RunId};
use crate::measures;
use crate::store::{Destination, Notice, NoticeState, Store, StoreResult};

/// Notices of a run that are waited for.
const LOOKED_AT: u32 = 100;
/// Between two looks at them.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a notice lacks, if it was not delivered.
fn not_told(notice: &Notice) -> Option<String> {
    let what = format!("{} of round {} could not be told to {}", notice.event.name(), notice.round, notice.shown);
    let because = if notice.error.is_empty() { String::new() } else { format!(": {}", notice.error) };
    match notice.state {
        NoticeState::Delivered(_) => None,
        NoticeState::GivenUp(_) => Some(format!("{what}, and is given up{because}")),
        NoticeState::Waiting(_) | NoticeState::Sending => Some(format!("{what} yet{because}")),
    }
}

/// Who is told.
#[derive(Debug, Clone, Default)]
pub struct Notify {
    ways: Vec<Way>,
    /// A run without progress for so long has stalled.
    stalled_after: Duration,
    /// Where people reach the dashboard, if that is known.
    dashboard: Option<Url>,
}

/// How somebody is told.
#[derive(Debug, Clone)]
enum Way {
    Webhook(Arc<Webhook>),
    Command(Arc<Command>),
}

impl Way {
    fn destination(&self) -> Destination {
        match self {
            Self::Webhook(webhook) => webhook.destination(),
            Self::Command(command) => command.destination(),
        }
    }
}

impl Notify {
    /// Notices lead to the dashboard that people reach there.
    #[must_use]
    pub fn leading_to(mut self, dashboard: Option<Url>) -> Self {
        self.dashboard = dashboard;
        self
    }

    /// Is nobody told?
    pub fn is_nobody(&self) -> bool {
        self.ways.is_empty()
    }

    /// Where notices go, as the ledger names it.
    pub(crate) fn destinations(&self) -> Vec<Destination> {
        self.ways.iter().map(Way::destination).collect()
    }

    /// Waits until what is to be told of a run's round has been, for so long at most; gives in words what was not.
    pub(crate) async fn told(&self, store: &Arc<dyn Store>, run: &RunId, within: Duration) -> StoreResult<Vec<String>> {
        if self.is_nobody() {
            return Ok(Vec::new());
        }
        // It may have paused by itself just now.
        watch::run_once(store.as_ref(), self.stalled_after, &self.destinations()).await?;
        // Several may be at the same host.
        let ours: Vec<String> = self.destinations().into_iter().map(|destination| destination.name).collect();
        let end = Instant::now() + within;
        loop {
            let Some(run) = store.run(run).await? else { return Ok(Vec::new()) };
            let notices = store.notices(&run, LOOKED_AT).await?;
            let is_ours = |of: &&Notice| of.round == run.round && ours.contains(&of.destination);
            let of_ours = || notices.iter().filter(is_ours);
            let waits = |of: &Notice| matches!(of.state, NoticeState::Waiting(_) | NoticeState::Sending);
            if Instant::now() >= end || !of_ours().any(waits) {
                return Ok(of_ours().filter_map(not_told).collect());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Starts to send what is in the outbox, until `stop`.
    pub(crate) fn start(
        &self,
        loops: &mut JoinSet<()>,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        stop: &CancellationToken,
    ) {
        measures::notices_from_now_on();
        for way in &self.ways {
            let sender = Sender {
                store: Arc::clone(store),
                clock: Arc::clone(clock),
                way: way.clone(),
                dashboard: self.dashboard.clone(),
            };
            let stop = stop.clone();
            loops.spawn(async move { sender.start(&stop).await });
        }
        if !self.is_nobody() {
            loops.spawn(watch::start(Arc::clone(store), self.stalled_after, self.destinations(), stop.clone()));
        }
    }
}
