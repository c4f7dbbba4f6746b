//! Runs: started, paused, resumed, paged, concluded.

use std::time::Duration;

use super::bench::{A, Bench, new_run, report};
use super::{Backend, bench};
use crate::domain::{DeliveryState, NewRun, Run, RunState, Timestamp};
use crate::store::{Event, Fenced, Started};

/// Starting, pausing, resuming, finding and concluding runs.
pub async fn runs(backend: &dyn Backend) {
    the_same_request_gives_the_same_run(&Bench::new(backend).await).await;
    a_request_with_other_arguments_conflicts(&Bench::new(backend).await).await;
    requests_without_an_id_are_never_the_same(&Bench::new(backend).await).await;
    a_run_keeps_what_it_was_started_with(&Bench::new(backend).await).await;
    when_a_run_was_started_is_told_in_real_time(&Bench::new(backend).await).await;
    pausing_and_resuming_are_repeatable(&Bench::new(backend).await).await;
    unknown_runs_are_none(&Bench::new(backend).await).await;
    runs_are_paged_newest_first(&Bench::new(backend).await).await;
    a_run_concludes_once_all_is_done(&Bench::new(backend).await).await;
    nothing_left_to_lease_ends_nothing(&Bench::new(backend).await).await;
    a_change_after_the_audit_makes_it_stale(&Bench::new(backend).await).await;
    a_paused_run_is_not_concluded(&Bench::new(backend).await).await;
    a_run_without_records_concludes(&Bench::new(backend).await).await;
}

fn requested(name: &str, request_id: &str, digest: u8) -> NewRun {
    NewRun { request_id: Some(request_id.to_owned()), request_digest: [digest; 32], ..new_run(name) }
}

async fn the_same_request_gives_the_same_run(bench: &Bench) {
    let first = bench.start(requested("one", "request", 1)).await;
    match bench.store().start_run(requested("two", "request", 1)).await.unwrap() {
        Started::Same(run) => assert_eq!((run.key, run.id), (first.key, first.id)),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.store().runs(None, 10).await.unwrap().len(), 1);
}

async fn a_request_with_other_arguments_conflicts(bench: &Bench) {
    bench.start(requested("one", "request", 1)).await;
    let again = bench.store().start_run(requested("two", "request", 2)).await.unwrap();
    assert!(matches!(again, Started::Conflict), "{again:?}");
    assert_eq!(bench.store().runs(None, 10).await.unwrap().len(), 1);
    bench.start(requested("two", "another request", 2)).await;
}

async fn requests_without_an_id_are_never_the_same(bench: &Bench) {
    let (one, two) = (bench.start(new_run("one")).await, bench.start(new_run("two")).await);
    assert_ne!(one.key, two.key);
}

async fn a_run_keeps_what_it_was_started_with(bench: &Bench) {
    let new = NewRun { audit_mode: true, ..new_run("one") };
    let started = bench.start(new.clone()).await;
    let run = bench.run(&new.id).await;
    assert_eq!(run.key, started.key);
    assert_eq!((&run.pipeline, &run.revision, &run.parameters), (&new.pipeline, &new.terms.revision, &new.parameters));
    assert_eq!((run.audit_mode, run.state, run.round), (true, RunState::Running, 1));
    assert_eq!((run.finished_at, run.acknowledged, run.verdict), (None, 0, None));
    let pipeline = bench.store().pipeline(&new.terms.revision).await.unwrap().unwrap();
    assert_eq!(
        (pipeline.name, pipeline.revision, pipeline.canonical),
        (new.pipeline, new.terms.revision, new.terms.canonical)
    );
    assert_eq!(bench.store().pipeline("no such revision").await.unwrap(), None);
}

async fn when_a_run_was_started_is_told_in_real_time(bench: &Bench) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let now = bench.start(new_run("first")).await.created_at;
    let at = async |name: &str, wall_at: Timestamp| bench.start(NewRun { wall_at, ..new_run(name) }).await;
    let (right, ahead) = (at("right", now - HOUR).await, at("ahead", now).await);
    let started = async |run: &Run, wall: Timestamp| bench.store().started(run, wall).await.unwrap();
    assert_eq!(started(&right, now - HOUR).await, now - HOUR, "the ledger's clock was ahead, and stays so");
    assert_eq!(started(&right, now).await, now - HOUR, "the machine's is wrong by now");
    bench.silence(HOUR).await;
    assert_eq!(started(&ahead, now + HOUR).await, now, "all clocks agree");
    assert_eq!(started(&ahead, now).await, now - HOUR, "both were ahead then, and the machine's was set right since");
    assert_eq!(started(&ahead, now + 3 * HOUR).await, now, "whatever the machine's is like by now");
}

async fn pausing_and_resuming_are_repeatable(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let store = bench.store();
    assert_eq!(store.resume_run(&run.id).await.unwrap().unwrap().state, RunState::Running);
    let paused = store.pause_run(&run.id, "first reason").await.unwrap().unwrap();
    assert_eq!((paused.state, paused.state_reason.as_str()), (RunState::Paused, "first reason"));
    let again = store.pause_run(&run.id, "second reason").await.unwrap().unwrap();
    assert_eq!((again.state, again.state_reason.as_str()), (RunState::Paused, "first reason"));
    let resumed = store.resume_run(&run.id).await.unwrap().unwrap();
    assert_eq!((resumed.state, resumed.state_reason.as_str()), (RunState::Running, ""));
}

async fn unknown_runs_are_none(bench: &Bench) {
    let (store, id) = (bench.store(), new_run("none").id);
    assert!(store.run(&id).await.unwrap().is_none());
    assert!(store.pause_run(&id, "why").await.unwrap().is_none());
    assert!(store.resume_run(&id).await.unwrap().is_none());
    assert!(store.cancel_run(&id).await.unwrap().is_none());
    assert!(crate::audit::audit(store.as_ref(), &id, None).await.unwrap().is_none());
}

async fn runs_are_paged_newest_first(bench: &Bench) {
    for name in ["one", "two", "three"] {
        bench.start(new_run(name)).await;
    }
    let ids = |runs: &[crate::domain::Run]| runs.iter().map(|run| run.id.to_string()).collect::<Vec<_>>();
    let first = bench.store().runs(None, 2).await.unwrap();
    assert_eq!(ids(&first), ["test-three", "test-two"]);
    let second = bench.store().runs(Some(first[1].key), 2).await.unwrap();
    assert_eq!(ids(&second), ["test-one"]);
    assert!(bench.store().runs(Some(second[0].key), 2).await.unwrap().is_empty());
}

async fn a_run_concludes_once_all_is_done(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 3).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    let ready = bench.store().concludable().await.unwrap();
    assert_eq!(ready.iter().map(|run| run.key).collect::<Vec<_>>(), [run.key]);
    let mut pushed = bench.store().events().pushed();
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    assert_eq!(pushed.try_recv().unwrap(), Event::RunOver { run_id: run.id.clone() });
    let over = bench.run(&run.id).await;
    assert_eq!(over.state, RunState::Finished);
    assert!(over.finished_at.is_some());
    let verdict = over.verdict.unwrap();
    assert!(verdict.is_complete() && verdict.is_balanced());
    assert_eq!((verdict.counts.listed, verdict.counts.loaded), (3, 3));
    assert!(bench.store().concludable().await.unwrap().is_empty());
    assert_eq!(bench.conclude(&run).await, Fenced::Stale, "a run ends once");
}

async fn nothing_left_to_lease_ends_nothing(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let concludable = || async { !bench.store().concludable().await.unwrap().is_empty() };
    assert!(!concludable().await, "it is not listed yet");
    let listing = bench.take_listing("lister").await;
    bench.store().commit_page(&listing, bench::page(1, &["1", "2", "3", "4"], None)).await.unwrap();
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    assert!(bench.nothing_to_lease().await);
    assert!(!concludable().await, "listing is open");
    assert_eq!(bench.conclude(&run).await, Fenced::Stale);
    bench.store().commit_page(&listing, bench::page(2, &["5"], None)).await.unwrap();
    bench.store().close_listing(&listing).await.unwrap();
    assert!(!concludable().await, "a batch is ready");
    let lease = bench.lease(A).await;
    assert!(bench.nothing_to_lease().await);
    assert!(!concludable().await, "a batch is leased");
    assert_eq!(bench.conclude(&run).await, Fenced::Stale, "and it cannot be ended by force");
    bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    assert!(bench.nothing_to_lease().await);
    assert!(!concludable().await, "a doubt waits to be repeated");
    bench.verdict(&run).await;
}

async fn a_change_after_the_audit_makes_it_stale(bench: &Bench) {
    let run = bench.one_batch(bench::holding_run("one"), 3).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, bench::begin(1, 0..3, 0)).await;
    bench.warm_up().await;
    bench.pass(bench::POST_TIMEOUT).await;
    let read = crate::audit::audit(bench.store().as_ref(), &run.id, None).await.unwrap().unwrap();
    assert_eq!(read.1.counts.in_doubt, 3);
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    assert_eq!(bench.store().conclude(&read.0, &read.1, &[]).await.unwrap(), Fenced::Stale);
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    assert_eq!(bench.run(&run.id).await.verdict.unwrap().counts.loaded, 3);
}

async fn a_paused_run_is_not_concluded(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 3).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    bench.store().pause_run(&run.id, "why").await.unwrap();
    assert!(bench.store().concludable().await.unwrap().is_empty());
    assert_eq!(bench.conclude(&run).await, Fenced::Stale);
    bench.store().resume_run(&run.id).await.unwrap();
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
}

async fn a_run_without_records_concludes(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&[]]).await;
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    let verdict = bench.run(&run.id).await.verdict.unwrap();
    assert!(verdict.is_complete() && verdict.is_balanced());
    assert_eq!(verdict.counts.listed, 0);
}
