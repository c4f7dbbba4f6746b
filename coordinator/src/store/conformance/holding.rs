//! Holding a lease: renewed, given back.

use std::time::Duration;

use super::Backend;
use super::bench::{A, B, Bench, POST_TIMEOUT, begin, dead, new_run, report};
use crate::domain::{DeliveryState, LeaseToken, RecordState};
use crate::store::{Begun, Completion, Ending, LEASE_TTL, Misuse, Refusal, Renewal};

/// Renewing and releasing leases.
pub async fn holding(backend: &dyn Backend) {
    renewing_keeps_a_lease(&Bench::new(backend).await).await;
    renewing_answers_for_each_token(&Bench::new(backend).await).await;
    renewing_never_shortens(&Bench::new(backend).await).await;
    renewing_tells_of_a_stopped_run(&Bench::new(backend).await).await;
    tokens_prove_who_holds_a_lease(&Bench::new(backend).await).await;
    releasing_is_not_charged(&Bench::new(backend).await).await;
    releasing_again_gives_the_same_answer(&Bench::new(backend).await).await;
    releasing_answers_for_each_token(&Bench::new(backend).await).await;
    an_open_delivery_is_not_released(&Bench::new(backend).await).await;
    a_lost_lease_is_not_released(&Bench::new(backend).await).await;
    the_end_of_a_session_frees_what_it_never_heard_of(&Bench::new(backend).await).await;
    what_was_settled_stays_settled_after_a_release(&Bench::new(backend).await).await;
}

async fn renew(bench: &Bench, session: &str, token: LeaseToken) -> Renewal {
    bench.store().renew(session, &[token]).await.unwrap().unwrap()[0]
}

async fn release(bench: &Bench, session: &str, token: LeaseToken) -> bool {
    bench.store().release(session, &[token], false).await.unwrap().unwrap()[0]
}

async fn renewing_keeps_a_lease(bench: &Bench) {
    bench.one_batch(new_run("one"), 2).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    for _ in 0..6 {
        bench.pass(LEASE_TTL / 3).await;
        assert_eq!(renew(bench, A, lease.token).await, Renewal::Held(LEASE_TTL));
    }
    bench.pass(LEASE_TTL).await;
    assert_eq!(renew(bench, A, lease.token).await, Renewal::Lost);
}

async fn renewing_answers_for_each_token(bench: &Bench) {
    bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5"]]).await;
    let leases = bench.acquire(A, &[], 2).await.leases;
    bench.complete(A, &leases[0], report(&[], &[dead(0), dead(1), dead(2), dead(3)])).await;
    let tokens = [leases[1].token, leases[0].token, leases[1].token];
    let renewed = bench.store().renew(A, &tokens).await.unwrap().unwrap();
    assert_eq!(renewed, [Renewal::Held(LEASE_TTL), Renewal::Lost, Renewal::Held(LEASE_TTL)]);
    assert_eq!(bench.store().renew(A, &[]).await.unwrap().unwrap(), []);
}

async fn renewing_never_shortens(bench: &Bench) {
    bench.one_batch(new_run("one"), 2).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    renew(bench, A, lease.token).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(4)).await;
    assert!(matches!(renew(bench, A, lease.token).await, Renewal::Held(_)));
}

async fn renewing_tells_of_a_stopped_run(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    let lease = bench.lease(A).await;
    bench.store().pause_run(&run.id, "why").await.unwrap();
    assert_eq!(renew(bench, A, lease.token).await, Renewal::RunStopped(LEASE_TTL));
    bench.store().resume_run(&run.id).await.unwrap();
    assert_eq!(renew(bench, A, lease.token).await, Renewal::Held(LEASE_TTL));
    bench.store().cancel_run(&run.id).await.unwrap();
    assert_eq!(renew(bench, A, lease.token).await, Renewal::RunStopped(LEASE_TTL));
}

async fn tokens_prove_who_holds_a_lease(bench: &Bench) {
    bench.one_batch(new_run("one"), 2).await;
    let lease = bench.lease(A).await;
    let forged = LeaseToken::new(lease.token.lease(), [0; 16]);
    let store = bench.store();
    let renewed = store.renew(A, &[forged, lease.token]).await.unwrap().unwrap();
    assert_eq!(renewed, [Renewal::Lost, Renewal::Held(LEASE_TTL)], "an unknown token fails no call about many");
    assert_eq!(store.release(A, &[forged], false).await.unwrap().unwrap(), [false]);
    assert_eq!(store.begin(A, forged, begin(1, 0..2, 0)).await.unwrap(), Err(Misuse::TokenUnknown));
    assert_eq!(store.complete(A, forged, report(&[], &[])).await.unwrap(), Err(Misuse::TokenUnknown));
    assert_eq!(store.renew(B, &[lease.token]).await.unwrap(), Err(Misuse::OtherSession));
    assert_eq!(store.release(B, &[lease.token], false).await.unwrap(), Err(Misuse::OtherSession));
    assert_eq!(store.begin(B, lease.token, begin(1, 0..2, 0)).await.unwrap(), Err(Misuse::OtherSession));
    assert_eq!(store.complete(B, lease.token, report(&[], &[])).await.unwrap(), Err(Misuse::OtherSession));
    assert_eq!(renew(bench, A, lease.token).await, Renewal::Held(LEASE_TTL), "none of it did any harm");
}

async fn releasing_is_not_charged(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    let first = bench.lease(A).await;
    assert!(release(bench, A, first.token).await);
    assert_eq!(bench.counts(&run).await.pending, 2);
    assert_eq!(bench.begin(A, &first, begin(1, 0..2, 0)).await, Ok(Begun::Refused(Refusal::LeaseLost)));
    let second = bench.lease(B).await;
    assert_eq!((second.attempt, second.token.lease().epoch), (1, 2), "not charged, and fenced");
    bench.complete(B, &second, report(&[], &[])).await;
    assert_eq!(bench.lease(B).await.attempt, 2, "a report is charged");
    let endings: Vec<_> = bench.story(&run, "1").await.leases.into_iter().map(|lease| lease.ending).collect();
    assert_eq!(endings, [Some(Ending::Released), Some(Ending::Completed), None]);
}

async fn releasing_again_gives_the_same_answer(bench: &Bench) {
    bench.one_batch(new_run("one"), 2).await;
    let first = bench.lease(A).await;
    assert!(release(bench, A, first.token).await);
    assert!(release(bench, A, first.token).await);
    let second = bench.lease(B).await;
    assert!(release(bench, A, first.token).await, "whoever has the batch by now");
    assert_eq!(renew(bench, B, second.token).await, Renewal::Held(LEASE_TTL), "and without taking it away");
}

async fn releasing_answers_for_each_token(bench: &Bench) {
    bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"]]).await;
    let leases = bench.acquire(A, &[], 2).await.leases;
    bench.announce(A, &leases[0], begin(1, 0..2, 0)).await;
    let tokens = [leases[1].token, leases[0].token, leases[1].token];
    assert_eq!(bench.store().release(A, &tokens, false).await.unwrap().unwrap(), [true, false, true]);
}

async fn an_open_delivery_is_not_released(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    assert!(!release(bench, A, lease.token).await);
    assert_eq!(bench.counts(&run).await.delivering, 2);
    let done = bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    assert_eq!(done, Completion::Done);
}

async fn a_lost_lease_is_not_released(bench: &Bench) {
    bench.one_batch(new_run("one"), 2).await;
    bench.warm_up().await;
    let first = bench.lease(A).await;
    bench.pass(LEASE_TTL).await;
    let second = bench.lease(B).await;
    assert_eq!(second.attempt, 2, "an expiry is charged");
    assert!(!release(bench, A, first.token).await);
    assert_eq!(renew(bench, B, second.token).await, Renewal::Held(LEASE_TTL));
}

async fn the_end_of_a_session_frees_what_it_never_heard_of(bench: &Bench) {
    bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5"]]).await;
    let open = bench.lease(A).await;
    bench.announce(A, &open, begin(1, 0..2, 0)).await;
    // The answer to this one is lost.
    bench.acquire(A, &[&open], 1).await;
    assert!(bench.store().release(A, &[], true).await.unwrap().unwrap().is_empty());
    let freed = bench.acquire(B, &[], 2).await.leases;
    assert_eq!(freed.len(), 1, "all but the one with an open delivery");
    assert_eq!(freed[0].attempt, 1);
}

async fn what_was_settled_stays_settled_after_a_release(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    // The next announcement brings the outcome of the one before, and is refused itself.
    bench.store().pause_run(&run.id, "why").await.unwrap();
    let settled = vec![super::bench::evidence(1, DeliveryState::Applied)];
    let next = crate::store::Begin { settled, ..begin(2, 2..4, 0) };
    assert_eq!(bench.begin(A, &lease, next).await, Ok(Begun::Refused(Refusal::RunPaused)));
    assert!(release(bench, A, lease.token).await);
    bench.store().resume_run(&run.id).await.unwrap();
    let rest = bench.lease(B).await;
    assert_eq!(rest.parts.len(), 1);
    assert_eq!(rest.parts[0].1, ["3", "4"]);
    assert_eq!(bench.state(&run, "1").await, RecordState::Loaded);
}
