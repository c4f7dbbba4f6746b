//! Expiry: what a worker that is not heard of leaves behind.

use std::time::Duration;

use super::Backend;
use super::bench::{A, B, Bench, POST_TIMEOUT, begin, new_run, report, worker};
use crate::domain::{DeliveryState, Run};
use crate::store::{Acquire, Completion, Ending, Event, Expired, ExpiredLease, LEASE_TTL, Renewal, Session};

/// Leases that run out.
pub async fn expiring(backend: &dyn Backend) {
    a_lease_runs_out_after_its_ttl(&Bench::new(backend).await).await;
    an_open_delivery_becomes_a_doubt_and_the_rest_is_pending(&Bench::new(backend).await).await;
    of_a_mass_expiry_the_first_are_named(&Bench::new(backend).await).await;
    acquiring_ends_what_has_run_out(&Bench::new(backend).await).await;
    until_it_is_ended_a_late_holder_goes_on(&Bench::new(backend).await).await;
    the_holder_is_told(&Bench::new(backend).await).await;
    nothing_runs_out_while_nobody_serves(&Bench::new(backend).await).await;
    a_short_gap_is_none(&Bench::new(backend).await).await;
    a_restart_revokes_nothing(&mut Bench::new(backend).await).await;
    an_embedded_worker_dies_with_its_process(&mut Bench::new(backend).await).await;
    leases_of_a_stopped_run_end_too(&Bench::new(backend).await).await;
}

const SECOND: Duration = Duration::from_secs(1);

/// The first lease of a run's only batch, held by A.
fn one_expired(run: &Run, in_doubt: bool) -> Expired {
    let (run_id, worker) = (run.id.clone(), worker(A).name);
    let named = vec![ExpiredLease { run_id, batch: 0, attempt: 1, worker, in_doubt }];
    Expired { leases: 1, doubts: u32::from(in_doubt), named }
}

async fn a_lease_runs_out_after_its_ttl(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 3).await;
    bench.warm_up().await;
    bench.lease(A).await;
    bench.pass(LEASE_TTL - SECOND).await;
    assert_eq!(bench.counts(&run).await.leased, 3);
    bench.silence(SECOND).await;
    assert_eq!(bench.store().expire().await.unwrap(), one_expired(&run, false));
    assert_eq!(bench.store().expire().await.unwrap(), Expired::default());
    assert_eq!(bench.counts(&run).await.pending, 3);
    let again = bench.lease(B).await;
    assert_eq!((again.token.lease().epoch, again.attempt), (2, 2), "fenced and charged");
    let endings: Vec<_> = bench.story(&run, "1").await.leases.iter().map(|lease| lease.ending).collect();
    assert_eq!(endings, [Some(Ending::Expired), None]);
}

async fn an_open_delivery_becomes_a_doubt_and_the_rest_is_pending(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(4)).await;
    assert_eq!(bench.counts(&run).await.delivering, 2);
    bench.silence(SECOND).await;
    assert_eq!(bench.store().expire().await.unwrap(), one_expired(&run, true));
    let counts = bench.counts(&run).await;
    assert_eq!((counts.in_doubt, counts.pending), (2, 2));
}

async fn of_a_mass_expiry_the_first_are_named(bench: &Bench) {
    let ids: Vec<String> = (0..100).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    bench.listed(new_run("one"), &[&ids]).await;
    bench.warm_up().await;
    assert_eq!(bench.acquire(A, &[], 50).await.leases.len(), 25);
    for _ in 0..5 {
        bench.silence(LEASE_TTL / 5).await;
        bench.store().renew(B, &[]).await.unwrap().unwrap();
    }
    let expired = bench.store().expire().await.unwrap();
    assert_eq!((expired.leases, expired.named.len()), (25, 20));
}

async fn acquiring_ends_what_has_run_out(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    bench.lease(A).await;
    for _ in 0..5 {
        bench.silence(LEASE_TTL / 5).await;
        bench.store().renew(B, &[]).await.unwrap().unwrap();
    }
    assert_eq!(bench.counts(&run).await.leased, 4, "nobody has looked yet");
    bench.lease(B).await;
}

async fn until_it_is_ended_a_late_holder_goes_on(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.silence(LEASE_TTL * 3).await;
    let renewed = bench.store().renew(A, &[lease.token]).await.unwrap().unwrap();
    assert_eq!(renewed, [Renewal::Held(LEASE_TTL)]);
    bench.silence(LEASE_TTL * 3).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.silence(LEASE_TTL * 3).await;
    assert_eq!(bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await, Completion::Done);
    assert_eq!(bench.counts(&run).await.loaded, 4);
}

async fn the_holder_is_told(bench: &Bench) {
    bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    let mut pushed = bench.store().events().pushed();
    let mut work = bench.store().events().work();
    work.mark_unchanged();
    bench.pass(LEASE_TTL).await;
    let token = lease.token;
    assert_eq!(pushed.try_recv().unwrap(), Event::LeaseExpired { session: A.to_owned(), token });
    assert!(work.has_changed().unwrap(), "others wait for the batch");
}

async fn nothing_runs_out_while_nobody_serves(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.silence(Duration::from_secs(3600)).await;
    assert_eq!(bench.store().expire().await.unwrap(), Expired::default());
    bench.pass(LEASE_TTL - SECOND).await;
    assert_eq!(bench.counts(&run).await.delivering, 4, "the holder has a whole TTL to be heard again");
    bench.pass(SECOND).await;
    assert_eq!(bench.counts(&run).await.in_doubt, 4);
}

async fn a_short_gap_is_none(bench: &Bench) {
    bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    bench.lease(A).await;
    bench.pass(Duration::from_secs(10)).await;
    bench.silence(Duration::from_secs(5)).await;
    assert_eq!(bench.store().expire().await.unwrap().leases, 1);
}

async fn a_restart_revokes_nothing(bench: &mut Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.silence(Duration::from_secs(3600)).await;
    bench.restart().await;
    assert_eq!(bench.store().expire().await.unwrap(), Expired::default());
    bench.restart().await;
    bench.pass(LEASE_TTL - SECOND).await;
    assert_eq!(bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await, Completion::Done);
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (4, 0));
}

async fn an_embedded_worker_dies_with_its_process(bench: &mut Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"]]).await;
    let session = Session { embedded: true, ..worker(A) };
    let acquire = Acquire { session, capacity: 1, ..Acquire::default() };
    let lease = bench.store().acquire(acquire).await.unwrap().leases.remove(0);
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    bench.lease(B).await;
    bench.restart().await;
    let counts = bench.counts(&run).await;
    assert_eq!((counts.in_doubt, counts.pending, counts.leased), (2, 2, 4), "the other worker keeps its lease");
    let alive = bench.store().workers(None, 10, false).await.unwrap();
    assert_eq!(alive.iter().map(|worker| worker.session.id.as_str()).collect::<Vec<_>>(), [B]);
    assert_eq!(bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await, Completion::Late);
    assert_eq!(bench.counts(&run).await.loaded, 2);
}

async fn leases_of_a_stopped_run_end_too(bench: &Bench) {
    let paused = bench.one_batch(new_run("one"), 4).await;
    let cancelled = bench.one_batch(new_run("two"), 4).await;
    bench.warm_up().await;
    assert_eq!(bench.acquire(A, &[], 2).await.leases.len(), 2);
    bench.store().pause_run(&paused.id, "why").await.unwrap();
    bench.store().cancel_run(&cancelled.id).await.unwrap();
    bench.pass(LEASE_TTL).await;
    assert_eq!(bench.counts(&paused).await.pending, 4);
    assert_eq!(bench.counts(&cancelled).await.cancelled, 4);
    assert!(bench.nothing_to_lease().await);
}
