//! One try of a GET: up to a few copies in flight, the first answer wins and the others are dropped.

use std::pin::Pin;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use super::classify;
use super::host::Host;
use super::notes::{Sent, SentEnding};
use super::transport::{Answer, Exchange, Transport, TransportError};
use crate::spec::Limits;

/// How long a request is given before it counts as slow, while too little is known about the host.
const UNKNOWN: Duration = Duration::from_millis(200);
/// How many times as long the last copy is given, when it is known how long the host usually takes: three copies that
/// are all later than 95% of the others are stalled, and another try is worth more than the rest of the timeout.
const LAST_COPY: u32 = 4;

/// What came of the copies.
pub(crate) struct Race {
    pub(crate) result: Result<Answer, TransportError>,
    /// How many copies were sent beside the first.
    pub(crate) hedges: u32,
    /// Whether one of those answered first.
    pub(crate) hedge_won: bool,
    /// Whether all there is to say is that none of them was answered in time.
    pub(crate) silent: bool,
    /// How long it took.
    pub(crate) took: Duration,
}

struct Finish {
    copy: u32,
    sent: Instant,
    result: Result<Answer, TransportError>,
}

/// An answer that a transport waits for.
type Answering = <Transport as Service<Exchange>>::Future;

/// A try whose first copy is slow.
struct Slow<'a> {
    host: &'a Host,
    /// The most copies in flight.
    most: u32,
    start: Instant,
    deadline: Instant,
    /// How long a copy is given before it counts as slow.
    patience: Duration,
    /// Whether that is by what the host usually takes.
    is_known: bool,
    noted: Noted<'a>,
}

/// Sends a GET, and up to `most` copies of it when it is slow; `exchange` makes one. Each is noted in `sent`, where there is
/// such.
pub(crate) async fn run(
    transport: &mut Transport,
    host: &Host,
    limits: &Limits,
    most: u32,
    exchange: impl Fn() -> Exchange,
    sent: Option<&mut Vec<Sent>>,
) -> Race {
    let start = Instant::now();
    let deadline = start + limits.get_timeout;
    let usual = host.latency.p95();
    let patience = usual.unwrap_or(UNKNOWN).max(limits.hedge_after);
    host.hedges.deposit();
    // One timer serves the hedges and the deadline; most requests end before it rings even once.
    let timer = sleep_until(deadline.min(start + patience));
    tokio::pin!(timer);
    let mut noted = Noted::new(sent);
    noted.sent(start, false);
    let mut first = transport.call(exchange());
    tokio::select! {
        biased;
        result = &mut first => {
            noted.ended(0, &result);
            return ended(host, start, Finish { copy: 0, sent: start, result }, 0);
        }
        () = &mut timer => {}
    }
    let slow = Slow { host, most, start, deadline, patience, is_known: usual.is_some(), noted };
    // In a box: else the future of each request would have room for the copies of the few that are slow.
    Box::pin(with_copies(slow, transport, first, timer, exchange)).await
}

/// Goes on with a try whose first copy is slow. `timer` is one that has rung.
async fn with_copies(
    Slow { host, most, start, mut deadline, patience, is_known, mut noted }: Slow<'_>,
    transport: &mut Transport,
    first: Answering,
    mut timer: Pin<&mut Sleep>,
    exchange: impl Fn() -> Exchange,
) -> Race {
    let mut copies = FuturesUnordered::new();
    let follow =
        |copy: u32, sent: Instant, answering: Answering| async move { Finish { copy, sent, result: answering.await } };
    copies.push(follow(0, start, first));
    let mut hedges = 0;
    let mut next = Next::new(host, start + patience);
    // A failure ends the race only when nothing else will come of it soon.
    let mut failed = None;
    loop {
        let now = Instant::now();
        if now >= deadline {
            noted.silent();
            let silent = failed.is_none();
            let silence = || Finish { copy: 0, sent: start, result: Err(silence_of(now - start)) };
            return Race { silent, ..ended(host, start, failed.unwrap_or_else(silence), hedges) };
        }
        let more = hedges + 1 < most;
        if more && next.waits.is_none() && now >= next.due {
            // The next copy, or another look whether there may be one.
            next.due = now + patience;
            if host.may_hedge() {
                next.waits = Some(host.rate().boxed());
            } else if let Some(failed) = failed.take() {
                return ended(host, start, failed, hedges);
            }
        }
        if !more && hedges > 0 && is_known {
            deadline = deadline.min(now + patience * LAST_COPY);
        }
        timer.as_mut().reset(if more && next.waits.is_none() { deadline.min(next.due) } else { deadline });
        tokio::select! {
            biased;
            Some(finish) = copies.next() => {
                noted.ended(finish.copy, &finish.result);
                let good = matches!(&finish.result, Ok(answer) if !answer.status.is_server_error());
                if good || !more || copies.is_empty() {
                    return ended(host, start, finish, hedges);
                }
                failed = Some(finish);
            }
            () = next.allowed(), if next.waits.is_some() => {
                let now = Instant::now();
                next.due = now + patience;
                if next.takes_it() {
                    hedges += 1;
                    noted.sent(now, true);
                    copies.push(follow(hedges, now, transport.call(exchange())));
                }
            }
            () = &mut timer => {}
        }
    }
}

/// The copies of one try, for whoever wants to know of them.
struct Noted<'a> {
    sent: Option<&'a mut Vec<Sent>>,
    /// Where the first of them stands.
    first: usize,
}

impl<'a> Noted<'a> {
    fn new(sent: Option<&'a mut Vec<Sent>>) -> Self {
        let first = sent.as_ref().map_or(0, |sent| sent.len());
        Self { sent, first }
    }

    fn sent(&mut self, at: Instant, hedge: bool) {
        if let Some(sent) = &mut self.sent {
            let resend = u32::try_from(sent.len()).unwrap_or(u32::MAX);
            sent.push(Sent { at, took: Duration::ZERO, resend, hedge, ending: SentEnding::Outrun });
        }
    }

    fn ended(&mut self, copy: u32, result: &Result<Answer, TransportError>) {
        if let Some(sent) = self.sent.as_mut().and_then(|sent| sent.get_mut(self.first + copy as usize)) {
            (sent.took, sent.ending) = (sent.at.elapsed(), SentEnding::of(result));
        }
    }

    /// None of those still under way was answered in time.
    fn silent(&mut self) {
        for sent in self.under_way() {
            (sent.took, sent.ending) = (sent.at.elapsed(), SentEnding::Broken);
        }
    }

    fn under_way(&mut self) -> impl Iterator<Item = &mut Sent> {
        let all = self.sent.iter_mut().flat_map(|sent| sent.iter_mut());
        all.skip(self.first).filter(|sent| sent.ending == SentEnding::Outrun)
    }
}

impl Drop for Noted<'_> {
    /// The race is over: those that are still under way have been waited for until now.
    fn drop(&mut self) {
        for sent in self.under_way() {
            sent.took = sent.at.elapsed();
        }
    }
}

/// The copy that comes next.
struct Next<'a> {
    host: &'a Host,
    /// When it is time for it.
    due: Instant,
    /// It waits for the rate as any other request, and the budget of hedges has paid for it.
    waits: Option<BoxFuture<'a, ()>>,
}

impl<'a> Next<'a> {
    fn new(host: &'a Host, due: Instant) -> Self {
        Self { host, due, waits: None }
    }

    async fn allowed(&mut self) {
        if let Some(waits) = &mut self.waits {
            waits.await;
        }
    }

    /// Whether it goes out now that the rate allows it: not to a host that was closed meanwhile.
    fn takes_it(&mut self) -> bool {
        let is_open = self.host.closed_for().is_none();
        if is_open {
            self.waits = None;
        } else {
            self.give_up();
        }
        is_open
    }

    fn give_up(&mut self) {
        if self.waits.take().is_some() {
            self.host.hedges.refund(1);
        }
    }
}

impl Drop for Next<'_> {
    /// The race is over before it went out.
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The end of a race that began at `start`, and what it teaches about the host.
fn ended(host: &Host, start: Instant, finish: Finish, hedges: u32) -> Race {
    let Finish { copy, sent, result } = finish;
    let now = Instant::now();
    if let Ok(answer) = &result {
        let served = !answer.status.is_server_error() && !classify::is_overload(answer);
        host.latency.record(now.duration_since(sent), served, host.limiter.limit());
        host.hedges.refund(copy);
    }
    let hedge_won = copy > 0 && result.is_ok();
    Race { result, hedges, hedge_won, silent: false, took: now.duration_since(start) }
}

pub(crate) fn silence_of(time: Duration) -> TransportError {
    TransportError::Broken(format!("no answer within {} ms", time.as_millis()))
}
