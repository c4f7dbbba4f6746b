//! Acquiring: who gets which batches, and what an answer that was lost means.

use std::time::Duration;

use super::Backend;
use super::bench::{A, B, Bench, begin, new_run, page, report, run_with, worker};
use crate::domain::DeliveryState;
use crate::store::{Acquire, GrantedLease, LEASE_TTL};

/// Acquiring leases.
pub async fn acquiring(backend: &dyn Backend) {
    batches_come_in_order_and_within_capacity(&Bench::new(backend).await).await;
    the_oldest_run_comes_first(&Bench::new(backend).await).await;
    a_batch_is_leased_to_one_session(&Bench::new(backend).await).await;
    a_lease_says_all_that_a_worker_needs(&Bench::new(backend).await).await;
    a_lost_answer_is_given_again(&Bench::new(backend).await).await;
    a_lost_answer_of_a_stopped_run_is_given_back(&Bench::new(backend).await).await;
    without_capacity_only_lost_answers_come(&Bench::new(backend).await).await;
    an_answer_is_bounded_in_size(&Bench::new(backend).await).await;
    a_batch_beyond_the_bound_comes_alone(&Bench::new(backend).await).await;
    lost_answers_are_bounded_in_size_too(&Bench::new(backend).await).await;
    a_stopped_run_is_not_leased(&Bench::new(backend).await).await;
    it_says_when_to_ask_again(&Bench::new(backend).await).await;
}

fn ids(leases: &[GrantedLease]) -> Vec<&str> {
    leases.iter().flat_map(|lease| &lease.parts).flat_map(|(_, ids)| ids).map(String::as_str).collect()
}

async fn batches_come_in_order_and_within_capacity(bench: &Bench) {
    bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8", "9"]]).await;
    let first = bench.acquire(A, &[], 2).await;
    assert_eq!(ids(&first.leases), ["1", "2", "3", "4", "5", "6", "7", "8"]);
    assert_eq!(first.runs.len(), 1);
    let second = bench.acquire(B, &[], 2).await;
    assert_eq!(ids(&second.leases), ["9"]);
    assert!(bench.nothing_to_lease().await);
}

async fn the_oldest_run_comes_first(bench: &Bench) {
    let one = bench.listed(new_run("one"), &[&["1"]]).await;
    let two = bench.listed(new_run("two"), &[&["1"]]).await;
    let acquired = bench.acquire(A, &[], 5).await;
    let runs: Vec<_> = acquired.leases.iter().map(|lease| lease.run_id.clone()).collect();
    assert_eq!(runs, [one.id, two.id]);
    assert_eq!(acquired.runs.len(), 2);
}

async fn a_batch_is_leased_to_one_session(bench: &Bench) {
    bench.one_batch(new_run("one"), 2).await;
    let lease = bench.lease(A).await;
    for _ in 0..3 {
        assert!(bench.acquire(B, &[], 5).await.leases.is_empty());
        assert!(bench.acquire(A, &[&lease], 5).await.leases.is_empty());
    }
}

async fn a_lease_says_all_that_a_worker_needs(bench: &Bench) {
    let run = bench.one_batch(run_with("one", |terms| terms.max_batch = 3), 3).await;
    let acquired = bench.acquire(A, &[], 1).await;
    let lease = &acquired.leases[0];
    assert_eq!((&lease.run_id, lease.attempt, lease.ttl), (&run.id, 1, LEASE_TTL));
    assert_eq!((lease.token.lease().epoch, lease.token.lease().batch.batch), (1, 0));
    assert_eq!(lease.parts.len(), 1);
    let (part, ids) = &lease.parts[0];
    assert_eq!((part.positions.iter().collect::<Vec<_>>(), part.retry_of), (vec![0, 1, 2], 0));
    assert_eq!(ids, &["1", "2", "3"]);
    let known = &acquired.runs[0];
    assert_eq!((&known.id, &known.revision, &known.parameters), (&run.id, &run.revision, &run.parameters));
}

async fn a_lost_answer_is_given_again(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"]]).await;
    let lost = bench.acquire(A, &[], 2).await.leases;
    bench.silence(Duration::from_secs(10)).await;
    let again = bench.acquire(A, &[&lost[1]], 1).await;
    assert_eq!(again.leases.len(), 1);
    assert_eq!((again.leases[0].token, again.leases[0].attempt), (lost[0].token, 1), "the same lease, not a new one");
    assert_eq!(again.leases[0].ttl, LEASE_TTL, "with its full time");
    assert_eq!(again.leases[0].parts, lost[0].parts);
    assert_eq!(again.runs.len(), 1);
    // It is as good as the first answer.
    bench.deliver(A, &again.leases[0], DeliveryState::Applied).await;
    assert_eq!(bench.counts(&run).await.loaded, 4);
}

async fn a_lost_answer_of_a_stopped_run_is_given_back(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"]]).await;
    let lost = bench.acquire(A, &[], 2).await.leases;
    bench.announce(A, &lost[0], begin(1, 0..4, 0)).await;
    bench.store().pause_run(&run.id, "why").await.unwrap();
    let paused = bench.acquire(A, &[], 2).await;
    assert!(paused.leases.is_empty() && paused.runs.is_empty(), "nobody works on a stopped run");
    let counts = bench.counts(&run).await;
    assert_eq!((counts.delivering, counts.pending), (4, 4), "an open delivery is not given back");
    bench.store().resume_run(&run.id).await.unwrap();
    let other = bench.lease(B).await;
    assert_eq!((other.attempt, other.token.lease().epoch), (1, 2), "not charged, and fenced");
    bench.store().cancel_run(&run.id).await.unwrap();
    assert!(bench.acquire(B, &[], 2).await.leases.is_empty());
    assert_eq!(bench.counts(&run).await.cancelled, 4);
}

async fn without_capacity_only_lost_answers_come(bench: &Bench) {
    bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5"]]).await;
    assert!(bench.acquire(A, &[], 0).await.leases.is_empty());
    let lease = bench.lease(A).await;
    let again = bench.acquire(A, &[], 0).await.leases;
    assert_eq!(again.iter().map(|lease| lease.token).collect::<Vec<_>>(), [lease.token]);
}

/// A run of batches whose IDs take so many bytes, in IDs as long as they may be.
async fn long_ids(bench: &Bench, batches: usize, bytes: usize) {
    let records = bytes.div_ceil(muster_pipeline::MAX_RECORD_ID_BYTES);
    let max_batch = u32::try_from(records).unwrap();
    bench.start(run_with("one", |terms| terms.max_batch = max_batch)).await;
    let listing = bench.take_listing("lister").await;
    let digits = muster_pipeline::MAX_RECORD_ID_BYTES - 2;
    let ids: Vec<String> = (0..batches * records).map(|n| format!("\"{n:0>digits$}\"")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    bench.store().commit_page(&listing, page(1, &ids, None)).await.unwrap();
}

const BOUND: usize = 384 * 1024;

async fn an_answer_is_bounded_in_size(bench: &Bench) {
    long_ids(bench, 20, 100_000).await;
    let acquire = Acquire { session: worker(A), capacity: 20, ..Acquire::default() };
    let mut held = Vec::new();
    while held.len() < 20 {
        let acquire = Acquire { held: held.clone(), capacity: 20, ..acquire.clone() };
        let answer = bench.store().acquire(acquire).await.unwrap().leases;
        let size: usize = ids(&answer).iter().map(|id| id.len()).sum();
        assert!(!answer.is_empty() && size <= BOUND, "{} leases of {size} bytes", answer.len());
        held.extend(answer.iter().map(|lease| lease.token));
    }
}

async fn a_batch_beyond_the_bound_comes_alone(bench: &Bench) {
    long_ids(bench, 3, BOUND).await;
    let first = bench.acquire(A, &[], 3).await.leases;
    assert_eq!(first.len(), 1, "it comes, or nobody would ever load it");
    let again = bench.acquire(A, &[], 3).await.leases;
    assert_eq!(again.iter().map(|lease| lease.token).collect::<Vec<_>>(), [first[0].token], "and nothing beside it");
    assert_eq!(bench.acquire(A, &[&first[0]], 3).await.leases.len(), 1);
}

async fn lost_answers_are_bounded_in_size_too(bench: &Bench) {
    long_ids(bench, 20, 100_000).await;
    let mut held = Vec::new();
    while held.len() < 20 {
        held.extend(bench.acquire(A, &held.iter().collect::<Vec<_>>(), 20).await.leases);
    }
    let again = bench.acquire(A, &[], 0).await.leases;
    let size: usize = ids(&again).iter().map(|id| id.len()).sum();
    assert!(!again.is_empty() && size <= BOUND, "{} leases of {size} bytes", again.len());
}

async fn a_stopped_run_is_not_leased(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5"]]).await;
    bench.store().pause_run(&run.id, "why").await.unwrap();
    assert!(bench.nothing_to_lease().await);
    bench.store().resume_run(&run.id).await.unwrap();
    bench.lease(A).await;
    bench.store().cancel_run(&run.id).await.unwrap();
    assert!(bench.nothing_to_lease().await);
}

async fn it_says_when_to_ask_again(bench: &Bench) {
    assert_eq!(bench.acquire(A, &[], 1).await.next_in, None, "nothing will come by itself");
    bench.one_batch(new_run("one"), 2).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    assert_eq!(bench.acquire(B, &[], 1).await.next_in, Some(LEASE_TTL), "when the lease runs out");
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    bench.pass(Duration::from_secs(5)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::InDoubt)], &[])).await;
    let next_in = bench.acquire(B, &[], 1).await.next_in.unwrap();
    assert_eq!(next_in, super::bench::POST_TIMEOUT - Duration::from_secs(5), "when the doubt may be repeated");
    bench.pass(next_in).await;
    assert_eq!(bench.acquire(B, &[], 1).await.leases.len(), 1);
}
