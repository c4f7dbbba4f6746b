//! What is given back, and what is named.

use futures::FutureExt;
use muster_proto::v1::LeasedPart;

use super::*;

/// Leases of so many records each, the oldest first.
fn holding(leases: &HeldLeases, records: &[usize]) -> Vec<Arc<HeldLease>> {
    let adopt = |(number, records): (usize, &usize)| {
        let parts = vec![LeasedPart { record_ids: vec!["7".to_owned(); *records], ..LeasedPart::default() }];
        let lease = Lease { lease_token: format!("token-{number}"), parts, ..Lease::default() };
        leases.adopt(&lease, &LeasedRun::default(), Instant::now()).unwrap()
    };
    records.iter().enumerate().map(adopt).collect()
}

fn wanted(held: &[Arc<HeldLease>]) -> Vec<usize> {
    (0..held.len()).filter(|at| held[*at].stop() == Stop::Wanted).collect()
}

#[test]
fn the_youngest_leases_without_work_are_given_back() {
    let leases = HeldLeases::default();
    let held = holding(&leases, &[10, 10, 10, 10, 10]);
    assert!(held[0].begin() && held[3].begin());
    assert_eq!(leases.give_back(2, 5, Instant::now()), 2);
    assert_eq!(wanted(&held), [2, 4]);
    assert!(!held[4].begin() && held[1].begin() && held[0].begin());
    assert_eq!(leases.give_back(9, 5, Instant::now()), 0, "all others are worked on");
}

#[test]
fn what_keeps_the_slots_busy_is_not_given_back() {
    let leases = HeldLeases::default();
    let held = holding(&leases, &[10, 4, 10]);
    held[0].begin();
    (0..7).for_each(|_| held[0].record_fetched());
    assert_eq!(leases.give_back(9, 8, Instant::now()), 1);
    assert_eq!(wanted(&held), [1], "with the larger one it would be seven");
}

#[test]
fn a_lease_that_is_given_back_stops_for_more_serious_reasons_too() {
    let leases = HeldLeases::default();
    let held = holding(&leases, &[10, 10]);
    leases.give_back(1, 0, Instant::now());
    leases.drain(Instant::now());
    assert_eq!((held[0].stop(), held[1].stop()), (Stop::Draining, Stop::Draining));
    assert_eq!(leases.give_back(9, 0, Instant::now()), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_in_stock_for_a_while_after_others_wanted_leases() {
    let leases = HeldLeases::default();
    let now = Instant::now();
    assert_eq!((leases.without_stock_until(now), leases.wanted_since(now)), (None, false));
    leases.give_back(1, 0, now);
    assert_eq!(leases.without_stock_until(now), Some(now + WITHOUT_STOCK));
    assert!(leases.wanted_since(now) && !leases.wanted_since(now + Duration::from_millis(1)));
    assert_eq!(leases.without_stock_until(now + WITHOUT_STOCK), None);
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_report_was_refused_is_named_until_its_time_has_passed() {
    let leases = HeldLeases::default();
    let (lease, run) = (Lease { lease_token: "token".into(), ..Lease::default() }, LeasedRun::default());
    let held = leases.adopt(&lease, &run, Instant::now()).unwrap();
    leases.renewed("token", Instant::now() + Duration::from_secs(15));
    leases.refused(&held);
    leases.remove(&held);
    assert_eq!((leases.tokens(), leases.load(&Standing::default()).leases), (vec!["token".to_owned()], 0));
    assert!(leases.renewable().is_empty(), "or it would never end");
    assert!(leases.adopt(&lease, &run, Instant::now()).is_none());
    tokio::time::advance(Duration::from_secs(15) + CALL_DEADLINE).await;
    assert!(leases.tokens().is_empty());
}

#[test]
fn of_the_records_that_are_fetched_only_the_awaited_one_is_told() {
    let leases = HeldLeases::default();
    let held = holding(&leases, &[10, 10]);
    let is_told = |fetched| leases.changed(fetched).now_or_never().is_some();
    let fetch = || held[0].record_fetched();
    (0..3).for_each(|_| fetch());
    assert!(!is_told(None) && !is_told(Some(4)), "three are fetched, and nobody waited for one");
    let mut waits = Box::pin(leases.changed(Some(leases.fetched() + 2)));
    assert!(waits.as_mut().now_or_never().is_none());
    fetch();
    assert!(waits.as_mut().now_or_never().is_none());
    held[1].record_fetched();
    assert!(waits.as_mut().now_or_never().is_some(), "whose it is does not matter");
    fetch();
    assert!(!is_told(None), "nor any after it");
    assert!(is_told(Some(5)) && is_told(Some(6)), "so many are fetched already");
    held[1].fetch_over();
    assert!(is_told(None) && !is_told(None), "all else is told, once");
}

/// Whichever is first, the one or the other: nobody waits for what has been.
#[test]
fn a_record_that_is_fetched_just_when_the_wait_begins_is_not_missed() {
    for _ in 0..2_000 {
        let leases = HeldLeases::default();
        let held = holding(&leases, &[1]);
        let waits = Box::pin(leases.changed(Some(1)));
        let waits = std::thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                let mut waits = waits;
                waits.as_mut().now_or_never().is_none().then_some(waits)
            });
            held[0].record_fetched();
            waiting.join().unwrap()
        });
        assert!(waits.is_none_or(|waits| waits.now_or_never().is_some()));
    }
}
