//! The requester over a scripted transport, on tokio's own clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneSyncService;
use url::Url;

use super::transport::{Answer, BodyEnd, Exchange, TransportError};
use super::*;
use crate::spec::Limits;
use crate::target::Delivery;

mod notes;
mod outage;
mod tokens;

/// What the n-th request (from 0) meets: a status after a time, with headers.
type Script = fn(u32) -> (Duration, u16, &'static [(&'static str, &'static str)]);

struct Scripted {
    requester: Requester,
    sent: Arc<Mutex<Vec<Instant>>>,
}

fn scripted(limits: Limits, script: Script) -> Scripted {
    let count = Arc::new(AtomicU32::new(0));
    let sent = Arc::new(Mutex::new(Vec::new()));
    let times = Arc::clone(&sent);
    let transport = BoxCloneSyncService::new(tower::service_fn(move |_: Exchange| {
        let (after, status, headers) = script(count.fetch_add(1, Ordering::Relaxed));
        lock(&times).push(Instant::now());
        async move {
            sleep(after).await;
            if status == 0 {
                return Err(TransportError::Broken("reset".to_owned()));
            }
            let pairs = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let headers: HeaderMap = pairs.collect();
            let status = StatusCode::from_u16(status).unwrap();
            Ok(Answer { status, headers, body: Bytes::from_static(b"{}"), end: BodyEnd::Whole })
        }
    }));
    Scripted {
        requester: Requester::with(
            transport,
            limits,
            Credentials::nobody(),
            &RequesterConfig { seed: 7, ..RequesterConfig::default() },
        ),
        sent,
    }
}

impl Scripted {
    async fn get(&self) -> (Result<Bytes, FetchError>, Cost) {
        self.requester.get(&Url::parse("http://host.test/").unwrap(), Get::Detail).await
    }

    /// A GET that succeeds, and what it cost: tries and hedges.
    async fn got(&self) -> (u32, u32) {
        let (result, cost) = self.get().await;
        result.unwrap();
        (cost.attempts, cost.hedges)
    }

    /// A GET that fails.
    async fn failed(&self) -> FetchError {
        self.get().await.0.unwrap_err()
    }

    /// When each request was sent, in whole milliseconds after the first.
    fn sent(&self) -> Vec<u128> {
        let sent = lock(&self.sent);
        sent.iter().map(|time| time.duration_since(sent[0]).as_millis()).collect()
    }
}

const FOREVER: Duration = Duration::from_secs(1 << 30);

#[tokio::test(start_paused = true)]
async fn a_second_and_a_third_copy_go_out_while_none_answers() {
    let scripted = scripted(Limits::default(), |number| (if number < 2 { FOREVER } else { Duration::ZERO }, 200, &[]));
    assert_eq!(scripted.got().await, (1, 2));
    assert_eq!(scripted.sent(), [0, 200, 400]);
}

#[tokio::test(start_paused = true)]
async fn when_all_copies_stall_the_try_ends_at_its_timeout() {
    let scripted = scripted(Limits { get_attempts: 1, ..Limits::default() }, |_| (FOREVER, 200, &[]));
    let start = Instant::now();
    let error = scripted.failed().await;
    assert_eq!(start.elapsed().as_millis(), 3000);
    let last = "no answer within 3000 ms".to_owned();
    assert!(error.advice().contains("limits.get_timeout: raise that"), "{}", error.advice());
    assert_eq!(error, FetchError::GivenUp { attempts: 1, last, status: None, silent: true });
    assert_eq!(scripted.sent().len(), 3, "three copies and no more");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_fails_does_not_end_the_race_while_another_may_go_out() {
    let script: Script = |number| match number {
        0 => (FOREVER, 200, &[]),
        1 => (Duration::ZERO, 500, &[]),
        _ => (Duration::ZERO, 200, &[]),
    };
    let scripted = scripted(Limits::default(), script);
    assert_eq!(scripted.got().await, (1, 2));
}

#[tokio::test(start_paused = true)]
async fn when_the_last_copy_fails_the_stalled_ones_are_not_waited_for() {
    let script: Script = |number| match number {
        0 | 1 => (FOREVER, 200, &[]),
        2 => (Duration::ZERO, 500, &[]),
        _ => (Duration::ZERO, 200, &[]),
    };
    let scripted = scripted(Limits::default(), script);
    let start = Instant::now();
    assert_eq!(scripted.got().await.0, 2);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn patience_follows_what_the_host_usually_takes() {
    let script: Script = |number| match number {
        0..200 => (Duration::from_millis(4), 200, &[]),
        200 => (FOREVER, 200, &[]),
        _ => (Duration::from_millis(4), 200, &[]),
    };
    let scripted = scripted(Limits::default(), script);
    for _ in 0..200 {
        scripted.got().await;
    }
    let start = Instant::now();
    assert_eq!(scripted.got().await.1, 1);
    assert_eq!(start.elapsed().as_millis(), 54, "50 ms of patience and the answer of the hedge");
}

#[tokio::test(start_paused = true)]
async fn copies_that_are_all_later_than_usual_make_room_for_another_try() {
    let script: Script = |number| match number {
        200..203 => (FOREVER, 200, &[]),
        _ => (Duration::from_millis(4), 200, &[]),
    };
    let scripted = scripted(Limits::default(), script);
    for _ in 0..200 {
        scripted.got().await;
    }
    let start = Instant::now();
    assert_eq!(scripted.got().await, (2, 2));
    // Copies after 50 and 100 ms, the last one has 200 ms; then a pause of up to 50 ms.
    assert!((304..=356).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_the_budget_denies_is_asked_for_again() {
    // A budget of ten: all twelve first requests stall, and each hedge that wins gives its own back.
    let script: Script = |number| (if number < 12 { FOREVER } else { Duration::from_millis(1) }, 200, &[]);
    let scripted = scripted(Limits { hedge_copies: 2, ..Limits::default() }, script);
    let start = Instant::now();
    let all = futures::future::join_all((0..12).map(|_| scripted.got())).await;
    assert!(all.iter().all(|cost| *cost == (1, 1)), "{all:?}");
    assert_eq!(start.elapsed().as_millis(), 401);
}

#[tokio::test(start_paused = true)]
async fn hedging_can_be_switched_off() {
    let limits = Limits { hedge_copies: 1, get_attempts: 2, ..Limits::default() };
    let scripted = scripted(limits, |_| (FOREVER, 200, &[]));
    scripted.failed().await;
    assert_eq!(scripted.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn hedges_are_bounded_when_a_host_is_slow_for_everyone() {
    // Slow enough that each GET looks like a stall, and each hedge is as slow as its original.
    let limits = Limits { concurrency: 1, ..Limits::default() };
    let scripted = scripted(limits, |_| (Duration::from_millis(900), 200, &[]));
    for _ in 0..400 {
        scripted.got().await;
    }
    let stats = scripted.requester.stats();
    assert!(stats.hedges <= 10 + 400 / 20, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn retries_back_off_with_full_jitter_from_the_seed() {
    let limits = Limits { get_attempts: 8, ..Limits::default() };
    let script: Script = |_| (Duration::ZERO, 500, &[]);
    let (one, two) = (scripted(limits.clone(), script), scripted(limits, script));
    assert!(matches!(one.failed().await, FetchError::GivenUp { attempts: 8, status: Some(500), .. }));
    two.failed().await;
    assert_eq!(one.sent(), two.sent(), "the same seed waits the same");
    let gaps: Vec<u128> = one.sent().windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (index, gap) in gaps.iter().enumerate() {
        // A timer rings at the end of its millisecond.
        assert!(*gap <= (50 << index).min(3000) + 1, "{gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_leaves_the_whole_host_alone() {
    let script: Script = |number| match number {
        0 => (Duration::ZERO, 429, &[("retry-after", "5")]),
        _ => (Duration::ZERO, 200, &[]),
    };
    let scripted = scripted(Limits::default(), script);
    let (one, two) = tokio::join!(scripted.got(), async {
        sleep(Duration::from_millis(1)).await;
        scripted.got().await
    });
    assert_eq!((one.0, two.0), (2, 1));
    let sent = scripted.sent();
    assert!(sent.len() == 3 && sent[1] >= 5000 && sent[2] >= 5000, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_after_holds_for_those_who_queued_before_it_came() {
    let script: Script = |number| match number {
        0 => (Duration::from_millis(100), 429, &[("retry-after", "5")]),
        _ => (Duration::ZERO, 200, &[]),
    };
    let scripted = scripted(Limits { concurrency: 1, ..Limits::default() }, script);
    tokio::join!(scripted.got(), scripted.got());
    let sent = scripted.sent();
    assert!(sent.len() == 3 && sent[1] >= 5000 && sent[2] >= 5000, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_within_bounds_only() {
    let script: Script = |number| match number {
        0 => (Duration::ZERO, 503, &[("retry-after", "86400")]),
        _ => (Duration::ZERO, 200, &[]),
    };
    let scripted = scripted(Limits::default(), script);
    scripted.got().await;
    assert!((60_000..61_000).contains(&scripted.sent()[1]), "{:?}", scripted.sent());
    assert_eq!(scripted.requester.stats().throttled, 1);
}

#[test]
fn retry_after_is_read_in_seconds_and_as_a_date() {
    let read =
        |text: &str| classify::retry_after(&HeaderMap::from_iter([(http::header::RETRY_AFTER, text.parse().unwrap())]));
    assert_eq!(read("120"), Some(Duration::from_secs(120)));
    assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
    let soon = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(3600));
    assert!((3500..=3600).contains(&read(&soon).unwrap().as_secs()));
    assert_eq!(read("soon"), None);
    assert_eq!(read("-1"), None);
}

#[tokio::test(start_paused = true)]
async fn a_dead_host_sees_few_retries_and_no_record_is_lost_to_the_budget() {
    let limits = Limits { get_attempts: 5, concurrency: 64, ..Limits::default() };
    let scripted = scripted(limits, |_| (Duration::ZERO, 0, &[]));
    let results = futures::future::join_all((0..100).map(|_| scripted.get())).await;
    let given_up = |(result, cost): &(Result<_, _>, Cost)| {
        matches!(result, Err(FetchError::GivenUp { attempts: 5, .. })) && cost.attempts == 5
    };
    assert!(results.iter().all(given_up));
    let sent = scripted.sent();
    assert_eq!(sent.len(), 500, "each had all its tries");
    // 100 first tries; 20 retries paid by them, a burst of 10, and then one a second.
    let early = sent.iter().filter(|time| **time <= 10_000).count();
    assert!(early <= 100 + 30 + 11, "{early}");
}

/// A delivery whose body does not matter.
fn nothing() -> Delivery<'static> {
    Delivery { run: "run", ids: Vec::new(), records: Vec::new(), body: Bytes::from_static(b"[]"), key: "k" }
}

#[tokio::test(start_paused = true)]
async fn a_post_waits_for_its_answer_until_its_deadline_and_is_never_sent_twice() {
    let yaml = crate::built_in("animals").unwrap();
    let compiled = crate::Pipeline::from_yaml(yaml, "animals").unwrap().compile(&BTreeMap::new()).unwrap();
    for (deadline, waited) in [(60_000, 25_000), (8_000, 8_000)] {
        let scripted = scripted(Limits::default(), |_| (FOREVER, 200, &[]));
        let start = Instant::now();
        let deadline = start + Duration::from_millis(deadline);
        let outcome =
            scripted.requester.post(compiled.target().http().unwrap(), &nothing(), deadline, Turn::default()).await;
        assert!(matches!(outcome, PostOutcome::InDoubt { status: None, .. }), "{outcome:?}");
        assert_eq!((start.elapsed().as_millis(), scripted.sent().len()), (waited, 1));
    }
}
