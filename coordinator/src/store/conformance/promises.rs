//! The promises that a store keeps, each as a check that also fails: with the guard named beside it switched off
//! (`planted-bugs`), the check gives an error. A guard that no check misses would be no guard.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use super::Backend;
use super::bench::{A, B, Bench, POST_TIMEOUT, begin, dead, gone, new_run, page, report};
use super::declined::play;
use super::rates::ask;
use crate::domain::{Counts, DeliveryState, RecordState, Run};
use crate::planted::Bug;
use crate::store::{Begun, Completion, Fenced, GrantedLease, LEASE_TTL, Refusal, Renewal};

/// What a check gives: `Err` says in words how the promise was broken.
pub type Kept = Result<(), String>;

/// A promise and the guard that keeps it.
pub struct Promise {
    /// Its number in the design.
    pub number: u32,
    /// In words.
    pub words: &'static str,
    /// The guard that its check misses when it is switched off.
    pub guard: Bug,
    /// The check, on a database of its own.
    pub check: for<'a> fn(&'a dyn Backend) -> BoxFuture<'a, Kept>,
}

/// All that a store alone can keep.
pub const ALL: &[Promise] = &[
    Promise {
        number: 1,
        words: "conservation: each listed record has exactly one state",
        guard: Bug::LosesDeadLetters,
        check: |backend| conservation(backend).boxed(),
    },
    Promise {
        number: 2,
        words: "completeness: an ID on a committed page is in the ledger",
        guard: Bug::LosesLastId,
        check: |backend| completeness(backend).boxed(),
    },
    Promise {
        number: 3,
        words: "fence: the holder of an expired lease changes nothing",
        guard: Bug::NoEpochCheck,
        check: |backend| fence(backend).boxed(),
    },
    Promise {
        number: 4,
        words: "a record is in at most one open delivery",
        guard: Bug::SeveralOpen,
        check: |backend| one_open_delivery(backend).boxed(),
    },
    Promise {
        number: 8,
        words: "a repeated call has the result of one",
        guard: Bug::NoReplayAnswer,
        check: |backend| repeatable(backend).boxed(),
    },
    Promise {
        number: 9,
        words: "after a cancel no delivery begins",
        guard: Bug::BeginWhenStopped,
        check: |backend| nothing_begins_after_a_cancel(backend).boxed(),
    },
    Promise {
        number: 10,
        words: "a dead worker's batch is leased again in time",
        guard: Bug::NeverReap,
        check: |backend| leased_again(backend).boxed(),
    },
    Promise {
        number: 10,
        words: "a record that the target never applies reaches an end",
        guard: Bug::SendsInVainForEver,
        check: |backend| never_applied(backend).boxed(),
    },
    Promise {
        number: 11,
        words: "jumps of the wall clock break nothing",
        guard: Bug::WallClock,
        check: |backend| wall_clock(backend).boxed(),
    },
    Promise {
        number: 13,
        words: "a restart puts nothing in doubt and revokes no lease",
        guard: Bug::NoServingGrace,
        check: |backend| restart(backend).boxed(),
    },
    Promise {
        number: 12,
        words: "bounded pressure: processes that ask the same host share its rate",
        guard: Bug::SharesNoRate,
        check: |backend| shared_rate(backend).boxed(),
    },
];

const SECOND: Duration = Duration::from_secs(1);
const HOUR_IN_MILLIS: i64 = 3_600_000;

fn ensure(kept: bool, otherwise: impl FnOnce() -> String) -> Kept {
    if kept { Ok(()) } else { Err(otherwise()) }
}

/// Are the counts these, and is the ledger balanced?
async fn counts(bench: &Bench, run: &Run, expected: Counts) -> Kept {
    let verdict = bench.unchecked_verdict(run).await;
    ensure(verdict.is_balanced(), || format!("not balanced: {:?}", verdict.discrepancies))?;
    ensure(verdict.counts == expected, || format!("{:?} instead of {expected:?}", verdict.counts))
}

async fn conservation(backend: &dyn Backend) -> Kept {
    let bench = Bench::new(backend).await;
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5"]]).await;
    let listed = Counts { listed: 5, ..Counts::default() };
    counts(&bench, &run, Counts { pending: 5, ..listed }).await?;
    let lease = bench.lease(A).await;
    counts(&bench, &run, Counts { leased: 4, pending: 1, ..listed }).await?;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    counts(&bench, &run, Counts { delivering: 2, leased: 2, pending: 1, ..listed }).await?;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[dead(2), gone(3)])).await;
    let reported = Counts { loaded: 2, dead_letter: 1, gone: 1, pending: 1, ..listed };
    counts(&bench, &run, reported).await?;
    bench.store().cancel_run(&run.id).await.map_err(|error| error.to_string())?;
    counts(&bench, &run, Counts { pending: 0, cancelled: 1, ..reported }).await
}

async fn completeness(backend: &dyn Backend) -> Kept {
    let mut bench = Bench::new(backend).await;
    let run = bench.start(new_run("one")).await;
    let pages = [["1", "2", "3"], ["4", "5", "6"]];
    for (number, ids) in (1..).zip(&pages) {
        let listing = bench.take_listing("lister").await;
        let committed = bench.store().commit_page(&listing, page(number, ids, Some(2))).await;
        ensure(matches!(committed, Ok(Fenced::Committed(_))), || format!("{committed:?}"))?;
        bench.store().release_listing(&listing).await.map_err(|error| error.to_string())?;
        bench.restart().await;
        let listed = bench.store().listed_ids(&run, 0, 10).await.map_err(|error| error.to_string())?;
        let expected = pages.iter().take(usize::try_from(number).unwrap_or(0)).flatten();
        let missing: Vec<_> = expected.filter(|id| !listed.iter().any(|listed| listed == **id)).collect();
        ensure(missing.is_empty(), || format!("page {number} is committed, {missing:?} are not in the ledger"))?;
    }
    Ok(())
}

/// A lease of `A` that ran out, and the one of `B` that followed.
async fn overtaken(bench: &Bench) -> (Run, GrantedLease, GrantedLease) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let stale = bench.lease(A).await;
    bench.pass(LEASE_TTL).await;
    (run, stale, bench.lease(B).await)
}

async fn fence(backend: &dyn Backend) -> Kept {
    let bench = Bench::new(backend).await;
    let (run, stale, newer) = overtaken(&bench).await;
    let store = bench.store();
    let renewed = store.renew(A, &[stale.token]).await;
    ensure(matches!(&renewed, Ok(Ok(renewed)) if *renewed == [Renewal::Lost]), || format!("renewed: {renewed:?}"))?;
    let begun = bench.begin(A, &stale, begin(1, 0..4, 0)).await;
    ensure(begun == Ok(Begun::Refused(Refusal::LeaseLost)), || format!("announced: {begun:?}"))?;
    let released = store.release(A, &[stale.token], false).await;
    ensure(matches!(&released, Ok(Ok(released)) if *released == [false]), || format!("released: {released:?}"))?;
    let completed = store.complete(A, stale.token, report(&[], &[dead(0)])).await;
    ensure(matches!(completed, Ok(Ok(Completion::Late))), || format!("completed: {completed:?}"))?;
    counts(&bench, &run, Counts { listed: 4, leased: 4, ..Counts::default() }).await?;
    let begun = bench.begin(B, &newer, begin(1, 0..4, 0)).await;
    ensure(matches!(begun, Ok(Begun::Announced { .. })), || format!("the newer holder is disturbed: {begun:?}"))
}

async fn one_open_delivery(backend: &dyn Backend) -> Kept {
    let bench = Bench::new(backend).await;
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    let second = bench.store().begin(A, lease.token, begin(2, 1..3, 0)).await;
    let story = bench.story(&run, "2").await;
    let open = story.deliveries.iter().filter(|told| told.fact.state == DeliveryState::Open).count();
    ensure(open == 1, || format!("a record is in {open} open deliveries"))?;
    ensure(matches!(second, Ok(Err(_))), || format!("a second announcement got {second:?}"))?;
    counts(&bench, &run, Counts { listed: 4, delivering: 4, ..Counts::default() }).await
}

async fn repeatable(backend: &dyn Backend) -> Kept {
    let bench = Bench::new(backend).await;
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5"]]).await;
    let lease = bench.lease(A).await;
    let again = bench.acquire(A, &[], 0).await.leases;
    ensure(again.len() == 1 && again[0].token == lease.token, || format!("acquired again: {again:?}"))?;
    let first = bench.begin(A, &lease, begin(1, 0..2, 0)).await;
    let again = bench.begin(A, &lease, begin(1, 0..2, 0)).await;
    ensure(first == again, || format!("announced: first {first:?}, then {again:?}"))?;
    let half = || report(&[(1, DeliveryState::Applied)], &[dead(2)]);
    let first = bench.store().complete(A, lease.token, half()).await;
    let expected = Counts { listed: 5, loaded: 2, dead_letter: 1, pending: 2, ..Counts::default() };
    for _ in 0..2 {
        let again = bench.store().complete(A, lease.token, half()).await;
        ensure(matches!((&first, &again), (Ok(first), Ok(again)) if first == again), || {
            format!("completed: first {first:?}, then {again:?}")
        })?;
        counts(&bench, &run, expected).await?;
    }
    let acknowledged = bench.run(&run.id).await.acknowledged;
    ensure(acknowledged == 1, || format!("one acknowledgement was counted as {acknowledged}"))
}

async fn nothing_begins_after_a_cancel(backend: &dyn Backend) -> Kept {
    let bench = Bench::new(backend).await;
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.store().cancel_run(&run.id).await.map_err(|error| error.to_string())?;
    let begun = bench.begin(A, &lease, begin(1, 0..4, 0)).await;
    ensure(begun == Ok(Begun::Refused(Refusal::RunCancelled)), || format!("announced: {begun:?}"))?;
    counts(&bench, &run, Counts { listed: 4, cancelled: 4, ..Counts::default() }).await
}

async fn leased_again(backend: &dyn Backend) -> Kept {
    let bench = Bench::new(backend).await;
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"]]).await;
    bench.warm_up().await;
    let dead = bench.acquire(A, &[], 2).await.leases;
    bench.announce(A, &dead[0], begin(1, 0..4, 0)).await;
    bench.pass(LEASE_TTL + SECOND).await;
    let again = bench.acquire(B, &[], 2).await.leases;
    ensure(again.len() == 1, || format!("{} batches are leased again after TTL + 1 s", again.len()))?;
    bench.complete(B, &again[0], report(&[], &[])).await;
    bench.pass(POST_TIMEOUT + 6 * SECOND - (LEASE_TTL + SECOND)).await;
    let state = bench.state(&run, "1").await;
    ensure(state == RecordState::InDoubt, || format!("after post_timeout + 6 s a record is {state:?}"))?;
    let again = bench.acquire(B, &[], 2).await.leases;
    ensure(again.len() == 2, || format!("{} batches are leased again after post_timeout + 6 s", again.len()))
}

async fn wall_clock(backend: &dyn Backend) -> Kept {
    let bench = Bench::new(backend).await;
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    // Forward in one jump, then in steps that no gap in the service would explain.
    bench.set_wall_clock(HOUR_IN_MILLIS).await;
    for _ in 0..20 {
        let expired = bench.store().expire().await;
        ensure(matches!(&expired, Ok(expired) if expired.leases == 0), || format!("no time went by: {expired:?}"))?;
        bench.set_wall_clock(3_000).await;
    }
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::NotApplied)], &[])).await;
    // And back: a dead worker's batch is leased again none the later.
    bench.lease(A).await;
    bench.set_wall_clock(-2 * HOUR_IN_MILLIS).await;
    bench.pass(LEASE_TTL + SECOND).await;
    let state = bench.state(&run, "1").await;
    ensure(state == RecordState::Pending, || format!("a dead worker's record is {state:?} after TTL + 1 s"))?;
    ensure(bench.acquire(B, &[], 1).await.leases.len() == 1, || "its batch is not leased again".to_owned())
}

async fn restart(backend: &dyn Backend) -> Kept {
    let mut bench = Bench::new(backend).await;
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"]]).await;
    bench.warm_up().await;
    let leases = bench.acquire(A, &[], 2).await.leases;
    bench.announce(A, &leases[0], begin(1, 0..4, 0)).await;
    bench.silence(Duration::from_secs(3600)).await;
    bench.restart().await;
    bench.pass(LEASE_TTL - SECOND).await;
    counts(&bench, &run, Counts { listed: 8, delivering: 4, leased: 4, ..Counts::default() }).await?;
    let renewed = bench.store().renew(A, &[leases[1].token]).await;
    ensure(matches!(&renewed, Ok(Ok(renewed)) if *renewed == [Renewal::Held(LEASE_TTL)]), || format!("{renewed:?}"))?;
    let done = bench.store().complete(A, leases[0].token, report(&[(1, DeliveryState::Applied)], &[])).await;
    ensure(matches!(done, Ok(Ok(Completion::Done))), || format!("reported: {done:?}"))
}

async fn never_applied(backend: &dyn Backend) -> Kept {
    let bench = Bench::new(backend).await;
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"]]).await;
    let deliveries = play(&bench, &run, "1").await;
    match bench.counts(&run).await {
        Counts { loaded: 7, dead_letter: 1, .. } => Ok(()),
        counts => Err(format!("after {deliveries} deliveries: {counts:?}")),
    }
}

/// Two workers ask at the same time.
async fn shared_rate(backend: &dyn Backend) -> Kept {
    let bench = Bench::new(backend).await;
    let mut places = Vec::new();
    for session in [A, B] {
        bench.acquire(session, &[], 1).await;
        let reserved = bench.store().reserve(ask(Some(session), "http://source.example:80", 2)).await.unwrap().unwrap();
        places.extend(reserved.after);
    }
    places.sort_unstable();
    let apart = Duration::from_millis(10);
    match places.windows(2).find(|pair| pair[1] - pair[0] < apart) {
        None => Ok(()),
        Some(pair) => Err(format!("a request each {apart:?} was agreed on, and two go out at {pair:?}")),
    }
}
