//! What is noted of each request.

use super::*;

/// When each was sent and how long it took, in milliseconds; how many there were before it; whether it is a hedge.
type Noted = (u128, u128, u32, bool, SentEnding);

async fn noted(scripted: &Scripted) -> Vec<Noted> {
    let url = Url::parse("http://host.test/").unwrap();
    let (_, _, sent) = scripted.requester.get_noting(&url, Get::Detail, true).await;
    let first = sent[0].at;
    let millis = |time: Duration| time.as_millis();
    sent.iter().map(|one| (millis(one.at - first), millis(one.took), one.resend, one.hedge, one.ending)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_try_and_each_copy_is_noted_with_what_came_of_it() {
    let script: Script = |number| match number {
        0 => (Duration::from_millis(10), 0, &[]),
        1 => (FOREVER, 200, &[]),
        2 => (Duration::from_millis(5), 500, &[]),
        _ => (Duration::from_millis(7), 200, &[]),
    };
    let limits = Limits { backoff: Duration::ZERO, ..Limits::default() };
    let found = noted(&scripted(limits, script)).await;
    let ended: Vec<_> =
        found.iter().map(|(_, took, resend, hedge, ending)| (*took, *resend, *hedge, *ending)).collect();
    assert_eq!(
        ended,
        [
            (10, 0, false, SentEnding::Broken),
            (407, 1, false, SentEnding::Outrun),
            (5, 2, true, SentEnding::Answered(500)),
            (7, 3, true, SentEnding::Answered(200)),
        ]
    );
    assert!(found.is_sorted(), "in the order of their sending: {found:?}");
}

#[tokio::test(start_paused = true)]
async fn copies_that_nobody_answers_in_time_are_broken_and_none_is_noted_unless_asked_for() {
    let silent = scripted(Limits { get_attempts: 1, ..Limits::default() }, |_| (FOREVER, 200, &[]));
    let found = noted(&silent).await;
    let broken = SentEnding::Broken;
    assert_eq!(found, [(0, 3000, 0, false, broken), (200, 2800, 1, true, broken), (400, 2600, 2, true, broken)]);
    let url = Url::parse("http://host.test/").unwrap();
    assert!(silent.requester.get_noting(&url, Get::Detail, false).await.2.is_empty());
}

/// How long a GET was held back, and how long it took.
async fn waited(limits: Limits, script: Script) -> (Duration, Duration) {
    let scripted = scripted(limits, script);
    let began = Instant::now();
    let (result, cost) = scripted.get().await;
    result.unwrap();
    (cost.waited, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn what_a_get_is_held_back_for_is_counted_and_answers_are_not() {
    let answer = Duration::from_millis(100);
    let at_once = waited(Limits::default(), |_| (Duration::from_millis(100), 200, &[])).await;
    assert_eq!(at_once, (Duration::ZERO, answer), "nothing but its answer was waited for");
    let limits = Limits { backoff: Duration::ZERO, ..Limits::default() };
    let script: Script = |number| match number {
        0 => (Duration::from_millis(100), 503, &[("retry-after", "2")]),
        _ => (Duration::from_millis(100), 200, &[]),
    };
    let (held, took) = waited(limits, script).await;
    assert!(held >= Duration::from_secs(2) && took == held + 2 * answer, "left alone: {held:?} of {took:?}");
    let backoff = Duration::from_secs(5);
    let limits = Limits { backoff, backoff_max: backoff, ..Limits::default() };
    let script: Script = |number| (Duration::from_millis(100), if number == 0 { 500 } else { 200 }, &[]);
    let (held, took) = waited(limits, script).await;
    assert!(!held.is_zero() && took == held + 2 * answer, "before it is sent again: {held:?} of {took:?}");
}
