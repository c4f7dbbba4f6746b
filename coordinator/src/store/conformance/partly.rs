//! Deliveries of which the target says, record by record, what became of it.

use std::time::Duration;

use super::Backend;
use super::bench::{
    A, B, Bench, MAX_REJECTED, POST_TIMEOUT, begin, dead, evidence, evidence_of, holding_run, new_run, positions,
    probing_run, refused, report, run_with, signed, worker,
};
use super::settling::{doubtful, partly, settled};
use crate::audit::{audit, overall};
use crate::domain::{DeliveryReport, DeliveryState, Finding, RecordState, Run, RunState};
use crate::store::{
    Acquire, Begin, Begun, Completion, Fenced, LEASE_TTL, Misuse, Outcomes, RecordReport, Redrive, Refusal, Report,
};

/// Deliveries that are applied in part.
pub async fn partly_applied(backend: &dyn Backend) {
    what_is_present_is_loaded_and_the_rest_is_sent_again(&Bench::new(backend).await).await;
    the_rest_is_sent_under_the_same_lease(&Bench::new(backend).await).await;
    what_is_refused_is_a_dead_letter_and_can_be_redriven(&Bench::new(backend).await).await;
    reports_again_are_as_once(&Bench::new(backend).await).await;
    a_report_that_names_other_records_is_refused(&Bench::new(backend).await).await;
    a_late_answer_counts_for_each_record(&Bench::new(backend).await).await;
    a_late_answer_while_the_records_are_sent_again(&Bench::new(backend).await).await;
    a_later_doubt_takes_nothing_back(&Bench::new(backend).await).await;
    a_repeated_doubt_that_is_applied_in_part(&Bench::new(backend).await).await;
    held_doubts_learn_from_a_late_answer(&Bench::new(backend).await).await;
    what_was_found_out_otherwise_is_a_contradiction(&Bench::new(backend).await).await;
    to_a_round_that_is_over_the_rest_stays_a_doubt(&Bench::new(backend).await).await;
    refused_whole_answers_judge_nobody(&Bench::new(backend).await).await;
    workers_that_cannot_report_it_get_no_such_run(&Bench::new(backend).await).await;
}

fn answered(deliveries: Vec<DeliveryReport>, records: &[RecordReport]) -> Report {
    signed(Report { deliveries, ..report(&[], records) })
}

/// IDs of each acknowledgement, as its audit file names them.
async fn files(bench: &Bench, run: &Run) -> Vec<String> {
    let acknowledged = bench.store().acknowledgements(&bench.run(&run.id).await, 0, 100).await.unwrap();
    acknowledged.into_iter().map(|acknowledged| acknowledged.ids.join(" ")).collect()
}

async fn what_is_present_is_loaded_and_the_rest_is_sent_again(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    let said = answered(vec![evidence_of(1, [0, 2])], &[]);
    assert_eq!(bench.complete(A, &lease, said).await, Completion::Requeued);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.pending, counts.in_doubt), (2, 2, 0));
    assert_eq!(files(bench, &run).await, ["1 3"]);
    let rest = bench.lease(B).await;
    assert_eq!((rest.parts[0].1.join(" "), rest.parts[0].0.retry_of), ("2 4".to_owned(), 0), "at once, as new");
    assert_eq!(bench.deliver(B, &rest, DeliveryState::Applied).await, Completion::Done);
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (4, 0));
    assert_eq!(files(bench, &run).await, ["1 3", "2 4"]);
    assert_eq!(bench.story(&run, "1").await.deliveries.len(), 1);
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
}

async fn the_rest_is_sent_under_the_same_lease(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    let loaded_again = Begin { settled: vec![evidence_of(1, [0, 2])], ..begin(2, 0..2, 0) };
    let begun = bench.begin(A, &lease, loaded_again).await;
    assert_eq!(begun, Ok(Begun::Refused(Refusal::Superseded)), "one of them is loaded");
    bench.announce(A, &lease, begin(2, [1, 3], 0)).await;
    let all = answered(vec![evidence_of(1, [0, 2]), evidence(2, DeliveryState::Applied)], &[]);
    assert_eq!(bench.complete(A, &lease, all).await, Completion::Done);
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (4, 0));
    assert_eq!(files(bench, &run).await, ["1 3", "2 4"]);
}

async fn what_is_refused_is_a_dead_letter_and_can_be_redriven(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    let said = answered(vec![evidence_of(1, [0, 1, 2])], &[refused(3)]);
    assert_eq!(bench.complete(A, &lease, said).await, Completion::Done);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.dead_letter), (3, 1));
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    let redrive = Redrive { outcomes: Outcomes { dead_letter: true, ..Default::default() }, ..Default::default() };
    bench.store().redrive(&run.id, redrive).await.unwrap();
    let again = bench.lease(B).await;
    assert_eq!(again.parts[0].1, ["4"]);
    bench.deliver(B, &again, DeliveryState::Applied).await;
    let all = overall(bench.store().as_ref(), &bench.run(&run.id).await, &bench.verdict(&run).await).await.unwrap();
    assert_eq!((all.listed, all.loaded, all.dead_letter), (4, 4, 0));
    assert_eq!(files(bench, &run).await, ["1 2 3", "4"]);
}

async fn reports_again_are_as_once(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    let next = Begin { settled: vec![evidence_of(1, [0, 2])], ..begin(2, [1, 3], 0) };
    let number = bench.announce(A, &lease, next.clone()).await;
    assert_eq!(bench.announce(A, &lease, next).await, number);
    let said = answered(vec![evidence_of(1, [0, 2]), evidence_of(2, [1])], &[refused(3)]);
    assert_eq!(bench.complete(A, &lease, said.clone()).await, Completion::Done);
    assert_eq!(bench.complete(A, &lease, said).await, Completion::Done);
    let other = answered(vec![evidence_of(1, [0, 2]), evidence_of(2, [3])], &[]);
    assert_eq!(bench.store().complete(A, lease.token, other).await.unwrap(), Err(Misuse::ReportConflict));
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.counts.dead_letter, verdict.possible_copies), (3, 1, 0));
    assert_eq!(files(bench, &run).await, ["1 3", "2"]);
}

async fn a_report_that_names_other_records_is_refused(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..3, 0)).await;
    for present in [vec![0, 3], vec![0, 1, 2], vec![9], vec![]] {
        let said = answered(vec![evidence_of(1, present.iter().copied())], &[]);
        let answer = bench.store().complete(A, lease.token, said).await.unwrap();
        assert!(matches!(answer, Err(Misuse::ReportInvalid(_))), "{present:?}: {answer:?}");
    }
    assert_eq!(bench.counts(&run).await.delivering, 3, "nothing was taken of them");
    bench.complete(A, &lease, answered(vec![evidence_of(1, [0])], &[])).await;
    assert_eq!(bench.counts(&run).await.loaded, 1);
}

/// A's delivery of all records is open when its lease runs out.
async fn lost(bench: &Bench, run: Run) -> (Run, crate::store::GrantedLease) {
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(6)).await;
    assert_eq!(bench.counts(&run).await.in_doubt, 4);
    (run, lease)
}

async fn a_late_answer_counts_for_each_record(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let (run, lease) = lost(bench, run).await;
    // Its record reports do not count any more; that of its delivery does.
    let said = answered(vec![evidence_of(1, [1, 2])], &[refused(0)]);
    assert_eq!(bench.complete(A, &lease, said.clone()).await, Completion::Late);
    assert_eq!(bench.complete(A, &lease, said).await, Completion::Late);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.pending, counts.in_doubt), (2, 2, 0));
    let rest = bench.lease(B).await;
    assert_eq!(rest.parts[0].1.join(" "), "1 4");
    bench.deliver(B, &rest, DeliveryState::Applied).await;
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (4, 0));
    assert_eq!(files(bench, &run).await, ["2 3", "1 4"]);
}

async fn a_late_answer_while_the_records_are_sent_again(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let (run, lease) = lost(bench, run).await;
    let again = bench.lease(B).await;
    bench.announce(B, &again, begin(1, 0..4, 1)).await;
    let late = answered(vec![evidence_of(1, [0])], &[]);
    assert_eq!(bench.complete(A, &lease, late).await, Completion::Late);
    assert_eq!(bench.counts(&run).await.delivering, 4, "an open delivery comes first");
    let said = answered(vec![evidence_of(1, [0, 1])], &[]);
    assert_eq!(bench.complete(B, &again, said).await, Completion::Requeued);
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.counts.pending, verdict.possible_copies), (2, 2, 1));
    assert_eq!(files(bench, &run).await, ["1", "2"]);
}

async fn a_later_doubt_takes_nothing_back(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    let next = Begin { settled: vec![evidence_of(1, [0, 2])], ..begin(2, [1, 3], 0) };
    bench.announce(A, &lease, next).await;
    let said = answered(vec![evidence_of(1, [0, 2]), evidence(2, DeliveryState::InDoubt)], &[]);
    assert_eq!(bench.complete(A, &lease, said).await, Completion::Requeued);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.in_doubt), (2, 2));
    bench.pass(POST_TIMEOUT).await;
    let again = bench.lease(B).await;
    assert_eq!((again.parts[0].1.join(" "), again.parts[0].0.retry_of), ("2 4".to_owned(), 2));
    bench.announce(B, &again, begin(1, [1, 3], 2)).await;
    let said = answered(vec![evidence_of(1, [3])], &[]);
    assert_eq!(bench.complete(B, &again, said).await, Completion::Requeued);
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.counts.in_doubt, verdict.possible_copies), (3, 1, 1));
}

async fn a_repeated_doubt_that_is_applied_in_part(bench: &Bench) {
    let run = doubtful(bench, new_run("one")).await;
    let lease = bench.lease(B).await;
    bench.announce(B, &lease, begin(1, 0..4, 1)).await;
    let next = Begin { settled: vec![evidence_of(1, [0, 1])], ..begin(2, [3], 1) };
    bench.announce(B, &lease, next).await;
    let said = answered(vec![evidence_of(1, [0, 1]), evidence(2, DeliveryState::Applied)], &[refused(2)]);
    assert_eq!(bench.complete(B, &lease, said).await, Completion::Done);
    let verdict = bench.verdict(&run).await;
    let counts = verdict.counts;
    assert_eq!((counts.loaded, counts.in_doubt, counts.dead_letter), (3, 1, 0), "what may be there is no dead letter");
    assert_eq!(verdict.possible_copies, 3);
}

async fn held_doubts_learn_from_a_late_answer(bench: &Bench) {
    let run = bench.one_batch(holding_run("one"), 4).await;
    let (run, lease) = lost(bench, run).await;
    assert!(bench.nothing_to_lease().await);
    assert_eq!(bench.complete(A, &lease, answered(vec![evidence_of(1, [0, 1, 2])], &[])).await, Completion::Late);
    let rest = bench.lease(B).await;
    assert_eq!(rest.parts[0].1, ["4"], "the target itself says that it has it not");
    bench.deliver(B, &rest, DeliveryState::Applied).await;
    let verdict = bench.verdict(&run).await;
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (4, 0));
}

async fn what_was_found_out_otherwise_is_a_contradiction(bench: &Bench) {
    let run = bench.one_batch(probing_run("one"), 4).await;
    let (run, lease) = lost(bench, run).await;
    let asked = bench.lease(B).await;
    let finding = Finding { number: 1, present: positions([0]), absent: positions([1, 2, 3]) };
    let found = signed(Report { probes: vec![finding], ..report(&[], &[]) });
    assert_eq!(bench.complete(B, &asked, found).await, Completion::Requeued);
    assert_eq!(bench.complete(A, &lease, answered(vec![evidence_of(1, [0, 1])], &[])).await, Completion::Late);
    let verdict = bench.unchecked_verdict(&run).await;
    let codes: Vec<&str> = verdict.discrepancies.iter().map(|found| found.code.as_str()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "SETTLEMENT_CONTRADICTED").count(), 1, "{codes:?}");
    assert_eq!((verdict.counts.loaded, verdict.counts.pending), (1, 3), "what they were judged by stays");
}

async fn to_a_round_that_is_over_the_rest_stays_a_doubt(bench: &Bench) {
    let run = bench.one_batch(holding_run("one"), 4).await;
    let (run, lease) = lost(bench, run).await;
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    let late = answered(vec![evidence_of(1, [0, 2])], &[]);
    assert_eq!(bench.complete(A, &lease, late.clone()).await, Completion::Late);
    assert_eq!(bench.complete(A, &lease, late).await, Completion::Late);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.in_doubt), (0, 4), "nobody would send the rest");
    let (again, loaded, to_send) = settled(bench, &run, partly(&["4"])).await;
    assert_eq!((again.round, loaded, to_send), (2, 3, 1), "what the target said stays said");
    let next = bench.lease(B).await;
    assert_eq!(next.parts[0].1, ["2"]);
    bench.deliver(B, &next, DeliveryState::Applied).await;
    let all = overall(bench.store().as_ref(), &again, &bench.verdict(&run).await).await.unwrap();
    assert_eq!((all.loaded, all.in_doubt), (4, 0));
    let (_, first) = audit(bench.store().as_ref(), &run.id, Some(1)).await.unwrap().unwrap();
    assert!(first.is_balanced(), "{:?}", first.discrepancies);
    assert_eq!(files(bench, &run).await, ["1 3 4", "2"]);
}

async fn refused_whole_answers_judge_nobody(bench: &Bench) {
    let ids: Vec<String> = (1..=u64::from(MAX_REJECTED) * 4).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let run = bench.listed(new_run("one"), &[&ids]).await;
    for _ in 0..MAX_REJECTED {
        let lease = bench.lease(A).await;
        bench.announce(A, &lease, begin(1, 0..4, 0)).await;
        let all: Vec<RecordReport> = (0..4).map(refused).collect();
        bench.complete(A, &lease, answered(vec![evidence(1, DeliveryState::Rejected)], &all)).await;
    }
    assert_eq!(bench.run(&run.id).await.state, RunState::Paused);
    assert_eq!(bench.counts(&run).await.dead_letter, 0, "nobody is judged");
    bench.store().resume_run(&run.id).await.unwrap();
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    let all_but_one: Vec<RecordReport> = (1..4).map(refused).collect();
    bench.complete(A, &lease, answered(vec![evidence_of(1, [0])], &all_but_one)).await;
    assert_eq!(bench.counts(&run).await.dead_letter, 3, "the target accepts something: what it refuses stands");
}

async fn workers_that_cannot_report_it_get_no_such_run(bench: &Bench) {
    let run = bench.one_batch(run_with("one", |terms| terms.protocol = 3), 4).await;
    let old = Acquire { session: worker(A), capacity: 1, protocol: 2, ..Acquire::default() };
    assert!(bench.store().acquire(old.clone()).await.unwrap().leases.is_empty());
    let lease = bench.lease(B).await;
    assert_eq!(bench.complete(B, &lease, report(&[], &[dead(0)])).await, Completion::Requeued);
    bench.pass(LEASE_TTL).await;
    assert!(bench.store().acquire(old).await.unwrap().leases.is_empty(), "not what is left of it either");
    assert_eq!(bench.state(&run, "1").await, RecordState::DeadLetter);
}
