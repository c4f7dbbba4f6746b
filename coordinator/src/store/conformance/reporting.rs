//! Reports: they end a lease, once.

use std::time::Duration;

use super::Backend;
use super::bench::{
    A, B, Bench, POST_TIMEOUT, begin, dead, evidence, gone, holding_run, new_run, page, report, run_with, signed,
};
use crate::domain::{DeliveryState, NewRun, RecordState, RunState, Share};
use crate::store::{Begin, Begun, Completion, DeadLetterFilter, LEASE_TTL, Misuse, Refusal, Report};

/// Reporting batches.
pub async fn reporting(backend: &dyn Backend) {
    a_batch_with_all_outcomes_is_done(&Bench::new(backend).await).await;
    what_has_no_outcome_goes_back(&Bench::new(backend).await).await;
    only_what_others_may_have_wakes_them(&Bench::new(backend).await).await;
    a_batch_may_wait_before_it_is_leased_again(&Bench::new(backend).await).await;
    a_replayed_report_gets_the_first_answer(&Bench::new(backend).await).await;
    another_report_conflicts(&Bench::new(backend).await).await;
    a_report_that_makes_no_sense_changes_nothing(&Bench::new(backend).await).await;
    a_late_report_counts_for_its_deliveries_only(&Bench::new(backend).await).await;
    a_late_acknowledgement_is_evidence(&Bench::new(backend).await).await;
    late_evidence_supersedes_what_was_not_announced(&Bench::new(backend).await).await;
    late_evidence_counts_when_the_newer_delivery_settles(&Bench::new(backend).await).await;
    certainty_stays(&Bench::new(backend).await).await;
    an_unmentioned_delivery_is_in_doubt(&Bench::new(backend).await).await;
    dead_letters_keep_their_reason(&Bench::new(backend).await).await;
    a_trace_stays_with_its_lease(&Bench::new(backend).await).await;
    a_loaded_record_is_no_dead_letter(&Bench::new(backend).await).await;
    a_doubtful_record_is_no_dead_letter(&Bench::new(backend).await).await;
    too_many_gone_records_pause_the_run(&Bench::new(backend).await).await;
    few_gone_records_of_a_long_listing_do_not(&Bench::new(backend).await).await;
    a_worker_can_pause_its_run(&Bench::new(backend).await).await;
    a_stale_worker_cannot_pause_its_run(&Bench::new(backend).await).await;
    a_round_that_is_over_takes_acknowledgements_only(&Bench::new(backend).await).await;
}

async fn a_batch_with_all_outcomes_is_done(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    let all = report(&[(1, DeliveryState::Applied)], &[dead(2), gone(3)]);
    assert_eq!(bench.complete(A, &lease, all).await, Completion::Done);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.listed, counts.loaded, counts.dead_letter, counts.gone), (4, 2, 1, 1));
    assert!(bench.nothing_to_lease().await);
}

async fn what_has_no_outcome_goes_back(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, [0, 3], 0)).await;
    let some = report(&[(1, DeliveryState::NotApplied)], &[dead(2)]);
    assert_eq!(bench.complete(A, &lease, some).await, Completion::Requeued);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.pending, counts.dead_letter), (3, 1));
    let again = bench.lease(B).await;
    assert_eq!((again.attempt, again.parts.len()), (2, 1));
    assert_eq!(again.parts[0].1, ["1", "2", "4"]);
    assert_eq!(again.parts[0].0.positions.iter().collect::<Vec<_>>(), [0, 1, 3]);
}

async fn only_what_others_may_have_wakes_them(bench: &Bench) {
    use DeliveryState::{Applied, NotApplied};
    // A store that has only begun to hear of others wakes all once.
    let mut woken = Vec::new();
    for name in ["done-1", "done-2", "done-3"] {
        woken.push(wakes(bench, name, 0, Applied).await);
    }
    assert!(woken.contains(&false), "{woken:?}");
    assert!(wakes(bench, "bounded", 1, Applied).await);
    assert!(wakes(bench, "back", 0, NotApplied).await);
}

/// Whether others are woken when a batch of such a run ends so.
async fn wakes(bench: &Bench, name: &str, max_workers: u32, state: DeliveryState) -> bool {
    let share = Share { max_workers, ..Share::default() };
    bench.one_batch(NewRun { share, ..new_run(name) }, 4).await;
    let lease = bench.lease(A).await;
    let mut work = bench.store().events().work();
    work.mark_unchanged();
    bench.deliver(A, &lease, state).await;
    work.has_changed().unwrap()
}

async fn a_batch_may_wait_before_it_is_leased_again(bench: &Bench) {
    bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    let later = signed(Report { retry_after: Duration::from_secs(7), ..report(&[], &[]) });
    assert_eq!(bench.complete(A, &lease, later).await, Completion::Requeued);
    bench.pass(Duration::from_secs(6)).await;
    assert!(bench.nothing_to_lease().await);
    bench.pass(Duration::from_secs(1)).await;
    bench.lease(A).await;
}

async fn a_replayed_report_gets_the_first_answer(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let first = bench.lease(A).await;
    bench.announce(A, &first, begin(1, 0..2, 0)).await;
    let half = report(&[(1, DeliveryState::Applied)], &[]);
    for _ in 0..2 {
        assert_eq!(bench.complete(A, &first, half.clone()).await, Completion::Requeued);
    }
    let second = bench.lease(B).await;
    assert_eq!(bench.complete(A, &first, half.clone()).await, Completion::Requeued, "while another has the batch");
    bench.deliver(B, &second, DeliveryState::Applied).await;
    assert_eq!(bench.complete(A, &first, half).await, Completion::Requeued, "and when it is done");
    assert_eq!(bench.counts(&run).await.loaded, 4);
    assert_eq!(bench.run(&run.id).await.acknowledged, 2, "counted once");
}

async fn another_report_conflicts(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let first = bench.lease(A).await;
    bench.complete(A, &first, report(&[], &[dead(0)])).await;
    let other = bench.store().complete(A, first.token, report(&[], &[dead(1)])).await.unwrap();
    assert_eq!(other, Err(Misuse::ReportConflict));
    assert_eq!(bench.counts(&run).await.dead_letter, 1);
    let second = bench.lease(A).await;
    bench.pass(LEASE_TTL).await;
    assert_eq!(bench.complete(A, &second, report(&[], &[dead(1)])).await, Completion::Late);
    let other = bench.store().complete(A, second.token, report(&[], &[dead(2)])).await.unwrap();
    assert_eq!(other, Err(Misuse::ReportConflict), "also from a stale holder");
    assert_eq!(
        bench.complete(A, &second, report(&[], &[dead(1)])).await,
        Completion::Late,
        "that gets its first answer"
    );
}

async fn a_report_that_makes_no_sense_changes_nothing(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    let unannounced = report(&[(1, DeliveryState::Applied), (2, DeliveryState::Applied)], &[]);
    let out_of_range = report(&[(1, DeliveryState::Applied)], &[dead(4)]);
    for nonsense in [unannounced, out_of_range] {
        let answer = bench.store().complete(A, lease.token, nonsense).await.unwrap();
        assert!(matches!(answer, Err(Misuse::ReportInvalid(_))), "{answer:?}");
        let counts = bench.counts(&run).await;
        assert_eq!((counts.delivering, counts.leased), (2, 2));
    }
    assert_eq!(bench.run(&run.id).await.acknowledged, 0);
    // An announcement that never arrived, and whose POST was not sent, says nothing and harms nothing.
    let unsent = report(&[(1, DeliveryState::Applied), (2, DeliveryState::NotApplied)], &[]);
    assert_eq!(bench.complete(A, &lease, unsent).await, Completion::Requeued);
    assert_eq!(bench.counts(&run).await.loaded, 2);
}

/// One record's worth of a lease that ran out while its delivery was open.
async fn expired_delivery(bench: &Bench, new: NewRun) -> (crate::domain::Run, crate::store::GrantedLease) {
    let run = bench.one_batch(new, 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(5)).await;
    assert_eq!(bench.counts(&run).await.in_doubt, 4);
    (run, lease)
}

async fn a_late_report_counts_for_its_deliveries_only(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.pass(LEASE_TTL).await;
    assert_eq!(bench.complete(A, &lease, report(&[], &[dead(0), gone(1)])).await, Completion::Late);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.pending, counts.dead_letter, counts.gone), (4, 0, 0));
}

async fn a_late_acknowledgement_is_evidence(bench: &Bench) {
    let (run, stale) = expired_delivery(bench, new_run("one")).await;
    assert_eq!(bench.complete(A, &stale, report(&[(1, DeliveryState::Applied)], &[])).await, Completion::Late);
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (4, 0));
    bench.pass(POST_TIMEOUT).await;
    assert!(bench.nothing_to_lease().await);
    assert_eq!(bench.conclude(&run).await, crate::store::Fenced::Committed(()));
}

async fn late_evidence_supersedes_what_was_not_announced(bench: &Bench) {
    let (run, stale) = expired_delivery(bench, new_run("one")).await;
    let newer = bench.lease(B).await;
    let doubt = newer.parts[0].0.retry_of;
    assert!(doubt > 0);
    bench.complete(A, &stale, report(&[(1, DeliveryState::Applied)], &[])).await;
    assert_eq!(bench.counts(&run).await.loaded, 4);
    assert_eq!(bench.begin(B, &newer, begin(1, 0..4, doubt)).await, Ok(Begun::Refused(Refusal::Superseded)));
    assert_eq!(bench.complete(B, &newer, report(&[], &[])).await, Completion::Done);
    assert_eq!(bench.counts(&run).await.loaded, 4);
}

async fn late_evidence_counts_when_the_newer_delivery_settles(bench: &Bench) {
    let (run, stale) = expired_delivery(bench, new_run("one")).await;
    let newer = bench.lease(B).await;
    bench.announce(B, &newer, begin(1, 0..4, newer.parts[0].0.retry_of)).await;
    bench.complete(A, &stale, report(&[(1, DeliveryState::Applied)], &[])).await;
    assert_eq!(bench.counts(&run).await.delivering, 4, "it is noted");
    bench.complete(B, &newer, report(&[(1, DeliveryState::InDoubt)], &[])).await;
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (4, 4), "loaded, perhaps twice");
    bench.pass(POST_TIMEOUT).await;
    assert!(bench.nothing_to_lease().await);
}

async fn certainty_stays(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    let told = |state| Begin { settled: vec![evidence(1, state)], ..begin(2, 0..4, 0) };
    bench.begin(A, &lease, told(DeliveryState::Applied)).await.unwrap();
    for later in [DeliveryState::NotApplied, DeliveryState::InDoubt, DeliveryState::Rejected] {
        assert_eq!(bench.begin(A, &lease, told(later)).await, Ok(Begun::Refused(Refusal::Superseded)));
        assert_eq!(bench.counts(&run).await.loaded, 4);
    }
    assert_eq!(bench.complete(A, &lease, report(&[(1, DeliveryState::NotApplied)], &[])).await, Completion::Done);
    assert_eq!(bench.run(&run.id).await.acknowledged, 1);
}

async fn an_unmentioned_delivery_is_in_doubt(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    let number = bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    assert_eq!(bench.complete(A, &lease, report(&[], &[])).await, Completion::Requeued);
    assert_eq!(bench.counts(&run).await.in_doubt, 4);
    bench.pass(POST_TIMEOUT).await;
    assert_eq!(bench.lease(B).await.parts[0].0.retry_of, number);
}

async fn dead_letters_keep_their_reason(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[dead(0), gone(1)])).await;
    let story = bench.story(&run, "1").await;
    assert_eq!(story.state, RecordState::DeadLetter);
    let kept = story.exception.unwrap();
    let (stage, reason, body) = (kept.stage.as_str(), kept.reason.as_str(), kept.body.as_str());
    assert_eq!((stage, reason, kept.http_status, body), ("validate", "it has no name", 0, "{}"));
    let story = bench.story(&run, "2").await;
    assert_eq!((story.state, story.exception.unwrap().http_status), (RecordState::Gone, 404));
}

async fn a_trace_stays_with_its_lease(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let first = bench.lease(A).await;
    bench.announce(A, &first, begin(1, [2], 0)).await;
    let doubt = report(&[(1, DeliveryState::InDoubt)], &[dead(0)]);
    bench.complete(A, &first, signed(Report { trace: Some([7; 16]), ..doubt })).await;
    bench.pass(POST_TIMEOUT).await;
    let second = bench.lease(B).await;
    bench.complete(B, &second, report(&[], &[dead(1)])).await;
    let letters = bench.store().dead_letters(&run, &DeadLetterFilter::default(), None, 10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.trace).collect::<Vec<_>>(), [Some([7; 16]), None]);
    let groups = bench.store().dead_letter_groups(&run, &DeadLetterFilter::default(), 10).await.unwrap();
    assert_eq!((groups[0].count, groups[0].sample_trace), (2, Some([7; 16])));
    let doubts = bench.store().doubts(&run, 0, 10).await.unwrap();
    assert_eq!(doubts.iter().map(|doubt| doubt.trace).collect::<Vec<_>>(), [Some([7; 16])]);
    let story = bench.story(&run, "3").await;
    assert_eq!(story.leases.iter().map(|lease| lease.trace).collect::<Vec<_>>(), [Some([7; 16]), None]);
    assert_eq!(story.deliveries[0].trace, Some([7; 16]));
}

async fn a_loaded_record_is_no_dead_letter(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[dead(0)])).await;
    assert_eq!(bench.counts(&run).await.loaded, 2);
}

async fn a_doubtful_record_is_no_dead_letter(bench: &Bench) {
    let (run, _) = expired_delivery(bench, new_run("one")).await;
    let newer = bench.lease(B).await;
    assert_eq!(bench.complete(B, &newer, report(&[], &[dead(0)])).await, Completion::Requeued);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.in_doubt, counts.dead_letter), (4, 0));
    let rest = bench.lease(B).await;
    assert_eq!(rest.parts[0].1, ["2", "3", "4"], "but there is nothing left to send of it");
}

async fn too_many_gone_records_pause_the_run(bench: &Bench) {
    let run = bench.one_batch(run_with("one", |terms| terms.max_gone = 0.25), 4).await;
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[gone(0)])).await;
    assert_eq!(bench.run(&run.id).await.state, RunState::Running, "as many as allowed");
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[gone(1)])).await;
    let paused = bench.run(&run.id).await;
    assert_eq!(paused.state, RunState::Paused);
    assert!(paused.state_reason.contains("2 of 4"), "{}", paused.state_reason);
    assert_eq!(bench.counts(&run).await.gone, 2);
}

async fn few_gone_records_of_a_long_listing_do_not(bench: &Bench) {
    let run = bench.start(run_with("one", |terms| terms.max_gone = 0.01)).await;
    let listing = bench.take_listing("lister").await;
    bench.store().commit_page(&listing, page(1, &["1", "2", "3", "4"], None)).await.unwrap();
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[gone(0)])).await;
    assert_eq!(bench.run(&run.id).await.state, RunState::Running, "more is to be listed");
}

fn wrong_key() -> Report {
    signed(Report { pause: Some("the target answers 401".to_owned()), ..report(&[], &[]) })
}

async fn a_worker_can_pause_its_run(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let mut pushed = bench.store().events().pushed();
    let lease = bench.lease(A).await;
    assert_eq!(bench.complete(A, &lease, wrong_key()).await, Completion::Requeued);
    let paused = bench.run(&run.id).await;
    assert_eq!((paused.state, paused.state_reason.as_str()), (RunState::Paused, "the target answers 401"));
    let reason = paused.state_reason.clone();
    assert_eq!(pushed.try_recv().unwrap(), crate::store::Event::RunStopped { run_id: run.id.clone(), reason });
    bench.store().resume_run(&run.id).await.unwrap();
    bench.complete(A, &lease, wrong_key()).await;
    assert_eq!(bench.run(&run.id).await.state, RunState::Running, "a replayed report does not pause it again");
}

async fn a_stale_worker_cannot_pause_its_run(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.pass(LEASE_TTL).await;
    assert_eq!(bench.complete(A, &lease, wrong_key()).await, Completion::Late);
    assert_eq!(bench.run(&run.id).await.state, RunState::Running);
}

async fn a_round_that_is_over_takes_acknowledgements_only(bench: &Bench) {
    for (name, told, left) in
        [("one", DeliveryState::NotApplied, RecordState::InDoubt), ("two", DeliveryState::Applied, RecordState::Loaded)]
    {
        let (run, stale) = expired_delivery(bench, holding_run(name)).await;
        assert_eq!(bench.conclude(&run).await, crate::store::Fenced::Committed(()));
        assert_eq!(bench.complete(A, &stale, report(&[(1, told)], &[])).await, Completion::Late);
        assert_eq!(bench.state(&run, "1").await, left, "an operator settles what is left of it");
        bench.verdict(&run).await;
        assert_eq!(bench.run(&run.id).await.state, RunState::Finished);
    }
}
