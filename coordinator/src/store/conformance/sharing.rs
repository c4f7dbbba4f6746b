//! Several runs at once: whose batches are leased next, and to how many workers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Backend;
use super::bench::{A, B, Bench, MAX_BATCH, new_run, probing_run, worker};
use crate::domain::{DeliveryState, NewRun, Run, RunId, Share, ShareChange};
use crate::store::{Acquire, GrantedLease, LEASE_TTL};

const C: &str = "session-of-worker-c";

/// How runs share the workers.
pub async fn sharing(backend: &dyn Backend) {
    a_small_run_comes_beside_a_large_one(&Bench::new(backend).await).await;
    leases_follow_weights(&Bench::new(backend).await).await;
    a_higher_priority_comes_first(&Bench::new(backend).await).await;
    what_a_run_leaves_goes_to_others(&Bench::new(backend).await).await;
    a_run_that_cannot_be_leased_has_no_share(&Bench::new(backend).await).await;
    a_run_is_passed_over_by_who_wants_none_of_it(&Bench::new(backend).await).await;
    a_share_is_changed_as_the_run_goes_on(&Bench::new(backend).await).await;
    a_share_lasts(&mut Bench::new(backend).await).await;
    so_many_workers_hold_leases(&Bench::new(backend).await).await;
    a_worker_that_is_gone_makes_room(&Bench::new(backend).await).await;
    a_bound_that_is_lowered_takes_no_lease(&Bench::new(backend).await).await;
    askers_at_once_keep_the_bound(&Bench::new(backend).await).await;
}

fn share(priority: i32, weight: u32, max_workers: u32) -> Share {
    Share { priority, weight, max_workers }
}

/// A run of so many full batches.
pub(crate) async fn batches(bench: &Bench, name: &str, batches: u32, share: Share) -> Run {
    of(bench, NewRun { share, ..new_run(name) }, batches).await
}

/// The same of another run.
pub(super) async fn of(bench: &Bench, new: NewRun, batches: u32) -> Run {
    let ids: Vec<String> = (0..batches * MAX_BATCH).map(|id| id.to_string()).collect();
    bench.listed(new, &[&ids.iter().map(String::as_str).collect::<Vec<_>>()]).await
}

/// How many of these leases are of each run.
fn by_run(leases: &[GrantedLease]) -> BTreeMap<&RunId, usize> {
    leases.iter().fold(BTreeMap::new(), |mut counts, lease| {
        *counts.entry(&lease.run_id).or_default() += 1;
        counts
    })
}

async fn a_small_run_comes_beside_a_large_one(bench: &Bench) {
    let large = batches(bench, "large", 40, Share::default()).await;
    let held = bench.acquire(A, &[], 10).await.leases;
    let small = batches(bench, "small", 2, Share::default()).await;
    let held: Vec<&GrantedLease> = held.iter().collect();
    let next = bench.acquire(A, &held, 3).await.leases;
    let runs: Vec<&RunId> = next.iter().map(|lease| &lease.run_id).collect();
    assert_eq!(runs, [&small.id, &small.id, &large.id], "the small one first, and all of the capacity is used");
    // In each run in order, whoever asks.
    let numbers = |leases: &[GrantedLease]| leases.iter().map(|of| of.token.lease().batch.batch).collect::<Vec<_>>();
    assert_eq!((numbers(&next), numbers(&bench.acquire(B, &[], 2).await.leases)), (vec![0, 1, 10], vec![11, 12]));
}

async fn leases_follow_weights(bench: &Bench) {
    let one = batches(bench, "one", 40, share(0, 50, 0)).await;
    let two = batches(bench, "two", 40, share(0, 150, 0)).await;
    let first = bench.acquire(A, &[], 20).await.leases;
    assert_eq!(by_run(&first), [(&one.id, 5), (&two.id, 15)].into());
    // What others hold counts, and what is given back counts no more.
    for lease in first.iter().filter(|lease| lease.run_id == one.id) {
        bench.deliver(A, lease, DeliveryState::Applied).await;
    }
    let second = bench.acquire(B, &[], 5).await.leases;
    assert_eq!(by_run(&second), [(&one.id, 5)].into());
}

async fn a_higher_priority_comes_first(bench: &Bench) {
    let low = batches(bench, "low", 9, share(-1, 1_000, 0)).await;
    let high = batches(bench, "high", 4, share(7, 1, 0)).await;
    let first = bench.acquire(A, &[], 3).await.leases;
    assert_eq!(by_run(&first), [(&high.id, 3)].into());
    let second = bench.acquire(B, &[], 3).await.leases;
    assert_eq!(by_run(&second), [(&high.id, 1), (&low.id, 2)].into(), "and what is left goes to the next");
}

async fn what_a_run_leaves_goes_to_others(bench: &Bench) {
    let few = batches(bench, "few", 1, share(0, 1_000, 0)).await;
    let many = batches(bench, "many", 30, share(0, 1, 0)).await;
    let third = batches(bench, "third", 2, share(-9, 1, 0)).await;
    let leases = bench.acquire(A, &[], 64).await.leases;
    assert_eq!(by_run(&leases), [(&few.id, 1), (&many.id, 30), (&third.id, 2)].into());
    assert!(bench.nothing_to_lease().await);
}

async fn a_run_that_cannot_be_leased_has_no_share(bench: &Bench) {
    let paused = batches(bench, "paused", 9, share(5, 100, 0)).await;
    bench.store().pause_run(&paused.id, "why").await.unwrap();
    let probing = of(bench, NewRun { share: share(4, 100, 0), ..probing_run("probing") }, 9).await;
    let other = batches(bench, "other", 9, Share::default()).await;
    let older = crate::store::Acquire { session: super::bench::worker(A), capacity: 4, ..Default::default() };
    let leases = bench.store().acquire(older).await.unwrap().leases;
    assert_eq!(by_run(&leases), [(&other.id, 4)].into(), "an older worker does what it can");
    assert_eq!(by_run(&bench.acquire(B, &[], 4).await.leases), [(&probing.id, 4)].into());
}

async fn a_run_is_passed_over_by_who_wants_none_of_it(bench: &Bench) {
    let first = batches(bench, "first", 9, share(5, 100, 0)).await;
    let other = batches(bench, "other", 3, Share::default()).await;
    let asks = async |held: &[&GrantedLease]| {
        let (held, passing_over) = (held.iter().map(|lease| lease.token).collect(), vec![first.id.clone()]);
        let acquire = Acquire { session: worker(A), capacity: 4, ..Acquire::default() };
        bench.store().acquire(Acquire { held, passing_over, ..acquire }).await.unwrap()
    };
    let leases = asks(&[]).await.leases;
    assert_eq!(by_run(&leases), [(&other.id, 3)].into());
    let nothing = asks(&leases.iter().collect::<Vec<_>>()).await;
    assert!(nothing.leases.is_empty());
    // What it has of that run all the same, and did not list, it is told of.
    let held: Vec<GrantedLease> = bench.acquire(A, &leases.iter().collect::<Vec<_>>(), 1).await.leases;
    let lost = asks(&leases.iter().collect::<Vec<_>>()).await.leases;
    assert_eq!((by_run(&lost), lost[0].token), ([(&first.id, 1)].into(), held[0].token));
    assert_eq!(by_run(&bench.acquire(B, &[], 4).await.leases), [(&first.id, 4)].into(), "others may have more luck");
}

async fn a_share_is_changed_as_the_run_goes_on(bench: &Bench) {
    let one = batches(bench, "one", 40, Share::default()).await;
    let two = batches(bench, "two", 40, Share::default()).await;
    let change = ShareChange { weight: Some(300), ..ShareChange::default() };
    let changed = bench.store().set_share(&two.id, change).await.unwrap().unwrap();
    assert_eq!((changed.share, bench.run(&one.id).await.share), (share(0, 300, 0), Share::default()));
    assert_eq!(by_run(&bench.acquire(A, &[], 8).await.leases), [(&one.id, 2), (&two.id, 6)].into());
    let change = ShareChange { priority: Some(1), ..ShareChange::default() };
    bench.store().set_share(&one.id, change).await.unwrap();
    assert_eq!(by_run(&bench.acquire(B, &[], 8).await.leases), [(&one.id, 8)].into());
    let nobody = RunId::from_text("nobody");
    assert!(bench.store().set_share(&nobody, change).await.unwrap().is_none());
}

async fn a_share_lasts(bench: &mut Bench) {
    let of_run = share(-3, 7, 2);
    let run = batches(bench, "one", 1, of_run).await;
    bench.restart().await;
    assert_eq!(bench.run(&run.id).await.share, of_run);
    let acquired = bench.acquire(A, &[], 1).await;
    assert_eq!(acquired.runs[0].share, of_run);
    assert_eq!(bench.store().runs(None, 10).await.unwrap()[0].share, of_run);
}

async fn so_many_workers_hold_leases(bench: &Bench) {
    let bounded = batches(bench, "bounded", 20, share(9, 100, 1)).await;
    let other = batches(bench, "other", 20, Share::default()).await;
    let first = bench.acquire(A, &[], 2).await.leases;
    assert_eq!(by_run(&first), [(&bounded.id, 2)].into());
    let others = bench.acquire(B, &[], 2).await.leases;
    assert_eq!(by_run(&others), [(&other.id, 2)].into(), "who may not work on it works on something else");
    let more = bench.acquire(A, &first.iter().collect::<Vec<_>>(), 2).await.leases;
    assert_eq!(by_run(&more), [(&bounded.id, 2)].into(), "who holds some may have more");
    for lease in first.iter().chain(&more) {
        bench.deliver(A, lease, DeliveryState::Applied).await;
    }
    assert_eq!(by_run(&bench.acquire(C, &[], 1).await.leases), [(&bounded.id, 1)].into());
    assert_eq!(by_run(&bench.acquire(A, &[], 1).await.leases), [(&other.id, 1)].into());
    assert_eq!(bench.store().progress(&bounded).await.unwrap().workers, 1);
}

async fn a_worker_that_is_gone_makes_room(bench: &Bench) {
    batches(bench, "bounded", 20, share(0, 100, 1)).await;
    bench.warm_up().await;
    let lost = bench.lease(A).await;
    assert!(bench.acquire(B, &[], 1).await.leases.is_empty());
    assert_eq!(bench.acquire(B, &[], 1).await.next_in, Some(LEASE_TTL), "then there is room");
    bench.pass(LEASE_TTL + Duration::from_secs(1)).await;
    assert_eq!(bench.acquire(B, &[], 1).await.leases[0].token.lease().batch, lost.token.lease().batch);
    assert!(bench.acquire(A, &[], 1).await.leases.is_empty());
}

async fn a_bound_that_is_lowered_takes_no_lease(bench: &Bench) {
    let run = batches(bench, "one", 20, Share::default()).await;
    let (a, b) = (bench.lease(A).await, bench.lease(B).await);
    let change = ShareChange { max_workers: Some(1), ..ShareChange::default() };
    bench.store().set_share(&run.id, change).await.unwrap();
    assert!(bench.acquire(A, &[&a], 1).await.leases.is_empty() && bench.acquire(B, &[&b], 1).await.leases.is_empty());
    bench.deliver(A, &a, DeliveryState::Applied).await;
    bench.deliver(B, &b, DeliveryState::Applied).await;
    bench.lease(B).await;
    assert!(bench.acquire(A, &[], 1).await.leases.is_empty());
}

/// Whoever asks at the same moment, through whichever connection: the count of holders is true when it is acted on.
async fn askers_at_once_keep_the_bound(bench: &Bench) {
    let run = batches(bench, "bounded", 60, share(0, 100, 2)).await;
    let second = batches(bench, "second", 60, share(0, 100, 3)).await;
    let names: Vec<String> = (0..12).map(|number| format!("session-of-worker-{number:02}")).collect();
    let asked = names.iter().map(|name| bench.acquire(name, &[], 2));
    let answers = futures::future::join_all(asked).await;
    let holders = |of: &Run| {
        let holds = |answer: &&crate::store::Acquired| answer.leases.iter().any(|lease| lease.run_id == of.id);
        answers.iter().filter(holds).count()
    };
    assert_eq!((holders(&run), holders(&second)), (2, 3), "so many, and no fewer");
}
