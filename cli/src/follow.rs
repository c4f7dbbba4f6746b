//! Following a run by its stream of news, across restarts of its coordinator.

use std::future::Future;
use std::time::{Duration, Instant};

use muster_proto::v1::{Run, RunState, WatchRunRequest, WatchRunResponse};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use crate::client::{Client, reason};
use crate::display::TICK;
use crate::failure::Failure;

/// How long a coordinator may be away before a watcher gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries to reach it again.
const PAUSE: Duration = Duration::from_secs(1);

/// How following ended.
#[derive(Debug)]
pub enum Followed {
    /// The run is over.
    Over(Run),
    /// The run is paused, and the watcher does not wait for it to be resumed.
    Paused(Run),
    /// The watcher was asked to stop, or nobody reads its news any more; the run as last heard of, if it was.
    Stopped(Option<Run>),
}

/// Whether a watcher wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    More,
    /// Nobody reads it any more.
    Enough,
}

/// Takes the news.
pub trait Watcher {
    /// The run has changed, or this is the first that is heard of it.
    fn news(&mut self, run: &Run) -> Result<Wish, Failure>;
    /// A moment has passed.
    fn tick(&mut self);
    /// The stream broke and is tried again.
    fn away(&mut self, why: &str);
}

/// What ends following before the run is over.
pub struct Until<T> {
    /// Stop when this is cancelled.
    pub stop: CancellationToken,
    /// Fail with what this gives.
    pub trouble: T,
    /// Whether a pause ends it, because nobody else could resume the run.
    pub paused: bool,
}

/// Follows the run to its end.
///
/// # Errors
/// When the run is unknown, or the coordinator stays away for a minute.
pub async fn follow(
    client: &Client,
    run_id: &str,
    until: Until<impl Future<Output = Failure>>,
    watcher: &mut impl Watcher,
) -> Result<Followed, Failure> {
    let mut trouble = std::pin::pin!(until.trouble);
    let mut ticks = tokio::time::interval(TICK);
    let mut stream = open(client, run_id).await.map_err(|status| client.failure(status))?;
    let mut last = None;
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            message = stream.message() => message,
            _ = ticks.tick() => {
                watcher.tick();
                continue;
            }
            () = until.stop.cancelled() => return Ok(Followed::Stopped(last)),
            failure = &mut trouble => return Err(failure),
        };
        match message.map(|message| message.and_then(|message| message.run)) {
            Ok(Some(run)) => {
                heard = Instant::now();
                if watcher.news(&run)? == Wish::Enough {
                    return Ok(Followed::Stopped(Some(run)));
                }
                match run.state() {
                    RunState::Finished | RunState::Cancelled if run.verdict.is_some() => {
                        return Ok(Followed::Over(run));
                    }
                    RunState::Paused if until.paused => return Ok(Followed::Paused(run)),
                    _ => last = Some(run),
                }
            }
            broken => {
                let status = broken.err().unwrap_or_else(|| Status::unavailable("the stream ended before the run"));
                stream = tokio::select! {
                    again = reopen(client, run_id, status, heard, watcher) => again?,
                    () = until.stop.cancelled() => return Ok(Followed::Stopped(last)),
                };
            }
        }
    }
}

async fn open(client: &Client, run_id: &str) -> Result<Streaming<WatchRunResponse>, Status> {
    let request = WatchRunRequest { run_id: run_id.to_owned() };
    Ok(client.runs().watch_run(request).await?.into_inner())
}

/// Opens the stream again until it stands, or patience ends.
async fn reopen(
    client: &Client,
    run_id: &str,
    mut status: Status,
    heard: Instant,
    watcher: &mut impl Watcher,
) -> Result<Streaming<WatchRunResponse>, Failure> {
    watcher.away(status.message());
    loop {
        if !may_pass(&status) || heard.elapsed() > PATIENCE {
            return Err(client.failure(status));
        }
        tokio::time::sleep(PAUSE).await;
        match open(client, run_id).await {
            Ok(stream) => return Ok(stream),
            Err(again) => status = again,
        }
    }
}

/// Whether the trouble is with the connection or the store, not with what was asked. A connection that breaks is
/// Unknown or Internal to tonic, unless the coordinator itself gave the reason.
fn may_pass(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => true,
        Code::Unknown | Code::Internal | Code::Cancelled => reason(status).is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trouble_with_the_way_is_waited_out() {
        assert!(may_pass(&Status::unavailable("")));
        assert!(may_pass(&Status::unknown("h2 protocol error: broken pipe")));
        assert!(!may_pass(&Status::not_found("no such run")));
        assert!(!may_pass(&Status::permission_denied("")));
    }
}
