//! A rate that is shared with other processes: times are reserved for the requests that wait here, and each goes out at
//! one of them.

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::Fleet;
use crate::spec::Rate;

/// More times are asked for when the last one is nearer than this: as long as a disk or a process may stand still now and
/// then.
const AHEAD: Duration = Duration::from_millis(200);
/// How long an answer takes at least, and until one has come.
const LEAST_LEAD: Duration = Duration::from_millis(5);
/// As long as anything may take that is waited for.
const MOST_LEAD: Duration = Duration::from_secs(2);
/// A time that has passed by more than this part of the rate's own time is not used: many requests that go out late
/// at once are what a rate is to prevent. Less than what the reserved times leave of the rate.
const SLACK: u32 = 50;
/// A hiccup of a process is forgiven; what a person would notice is not.
const SLACKS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// Lets requests through at times that are reserved for them, first come first served.
pub(crate) struct SharedRate {
    host: String,
    fleet: Arc<dyn Fleet>,
    slack: Duration,
    waiting: AtomicUsize,
    times: Mutex<Times>,
}

/// What only the first in the queue looks at.
struct Times {
    /// Reserved, ascending.
    reserved: VecDeque<Instant>,
    /// A question on its way: it outlives whoever asked it.
    question: Option<Question>,
    /// How long the last answer took that nothing was left to wait for.
    lead: Duration,
    /// How long answers take when they take long, of late.
    slow: Duration,
}

struct Question {
    sent: Instant,
    /// Nothing was left when it was asked, so somebody waits for the answer and for nothing else.
    is_urgent: bool,
    answer: BoxFuture<'static, Vec<Instant>>,
}

impl SharedRate {
    pub(crate) fn new(host: String, rate: Rate, fleet: Arc<dyn Fleet>) -> Self {
        let times = Times { reserved: VecDeque::new(), question: None, lead: LEAST_LEAD, slow: LEAST_LEAD };
        let slack = (rate.per / SLACK).clamp(SLACKS.0, SLACKS.1);
        Self { host, fleet, slack, waiting: AtomicUsize::new(0), times: Mutex::new(times) }
    }

    /// Waits until one more request may go out. Whoever stops waiting has taken nothing.
    pub(crate) async fn take(&self) {
        let _waits = Waits::new(&self.waiting);
        let mut times = self.times.lock().await;
        // Those who begin to wait together are asked for together.
        tokio::task::yield_now().await;
        loop {
            let now = Instant::now();
            times.forget(now, self.slack);
            self.ask(&mut times, now);
            let due = times.reserved.front().copied();
            if due.is_some_and(|at| at <= now) {
                times.reserved.pop_front();
                return;
            }
            let question = &mut times.question;
            let answered = async {
                match question {
                    Some(question) => (&mut question.answer).await,
                    None => pending().await,
                }
            };
            let arrived = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                reserved = answered => times.take_in(reserved),
                () = arrived => {}
            }
        }
    }

    /// Asks for as many times as are wanted and not reserved, once what is reserved ends soon.
    fn ask(&self, times: &mut Times, now: Instant) {
        let wanted = self.waiting.load(Ordering::Relaxed).saturating_sub(times.reserved.len());
        let ahead = AHEAD.max(times.slow * 2);
        let ends_soon = times.reserved.back().is_none_or(|last| *last < now + ahead);
        if times.question.is_some() || wanted == 0 || !ends_soon {
            return;
        }
        let count = u32::try_from(wanted).unwrap_or(u32::MAX);
        let is_urgent = times.reserved.is_empty();
        let answer = self.fleet.reserve(&self.host, count, times.lead);
        times.question = Some(Question { sent: now, is_urgent, answer });
    }
}

impl Times {
    /// Those that passed too long ago.
    fn forget(&mut self, now: Instant, slack: Duration) {
        let passed = self.reserved.partition_point(|at| *at + slack < now);
        if passed > 0 {
            self.reserved.drain(..passed);
            tracing::debug!(passed, left = self.reserved.len(), "times to send at have passed unused");
        }
    }

    fn take_in(&mut self, reserved: Vec<Instant>) {
        let Some(question) = self.question.take() else { return };
        self.reserved.extend(reserved);
        let took = question.sent.elapsed().clamp(LEAST_LEAD, MOST_LEAD);
        self.slow = took.max(self.slow - self.slow / 64);
        if question.is_urgent {
            // Not a moment more: it is lost whenever nothing was left. What the next answer takes longer costs those of
            // its times that have passed by then, and no others.
            self.lead = took;
        }
    }
}

impl fmt::Debug for SharedRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRate").field("host", &self.host).field("fleet", &self.fleet).finish_non_exhaustive()
    }
}

/// One that waits, until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
