//! What a run cost, as its report says: sums of rows.

use std::time::Duration;

use super::Backend;
use super::bench::{
    A, B, Bench, POST_TIMEOUT, WORK, begin, dead, evidence, evidence_of, new_run, refused, report, signed,
};
use crate::domain::{DeliveryState, Run, RunId};
use crate::store::{Begin, Costs, Deliveries, Outcomes, Redrive, Redriven, Report, ReportBounds, RunReport, WorkDone};

/// Costs.
pub async fn costs(backend: &dyn Backend) {
    a_run_that_did_nothing_cost_nothing(&Bench::new(backend).await).await;
    what_is_reported_adds_up(&Bench::new(backend).await).await;
    the_same_report_again_costs_once_and_a_late_one_counts(&Bench::new(backend).await).await;
    a_report_has_a_bound_and_all_rounds(&Bench::new(backend).await).await;
    what_is_applied_in_part_is_in_the_history(&Bench::new(backend).await).await;
    time_between_rounds_is_not_in_the_history(&Bench::new(backend).await).await;
    it_is_the_same_after_a_restart(Bench::new(backend).await).await;
}

const ALL: ReportBounds = ReportBounds { groups: 10, doubts: 10 };

async fn told(bench: &Bench, run: &Run) -> RunReport {
    bench.store().run_report(&run.id, ALL).await.unwrap().expect("the run")
}

async fn whole(bench: &Bench, run: &Run) -> Costs {
    Costs::sum(&told(bench, run).await.costs)
}

fn times(work: WorkDone, times: i64) -> WorkDone {
    WorkDone {
        requests: work.requests * times,
        retries: work.retries * times,
        hedges: work.hedges * times,
        bytes: work.bytes * times,
        waited_ms: work.waited_ms * times,
    }
}

async fn a_run_that_did_nothing_cost_nothing(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 3).await;
    let found = told(bench, &run).await;
    assert_eq!(found.costs, [Costs { round: 1, records: 3, ..Costs::default() }]);
    assert_eq!((found.run.id, found.progress.listed, found.rounds.len()), (run.id, 3, 1));
    assert!(found.history.spans.is_empty() && found.failures.is_empty() && found.doubts.is_empty());
    let nobody = bench.store().run_report(&RunId::from_text("nobody"), ALL).await.unwrap();
    assert!(nobody.is_none(), "there is no such run");
}

async fn what_is_reported_adds_up(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"], &["9", "10"]]).await;
    bench.warm_up().await;
    let leases = bench.acquire(A, &[], 3).await.leases;
    // Applied but for one record; refused, not applied and in doubt; never heard of again.
    bench.announce(A, &leases[0], begin(1, 0..3, 0)).await;
    bench.complete(A, &leases[0], report(&[(1, DeliveryState::Applied)], &[dead(3)])).await;
    bench.announce(A, &leases[1], begin(1, 0..4, 0)).await;
    let settled = vec![evidence(1, DeliveryState::Rejected)];
    bench.announce(A, &leases[1], Begin { settled, ..begin(2, 0..2, 0) }).await;
    let settled = vec![evidence(2, DeliveryState::NotApplied)];
    let doubt = bench.announce(A, &leases[1], Begin { settled, ..begin(3, 2..4, 0) }).await;
    bench.complete(A, &leases[1], report(&[(3, DeliveryState::InDoubt)], &[])).await;
    bench.pass(POST_TIMEOUT).await;
    let found = told(bench, &run).await;
    let cost = Costs::sum(&found.costs);
    let deliveries = Deliveries {
        applied: 1,
        rejected: 1,
        not_applied: 1,
        in_doubt: 1,
        records: 3 + 4 + 2 + 2,
        most_tries: 1,
        ..Deliveries::default()
    };
    assert_eq!((cost.records, cost.work, cost.deliveries), (10, times(WORK, 2), deliveries));
    assert_eq!((cost.leases, cost.expired, cost.unreported), (3, 1, 1), "of the third nobody told what it cost");
    assert!(cost.first_applied_at.is_some() && cost.first_applied_at == cost.last_applied_at);
    assert_eq!((found.doubts.len(), found.doubts[0].number, found.failures[0].count), (1, doubt, 1));
    assert_eq!((found.failures[0].samples.as_slice(), found.failures[0].redriven), (["4".to_owned()].as_slice(), 0));
    // The doubt is repeated, and this time the target says yes.
    let leases = bench.acquire(B, &[], 3).await.leases;
    let (lease, part) = leases
        .iter()
        .find_map(|lease| Some((lease, &lease.parts.iter().find(|(part, _)| part.retry_of == doubt)?.0)))
        .expect("the doubt");
    bench.announce(B, lease, begin(1, part.positions.iter(), doubt)).await;
    let cost = whole(bench, &run).await;
    assert_eq!((cost.deliveries.open, cost.deliveries.repeats, cost.deliveries.most_tries), (1, 1, 2));
    bench.complete(B, lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    let cost = whole(bench, &run).await;
    assert_eq!((cost.deliveries.open, cost.deliveries.applied, cost.deliveries.in_doubt), (0, 2, 1));
    assert_eq!((cost.work, cost.leases), (times(WORK, 3), 3 + i64::try_from(leases.len()).unwrap()));
    assert!(cost.first_applied_at < cost.last_applied_at, "{cost:?}");
}

async fn the_same_report_again_costs_once_and_a_late_one_counts(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let stale = bench.lease(A).await;
    bench.announce(A, &stale, begin(1, 0..4, 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(5)).await;
    let newer = bench.lease(B).await;
    let before = whole(bench, &run).await;
    assert_eq!((before.work, before.unreported), (WorkDone::default(), 1));
    let late = signed(Report { work: times(WORK, 5), ..report(&[(1, DeliveryState::Applied)], &[]) });
    bench.complete(A, &stale, late.clone()).await;
    bench.complete(A, &stale, late).await;
    let after = whole(bench, &run).await;
    assert_eq!((after.work, after.expired, after.unreported), (times(WORK, 5), 1, 0), "it was sent all the same");
    bench.complete(B, &newer, report(&[], &[])).await;
    assert_eq!(whole(bench, &run).await.work, times(WORK, 6));
}

/// A run that is over, of one batch, with two dead letters of one reason.
async fn with_dead_letters(bench: &Bench) -> Run {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[dead(2), dead(3)])).await;
    bench.conclude(&run).await;
    bench.run(&run.id).await
}

async fn a_report_has_a_bound_and_all_rounds(bench: &Bench) {
    let run = with_dead_letters(bench).await;
    let none = bench.store().run_report(&run.id, ReportBounds { groups: 0, doubts: 0 }).await.unwrap().unwrap();
    assert!(none.failures.is_empty());
    let redrive = Redrive {
        outcomes: Outcomes { dead_letter: true, ..Outcomes::default() },
        words: "dead letters redriven".to_owned(),
        ..Redrive::default()
    };
    assert!(matches!(bench.store().redrive(&run.id, redrive).await.unwrap(), Some(Redriven::Opened(_, 2))));
    let lease = bench.lease(B).await;
    bench.deliver(B, &lease, DeliveryState::Applied).await;
    let found = told(bench, &run).await;
    let each: Vec<_> =
        found.costs.iter().map(|one| (one.round, one.records, one.work, one.deliveries.applied)).collect();
    assert_eq!(each, [(1, 4, WORK, 1), (2, 2, WORK, 1)]);
    let sum = Costs::sum(&found.costs);
    assert_eq!((sum.round, sum.records, sum.work, sum.deliveries.records), (0, 4, times(WORK, 2), 4));
    let [failure] = found.failures.as_slice() else { panic!("{:?}", found.failures) };
    assert_eq!(
        (failure.count, failure.redriven, failure.samples.as_slice()),
        (2, 2, ["3", "4"].map(String::from).as_slice())
    );
}

async fn what_is_applied_in_part_is_in_the_history(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..4, 0)).await;
    let said = Report { deliveries: vec![evidence_of(1, [0, 2, 3])], ..report(&[], &[refused(1)]) };
    bench.complete(A, &lease, signed(said)).await;
    let found = told(bench, &run).await;
    let [span] = found.history.spans.as_slice() else { panic!("{:?}", found.history) };
    assert_eq!((span.records, span.deliveries, span.prompt), (3, 1, 1), "without the refused one");
    let cost = Costs::sum(&found.costs);
    assert_eq!((cost.deliveries.partly_applied, cost.deliveries.applied), (1, 0));
    assert!(cost.first_applied_at.is_some() && cost.first_applied_at == cost.last_applied_at, "{cost:?}");
}

async fn time_between_rounds_is_not_in_the_history(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"]]).await;
    let leases = bench.acquire(A, &[], 2).await.leases;
    bench.deliver(A, &leases[0], DeliveryState::Applied).await;
    bench.pass(Duration::from_secs(10)).await;
    bench.announce(A, &leases[1], begin(1, 0..2, 0)).await;
    bench.complete(A, &leases[1], report(&[(1, DeliveryState::Applied)], &[dead(2), dead(3)])).await;
    bench.conclude(&run).await;
    bench.silence(Duration::from_secs(3 * 86_400)).await;
    let redrive = Redrive { outcomes: Outcomes { dead_letter: true, ..Outcomes::default() }, ..Redrive::default() };
    assert!(matches!(bench.store().redrive(&run.id, redrive).await.unwrap(), Some(Redriven::Opened(_, 2))));
    let lease = bench.lease(B).await;
    bench.pass(Duration::from_secs(10)).await;
    bench.deliver(B, &lease, DeliveryState::Applied).await;
    let history = bench.store().history(&bench.run(&run.id).await, 4).await.unwrap();
    assert!((5_000..15_000).contains(&history.span_ms), "two rounds of ten seconds: {history:?}");
    let counts: Vec<_> = history.spans.iter().map(|span| (span.number, span.records, span.deliveries)).collect();
    assert!(matches!(counts[..], [(0, 4, 1), (1..=2, 2, 1), (3, 2, 1)]), "{counts:?}");
    assert_eq!(told(bench, &run).await.history.spans.iter().map(|span| span.records).sum::<i64>(), 8);
}

async fn it_is_the_same_after_a_restart(mut bench: Bench) {
    let run = with_dead_letters(&bench).await;
    let before = told(&bench, &run).await;
    bench.restart().await;
    let after = told(&bench, &run).await;
    assert_eq!((before.costs, before.history, before.failures), (after.costs, after.history, after.failures));
    assert_eq!((before.run.verdict, before.run.finished_at), (after.run.verdict, after.run.finished_at));
}
