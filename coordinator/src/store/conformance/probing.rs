//! Probing: what the target says of deliveries in doubt.

use std::time::Duration;

use super::Backend;
use super::bench::{
    A, B, Bench, MAX_ATTEMPTS, POST_TIMEOUT, begin, dead, evidence, new_run, positions, probing_run, report, signed,
    worker,
};
use super::settling::{doubtful, partly, settled};
use crate::audit::{audit, overall};
use crate::domain::{DeliveryState, Finding, RecordState};
use crate::store::{Acquire, Begin, Begun, Completion, Fenced, GrantedLease, Refusal, Report};

/// Probing doubts.
pub async fn probing(backend: &dyn Backend) {
    a_doubt_is_asked_for_and_not_sent(&Bench::new(backend).await).await;
    what_the_target_has_is_loaded_and_the_rest_is_sent(&Bench::new(backend).await).await;
    what_it_does_not_say_is_asked_again_but_not_for_ever(&Bench::new(backend).await).await;
    a_suspected_batch_is_probed_as_a_whole(&Bench::new(backend).await).await;
    a_probe_that_comes_too_early_says_nothing(&Bench::new(backend).await).await;
    workers_that_cannot_probe_get_no_such_run(&Bench::new(backend).await).await;
}

pub(super) fn found(present: &[u32], absent: &[u32]) -> Report {
    let finding =
        Finding { number: 1, present: positions(present.iter().copied()), absent: positions(absent.iter().copied()) };
    signed(Report { probes: vec![finding], ..report(&[], &[]) })
}

async fn probe(bench: &Bench, report: Report) -> (GrantedLease, Completion) {
    let lease = bench.lease(B).await;
    assert!(lease.parts.iter().any(|(part, _)| part.probe), "{:?}", lease.parts);
    let completion = bench.complete(B, &lease, report).await;
    (lease, completion)
}

async fn a_doubt_is_asked_for_and_not_sent(bench: &Bench) {
    let run = bench.one_batch(probing_run("one"), 4).await;
    let lease = bench.lease(A).await;
    assert_eq!(bench.deliver(A, &lease, DeliveryState::InDoubt).await, Completion::Requeued);
    assert!(bench.nothing_to_lease().await, "the target may still act");
    bench.pass(POST_TIMEOUT).await;
    let lease = bench.lease(B).await;
    let (part, ids) = &lease.parts[0];
    assert_eq!((part.probe, part.retry_of, ids.len()), (true, 1, 4));
    let begun = bench.begin(B, &lease, begin(1, 0..4, 1)).await;
    assert_eq!(begun, Ok(Begun::Refused(Refusal::Superseded)));
    assert_eq!(bench.complete(B, &lease, found(&[0, 1, 2, 3], &[])).await, Completion::Done);
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (4, 0));
    assert_eq!(bench.story(&run, "1").await.deliveries[0].settled_by, "probe");
}

async fn what_the_target_has_is_loaded_and_the_rest_is_sent(bench: &Bench) {
    let run = doubtful(bench, probing_run("one")).await;
    assert_eq!(probe(bench, found(&[0, 3], &[1, 2])).await.1, Completion::Requeued);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.pending), (2, 2));
    let rest = bench.lease(A).await;
    assert_eq!((&rest.parts[0].1, rest.parts[0].0.probe), (&vec!["2".to_owned(), "3".to_owned()], false));
    bench.deliver(A, &rest, DeliveryState::Applied).await;
    assert_eq!(bench.counts(&run).await.loaded, 4);
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
}

async fn what_it_does_not_say_is_asked_again_but_not_for_ever(bench: &Bench) {
    let run = doubtful(bench, probing_run("one")).await;
    probe(bench, found(&[0], &[1])).await;
    let counts = bench.counts(&run).await;
    assert_eq!((counts.in_doubt, counts.pending), (3, 1), "absent counts at once, present with the rest");
    let (lease, _) = probe(bench, found(&[], &[])).await;
    let asked: Vec<_> = lease.parts.iter().map(|(part, ids)| (part.probe, ids.join(" "))).collect();
    assert_eq!(asked, [(false, "2".to_owned()), (true, "3 4".to_owned())]);
    for _ in 2..MAX_ATTEMPTS {
        probe(bench, found(&[], &[])).await;
    }
    let rest = bench.lease(A).await;
    assert_eq!(rest.parts.len(), 1, "an operator settles what is left");
    bench.deliver(A, &rest, DeliveryState::Applied).await;
    assert_eq!(bench.counts(&run).await.in_doubt, 3);
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    let (again, loaded, to_send) = settled(bench, &run, partly(&["3"])).await;
    assert_eq!((again.round, loaded, to_send), (2, 2, 1), "what the probe has found stays found");
    let next = bench.lease(A).await;
    assert_eq!(next.parts[0].1, ["4"]);
    bench.deliver(A, &next, DeliveryState::Applied).await;
    let all = overall(bench.store().as_ref(), &again, &bench.verdict(&run).await).await.unwrap();
    assert_eq!((all.listed, all.loaded, all.in_doubt), (4, 4, 0));
    let (_, first) = audit(bench.store().as_ref(), &run.id, Some(1)).await.unwrap().unwrap();
    assert!(first.is_balanced(), "{:?}", first.discrepancies);
    assert_eq!((first.counts.loaded, first.counts.in_doubt), (3, 1));
}

async fn a_suspected_batch_is_probed_as_a_whole(bench: &Bench) {
    let run = bench.one_batch(probing_run("one"), 4).await;
    bench.warm_up().await;
    for _ in 0..2 {
        bench.lease(A).await;
        bench.pass(crate::store::LEASE_TTL).await;
    }
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(6)).await;
    assert_eq!(probe(bench, found(&[0, 1, 2, 3], &[])).await.1, Completion::Done);
    assert_eq!(bench.counts(&run).await.loaded, 4);
}

async fn a_probe_that_comes_too_early_says_nothing(bench: &Bench) {
    let run = bench.listed(probing_run("one"), &[&["1", "2", "3", "4"]]).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    let next = Begin { settled: vec![evidence(1, DeliveryState::InDoubt)], ..begin(2, 2..4, 0) };
    bench.announce(A, &lease, next).await;
    let early = Report { deliveries: vec![evidence(2, DeliveryState::Applied)], ..found(&[], &[0, 1]) };
    bench.complete(A, &lease, signed(early)).await;
    assert_eq!(bench.counts(&run).await.in_doubt, 2);
}

async fn workers_that_cannot_probe_get_no_such_run(bench: &Bench) {
    let run = bench.one_batch(probing_run("one"), 4).await;
    let old = Acquire { session: worker(A), capacity: 1, protocol: 1, ..Acquire::default() };
    assert!(bench.store().acquire(old.clone()).await.unwrap().leases.is_empty());
    bench.store().cancel_run(&run.id).await.unwrap();
    bench.one_batch(new_run("two"), 4).await;
    let lease = bench.store().acquire(old).await.unwrap().leases.remove(0);
    assert_eq!(bench.complete(A, &lease, report(&[], &[dead(0)])).await, Completion::Requeued);
    assert_eq!(bench.state(&bench.run(&lease.run_id).await, "1").await, RecordState::DeadLetter);
}
