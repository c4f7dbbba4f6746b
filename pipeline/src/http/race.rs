//! One try of a GET: up to a few copies in flight, the first answer wins and the others are dropped.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};
use tower::Service;

use super::host::Host;
use super::transport::{Answer, Exchange, Transport, TransportError};
use crate::spec::Limits;

/// How long a request is given before it counts as slow, while too little is known about the host.
const UNKNOWN: Duration = Duration::from_millis(200);

/// What came of the copies.
pub(crate) struct Race {
    /// `None` when none answered in time.
    pub(crate) result: Option<Result<Answer, TransportError>>,
    /// How many copies were sent beside the first.
    pub(crate) hedges: u32,
    /// Whether one of those answered first.
    pub(crate) hedge_won: bool,
}

struct Finish {
    copy: u32,
    sent: Instant,
    result: Result<Answer, TransportError>,
}

/// Sends a GET, and copies of it when it is slow.
pub(crate) async fn run(transport: &mut Transport, host: &Host, limits: &Limits, exchange: &Exchange) -> Race {
    let start = Instant::now();
    let deadline = start + limits.get_timeout;
    let patience = host.latency.p95().unwrap_or(UNKNOWN).max(limits.hedge_after);
    host.hedges.deposit();
    // One timer serves the hedges and the deadline; most requests end before it rings even once.
    let timer = sleep_until(deadline.min(start + patience));
    tokio::pin!(timer);
    let mut first = transport.call(exchange.clone());
    tokio::select! {
        biased;
        result = &mut first => {
            if result.is_ok() {
                host.latency.record(start.elapsed());
            }
            return Race { result: Some(result), hedges: 0, hedge_won: false };
        }
        () = &mut timer => {}
    }

    let mut copies = FuturesUnordered::new();
    let follow = |copy: u32, sent: Instant, answering| async move { Finish { copy, sent, result: answering.await } };
    copies.push(follow(0, start, first));
    let mut hedges = 0;
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Race { result: None, hedges, hedge_won: false };
        }
        let mut more = hedges + 1 < limits.hedge_copies && host.hedges.try_take();
        if more {
            hedges += 1;
            more = hedges + 1 < limits.hedge_copies;
            copies.push(follow(hedges, now, transport.call(exchange.clone())));
        }
        timer.as_mut().reset(if more { deadline.min(now + patience) } else { deadline });
        loop {
            tokio::select! {
                biased;
                finished = copies.next() => match finished {
                    Some(Finish { copy, sent, result }) => {
                        let good = matches!(&result, Ok(answer) if !answer.status.is_server_error());
                        // A failure ends the race only when nothing else will come of it soon.
                        if !good && more && !copies.is_empty() {
                            continue;
                        }
                        let hedge_won = copy > 0 && result.is_ok();
                        if hedge_won {
                            host.hedges.refund();
                        }
                        if result.is_ok() {
                            host.latency.record(sent.elapsed());
                        }
                        return Race { result: Some(result), hedges, hedge_won };
                    }
                    None => return Race { result: None, hedges, hedge_won: false },
                },
                () = &mut timer => break,
            }
        }
    }
}
