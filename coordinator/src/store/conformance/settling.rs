//! Settling: an operator's word for deliveries in doubt.

use std::time::Duration;

use super::Backend;
use super::bench::{A, B, Bench, POST_TIMEOUT, begin, evidence, holding_run, new_run, probing_run, report, run_with};
use crate::audit::{audit, overall};
use crate::domain::{DeliveryState, NewRun, Run, RunState};
use crate::store::{Begin, Completion, DoubtPlan, Fenced, Settle, SettleRefusal, Settled};

/// Settling doubts.
pub async fn settling(backend: &dyn Backend) {
    what_was_applied_is_loaded(&Bench::new(backend).await).await;
    what_was_not_is_sent_again_in_its_round(&Bench::new(backend).await).await;
    what_was_not_goes_on_in_the_next_round(&Bench::new(backend).await).await;
    several_settlements_share_a_round(&Bench::new(backend).await).await;
    a_part_may_have_been_applied(&Bench::new(backend).await).await;
    a_part_may_have_been_applied_in_a_round_that_is_over(&Bench::new(backend).await).await;
    in_a_cancelled_run_nothing_is_sent(&Bench::new(backend).await).await;
    the_same_word_again_changes_nothing(&Bench::new(backend).await).await;
    a_list_speaks_of_each_delivery_and_may_be_repeated(&Bench::new(backend).await).await;
    a_word_that_makes_no_sense_is_refused(&Bench::new(backend).await).await;
    all_or_nothing(&Bench::new(backend).await).await;
    an_older_try_is_settled_with_its_repetition(&Bench::new(backend).await).await;
    a_target_that_contradicts_is_named(&Bench::new(backend).await).await;
    records_that_went_on_are_not_loaded_by_an_older_try(&Bench::new(backend).await).await;
    two_doubts_of_one_batch_are_settled_together(&Bench::new(backend).await).await;
    doubts_are_listed_with_what_comes_next(&Bench::new(backend).await).await;
}

/// One batch of four, its delivery in doubt for so long that it can be settled.
pub(super) async fn doubtful(bench: &Bench, new: NewRun) -> Run {
    let run = bench.one_batch(new, 4).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    bench.pass(POST_TIMEOUT).await;
    run
}

async fn over(bench: &Bench) -> Run {
    let run = doubtful(bench, holding_run("one")).await;
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    run
}

fn applied() -> Settle {
    Settle { numbers: vec![1], applied: true, note: "seen there".to_owned(), ..Settle::default() }
}

fn not_applied() -> Settle {
    Settle { numbers: vec![1], note: "not there".to_owned(), ..Settle::default() }
}

pub(super) fn partly(ids: &[&str]) -> Settle {
    Settle { applied_ids: ids.iter().map(|id| (*id).to_owned()).collect(), ..applied() }
}

pub(super) async fn settled(bench: &Bench, run: &Run, settle: Settle) -> (Run, u64, u64) {
    match bench.store().settle(&run.id, settle).await.unwrap() {
        Some(Settled::Done { run, loaded, to_send }) => (*run, loaded, to_send),
        other => panic!("{other:?}"),
    }
}

async fn refused(bench: &Bench, run: &Run, settle: Settle) -> SettleRefusal {
    match bench.store().settle(&run.id, settle).await.unwrap() {
        Some(Settled::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

async fn what_was_applied_is_loaded(bench: &Bench) {
    let run = over(bench).await;
    let (run, loaded, to_send) = settled(bench, &run, applied()).await;
    assert_eq!((run.state, run.round, loaded, to_send), (RunState::Finished, 1, 4, 0));
    assert_eq!(bench.counts(&run).await.loaded, 4);
    assert_eq!(bench.store().stale_rounds().await.unwrap().len(), 1, "its verdict said something else");
    let acknowledged = bench.store().acknowledgements(&run, 0, 10).await.unwrap();
    assert_eq!(acknowledged[0].ids, ["1", "2", "3", "4"]);
    let delivery = bench.story(&run, "1").await.deliveries.remove(0);
    assert_eq!((delivery.settled_by.as_str(), delivery.note.as_str()), ("operator", "seen there"));
    assert_eq!(delivery.detail, "said the target", "what its worker said stays");
}

async fn what_was_not_is_sent_again_in_its_round(bench: &Bench) {
    let run = bench.listed(holding_run("one"), &[&["1", "2", "3", "4", "5"]]).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    bench.pass(POST_TIMEOUT).await;
    let (run, loaded, to_send) = settled(bench, &run, not_applied()).await;
    assert_eq!((run.round, loaded, to_send), (1, 0, 4));
    for lease in bench.acquire(B, &[], 10).await.leases {
        assert_eq!(lease.parts[0].0.retry_of, 0, "there is no doubt to repeat");
        bench.deliver(B, &lease, DeliveryState::Applied).await;
    }
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (5, 0));
}

async fn what_was_not_goes_on_in_the_next_round(bench: &Bench) {
    let run = over(bench).await;
    let before = audit(bench.store().as_ref(), &run.id, Some(1)).await.unwrap().unwrap().1.counts;
    let (run, loaded, to_send) = settled(bench, &run, not_applied()).await;
    assert_eq!((run.state, run.round, loaded, to_send), (RunState::Running, 2, 0, 4));
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    bench.conclude(&run).await;
    let run = bench.run(&run.id).await;
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.round, verdict.counts.loaded), (2, 4));
    assert_eq!(audit(bench.store().as_ref(), &run.id, Some(1)).await.unwrap().unwrap().1.counts, before);
    let all = overall(bench.store().as_ref(), &run, &verdict).await.unwrap();
    assert_eq!((all.listed, all.loaded, all.in_doubt), (4, 4, 0));
    assert!(bench.store().doubts(&run, 0, 10).await.unwrap().is_empty());
}

async fn several_settlements_share_a_round(bench: &Bench) {
    let run = bench.listed(holding_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"]]).await;
    for _ in 0..2 {
        let lease = bench.lease(A).await;
        bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    }
    bench.pass(POST_TIMEOUT).await;
    bench.conclude(&run).await;
    settled(bench, &run, not_applied()).await;
    let (run, ..) = settled(bench, &run, Settle { numbers: vec![2], ..not_applied() }).await;
    assert_eq!(run.round, 2, "the one that the first has opened goes on");
    assert_eq!(bench.counts(&run).await.pending, 8);
    let leases = bench.acquire(A, &[], 10).await.leases;
    assert_eq!(leases.iter().map(|lease| lease.parts[0].1.len()).collect::<Vec<_>>(), [4, 4]);
}

async fn a_part_may_have_been_applied(bench: &Bench) {
    let run = bench.listed(holding_run("one"), &[&["1", "2", "3", "4", "5"]]).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    bench.pass(POST_TIMEOUT).await;
    let (run, loaded, to_send) = settled(bench, &run, partly(&["2", "3"])).await;
    assert_eq!((run.round, loaded, to_send), (1, 2, 2));
    let lease = bench.lease(B).await;
    assert_eq!(lease.parts[0].1, ["1", "4"]);
    bench.deliver(B, &lease, DeliveryState::Applied).await;
    let last = bench.lease(B).await;
    bench.deliver(B, &last, DeliveryState::Applied).await;
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (5, 0));
    let acknowledged = bench.store().acknowledgements(&run, 0, 10).await.unwrap();
    assert_eq!(
        acknowledged.iter().map(|one| one.ids.clone()).collect::<Vec<_>>(),
        [vec!["2", "3"], vec!["1", "4"], vec!["5"]]
    );
}

async fn a_part_may_have_been_applied_in_a_round_that_is_over(bench: &Bench) {
    let run = over(bench).await;
    let (run, loaded, to_send) = settled(bench, &run, partly(&["2", "3"])).await;
    assert_eq!((run.round, loaded, to_send), (2, 2, 2));
    let lease = bench.lease(A).await;
    assert_eq!(lease.parts[0].1, ["1", "4"]);
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    let (_, first) = audit(bench.store().as_ref(), &run.id, Some(1)).await.unwrap().unwrap();
    assert!(first.is_balanced(), "{:?}", first.discrepancies);
    assert_eq!((first.counts.loaded, first.counts.in_doubt), (2, 2));
    let all = overall(bench.store().as_ref(), &run, &bench.verdict(&run).await).await.unwrap();
    assert_eq!((all.listed, all.loaded, all.in_doubt), (4, 4, 0));
}

async fn in_a_cancelled_run_nothing_is_sent(bench: &Bench) {
    let run = doubtful(bench, holding_run("one")).await;
    bench.store().cancel_run(&run.id).await.unwrap();
    bench.conclude(&run).await;
    let (run, loaded, to_send) = settled(bench, &run, not_applied()).await;
    assert_eq!((run.state, run.round, loaded, to_send), (RunState::Cancelled, 1, 0, 0));
    assert_eq!(bench.counts(&run).await.cancelled, 4);
    assert!(bench.nothing_to_lease().await);
}

async fn the_same_word_again_changes_nothing(bench: &Bench) {
    let every = partly(&["1", "2", "3", "4"]);
    for (settle, round) in [(applied(), 1), (not_applied(), 2), (partly(&["1"]), 2), (every, 1)] {
        let name = format!("{}-{}", settle.applied, settle.applied_ids.len());
        let run = doubtful(bench, holding_run(&name)).await;
        bench.conclude(&run).await;
        let numbers = settled(bench, &run, settle.clone()).await;
        let (same, loaded, to_send) = settled(bench, &run, settle).await;
        assert_eq!((same.round, numbers.0.round, loaded, to_send), (round, round, 0, 0));
        let other = if numbers.1 == 4 { not_applied() } else { applied() };
        assert_eq!(refused(bench, &run, other).await, SettleRefusal::Otherwise(1));
        bench.store().cancel_run(&run.id).await.unwrap();
    }
}

async fn a_list_speaks_of_each_delivery_and_may_be_repeated(bench: &Bench) {
    let run = bench.listed(holding_run("one"), &[&["1", "2", "3", "4", "5", "6"]]).await;
    for _ in 0..2 {
        let lease = bench.lease(A).await;
        bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    }
    bench.pass(POST_TIMEOUT).await;
    let both = Settle { numbers: vec![1, 2], ..partly(&["1"]) };
    let (_, loaded, to_send) = settled(bench, &run, both.clone()).await;
    assert_eq!((loaded, to_send), (1, 5), "of the second it names none");
    let (_, loaded, to_send) = settled(bench, &run, both).await;
    assert_eq!((loaded, to_send), (0, 0));
    let second = Settle { numbers: vec![2], ..applied() };
    assert_eq!(refused(bench, &run, second).await, SettleRefusal::Otherwise(2));
    let second = Settle { numbers: vec![2], ..partly(&["5"]) };
    assert_eq!(refused(bench, &run, second).await, SettleRefusal::Otherwise(2));
}

async fn a_word_that_makes_no_sense_is_refused(bench: &Bench) {
    let run = bench.listed(holding_run("one"), &[&["1", "2", "3", "4", "5", "6"]]).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    assert!(matches!(refused(bench, &run, applied()).await, SettleRefusal::TooEarly(1, _)));
    let second = Settle { numbers: vec![2], ..applied() };
    assert_eq!(refused(bench, &run, second.clone()).await, SettleRefusal::NotInDoubt(2, "open"));
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    assert_eq!(refused(bench, &run, second).await, SettleRefusal::NotInDoubt(2, "applied"));
    let unknown = Settle { numbers: vec![7], ..applied() };
    assert_eq!(refused(bench, &run, unknown).await, SettleRefusal::Unknown(7));
    bench.pass(POST_TIMEOUT).await;
    assert_eq!(refused(bench, &run, partly(&["1", "5"])).await, SettleRefusal::NotCarried("5".to_owned()));
    let nowhere = crate::domain::RunId::from_text("nowhere");
    assert!(bench.store().settle(&nowhere, applied()).await.unwrap().is_none());
}

async fn all_or_nothing(bench: &Bench) {
    let run = over(bench).await;
    let both = Settle { numbers: vec![1, 9], ..applied() };
    assert_eq!(refused(bench, &run, both).await, SettleRefusal::Unknown(9));
    assert_eq!(bench.counts(&run).await.in_doubt, 4);
}

async fn an_older_try_is_settled_with_its_repetition(bench: &Bench) {
    let run = doubtful(bench, new_run("one")).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    bench.pass(POST_TIMEOUT).await;
    let doubts = bench.store().doubts(&run, 0, 10).await.unwrap();
    assert_eq!(doubts.iter().map(|doubt| (doubt.number, doubt.retry_of)).collect::<Vec<_>>(), [(2, 1)]);
    settled(bench, &run, Settle { numbers: vec![2], ..not_applied() }).await;
    assert_eq!(bench.counts(&run).await.pending, 4, "the target does not have them, by neither");
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    assert_eq!(bench.verdict(&run).await.possible_copies, 0);
}

async fn a_target_that_contradicts_is_named(bench: &Bench) {
    let run = bench.one_batch(holding_run("one"), 4).await;
    bench.warm_up().await;
    let stale = bench.lease(A).await;
    bench.announce(A, &stale, begin(1, 0..4, 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(6)).await;
    settled(bench, &run, not_applied()).await;
    assert_eq!(bench.complete(A, &stale, report(&[(1, DeliveryState::Applied)], &[])).await, Completion::Late);
    let verdict = bench.unchecked_verdict(&run).await;
    assert_eq!(verdict.counts.pending, 4, "what they were judged by stays");
    let found: Vec<&str> = verdict.discrepancies.iter().map(|found| found.code.as_str()).collect();
    assert!(found.contains(&"SETTLEMENT_CONTRADICTED") && !verdict.is_balanced(), "{found:?}");
}

async fn records_that_went_on_are_not_loaded_by_an_older_try(bench: &Bench) {
    let run = bench.one_batch(run_with("one", |terms| terms.rules.max_attempts = 1), 1).await;
    bench.warm_up().await;
    let stale = bench.lease(A).await;
    bench.announce(A, &stale, begin(1, [0], 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(6)).await;
    bench.conclude(&run).await;
    let (_, _, to_send) = settled(bench, &run, not_applied()).await;
    assert_eq!(to_send, 1);
    // Its worker heard the target after all, while the record is on its way again.
    bench.complete(A, &stale, report(&[(1, DeliveryState::Applied)], &[])).await;
    let (_, first) = audit(bench.store().as_ref(), &run.id, Some(1)).await.unwrap().unwrap();
    assert!(first.counts.loaded == 0 && !first.is_balanced(), "{first:?}");
    assert!(bench.verdict(&run).await.is_balanced(), "the other round knows nothing of it");
}

async fn two_doubts_of_one_batch_are_settled_together(bench: &Bench) {
    for (settle, loaded, sent) in [
        (Settle { numbers: vec![2, 3], ..not_applied() }, 0, 4),
        (Settle { numbers: vec![2, 3], ..applied() }, 4, 0),
        (Settle { numbers: vec![2, 3], ..partly(&["1", "4"]) }, 2, 2),
    ] {
        let name = format!("{loaded}-{sent}");
        let run = doubtful(bench, run_with(&name, |terms| terms.rules.max_attempts = 1)).await;
        // Tried often enough: its halves are sent, and are in doubt as well.
        let lease = bench.lease(A).await;
        let [(low, _), (high, _)] = &lease.parts[..] else { panic!("{:?}", lease.parts) };
        bench.announce(A, &lease, begin(1, low.positions.iter(), 1)).await;
        let next = Begin { settled: vec![evidence(1, DeliveryState::InDoubt)], ..begin(2, high.positions.iter(), 1) };
        bench.announce(A, &lease, next).await;
        bench.complete(A, &lease, report(&[(1, DeliveryState::InDoubt), (2, DeliveryState::InDoubt)], &[])).await;
        bench.pass(POST_TIMEOUT).await;
        let (run, now, again) = settled(bench, &run, settle).await;
        assert_eq!((now, again), (loaded, sent));
        let counts = bench.counts(&run).await;
        assert_eq!((counts.loaded, counts.pending, counts.in_doubt), (loaded, sent, 0));
        bench.store().cancel_run(&run.id).await.unwrap();
    }
}

async fn doubts_are_listed_with_what_comes_next(bench: &Bench) {
    for (new, plan) in [
        (holding_run("hold"), DoubtPlan::Held),
        (new_run("retry"), DoubtPlan::Retry),
        (probing_run("probe"), DoubtPlan::Probe),
    ] {
        let run = doubtful(bench, new).await;
        let doubt = bench.store().doubts(&run, 0, 10).await.unwrap().remove(0);
        assert_eq!((doubt.plan, doubt.records, doubt.record_ids.len()), (plan, 4, 4));
        assert_eq!(doubt.settles_at, doubt.begun_at + POST_TIMEOUT);
        assert!(bench.store().doubts(&run, doubt.number, 10).await.unwrap().is_empty());
        bench.store().cancel_run(&run.id).await.unwrap();
        let held = bench.store().doubts(&run, 0, 10).await.unwrap().remove(0);
        assert_eq!(held.plan, DoubtPlan::Held, "nothing is done by itself any more");
    }
}
