//! Cancelling: nothing begins any more, what is in flight is awaited.

use std::time::Duration;

use super::Backend;
use super::bench::{A, Bench, POST_TIMEOUT, begin, dead, new_run, report};
use crate::domain::{DeliveryState, RunState};
use crate::store::{Begun, Completion, Event, Fenced, Refusal};

/// Cancelling runs.
pub async fn cancelling(backend: &dyn Backend) {
    a_cancelled_run_gives_its_records_up(&Bench::new(backend).await).await;
    a_post_in_flight_is_awaited(&Bench::new(backend).await).await;
    a_worker_that_vanishes_does_not_hold_it_up(&Bench::new(backend).await).await;
    late_evidence_still_counts(&Bench::new(backend).await).await;
    a_verdict_from_before_the_evidence_is_stale(&Bench::new(backend).await).await;
    a_verdict_from_before_the_cancel_is_stale(&Bench::new(backend).await).await;
    cancelling_is_repeatable(&Bench::new(backend).await).await;
    a_paused_run_can_be_cancelled(&Bench::new(backend).await).await;
    workers_are_told(&Bench::new(backend).await).await;
}

async fn a_cancelled_run_gives_its_records_up(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8", "9"]]).await;
    let leases = bench.acquire(A, &[], 2).await.leases;
    bench.deliver(A, &leases[0], DeliveryState::Applied).await;
    let cancelled = bench.store().cancel_run(&run.id).await.unwrap().unwrap();
    assert_eq!(cancelled.state, RunState::Cancelling);
    // What its worker found out meanwhile comes too late to be judged.
    assert_eq!(bench.complete(A, &leases[1], report(&[], &[dead(0)])).await, Completion::Requeued);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.cancelled, counts.dead_letter), (4, 5, 0));
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    let over = bench.run(&run.id).await;
    assert_eq!(over.state, RunState::Cancelled);
    assert_eq!(over.verdict.unwrap().counts.cancelled, 5);
}

async fn a_post_in_flight_is_awaited(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..3, 0)).await;
    bench.store().cancel_run(&run.id).await.unwrap();
    assert!(bench.store().concludable().await.unwrap().is_empty());
    assert_eq!(bench.conclude(&run).await, Fenced::Stale);
    assert_eq!(bench.begin(A, &lease, begin(2, 3..4, 0)).await, Ok(Begun::Refused(Refusal::RunCancelled)));
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.cancelled), (3, 1));
    assert_eq!(bench.store().concludable().await.unwrap().len(), 1);
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
}

async fn a_worker_that_vanishes_does_not_hold_it_up(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.store().cancel_run(&run.id).await.unwrap();
    bench.pass(POST_TIMEOUT + Duration::from_secs(5)).await;
    assert_eq!(bench.counts(&run).await.in_doubt, 4, "what may have been applied is not given up");
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
}

async fn late_evidence_still_counts(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(5)).await;
    bench.store().cancel_run(&run.id).await.unwrap();
    bench.conclude(&run).await;
    assert_eq!(bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await, Completion::Late);
    assert_eq!(bench.counts(&run).await.loaded, 4);
    assert_eq!(bench.run(&run.id).await.state, RunState::Cancelled);
}

async fn a_verdict_from_before_the_evidence_is_stale(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(5)).await;
    bench.store().cancel_run(&run.id).await.unwrap();
    let (read, verdict) = crate::audit::audit(bench.store().as_ref(), &run.id, None).await.unwrap().unwrap();
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    assert_eq!(bench.store().conclude(&read, &verdict, &[]).await.unwrap(), Fenced::Stale);
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    assert_eq!(bench.run(&run.id).await.verdict.unwrap().counts.loaded, 4);
}

async fn a_verdict_from_before_the_cancel_is_stale(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let (read, verdict) = crate::audit::audit(bench.store().as_ref(), &run.id, None).await.unwrap().unwrap();
    assert_eq!((verdict.counts.pending, verdict.counts.cancelled), (4, 0));
    bench.store().cancel_run(&run.id).await.unwrap();
    assert_eq!(bench.store().conclude(&read, &verdict, &[]).await.unwrap(), Fenced::Stale);
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    let counts = bench.run(&run.id).await.verdict.unwrap().counts;
    assert_eq!((counts.pending, counts.cancelled), (0, 4));
}

async fn cancelling_is_repeatable(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    for _ in 0..2 {
        assert_eq!(bench.store().cancel_run(&run.id).await.unwrap().unwrap().state, RunState::Cancelling);
    }
    bench.conclude(&run).await;
    assert_eq!(bench.store().cancel_run(&run.id).await.unwrap().unwrap().state, RunState::Cancelled);
    assert_eq!(bench.store().pause_run(&run.id, "why").await.unwrap().unwrap().state, RunState::Cancelled);
    assert_eq!(bench.store().resume_run(&run.id).await.unwrap().unwrap().state, RunState::Cancelled);
}

async fn a_paused_run_can_be_cancelled(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.store().pause_run(&run.id, "why").await.unwrap();
    let cancelled = bench.store().cancel_run(&run.id).await.unwrap().unwrap();
    assert_eq!((cancelled.state, cancelled.state_reason.as_str()), (RunState::Cancelling, ""));
    assert_eq!(bench.store().resume_run(&run.id).await.unwrap().unwrap().state, RunState::Cancelling);
}

async fn workers_are_told(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let mut pushed = bench.store().events().pushed();
    bench.store().cancel_run(&run.id).await.unwrap();
    bench.store().cancel_run(&run.id).await.unwrap();
    assert!(matches!(pushed.try_recv().unwrap(), Event::RunStopped { run_id, .. } if run_id == run.id));
    assert!(pushed.try_recv().is_err(), "once");
}
