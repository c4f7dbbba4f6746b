//! Doubts: repeated exactly, not too early, not for ever.

use std::time::Duration;

use super::Backend;
use super::bench::{A, B, Bench, MAX_ATTEMPTS, POST_TIMEOUT, begin, evidence, holding_run, new_run, report, run_with};
use crate::domain::{DeliveryState, Run};
use crate::store::{Begin, Begun, Completion, Fenced, GrantedLease, Refusal};

/// Deliveries in doubt.
pub async fn doubts(backend: &dyn Backend) {
    exactly_the_recorded_records_are_repeated(&Bench::new(backend).await).await;
    fresh_and_doubtful_records_are_parts_of_their_own(&Bench::new(backend).await).await;
    a_doubt_waits_until_the_target_can_act_no_more(&Bench::new(backend).await).await;
    a_repetition_that_succeeds_counts_possible_copies(&Bench::new(backend).await).await;
    a_repetition_with_another_body_is_changed(&Bench::new(backend).await).await;
    a_repetition_that_was_not_applied_leaves_the_doubt(&Bench::new(backend).await).await;
    a_rejected_repetition_goes_on_in_halves(&Bench::new(backend).await).await;
    tries_are_bounded_then_split(&Bench::new(backend).await).await;
    a_single_that_stays_doubtful_ends_in_doubt(&Bench::new(backend).await).await;
    what_was_not_applied_is_tried_without_end(&Bench::new(backend).await).await;
    late_words_that_it_was_not_applied_end_the_waiting(&Bench::new(backend).await).await;
    held_doubts_end_the_batch(&Bench::new(backend).await).await;
    held_batches_go_on_with_the_rest(&Bench::new(backend).await).await;
    what_records_hang_on_is_listed_past_all_else(&Bench::new(backend).await).await;
    a_doubt_that_is_repeated_in_part_is_listed_for_the_rest(&Bench::new(backend).await).await;
}

fn places(lease: &GrantedLease) -> Vec<(Vec<u32>, i64)> {
    lease.parts.iter().map(|(part, _)| (part.positions.iter().collect(), part.retry_of)).collect()
}

/// Begins each part of the only batch and reports this outcome for all; gives the lease.
async fn attempt(bench: &Bench, state: DeliveryState) -> GrantedLease {
    let lease = bench.lease(A).await;
    let mut settled = Vec::new();
    for (ordinal, (part, _)) in (1..).zip(&lease.parts) {
        let next = Begin { settled: settled.clone(), ..begin(ordinal, part.positions.iter(), part.retry_of) };
        bench.announce(A, &lease, next).await;
        settled = vec![evidence(ordinal, state)];
    }
    let all: Vec<_> = (1..).zip(&lease.parts).map(|(ordinal, _)| (ordinal, state)).collect();
    bench.complete(A, &lease, report(&all, &[])).await;
    lease
}

async fn doubtful(bench: &Bench) -> Run {
    let run = bench.one_batch(new_run("one"), 4).await;
    attempt(bench, DeliveryState::InDoubt).await;
    bench.pass(POST_TIMEOUT).await;
    run
}

async fn exactly_the_recorded_records_are_repeated(bench: &Bench) {
    bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    let first = bench.announce(A, &lease, begin(1, [0, 3], 0)).await;
    let next = Begin { settled: vec![evidence(1, DeliveryState::InDoubt)], ..begin(2, [1, 2], 0) };
    bench.announce(A, &lease, next).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::InDoubt), (2, DeliveryState::InDoubt)], &[])).await;
    bench.pass(POST_TIMEOUT).await;
    let lease = bench.lease(B).await;
    assert_eq!(places(&lease), [(vec![0, 3], first), (vec![1, 2], first + 1)]);
    assert_eq!(lease.parts[0].1, ["1", "4"]);
    assert_eq!(lease.parts[0].0.body_sha256, [7; 32]);
    assert_eq!(
        bench.begin(B, &lease, begin(1, [0, 1], first)).await,
        Ok(Begun::Refused(Refusal::Superseded)),
        "not mixed with another doubt's"
    );
}

async fn fresh_and_doubtful_records_are_parts_of_their_own(bench: &Bench) {
    bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    let number = bench.announce(A, &lease, begin(1, 1..3, 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::InDoubt)], &[])).await;
    bench.pass(POST_TIMEOUT).await;
    let lease = bench.lease(B).await;
    assert_eq!(places(&lease), [(vec![0, 3], 0), (vec![1, 2], number)]);
    let mixed = bench.begin(B, &lease, begin(1, 0..4, number)).await;
    assert_eq!(mixed, Ok(Begun::Refused(Refusal::Superseded)));
    bench.announce(B, &lease, begin(1, [0, 3], 0)).await;
}

async fn a_doubt_waits_until_the_target_can_act_no_more(bench: &Bench) {
    bench.one_batch(new_run("one"), 4).await;
    attempt(bench, DeliveryState::InDoubt).await;
    bench.pass(POST_TIMEOUT - Duration::from_secs(1)).await;
    assert!(bench.nothing_to_lease().await);
    bench.pass(Duration::from_secs(1)).await;
    attempt(bench, DeliveryState::Applied).await;
}

async fn a_repetition_that_succeeds_counts_possible_copies(bench: &Bench) {
    let run = doubtful(bench).await;
    attempt(bench, DeliveryState::Applied).await;
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies, verdict.changed), (4, 4, 0));
    let story = bench.story(&run, "1").await;
    let told: Vec<_> = story.deliveries.iter().map(|delivery| (delivery.fact.state, delivery.fact.retry_of)).collect();
    assert_eq!(told, [(DeliveryState::InDoubt, 0), (DeliveryState::Applied, 1)]);
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
}

async fn a_repetition_with_another_body_is_changed(bench: &Bench) {
    let run = doubtful(bench).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, Begin { body_sha256: [8; 32], ..begin(1, 0..4, 1) }).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    assert_eq!(bench.verdict(&run).await.changed, 4);
}

async fn a_repetition_that_was_not_applied_leaves_the_doubt(bench: &Bench) {
    let run = doubtful(bench).await;
    attempt(bench, DeliveryState::NotApplied).await;
    assert_eq!(bench.counts(&run).await.in_doubt, 4);
    assert_eq!(places(&attempt(bench, DeliveryState::Applied).await), [(vec![0, 1, 2, 3], 1)]);
}

async fn a_rejected_repetition_goes_on_in_halves(bench: &Bench) {
    let run = doubtful(bench).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 1)).await;
    let lower = Begin { settled: vec![evidence(1, DeliveryState::Rejected)], ..begin(2, 0..2, 1) };
    bench.announce(A, &lease, lower).await;
    let upper = Begin { settled: vec![evidence(2, DeliveryState::Applied)], ..begin(3, 2..4, 1) };
    bench.announce(A, &lease, upper).await;
    let all = [(1, DeliveryState::Rejected), (2, DeliveryState::Applied), (3, DeliveryState::Applied)];
    assert_eq!(bench.complete(A, &lease, report(&all, &[])).await, Completion::Done);
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (4, 4));
}

async fn tries_are_bounded_then_split(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    for _ in 0..MAX_ATTEMPTS {
        assert_eq!(places(&attempt(bench, DeliveryState::InDoubt).await).len(), 1);
        bench.pass(POST_TIMEOUT).await;
    }
    let stubborn = i64::from(MAX_ATTEMPTS);
    let lease = bench.lease(A).await;
    assert_eq!(places(&lease), [(vec![0, 1], stubborn), (vec![2, 3], stubborn)]);
    let whole = bench.begin(A, &lease, begin(1, 0..4, stubborn)).await;
    assert_eq!(whole, Ok(Begun::Refused(Refusal::Superseded)), "not once more as it was");
    bench.store().release(A, &[lease.token], false).await.unwrap().unwrap();
    attempt(bench, DeliveryState::InDoubt).await;
    bench.pass(POST_TIMEOUT).await;
    let halves = attempt(bench, DeliveryState::Applied).await;
    assert_eq!(places(&halves), [(vec![0, 1], stubborn + 1), (vec![2, 3], stubborn + 2)], "each with tries of its own");
    assert_eq!(bench.counts(&run).await.loaded, 4);
}

async fn a_single_that_stays_doubtful_ends_in_doubt(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    // Two together, then each alone.
    for _ in 0..2 * MAX_ATTEMPTS {
        attempt(bench, DeliveryState::InDoubt).await;
        bench.pass(POST_TIMEOUT).await;
    }
    assert!(bench.nothing_to_lease().await);
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.in_doubt, verdict.possible_copies), (2, u64::from(2 * (2 * MAX_ATTEMPTS - 1))));
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
}

async fn what_was_not_applied_is_tried_without_end(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    for _ in 0..3 * MAX_ATTEMPTS {
        assert_eq!(places(&attempt(bench, DeliveryState::NotApplied).await), [(vec![0, 1, 2, 3], 0)]);
    }
    assert_eq!(bench.counts(&run).await.pending, 4);
}

async fn late_words_that_it_was_not_applied_end_the_waiting(bench: &Bench) {
    let patient = run_with("one", |terms| terms.rules.settle_after = POST_TIMEOUT * 100);
    bench.one_batch(patient, 4).await;
    bench.warm_up().await;
    let stale = bench.lease(A).await;
    bench.announce(A, &stale, begin(1, 0..4, 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(6)).await;
    assert!(bench.nothing_to_lease().await, "the target may still act on it");
    let late = report(&[(1, DeliveryState::NotApplied)], &[]);
    assert_eq!(bench.complete(A, &stale, late).await, Completion::Late);
    assert_eq!(places(&bench.lease(B).await), [(vec![0, 1, 2, 3], 0)], "at once");
}

async fn held_doubts_end_the_batch(bench: &Bench) {
    let run = bench.one_batch(holding_run("one"), 4).await;
    let lease = bench.lease(A).await;
    assert_eq!(bench.deliver(A, &lease, DeliveryState::InDoubt).await, Completion::Done);
    bench.pass(POST_TIMEOUT * 2).await;
    assert!(bench.nothing_to_lease().await);
    assert_eq!(bench.counts(&run).await.in_doubt, 4);
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
}

async fn held_batches_go_on_with_the_rest(bench: &Bench) {
    let run = bench.one_batch(holding_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    let done = bench.complete(A, &lease, report(&[(1, DeliveryState::InDoubt)], &[])).await;
    assert_eq!(done, Completion::Requeued);
    assert_eq!(places(&attempt(bench, DeliveryState::Applied).await), [(vec![2, 3], 0)], "at once");
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.in_doubt), (2, 2));
}

/// A page of doubts: their numbers and IDs.
async fn listed(bench: &Bench, run: &Run, after: i64, limit: u32) -> Vec<(i64, String)> {
    let doubts = bench.store().doubts(run, after, limit).await.unwrap();
    doubts.iter().map(|doubt| (doubt.number, doubt.record_ids.join(" "))).collect()
}

async fn what_records_hang_on_is_listed_past_all_else(bench: &Bench) {
    let ids: Vec<String> = (0..24).map(|id| id.to_string()).collect();
    let run = bench.listed(new_run("one"), &[&ids.iter().map(String::as_str).collect::<Vec<_>>()]).await;
    for lease in bench.acquire(A, &[], 6).await.leases {
        bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    }
    bench.pass(POST_TIMEOUT).await;
    let mut leases = bench.acquire(A, &[], 6).await.leases;
    leases.sort_by_key(|lease| lease.parts[0].0.retry_of);
    let [applied, also, again, open, rest @ ..] = &leases[..] else { panic!("{leases:?}") };
    bench.deliver(A, applied, DeliveryState::Applied).await;
    bench.deliver(A, also, DeliveryState::Applied).await;
    bench.deliver(A, again, DeliveryState::InDoubt).await;
    bench.announce(A, open, begin(1, 0..4, 4)).await;
    let told = |number: i64, lease: &GrantedLease| (number, lease.parts[0].1.join(" "));
    let expected = [told(5, &rest[0]), told(6, &rest[1]), told(9, again)];
    assert_eq!(listed(bench, &run, 0, 10).await, expected, "of the one on its way nothing is known yet");
    assert_eq!(listed(bench, &run, 0, 1).await, expected[..1]);
    assert_eq!(listed(bench, &run, 0, 2).await, expected[..2]);
    assert_eq!(listed(bench, &run, 5, 2).await, expected[1..]);
    assert!(listed(bench, &run, 9, 1).await.is_empty());
    bench.complete(A, open, report(&[(1, DeliveryState::NotApplied)], &[])).await;
    assert_eq!(listed(bench, &run, 0, 1).await, [told(4, open)], "it is where it was before");
}

async fn a_doubt_that_is_repeated_in_part_is_listed_for_the_rest(bench: &Bench) {
    let run = bench.one_batch(run_with("one", |terms| terms.rules.max_attempts = 1), 4).await;
    attempt(bench, DeliveryState::InDoubt).await;
    bench.pass(POST_TIMEOUT).await;
    let told = |number: i64, ids: &str| (number, ids.to_owned());
    assert_eq!(listed(bench, &run, 0, 10).await, [told(1, "1 2 3 4")]);
    let halves = bench.lease(A).await;
    assert_eq!(places(&halves), [(vec![0, 1], 1), (vec![2, 3], 1)]);
    bench.announce(A, &halves, begin(1, 0..2, 1)).await;
    let next = Begin { settled: vec![evidence(1, DeliveryState::InDoubt)], ..begin(2, 2..4, 1) };
    bench.announce(A, &halves, next).await;
    let all = [(1, DeliveryState::InDoubt), (2, DeliveryState::NotApplied)];
    bench.complete(A, &halves, report(&all, &[])).await;
    assert_eq!(listed(bench, &run, 0, 10).await, [told(1, "3 4"), told(2, "1 2")]);
    bench.pass(POST_TIMEOUT).await;
    let singles = bench.lease(A).await;
    bench.announce(A, &singles, begin(1, [2], 1)).await;
    let next = Begin { settled: vec![evidence(1, DeliveryState::InDoubt)], ..begin(2, [3], 1) };
    bench.announce(A, &singles, next).await;
    let all = [(1, DeliveryState::InDoubt), (2, DeliveryState::InDoubt)];
    bench.complete(A, &singles, report(&all, &[])).await;
    assert_eq!(listed(bench, &run, 0, 10).await, [told(2, "1 2"), told(4, "3"), told(5, "4")]);
}
