//! A run's page while it goes on: whatever part has changed is sent again, at most once a second. What is sent is of the size
//! of the page, however many records there are.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream;
use muster_proto::v1::{Run, WatchRunResponse};
use serde_json::json;
use tonic::Streaming;

use super::super::super::inside::Caller;
use super::super::super::site::Site;
use super::super::Trouble;
use super::news::News;
use super::{is_over, plight};
use crate::words::numbers::from_wire;
use crate::words::pace::Pace;
use crate::words::progress::{settled, share, total};
use crate::words::run_state;

/// How often a page is told at most.
const EVERY: Duration = Duration::from_secs(1);
/// How often the ledger is asked for what a run does not tell of itself.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The news as server-sent events, for a page that has the run in this state.
pub(super) fn stream(site: Site, caller: Caller, changes: Streaming<WatchRunResponse>, state: String) -> Response {
    let stop = site.stop.clone();
    let pace = Pace::default();
    let follower = Follower { site, caller, changes, shown: News::default(), looked: None, pace, state, told: false };
    let events = stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        let (events, goes_on) = follower.next().await?;
        Some((stream::iter(events.into_iter().map(Ok::<_, Infallible>)), goes_on.then_some(follower)))
    });
    let events = events.flatten().take_until(stop.cancelled_owned());
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

struct Follower {
    site: Site,
    caller: Caller,
    changes: Streaming<WatchRunResponse>,
    /// As the page has it.
    shown: News,
    /// When the ledger was asked last, and how many dead letters and doubts there were.
    looked: Option<(Instant, [i64; 2])>,
    pace: Pace,
    /// The run's, as the page has it.
    state: String,
    /// Whether the page was told anything yet.
    told: bool,
}

impl Follower {
    /// What has changed, and whether more may come; nothing when the run has gone.
    async fn next(&mut self) -> Option<(Vec<Event>, bool)> {
        if std::mem::replace(&mut self.told, true) {
            tokio::time::sleep(EVERY).await;
        }
        let run = match self.changes.message().await {
            Ok(change) => change?.run?,
            // Its user may not look any more, or the ledger is away: the page asks again by itself.
            Err(_) => return None,
        };
        let over = is_over(&run);
        let mut events = match self.news(&run).await {
            Ok(news) => self.changed(news),
            Err(Trouble(problem)) => vec![Event::default().event("trouble").data(problem.detail)],
        };
        events.push(sample(&run));
        // Buttons are for another state now: the page is loaded anew rather than pulled from under somebody's finger.
        if self.state != run_state(run.state()) {
            events.push(Event::default().event("turned").data(if over { "over" } else { "on" }));
        }
        Some((events, !over))
    }

    async fn news(&mut self, run: &Run) -> Result<News, Trouble> {
        let progress = run.progress.unwrap_or_default();
        let now = Instant::now();
        self.pace.note(now, settled(&progress));
        let mut news = News::of(run, Some(self.pace.shown(now)))?;
        let troubles = [progress.dead_letter, progress.in_doubt];
        let (is_due, is_news) = match self.looked {
            None => (true, true),
            Some((at, before)) => (now.duration_since(at) >= LOOK_EVERY || is_over(run), before != troubles),
        };
        (news.failures, news.in_doubt) = (self.shown.failures.clone(), self.shown.in_doubt.clone());
        news.workers = self.shown.workers.clone();
        if is_due {
            if is_news {
                news.failures = plight::failures(&self.site, &self.caller, run).await?;
                news.in_doubt = plight::in_doubt(&self.site, &self.caller, run).await?;
            }
            news.workers = plight::workers(&self.site, &self.caller).await?;
            self.looked = Some((now, troubles));
        }
        Ok(news)
    }

    fn changed(&mut self, news: News) -> Vec<Event> {
        let parts = news.parts().into_iter().zip(self.shown.parts());
        let changed = parts.filter(|((_, now), (_, before))| now != before);
        let events = changed.map(|((name, now), _)| Event::default().event(name).data(now)).collect();
        self.shown = news;
        events
    }
}

/// How long the run has gone on, for the plots; how far it is, for those who listen.
fn sample(run: &Run) -> Event {
    let progress = run.progress.unwrap_or_default();
    let percent = total(&progress).map(|total| share(settled(&progress) + progress.unchanged, total));
    let data = json!({ "seconds": from_wire(run.elapsed.as_ref()).as_secs_f64(), "percent": percent });
    Event::default().event("sample").data(data.to_string())
}
