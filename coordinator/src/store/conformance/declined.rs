//! Records that the target never takes although it refuses none: each ends, and an outage judges nobody.

use std::time::Duration;

use super::Backend;
use super::bench::{A, Bench, MAX_ATTEMPTS, POST_TIMEOUT, begin, new_run, report, signed};
use crate::domain::{DeliveryState, RecordState, Run, RunState};
use crate::store::{GrantedLease, Report, Settle};

/// More deliveries than any of these cases needs.
const ENOUGH: u32 = 200;

/// Declined deliveries.
pub async fn declined(backend: &dyn Backend) {
    a_record_that_is_declined_while_others_are_taken_is_given_up(&Bench::new(backend).await).await;
    a_target_that_takes_nothing_judges_nobody_and_pauses_the_run(&Bench::new(backend).await).await;
    in_a_run_of_one_batch_it_is_found_too(&Bench::new(backend).await).await;
    one_that_takes_nothing_for_a_while_costs_nothing(&Bench::new(backend).await).await;
    what_was_found_not_applied_is_not_declined(&Bench::new(backend).await).await;
    what_was_not_sent_is_not_declined(&Bench::new(backend).await).await;
}

/// A run of so many batches of four.
async fn batches(bench: &Bench, count: u64) -> Run {
    let ids: Vec<String> = (0..4 * count).map(|id| id.to_string()).collect();
    bench.listed(new_run("one"), &[&ids.iter().map(String::as_str).collect::<Vec<_>>()]).await
}

/// The next batch, if there is one.
async fn next(bench: &Bench) -> Option<GrantedLease> {
    bench.acquire(A, &[], 1).await.leases.pop()
}

/// Delivers what is left of a lease in vain. Its worker gives the batch back for a second, so that others come first.
async fn decline(bench: &Bench, lease: &GrantedLease) {
    bench.announce(A, lease, begin(1, lease.parts[0].0.positions.iter(), lease.parts[0].0.retry_of)).await;
    let told = report(&[(1, DeliveryState::NotApplied)], &[]);
    let told = signed(Report { retry_after: Duration::from_secs(1), ..told });
    bench.complete(A, lease, told).await;
}

/// Delivers whatever is leased to a target that declines what carries this ID, and gives how many deliveries that took.
pub(super) async fn play(bench: &Bench, run: &Run, poison: &str) -> u32 {
    for deliveries in 0..ENOUGH {
        if bench.counts(run).await.pending == 0 {
            return deliveries;
        }
        let Some(lease) = next(bench).await else {
            bench.pass(Duration::from_secs(1)).await;
            continue;
        };
        match lease.parts[0].1.iter().any(|id| id == poison) {
            true => decline(bench, &lease).await,
            false => drop(bench.deliver(A, &lease, DeliveryState::Applied).await),
        }
    }
    ENOUGH
}

async fn a_record_that_is_declined_while_others_are_taken_is_given_up(bench: &Bench) {
    let run = batches(bench, 3).await;
    assert!(play(bench, &run, "1").await < ENOUGH, "it ends");
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.dead_letter, counts.pending), (11, 1, 0));
    let exception = bench.story(&run, "1").await.exception.unwrap();
    assert_eq!(exception.stage, "load");
    assert!(exception.reason.contains("of this record alone, while it applied others"), "{}", exception.reason);
    assert_eq!(exception.body, "said the target");
    assert_eq!(bench.run(&run.id).await.state, RunState::Running);
}

async fn in_a_run_of_one_batch_it_is_found_too(bench: &Bench) {
    let run = batches(bench, 1).await;
    bench.warm_up().await;
    for _ in 0..2 {
        for _ in 0..2 * MAX_ATTEMPTS {
            decline(bench, &bench.lease(A).await).await;
            bench.pass(Duration::from_secs(1)).await;
        }
        bench.pass(Duration::from_mins(1)).await;
    }
    play(bench, &run, "0").await;
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.dead_letter), (3, 1), "the first alone, while the others were applied");
}

async fn a_target_that_takes_nothing_judges_nobody_and_pauses_the_run(bench: &Bench) {
    let run = batches(bench, 2).await;
    for _ in 0..20 {
        for _ in 0..2 {
            if let Some(lease) = next(bench).await {
                decline(bench, &lease).await;
            }
        }
        bench.pass(Duration::from_mins(1)).await;
    }
    let paused = bench.run(&run.id).await;
    assert_eq!(paused.state, RunState::Paused);
    let said = paused.state_reason;
    assert!(said.contains("has applied nothing for 10 minutes") && said.contains("said the target"), "{said}");
    assert_eq!(bench.counts(&run).await.pending, 8, "nobody is judged");
    bench.store().resume_run(&run.id).await.unwrap();
    decline(bench, &bench.lease(A).await).await;
    assert_eq!(bench.run(&run.id).await.state, RunState::Running, "what was before the resume says nothing");
    play(bench, &run, "nobody").await;
    assert_eq!(bench.counts(&run).await.loaded, 8);
}

async fn one_that_takes_nothing_for_a_while_costs_nothing(bench: &Bench) {
    let run = batches(bench, 2).await;
    for _ in 0..5 * MAX_ATTEMPTS {
        let lease = bench.lease(A).await;
        decline(bench, &lease).await;
        bench.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(play(bench, &run, "nobody").await, 2, "the batches are still whole");
    assert_eq!(bench.counts(&run).await.loaded, 8);
}

async fn what_was_found_not_applied_is_not_declined(bench: &Bench) {
    let run = batches(bench, 3).await;
    for _ in 0..3 * MAX_ATTEMPTS {
        let lease = bench.lease(A).await;
        bench.deliver(A, &lease, DeliveryState::InDoubt).await;
        let number = bench.story(&run, lease.parts[0].1[0].as_str()).await.deliveries.last().unwrap().fact.number;
        bench.pass(POST_TIMEOUT).await;
        let settle = Settle { numbers: vec![number], applied: false, applied_ids: Vec::new(), note: String::new() };
        bench.store().settle(&run.id, settle).await.unwrap();
    }
    assert_eq!(play(bench, &run, "nobody").await, 3, "the batches are still whole");
    assert_eq!(bench.state(&run, "0").await, RecordState::Loaded);
}

async fn what_was_not_sent_is_not_declined(bench: &Bench) {
    let run = batches(bench, 3).await;
    for _ in 0..3 * MAX_ATTEMPTS {
        let lease = bench.lease(A).await;
        bench.announce(A, &lease, begin(1, lease.parts[0].0.positions.iter(), 0)).await;
        let mut told = report(&[(1, DeliveryState::NotApplied)], &[]);
        told.deliveries[0].evidence.http_status = 0;
        bench.complete(A, &lease, signed(told)).await;
    }
    assert_eq!(play(bench, &run, "nobody").await, 3, "the batches are still whole");
}
