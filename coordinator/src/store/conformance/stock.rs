//! Leases in stock: who is asked to give some back when another session has nothing to do.

use std::time::Duration;

use super::Backend;
use super::bench::{A, B, Bench, begin, new_run, probing_run};
use super::sharing::{batches, of};
use crate::domain::Share;
use crate::store::{Event, GrantedLease, LEASE_TTL, Want};

/// It has nothing to do.
const IDLE: &str = "session-of-an-idle-worker";

/// Leases in stock.
pub async fn stock(backend: &dyn Backend) {
    who_has_most_is_asked(&Bench::new(backend).await).await;
    an_open_delivery_is_no_stock(&Bench::new(backend).await).await;
    nobody_is_asked_for_his_only_lease_or_by_himself(&Bench::new(backend).await).await;
    what_the_asker_may_not_work_on_is_no_stock(&Bench::new(backend).await).await;
    who_is_not_heard_of_is_not_asked(&Bench::new(backend).await).await;
}

fn want(capacity: u32) -> Want {
    Want { session: IDLE.to_owned(), capacity, protocol: muster_proto::PROTOCOL, passing_over: Vec::new() }
}

/// Who is asked, and for how many: as the store says, and as all who attend hear.
async fn asked(bench: &Bench, want: Want) -> Option<(String, u32)> {
    let mut pushed = bench.store().events().pushed();
    let asked = bench.store().want_leases(want).await.unwrap()?;
    let Ok(Event::LeasesWanted { session, leases }) = pushed.try_recv() else { panic!("nobody hears of it") };
    assert!(asked == session && pushed.try_recv().is_err());
    Some((session, leases))
}

fn to(session: &str, leases: u32) -> Option<(String, u32)> {
    Some((session.to_owned(), leases))
}

async fn who_has_most_is_asked(bench: &Bench) {
    let run = batches(bench, "one", 12, Share::default()).await;
    assert_eq!(asked(bench, want(64)).await, None, "nobody has any");
    let of_a = bench.acquire(A, &[], 7).await.leases;
    bench.acquire(B, &[], 4).await;
    let before = format!("{:?}", bench.run(&run.id).await);
    assert_eq!(asked(bench, want(64)).await, to(A, 3));
    assert_eq!(asked(bench, want(1)).await, to(A, 1));
    assert_eq!(asked(bench, Want { passing_over: vec![A.to_owned()], ..want(64) }).await, to(B, 2));
    assert_eq!(asked(bench, Want { session: B.to_owned(), ..want(64) }).await, None, "it has enough itself");
    assert_eq!(format!("{:?}", bench.run(&run.id).await), before, "it is a wish");
    // What is given back is ready, and not charged.
    let tokens: Vec<_> = of_a[4..].iter().map(|lease| lease.token).collect();
    assert_eq!(bench.store().release(A, &tokens, false).await.unwrap().unwrap(), [true; 3]);
    let given = bench.acquire(IDLE, &[], 3).await.leases;
    let numbers = |leases: &[GrantedLease]| leases.iter().map(|of| of.token.lease().batch.batch).collect::<Vec<_>>();
    assert_eq!(numbers(&given), numbers(&of_a[4..]));
    assert!(given.iter().all(|lease| lease.attempt == 1));
    assert_eq!(asked(bench, want(64)).await, None, "all have about as many");
}

async fn an_open_delivery_is_no_stock(bench: &Bench) {
    batches(bench, "one", 9, Share::default()).await;
    let of_a = bench.acquire(A, &[], 6).await.leases;
    bench.acquire(B, &[], 3).await;
    for lease in &of_a[..4] {
        bench.announce(A, lease, begin(1, 0..4, 0)).await;
    }
    assert_eq!(asked(bench, want(64)).await, to(B, 1));
    bench.announce(A, &of_a[4], begin(1, 0..4, 0)).await;
    assert_eq!(asked(bench, Want { passing_over: vec![B.to_owned()], ..want(64) }).await, None);
}

async fn nobody_is_asked_for_his_only_lease_or_by_himself(bench: &Bench) {
    batches(bench, "one", 3, Share::default()).await;
    bench.lease(A).await;
    assert_eq!(asked(bench, want(64)).await, None);
    bench.acquire(B, &[], 2).await;
    assert_eq!(asked(bench, Want { session: B.to_owned(), ..want(64) }).await, None);
    assert_eq!(asked(bench, want(0)).await, None);
    assert_eq!(asked(bench, want(64)).await, to(B, 1));
}

async fn what_the_asker_may_not_work_on_is_no_stock(bench: &Bench) {
    let run = batches(bench, "paused", 6, Share::default()).await;
    bench.acquire(A, &[], 6).await;
    bench.store().pause_run(&run.id, "why").await.unwrap();
    assert_eq!(asked(bench, want(64)).await, None);
    bench.store().resume_run(&run.id).await.unwrap();
    assert_eq!(asked(bench, want(64)).await, to(A, 3));
    bench.store().cancel_run(&run.id).await.unwrap();
    let probing = of(bench, probing_run("probing"), 4).await;
    bench.acquire(B, &[], 4).await;
    assert_eq!(asked(bench, Want { protocol: 1, ..want(64) }).await, None, "an older worker does what it can");
    assert_eq!(asked(bench, want(64)).await, to(B, 2));
    bench.store().cancel_run(&probing.id).await.unwrap();
    batches(bench, "bounded", 6, Share { max_workers: 2, ..Share::default() }).await;
    bench.acquire(A, &[], 6).await;
    assert_eq!(asked(bench, want(64)).await, None, "who may work on it, others have decided");
    of(bench, new_run("other"), 3).await;
    bench.acquire(B, &[], 3).await;
    assert_eq!(asked(bench, want(64)).await, to(B, 1));
}

async fn who_is_not_heard_of_is_not_asked(bench: &Bench) {
    batches(bench, "one", 5, Share::default()).await;
    let of_a = bench.acquire(A, &[], 5).await.leases;
    bench.silence(LEASE_TTL).await;
    assert_eq!(asked(bench, want(64)).await, to(A, 2));
    bench.silence(Duration::from_secs(1)).await;
    assert_eq!(asked(bench, want(64)).await, None);
    let tokens: Vec<_> = of_a.iter().map(|lease| lease.token).collect();
    bench.store().renew(A, &tokens).await.unwrap().unwrap();
    assert_eq!(asked(bench, want(64)).await, to(A, 2));
}
