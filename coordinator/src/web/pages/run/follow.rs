//! A run's page while it goes on: whatever part has changed is sent again, at most once a second. What is sent is of the size
//! of the page, however many records there are.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::StreamExt;
use futures::stream;
use muster_proto::v1::{Run, WatchRunResponse};
use serde_json::json;
use tonic::Streaming;

use super::super::super::api::following;
use super::super::super::inside::Caller;
use super::super::super::site::Site;
use super::super::frame::operates;
use super::super::{Trouble, run_of};
use super::news::News;
use super::{age, is_over, plight, told};
use crate::words::numbers::from_wire;
use crate::words::pace::Pace;
use crate::words::progress::{settled, share, total};
use crate::words::run_state;

/// How often a page is told at most.
const EVERY: Duration = Duration::from_secs(1);
/// How often the ledger is asked for what a run does not tell of itself.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// What a look has cost is a small part of the time until the next, however much there is to see.
const REST: u32 = 50;

/// When to look again after a look that took so long.
fn pause(took: Duration) -> Duration {
    LOOK_EVERY.max(took * REST)
}

/// The news as server-sent events, for a page that has the run in this state.
pub(super) fn stream(site: Site, caller: Caller, changes: Streaming<WatchRunResponse>, state: String) -> Response {
    let stop = site.break_off.clone();
    let (shown, pace) = (News::default(), Pace::default());
    let follower = Follower { site, caller, changes, run: None, shown, looked: None, pace, state, told: false };
    let events = stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        let (events, goes_on) = follower.next().await?;
        Some((stream::iter(events.into_iter().map(Ok::<_, Infallible>)), goes_on.then_some(follower)))
    });
    let events = events.flatten().take_until(stop.cancelled_owned());
    following(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Follower {
    site: Site,
    caller: Caller,
    changes: Streaming<WatchRunResponse>,
    /// As it was told last, and when.
    run: Option<(Run, Instant)>,
    /// As the page has it.
    shown: News,
    looked: Option<Looked>,
    pace: Pace,
    /// The run's, as the page has it.
    state: String,
    /// Whether the page was told anything yet.
    told: bool,
}

/// What was found when the ledger was asked last.
struct Looked {
    /// Before this it is not asked again.
    next: Instant,
    /// Dead letters and doubts.
    troubles: [i64; 2],
    /// Somebody is still to be told of it.
    tells: bool,
}

impl Follower {
    /// What has changed, and whether more may come; nothing when the run has gone.
    async fn next(&mut self) -> Option<(Vec<Event>, bool)> {
        if std::mem::replace(&mut self.told, true) {
            tokio::time::sleep(EVERY).await;
        }
        let run = self.heard().await?;
        let over = is_over(&run);
        let (mut events, is_shown) = match self.news(&run).await {
            Ok(news) => (self.changed(news), true),
            Err(Trouble(problem)) => (vec![Event::default().event("trouble").data(problem.detail)], false),
        };
        events.push(sample(&run));
        let state = run_state(run.state());
        if self.state != state {
            state.clone_into(&mut self.state);
            events.push(Event::default().event("turned").data(if over { "over" } else { "on" }));
        }
        let goes_on = !(over && is_shown) || self.looked.as_ref().is_some_and(|looked| looked.tells);
        if !goes_on {
            events.push(Event::default().event("end").data(state));
        }
        Some((events, goes_on))
    }

    /// The run as it is now; nothing when it has gone. One of which nothing is heard goes on as well: it has taken longer. One
    /// that is over is not heard of any more: it is asked for, as often as the ledger is.
    async fn heard(&mut self) -> Option<Run> {
        if let Some((over, _)) = self.run.as_ref().filter(|(run, _)| is_over(run)) {
            let next = self.looked.as_ref().map_or_else(|| Instant::now() + LOOK_EVERY, |looked| looked.next);
            tokio::time::sleep_until(next.into()).await;
            let run = run_of(&self.site, &self.caller, &over.run_id).await.ok()?;
            self.run = Some((run.clone(), Instant::now()));
            return Some(run);
        }
        let next = self.changes.message();
        let told = match &self.run {
            None => next.await,
            Some((last, at)) => match tokio::time::timeout(LOOK_EVERY, next).await {
                Ok(told) => told,
                Err(_) => return Some(later(last, at.elapsed())),
            },
        };
        // Its user may not look any more, or the ledger is away: the page asks again by itself.
        let run = told.ok()??.run?;
        self.run = Some((run.clone(), Instant::now()));
        Some(run)
    }

    async fn news(&mut self, run: &Run) -> Result<News, Trouble> {
        let progress = run.progress.unwrap_or_default();
        let now = Instant::now();
        self.pace.note(now, settled(&progress));
        let operates = operates(&self.site, &self.caller);
        let mut news = News::of(run, operates, Some(self.pace.shown(now)))?;
        let troubles = [progress.dead_letter, progress.in_doubt];
        let (is_due, is_news) = match &self.looked {
            None => (true, true),
            Some(looked) => (now >= looked.next || is_over(run), looked.troubles != troubles),
        };
        (news.failures, news.in_doubt) = (self.shown.failures.clone(), self.shown.in_doubt.clone());
        (news.notices, news.workers) = (self.shown.notices.clone(), self.shown.workers.clone());
        if is_due {
            // What is heard of a run does not say who was told.
            let whole = run_of(&self.site, &self.caller, &run.run_id).await?;
            news.notices = told::notices(&whole)?;
            if is_news {
                news.failures = plight::failures(&self.site, &self.caller, run).await?;
                news.in_doubt = plight::in_doubt(&self.site, &self.caller, run).await?;
            }
            news.workers = plight::workers(&self.site, &self.caller, run).await?;
            let tells = told::are_under_way(&whole);
            self.looked = Some(Looked { next: Instant::now() + pause(now.elapsed()), troubles, tells });
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
    let data = json!({ "seconds": age(run).as_secs_f64(), "percent": percent });
    Event::default().event("sample").data(data.to_string())
}

/// The same run when so much more time has passed.
fn later(run: &Run, passed: Duration) -> Run {
    let elapsed = from_wire(run.elapsed.as_ref()) + passed;
    Run { elapsed: elapsed.try_into().ok(), ..run.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_costs_to_look_is_little_of_the_time() {
        assert_eq!(pause(Duration::ZERO), LOOK_EVERY);
        assert_eq!(pause(Duration::from_secs(2)), Duration::from_secs(100));
    }
}
