//! Protection: signs that the pipeline or a worker is wrong, not the records; and runs that are not kept.

use super::Backend;
use super::bench::{
    A, B, Bench, MAX_REJECTED, begin, dead, evidence, gone, new_run, refused, report, run_with, signed,
};
use crate::domain::{DeliveryState, RecordState, Run, RunState};
use crate::store::{Completion, DeadLetterFilter, Deleted, GrantedLease, LEASE_TTL, Report, Started, Swept};

/// Protecting runs from themselves.
pub async fn protecting(backend: &dyn Backend) {
    nobody_is_judged_when_everything_is_refused(&Bench::new(backend).await).await;
    what_was_refused_stands_once_something_is_accepted(&Bench::new(backend).await).await;
    batches_of_very_few_say_little_of_others(&Bench::new(backend).await).await;
    a_few_refused_batches_at_the_end_stand(&Bench::new(backend).await).await;
    whoever_resumes_accepts_what_is_gone(&Bench::new(backend).await).await;
    what_is_gone_is_counted_once(&Bench::new(backend).await).await;
    a_paused_run_says_that_too_many_are_gone(&Bench::new(backend).await).await;
    a_batch_that_takes_workers_down_goes_on_record_by_record(&Bench::new(backend).await).await;
    a_record_that_takes_workers_down_alone_is_given_up(&Bench::new(backend).await).await;
    what_was_not_heard_of_again_has_not_the_trace_of_what_was(&Bench::new(backend).await).await;
    a_report_clears_a_batch(&Bench::new(backend).await).await;
}

/// Deleting runs.
pub async fn deleting(backend: &dyn Backend) {
    a_deleted_run_is_out_of_sight_and_then_out_of_the_ledger(&Bench::new(backend).await).await;
    only_runs_that_are_over_are_deleted(&Bench::new(backend).await).await;
    others_stay(&Bench::new(backend).await).await;
}

/// The target refuses all records of the next batch, one by one.
async fn refuse_all(bench: &Bench) -> Completion {
    let lease = bench.lease(A).await;
    let places: Vec<u32> = lease.parts[0].0.positions.iter().collect();
    let mut settled = Vec::new();
    let (mut all, mut records) = (Vec::new(), Vec::new());
    for (ordinal, place) in (1..).zip(places) {
        let next = crate::store::Begin { settled: settled.clone(), ..begin(ordinal, [place], 0) };
        bench.announce(A, &lease, next).await;
        settled = vec![evidence(ordinal, DeliveryState::Rejected)];
        all.push((ordinal, DeliveryState::Rejected));
        records.push(refused(place));
    }
    bench.complete(A, &lease, report(&all, &records)).await
}

/// A run of so many batches of four.
async fn batches(bench: &Bench, count: u64) -> Run {
    let ids: Vec<String> = (0..4 * count).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    bench.listed(new_run("one"), &[&ids]).await
}

async fn nobody_is_judged_when_everything_is_refused(bench: &Bench) {
    let run = batches(bench, 4).await;
    for _ in 1..MAX_REJECTED {
        assert_eq!(refuse_all(bench).await, Completion::Done);
    }
    assert_eq!(bench.counts(&run).await.dead_letter, 8, "so far it may be the records");
    assert_eq!(refuse_all(bench).await, Completion::Requeued);
    let paused = bench.run(&run.id).await;
    assert_eq!(paused.state, RunState::Paused);
    let said = paused.state_reason;
    assert!(said.contains("all 12 records of 3 batches") && said.contains("no such colour"), "{said}");
    let counts = bench.counts(&run).await;
    assert_eq!((counts.dead_letter, counts.pending), (0, 16), "nobody was judged");
    bench.store().resume_run(&run.id).await.unwrap();
    for _ in 0..4 {
        let lease = bench.lease(A).await;
        bench.deliver(A, &lease, DeliveryState::Applied).await;
    }
    assert_eq!(bench.counts(&run).await.loaded, 16, "the target was mended");
}

async fn what_was_refused_stands_once_something_is_accepted(bench: &Bench) {
    let run = batches(bench, 7).await;
    for _ in 0..2 {
        refuse_all(bench).await;
        refuse_all(bench).await;
        let lease = bench.lease(A).await;
        bench.deliver(A, &lease, DeliveryState::Applied).await;
    }
    refuse_all(bench).await;
    let counts = bench.counts(&run).await;
    assert_eq!((counts.dead_letter, counts.loaded), (20, 8));
    assert_eq!(bench.run(&run.id).await.state, RunState::Running);
}

async fn batches_of_very_few_say_little_of_others(bench: &Bench) {
    let new = run_with("one", |terms| terms.max_batch = 1);
    let ids: Vec<String> = (0..10).map(|id| id.to_string()).collect();
    let run = bench.listed(new, &[&ids.iter().map(String::as_str).collect::<Vec<_>>()]).await;
    for _ in 0..9 {
        refuse_all(bench).await;
    }
    assert_eq!(bench.run(&run.id).await.state, RunState::Running, "nine records, each alone");
    refuse_all(bench).await;
    assert_eq!(bench.run(&run.id).await.state, RunState::Paused);
    assert_eq!(bench.counts(&run).await.pending, 10);
}

async fn a_few_refused_batches_at_the_end_stand(bench: &Bench) {
    let run = batches(bench, 2).await;
    refuse_all(bench).await;
    refuse_all(bench).await;
    assert_eq!(bench.conclude(&run).await, crate::store::Fenced::Committed(()));
    assert_eq!(bench.counts(&run).await.dead_letter, 8);
}

async fn whoever_resumes_accepts_what_is_gone(bench: &Bench) {
    let run = bench.one_batch(run_with("one", |terms| terms.max_gone = 0.25), 4).await;
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[gone(0), gone(1)])).await;
    assert_eq!(bench.run(&run.id).await.state, RunState::Paused);
    bench.store().resume_run(&run.id).await.unwrap();
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[gone(2)])).await;
    assert_eq!(bench.run(&run.id).await.state, RunState::Running, "one more of four is allowed again");
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[gone(3)])).await;
    let paused = bench.run(&run.id).await;
    assert!(paused.state == RunState::Paused && paused.state_reason.contains("2 more"), "{}", paused.state_reason);
}

/// Whatever a report repeats, and whatever is said of a record later.
async fn what_is_gone_is_counted_once(bench: &Bench) {
    let run = bench.one_batch(run_with("one", |terms| terms.max_gone = 0.5), 4).await;
    for records in [vec![gone(0), gone(0)], vec![gone(0), gone(1)], vec![dead(1)], vec![gone(2)]] {
        let lease = bench.lease(A).await;
        bench.complete(A, &lease, report(&[], &records)).await;
        assert_eq!(bench.run(&run.id).await.state, RunState::Running, "at most two of four are gone");
    }
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[gone(3)])).await;
    let paused = bench.run(&run.id).await;
    assert!(paused.state == RunState::Paused && paused.state_reason.contains("3 of 4"), "{}", paused.state_reason);
    assert_eq!(bench.counts(&run).await.gone, 3);
}

async fn a_paused_run_says_that_too_many_are_gone(bench: &Bench) {
    let terms = run_with("one", |terms| (terms.max_gone, terms.max_batch) = (0.25, 2));
    let run = bench.listed(terms, &[&["1", "2", "3", "4", "5", "6"]]).await;
    let leases = bench.acquire(A, &[], 3).await.leases;
    bench.store().pause_run(&run.id, "at night nothing is loaded").await.unwrap();
    let reason = async || bench.run(&run.id).await.state_reason;
    bench.complete(A, &leases[0], report(&[], &[gone(0)])).await;
    assert_eq!(reason().await, "at night nothing is loaded", "one of six is allowed");
    bench.complete(A, &leases[1], report(&[], &[gone(0)])).await;
    let said = reason().await;
    assert!(said.starts_with("at night nothing is loaded; and the source answers 404 or 410 for 2 of 6"), "{said}");
    bench.complete(A, &leases[2], report(&[], &[gone(0)])).await;
    assert_eq!(reason().await, said, "said once");
    bench.store().resume_run(&run.id).await.unwrap();
    assert_eq!((bench.run(&run.id).await.state, reason().await.as_str()), (RunState::Running, ""));
}

/// The next lease runs out.
async fn lose(bench: &Bench) -> GrantedLease {
    let lease = bench.lease(B).await;
    bench.pass(LEASE_TTL).await;
    lease
}

fn ids(lease: &GrantedLease) -> Vec<&str> {
    lease.parts.iter().flat_map(|(_, ids)| ids.iter().map(String::as_str)).collect()
}

async fn suspected(bench: &Bench) -> Run {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    for _ in 0..3 {
        assert_eq!(ids(&lose(bench).await).len(), 4);
    }
    run
}

async fn a_batch_that_takes_workers_down_goes_on_record_by_record(bench: &Bench) {
    let run = suspected(bench).await;
    for id in ["1", "2", "3"] {
        let lease = bench.lease(A).await;
        assert_eq!(ids(&lease), [id]);
        assert_eq!(bench.deliver(A, &lease, DeliveryState::Applied).await, Completion::Requeued);
    }
    let last = bench.lease(A).await;
    assert_eq!(bench.deliver(A, &last, DeliveryState::Applied).await, Completion::Done);
    assert_eq!(bench.counts(&run).await.loaded, 4);
}

async fn a_record_that_takes_workers_down_alone_is_given_up(bench: &Bench) {
    let run = suspected(bench).await;
    for _ in 0..5 {
        assert_eq!(ids(&lose(bench).await), ["1"]);
    }
    let next = bench.lease(A).await;
    assert_eq!(ids(&next), ["2"]);
    let story = bench.story(&run, "1").await;
    assert_eq!(story.state, RecordState::DeadLetter);
    assert_eq!(story.exception.unwrap().stage, "worker");
}

async fn what_was_not_heard_of_again_has_not_the_trace_of_what_was(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let reported = bench.lease(A).await;
    bench.complete(A, &reported, signed(Report { trace: Some([7; 16]), ..report(&[], &[dead(0)]) })).await;
    for _ in 0..3 {
        assert_eq!(ids(&lose(bench).await), ["2", "3", "4"]);
    }
    for _ in 0..5 {
        assert_eq!(ids(&lose(bench).await), ["2"]);
    }
    assert_eq!(ids(&bench.lease(A).await), ["3"]);
    let letters = bench.store().dead_letters(&run, &DeadLetterFilter::default(), None, 10).await.unwrap();
    let told: Vec<_> = letters.iter().map(|letter| (letter.stage.as_str(), letter.trace)).collect();
    assert_eq!(told, [("validate", Some([7; 16])), ("worker", None)]);
}

async fn a_report_clears_a_batch(bench: &Bench) {
    bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    for _ in 0..2 {
        lose(bench).await;
        lose(bench).await;
        let lease = bench.lease(A).await;
        assert!(ids(&lease).len() > 1, "not suspected");
        bench.complete(A, &lease, report(&[], &[dead(lease.parts[0].0.positions.iter().next().unwrap())])).await;
    }
}

async fn over(bench: &Bench, name: &str) -> Run {
    let new = crate::domain::NewRun { request_id: Some(name.to_owned()), ..new_run(name) };
    let run = bench.one_batch(new, 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 1..4, 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[dead(0)])).await;
    bench.conclude(&run).await;
    run
}

pub(super) async fn swept(bench: &Bench) -> u64 {
    let mut rows = 0;
    loop {
        let Swept { rows: some, more } = bench.store().sweep().await.unwrap();
        rows += some;
        if !more {
            return rows;
        }
    }
}

async fn a_deleted_run_is_out_of_sight_and_then_out_of_the_ledger(bench: &Bench) {
    let run = over(bench, "one").await;
    let mut pushed = bench.store().events().pushed();
    assert_eq!(bench.store().delete_run(&run.id).await.unwrap(), Some(Deleted::Done));
    assert_eq!(pushed.try_recv().unwrap(), crate::store::Event::RunDeleted);
    assert!(bench.store().run(&run.id).await.unwrap().is_none());
    assert!(bench.store().runs(None, 10).await.unwrap().is_empty());
    assert_eq!(bench.store().delete_run(&run.id).await.unwrap(), None);
    // Its request_id is free, at once.
    let new = crate::domain::NewRun { request_id: Some("one".to_owned()), ..new_run("again") };
    assert!(matches!(bench.store().start_run(new).await.unwrap(), Started::New(_)));
    // 4 records, a page, a batch, a lease, a delivery, an exception, the run itself.
    assert_eq!(swept(bench).await, 10);
    assert_eq!(swept(bench).await, 0);
}

async fn only_runs_that_are_over_are_deleted(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    assert_eq!(bench.store().delete_run(&run.id).await.unwrap(), Some(Deleted::NotOver));
    bench.store().cancel_run(&run.id).await.unwrap();
    assert_eq!(bench.store().delete_run(&run.id).await.unwrap(), Some(Deleted::NotOver));
    bench.conclude(&run).await;
    assert_eq!(bench.store().delete_run(&run.id).await.unwrap(), Some(Deleted::Done));
}

async fn others_stay(bench: &Bench) {
    let (one, two) = (over(bench, "one").await, over(bench, "two").await);
    bench.store().delete_run(&one.id).await.unwrap();
    swept(bench).await;
    let counts = bench.counts(&two).await;
    assert_eq!((counts.loaded, counts.dead_letter), (3, 1));
    assert!(bench.store().pipeline(&two.revision).await.unwrap().is_some(), "the other still uses it");
    bench.store().delete_run(&two.id).await.unwrap();
    swept(bench).await;
    assert!(bench.store().pipeline(&two.revision).await.unwrap().is_none());
}
