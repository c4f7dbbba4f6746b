//! Reading: stories, acknowledgements, listed IDs, progress, workers.

use std::time::Duration;

use super::Backend;
use super::bench::{A, B, Bench, POST_TIMEOUT, begin, dead, evidence, gone, holding_run, new_run, report};
use crate::domain::{DeliveryState, NewRun, RecordState, Run, Share};
use crate::store::{Acknowledgement, Begin, Fenced, History, Settle};

/// Queries.
pub async fn reading(backend: &dyn Backend) {
    a_story_tells_all_of_a_record(&Bench::new(backend).await).await;
    a_record_without_a_batch_has_a_story(&Bench::new(backend).await).await;
    demand_is_what_is_leased_or_could_be(&Bench::new(backend).await).await;
    an_unlisted_record_has_none(&Bench::new(backend).await).await;
    each_id_is_in_its_first_acknowledgement_only(&Bench::new(backend).await).await;
    a_late_acknowledgement_comes_after_the_earlier_ones(&Bench::new(backend).await).await;
    listed_ids_are_paged_in_order(&Bench::new(backend).await).await;
    audit_folders_are_noted_as_whole(&Bench::new(backend).await).await;
    progress_counts_what_is_done(&Bench::new(backend).await).await;
    a_history_has_what_was_acknowledged_when(&Bench::new(backend).await).await;
    workers_are_listed(&Bench::new(backend).await).await;
    workers_are_paged_newest_first(&Bench::new(backend).await).await;
}

async fn a_story_tells_all_of_a_record(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3"], &["4", "5", "6"]]).await;
    bench.warm_up().await;
    let leases = bench.acquire(A, &[], 2).await.leases;
    bench.announce(A, &leases[1], begin(1, [0, 1], 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(5)).await;
    let again = bench.acquire(B, &[], 2).await.leases;
    assert_eq!(again.len(), 2);
    let doubt = again[1].parts[0].0.retry_of;
    bench.announce(B, &again[1], begin(1, [0, 1], doubt)).await;
    bench.complete(B, &again[1], report(&[(1, DeliveryState::Applied)], &[])).await;
    let story = bench.story(&run, "6").await;
    assert_eq!((story.round, story.state, story.page), (1, RecordState::Loaded, 2));
    assert_eq!((story.batch, story.position), (Some(1), 1));
    let leases: Vec<_> = story.leases.iter().map(|lease| (lease.epoch, lease.attempt, lease.worker.as_str())).collect();
    assert_eq!(leases, [(1, 1, "name of session-of-worker-a"), (2, 2, "name of session-of-worker-b")]);
    let told: Vec<_> =
        story.deliveries.iter().map(|told| (told.fact.epoch, told.fact.state, told.acknowledged)).collect();
    assert_eq!(told, [(1, DeliveryState::InDoubt, None), (2, DeliveryState::Applied, Some(1))]);
    assert_eq!((story.deliveries[1].fact.http_status, story.deliveries[1].detail.as_str()), (200, "said the target"));
    assert!(story.deliveries.iter().all(|told| told.settled_at.is_some()));
    assert!(story.exception.is_none());
    assert_eq!(bench.state(&run, "1").await, RecordState::Leased);
}

async fn a_record_without_a_batch_has_a_story(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let listing = bench.take_listing("lister").await;
    bench.store().commit_page(&listing, super::bench::page(1, &["1", "2", "3", "4", "5"], None)).await.unwrap();
    let story = bench.story(&run, "5").await;
    assert_eq!((story.state, story.batch, story.page), (RecordState::Pending, None, 1));
    assert_eq!(bench.state(&run, "1").await, RecordState::Pending);
    bench.store().cancel_run(&run.id).await.unwrap();
    assert_eq!(bench.state(&run, "5").await, RecordState::Cancelled);
    assert_eq!(bench.state(&run, "1").await, RecordState::Cancelled);
}

/// What workers are wanted for: of all runs, or of those of one pipeline.
async fn demand_is_what_is_leased_or_could_be(bench: &Bench) {
    // How many workers, where one is for two batches.
    let demand = async |pipeline: Option<&str>| {
        let demand = bench.store().demand(pipeline).await.unwrap();
        (demand.is_active(), demand.batches(2.0))
    };
    let nothing = (false, 0.0);
    assert_eq!((demand(None).await, demand(Some("others")).await), (nothing, nothing));
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.one_batch(NewRun { pipeline: "others".to_owned(), ..new_run("two") }, 4).await;
    let active = |batches| (true, batches);
    assert_eq!((demand(None).await, demand(Some("others")).await), (active(2.0), active(1.0)));
    let lease = bench.lease(A).await;
    assert_eq!(demand(None).await, active(2.0));
    bench.store().pause_run(&run.id, "paused").await.unwrap();
    bench.complete(A, &lease, report(&[], &[])).await;
    assert_eq!(demand(None).await, active(1.0), "a paused run wants nobody for what it cannot lease");
    bench.store().cancel_run(&run.id).await.unwrap();
    assert_eq!(demand(None).await, active(1.0));
    assert_eq!(demand(Some("nobody's")).await, nothing);
    // Of a run for one worker no more is wanted than that one is for.
    let ids: Vec<String> = (0..20).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let share = Share { max_workers: 1, ..Share::default() };
    bench.listed(NewRun { share, ..new_run("three") }, &[&ids]).await;
    assert_eq!(demand(None).await, active(3.0));
}

async fn an_unlisted_record_has_none(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    assert!(bench.store().stories(&run, "3").await.unwrap().is_empty());
    assert!(bench.store().stories(&run, "\"1\"").await.unwrap().is_empty());
}

async fn acknowledgements(bench: &Bench, run: &Run, after: i64) -> Vec<(i64, Vec<String>)> {
    let read = bench.store().acknowledgements(run, after, 10).await.unwrap();
    read.into_iter().map(|Acknowledgement { number, ids }| (number, ids)).collect()
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

async fn each_id_is_in_its_first_acknowledgement_only(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    let first = bench.announce(A, &lease, begin(1, [0, 1], 0)).await;
    let next = Begin { settled: vec![evidence(1, DeliveryState::InDoubt)], ..begin(2, [2, 3], 0) };
    bench.announce(A, &lease, next).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::InDoubt), (2, DeliveryState::Applied)], &[])).await;
    bench.pass(POST_TIMEOUT).await;
    let lease = bench.lease(B).await;
    bench.announce(B, &lease, begin(1, [0, 1], first)).await;
    bench.complete(B, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    let expected = [(1, ids(&["3", "4"])), (2, ids(&["1", "2"]))];
    assert_eq!(acknowledgements(bench, &run, 0).await, expected);
    assert_eq!(acknowledgements(bench, &run, 1).await, expected[1..]);
    assert_eq!(bench.store().acknowledgements(&run, 0, 1).await.unwrap().len(), 1);
}

async fn a_late_acknowledgement_comes_after_the_earlier_ones(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let stale = bench.lease(A).await;
    bench.announce(A, &stale, begin(1, 0..4, 0)).await;
    bench.pass(POST_TIMEOUT + Duration::from_secs(5)).await;
    let newer = bench.lease(B).await;
    bench.deliver(B, &newer, DeliveryState::Applied).await;
    bench.complete(A, &stale, report(&[(1, DeliveryState::Applied)], &[])).await;
    let expected = [(1, ids(&["1", "2", "3", "4"])), (2, ids(&[]))];
    assert_eq!(acknowledgements(bench, &run, 0).await, expected, "its records were acknowledged before");
    assert_eq!(bench.run(&run.id).await.acknowledged, 2);
}

async fn listed_ids_are_paged_in_order(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["30", "10"], &["20", "10", "\"x\""]]).await;
    let all = bench.store().listed_ids(&run, 0, 10).await.unwrap();
    assert_eq!(all, ["30", "10", "20", "\"x\""]);
    assert_eq!(bench.store().listed_ids(&run, 1, 2).await.unwrap(), all[1..3]);
    assert!(bench.store().listed_ids(&run, 4, 2).await.unwrap().is_empty());
}

async fn audit_folders_are_noted_as_whole(bench: &Bench) {
    bench.start(new_run("without")).await;
    bench.take_listing("lister").await;
    let run = bench.one_batch(NewRun { audit_mode: true, ..new_run("one") }, 4).await;
    let unwritten = || async {
        let runs = bench.store().runs_with_unwritten_files().await.unwrap();
        runs.into_iter().map(|run| run.key).collect::<Vec<_>>()
    };
    assert_eq!(unwritten().await, [run.key]);
    assert_eq!(bench.store().files_whole(&run).await.unwrap(), Fenced::Committed(()));
    assert!(unwritten().await.is_empty());
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    assert_eq!(unwritten().await, [run.key], "an acknowledgement wants one more file");
    assert_eq!(bench.store().files_whole(&run).await.unwrap(), Fenced::Stale, "read before the acknowledgement");
    assert_eq!(bench.store().files_whole(&bench.run(&run.id).await).await.unwrap(), Fenced::Committed(()));
}

async fn progress_counts_what_is_done(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"], &["9", "10"]]).await;
    let leases = bench.acquire(A, &[], 2).await.leases;
    bench.announce(A, &leases[0], begin(1, 0..2, 0)).await;
    bench.complete(A, &leases[0], report(&[(1, DeliveryState::Applied)], &[dead(2), gone(3)])).await;
    bench.announce(A, &leases[1], begin(1, 0..3, 0)).await;
    let progress = bench.store().progress(&run).await.unwrap();
    assert!(progress.listing_closed);
    assert_eq!((progress.pages_committed, progress.pages_total, progress.listed), (2, 2, 10));
    assert_eq!((progress.loaded, progress.dead_letter, progress.gone, progress.in_doubt), (2, 1, 1, 0));
    assert_eq!((progress.batches_ready, progress.batches_leased, progress.batches_done), (1, 1, 1));
    assert_eq!((progress.deliveries_open, progress.workers, progress.fetched), (1, 1, 7));
    bench.complete(A, &leases[1], report(&[(1, DeliveryState::InDoubt)], &[])).await;
    let progress = bench.store().progress(&run).await.unwrap();
    assert_eq!((progress.in_doubt, progress.deliveries_open, progress.workers), (3, 0, 0));
    assert_eq!((progress.batches_ready, progress.batches_leased, progress.batches_done), (2, 0, 1));
}

async fn a_history_has_what_was_acknowledged_when(bench: &Bench) {
    let run = bench.listed(holding_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"], &["9", "10"]]).await;
    assert_eq!(bench.store().history(&run, 3).await.unwrap(), History { span_ms: 1, spans: Vec::new() });
    let leases = bench.acquire(A, &[], 3).await.leases;
    bench.deliver(A, &leases[0], DeliveryState::Applied).await;
    bench.pass(Duration::from_secs(10)).await;
    bench.announce(A, &leases[1], begin(1, 0..4, 0)).await;
    bench.deliver(A, &leases[2], DeliveryState::InDoubt).await;
    bench.pass(Duration::from_secs(2)).await;
    bench.complete(A, &leases[1], report(&[(1, DeliveryState::Applied)], &[])).await;
    let History { span_ms, spans: told } = bench.store().history(&run, 3).await.unwrap();
    assert!(span_ms * 3 > 12_000, "{span_ms}");
    let counts: Vec<_> = told.iter().map(|span| (span.number, span.records, span.deliveries, span.prompt)).collect();
    assert_eq!(counts, [(0, 4, 1, 1), (2, 4, 1, 1)]);
    assert!((2_000..5_000).contains(&told[1].taken_ms) && told[1].longest_ms == told[1].taken_ms, "{told:?}");
    // What an operator finds out is acknowledged then, and took nobody knows how long.
    bench.pass(POST_TIMEOUT).await;
    let found_out = Settle { numbers: vec![3], applied: true, ..Settle::default() };
    bench.store().settle(&run.id, found_out).await.unwrap().unwrap();
    let found = bench.store().history(&run, 3).await.unwrap();
    assert_eq!(found.span_ms, span_ms, "the time in which the run worked is no longer for it");
    let counts = found.spans.iter().map(|span| (span.number, span.records, span.deliveries, span.prompt));
    assert_eq!(counts.collect::<Vec<_>>(), [(0, 4, 1, 1), (2, 6, 2, 1)]);
    assert!(found.spans[1].longest_ms < 5_000, "{found:?}");
}

async fn workers_are_listed(bench: &Bench) {
    bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8"]]).await;
    let leases = bench.acquire(A, &[], 2).await.leases;
    bench.deliver(A, &leases[0], DeliveryState::Applied).await;
    let store = bench.store();
    let workers = store.workers(None, 10, false).await.unwrap();
    assert_eq!((workers.len(), store.workers_heard().await.unwrap()), (1, 1));
    assert_eq!((workers[0].session.id.as_str(), workers[0].session.name.as_str()), (A, "name of session-of-worker-a"));
    assert_eq!((workers[0].leases_held, workers[0].batches_completed), (1, 1));
    bench.pass(Duration::from_secs(50)).await;
    store.renew(A, &[]).await.unwrap().unwrap();
    bench.pass(Duration::from_secs(50)).await;
    assert_eq!(store.workers(None, 10, false).await.unwrap().len(), 1, "renewing is a sign of life");
    bench.pass(Duration::from_secs(11)).await;
    assert!(store.workers(None, 10, false).await.unwrap().is_empty(), "not heard of for a minute");
    assert_eq!(store.workers_heard().await.unwrap(), 0);
    assert_eq!(store.workers(None, 10, true).await.unwrap().len(), 1);
    bench.acquire(A, &[], 0).await;
    assert_eq!(store.workers(None, 10, false).await.unwrap().len(), 1, "back again");
    bench.acquire(B, &[], 0).await;
    assert_eq!(store.workers_heard().await.unwrap(), 2);
    store.release(B, &[], true).await.unwrap().unwrap();
    store.release(A, &[], true).await.unwrap().unwrap();
    assert!(store.workers(None, 10, false).await.unwrap().is_empty(), "it said goodbye");
    assert_eq!(store.workers_heard().await.unwrap(), 0);
    assert!(store.workers(None, 10, true).await.unwrap()[0].ended_at.is_some());
}

async fn workers_are_paged_newest_first(bench: &Bench) {
    for session in ["first-session-of-all", "the-second-session", "and-the-third-session"] {
        bench.acquire(session, &[], 0).await;
    }
    let store = bench.store();
    let first = store.workers(None, 2, true).await.unwrap();
    let second = store.workers(Some(first[1].row), 2, true).await.unwrap();
    let ids: Vec<_> = first.iter().chain(&second).map(|row| row.session.id.as_str()).collect();
    assert_eq!(ids, ["and-the-third-session", "the-second-session", "first-session-of-all"]);
}
