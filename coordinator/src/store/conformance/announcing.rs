//! Announcing deliveries.

use std::time::Duration;

use super::Backend;
use super::bench::{A, B, Bench, POST_TIMEOUT, begin, evidence, holding_run, new_run, report, run_with};
use crate::domain::{DeliveryState, RecordState};
use crate::store::{Begin, Begun, LEASE_TTL, Misuse, Refusal};

/// Announcing deliveries.
pub async fn announcing(backend: &dyn Backend) {
    an_announced_delivery_is_in_the_ledger(&Bench::new(backend).await).await;
    the_same_announcement_is_the_same_delivery(&Bench::new(backend).await).await;
    a_settled_delivery_is_not_announced_again(&Bench::new(backend).await).await;
    other_content_under_the_same_ordinal_conflicts(&Bench::new(backend).await).await;
    one_delivery_is_open_at_a_time(&Bench::new(backend).await).await;
    outcomes_travel_with_the_next_announcement(&Bench::new(backend).await).await;
    evidence_travels_even_when_the_lease_is_lost(&Bench::new(backend).await).await;
    records_must_be_of_the_batch(&Bench::new(backend).await).await;
    a_late_announcement_before_the_expiry_succeeds(&Bench::new(backend).await).await;
    a_lost_lease_announces_nothing(&Bench::new(backend).await).await;
    a_stopped_run_announces_nothing(&Bench::new(backend).await).await;
    a_stopped_run_repeats_no_announcement(&Bench::new(backend).await).await;
    settled_records_are_not_announced_again(&Bench::new(backend).await).await;
    a_doubt_is_not_repeated_too_early(&Bench::new(backend).await).await;
    a_held_doubt_is_not_repeated(&Bench::new(backend).await).await;
    only_a_doubt_is_repeated(&Bench::new(backend).await).await;
    an_announced_lease_outlasts_the_post(&Bench::new(backend).await).await;
}

const TTL_OF_POST: Duration = Duration::from_secs(30);

async fn an_announced_delivery_is_in_the_ledger(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 3).await;
    let lease = bench.lease(A).await;
    let announced = bench.begin(A, &lease, begin(1, [0, 2], 0)).await;
    assert_eq!(announced, Ok(Begun::Announced { number: 1, ttl: TTL_OF_POST }));
    let counts = bench.counts(&run).await;
    assert_eq!((counts.delivering, counts.leased), (2, 1));
    let delivery = &bench.story(&run, "3").await.deliveries[0];
    assert_eq!((delivery.fact.number, delivery.fact.state), (1, DeliveryState::Open));
    assert_eq!((delivery.fact.body_sha256, delivery.fact.epoch, delivery.fact.ordinal), ([7; 32], 1, 1));
    assert!(bench.story(&run, "2").await.deliveries.is_empty());
}

async fn the_same_announcement_is_the_same_delivery(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 3).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    let first = bench.announce(A, &lease, begin(1, 0..3, 0)).await;
    bench.pass(Duration::from_secs(20)).await;
    assert_eq!(bench.announce(A, &lease, begin(1, 0..3, 0)).await, first);
    assert_eq!(bench.story(&run, "1").await.deliveries.len(), 1);
    // The POST goes out only now, so the lease holds from now.
    bench.pass(POST_TIMEOUT + Duration::from_secs(4)).await;
    assert_eq!(bench.counts(&run).await.delivering, 3);
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    assert_eq!(
        bench.begin(A, &lease, begin(1, 0..3, 0)).await,
        Ok(Begun::Refused(Refusal::LeaseLost)),
        "the report ended the lease: a delayed copy must not be sent"
    );
}

async fn a_settled_delivery_is_not_announced_again(bench: &Bench) {
    // Each under a session of its own name.
    for (name, state) in [
        ("applied", DeliveryState::Applied),
        ("rejected", DeliveryState::Rejected),
        ("not-applied", DeliveryState::NotApplied),
        ("in-doubt", DeliveryState::InDoubt),
    ] {
        let run = bench.one_batch(new_run(name), 4).await;
        let lease = bench.lease(name).await;
        bench.announce(name, &lease, begin(1, 0..2, 0)).await;
        let next = Begin { settled: vec![evidence(1, state)], ..begin(2, 2..4, 0) };
        bench.announce(name, &lease, next).await;
        let late = bench.begin(name, &lease, begin(1, 0..2, 0)).await;
        assert_eq!(late, Ok(Begun::Refused(Refusal::Superseded)), "{name}: its POST must not go out again");
        assert_eq!(bench.story(&run, "1").await.deliveries[0].fact.state, state);
    }
}

async fn other_content_under_the_same_ordinal_conflicts(bench: &Bench) {
    bench.one_batch(new_run("one"), 3).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..3, 0)).await;
    let other_body = Begin { body_sha256: [8; 32], ..begin(1, 0..3, 0) };
    for other in [begin(1, 0..2, 0), other_body, begin(1, 0..3, 1)] {
        assert!(matches!(bench.begin(A, &lease, other).await, Err(Misuse::DeliveryConflict(_))));
    }
}

async fn one_delivery_is_open_at_a_time(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    for other in [begin(2, 2..4, 0), begin(2, 0..4, 0)] {
        assert!(matches!(bench.begin(A, &lease, other).await, Err(Misuse::DeliveryConflict(_))));
    }
    assert_eq!(bench.counts(&run).await.delivering, 2);
}

async fn outcomes_travel_with_the_next_announcement(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    let halves = Begin { settled: vec![evidence(1, DeliveryState::Rejected)], ..begin(2, 0..2, 0) };
    assert_eq!(bench.announce(A, &lease, halves.clone()).await, 2);
    assert_eq!(bench.announce(A, &lease, halves).await, 2, "and may be repeated with it");
    let rest = Begin { settled: vec![evidence(2, DeliveryState::Applied)], ..begin(3, 2..4, 0) };
    assert_eq!(bench.announce(A, &lease, rest).await, 3);
    assert_eq!(bench.state(&run, "1").await, RecordState::Loaded);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.delivering), (2, 2));
    assert_eq!(bench.run(&run.id).await.acknowledged, 1);
    let never = Begin { settled: vec![evidence(9, DeliveryState::Applied)], ..begin(4, 2..4, 0) };
    assert!(matches!(bench.begin(A, &lease, never).await, Err(Misuse::ReportInvalid(_))));
}

async fn evidence_travels_even_when_the_lease_is_lost(bench: &Bench) {
    let retry = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.pass(TTL_OF_POST).await;
    assert_eq!(bench.counts(&retry).await.in_doubt, 4);
    let next = Begin { settled: vec![evidence(1, DeliveryState::Applied)], ..begin(2, 0..4, 0) };
    assert_eq!(bench.begin(A, &lease, next).await, Ok(Begun::Refused(Refusal::LeaseLost)));
    assert_eq!(bench.counts(&retry).await.loaded, 4);
    bench.pass(POST_TIMEOUT).await;
    assert!(bench.nothing_to_lease().await, "nothing is left of the batch");

    let hold = bench.one_batch(holding_run("two"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.pass(TTL_OF_POST).await;
    assert!(bench.nothing_to_lease().await, "held doubts are not leased");
    let next = Begin { settled: vec![evidence(1, DeliveryState::NotApplied)], ..begin(2, 0..4, 0) };
    assert_eq!(bench.begin(A, &lease, next).await, Ok(Begun::Refused(Refusal::LeaseLost)));
    assert_eq!(bench.counts(&hold).await.pending, 4);
    assert_eq!(bench.lease(B).await.parts[0].0.retry_of, 0, "what certainly was not applied is delivered again");
}

async fn records_must_be_of_the_batch(bench: &Bench) {
    bench.one_batch(new_run("one"), 3).await;
    let lease = bench.lease(A).await;
    for wrong in [begin(1, [], 0), begin(1, 0..4, 0), begin(1, [1_000_000], 0)] {
        assert!(matches!(bench.begin(A, &lease, wrong).await, Err(Misuse::DeliveryInvalid(_))));
    }
}

async fn a_late_announcement_before_the_expiry_succeeds(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 3).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.silence(LEASE_TTL + Duration::from_secs(3)).await;
    bench.announce(A, &lease, begin(1, 0..3, 0)).await;
    bench.pass(POST_TIMEOUT).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    assert_eq!(bench.counts(&run).await.loaded, 3);
}

async fn a_lost_lease_announces_nothing(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 3).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.pass(LEASE_TTL).await;
    assert_eq!(bench.begin(A, &lease, begin(1, 0..3, 0)).await, Ok(Begun::Refused(Refusal::LeaseLost)));
    let newer = bench.lease(B).await;
    assert_eq!(bench.begin(A, &lease, begin(1, 0..3, 0)).await, Ok(Begun::Refused(Refusal::LeaseLost)));
    bench.deliver(B, &newer, DeliveryState::Applied).await;
    assert_eq!(bench.begin(A, &lease, begin(1, 0..3, 0)).await, Ok(Begun::Refused(Refusal::LeaseLost)));
    assert_eq!(bench.story(&run, "1").await.deliveries.len(), 1);
}

async fn a_stopped_run_announces_nothing(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 3).await;
    let lease = bench.lease(A).await;
    bench.store().pause_run(&run.id, "why").await.unwrap();
    assert_eq!(bench.begin(A, &lease, begin(1, 0..3, 0)).await, Ok(Begun::Refused(Refusal::RunPaused)));
    bench.store().cancel_run(&run.id).await.unwrap();
    assert_eq!(bench.begin(A, &lease, begin(1, 0..3, 0)).await, Ok(Begun::Refused(Refusal::RunCancelled)));
    bench.conclude(&run).await;
    assert_eq!(bench.begin(A, &lease, begin(1, 0..3, 0)).await, Ok(Begun::Refused(Refusal::RunCancelled)));
    assert!(bench.story(&run, "1").await.deliveries.is_empty());
}

async fn a_stopped_run_repeats_no_announcement(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 3).await;
    let lease = bench.lease(A).await;
    // The answer is lost.
    let number = bench.announce(A, &lease, begin(1, 0..3, 0)).await;
    bench.store().pause_run(&run.id, "why").await.unwrap();
    assert_eq!(bench.begin(A, &lease, begin(1, 0..3, 0)).await, Ok(Begun::Refused(Refusal::RunPaused)));
    bench.store().resume_run(&run.id).await.unwrap();
    assert_eq!(bench.announce(A, &lease, begin(1, 0..3, 0)).await, number, "it goes on as what it was");
    bench.store().cancel_run(&run.id).await.unwrap();
    assert_eq!(bench.begin(A, &lease, begin(1, 0..3, 0)).await, Ok(Begun::Refused(Refusal::RunCancelled)));
    // A late copy says nothing of the POST: only its worker does.
    assert_eq!(bench.counts(&run).await.delivering, 3);
    bench.complete(A, &lease, report(&[(1, DeliveryState::NotApplied)], &[])).await;
    assert_eq!(bench.counts(&run).await.cancelled, 3);
}

async fn settled_records_are_not_announced_again(bench: &Bench) {
    bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    let overlapping = Begin { settled: vec![evidence(1, DeliveryState::Applied)], ..begin(2, 1..4, 0) };
    assert_eq!(bench.begin(A, &lease, overlapping).await, Ok(Begun::Refused(Refusal::Superseded)));
    assert_eq!(bench.announce(A, &lease, begin(2, 2..4, 0)).await, 2);
}

async fn a_doubt_is_not_repeated_too_early(bench: &Bench) {
    bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    let doubt = bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.silence(Duration::from_secs(20)).await;
    let again = Begin { settled: vec![evidence(1, DeliveryState::InDoubt)], ..begin(2, 0..4, doubt) };
    assert_eq!(bench.begin(A, &lease, again.clone()).await, Ok(Begun::Refused(Refusal::NotYet)));
    bench.silence(POST_TIMEOUT - Duration::from_secs(20)).await;
    assert!(matches!(bench.begin(A, &lease, again).await, Ok(Begun::Announced { .. })));
}

async fn a_held_doubt_is_not_repeated(bench: &Bench) {
    bench.one_batch(holding_run("one"), 4).await;
    let lease = bench.lease(A).await;
    let doubt = bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.silence(POST_TIMEOUT).await;
    let again = Begin { settled: vec![evidence(1, DeliveryState::InDoubt)], ..begin(2, 0..4, doubt) };
    assert_eq!(bench.begin(A, &lease, again).await, Ok(Begun::Refused(Refusal::Superseded)));
}

async fn only_a_doubt_is_repeated(bench: &Bench) {
    bench.one_batch(run_with("one", |terms| terms.post_timeout = Duration::from_secs(1)), 4).await;
    let lease = bench.lease(A).await;
    let first = bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    let again = Begin { settled: vec![evidence(1, DeliveryState::NotApplied)], ..begin(2, 0..4, first) };
    assert_eq!(bench.begin(A, &lease, again).await, Ok(Begun::Refused(Refusal::Superseded)));
    assert_eq!(bench.begin(A, &lease, begin(2, 0..4, 77)).await, Ok(Begun::Refused(Refusal::Superseded)));
    assert_eq!(bench.announce(A, &lease, begin(2, 0..4, 0)).await, 2);
    // And a doubt is not passed off as fresh.
    let fresh = Begin { settled: vec![evidence(2, DeliveryState::InDoubt)], ..begin(3, 0..4, 0) };
    assert_eq!(bench.begin(A, &lease, fresh).await, Ok(Begun::Refused(Refusal::Superseded)));
}

async fn an_announced_lease_outlasts_the_post(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.pass(TTL_OF_POST - Duration::from_secs(1)).await;
    assert_eq!(bench.counts(&run).await.delivering, 4);
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.counts(&run).await.in_doubt, 4);
}
