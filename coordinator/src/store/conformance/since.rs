//! Runs that go on from an earlier one: what that one has at the target is not loaded again.

use std::collections::BTreeSet;

use super::Backend;
use super::bench::{A, Bench, LISTING_TTL, dead, gone, new_run, refused, report, versions};
use crate::domain::{DeliveryState, NewRun, RecordState, Run, RunId, RunState};
use crate::store::{ExportFrom, Fenced, Outcomes, PageOutcome, Redrive, Redriven, Started};

/// What is unchanged, by which run, and how it is accounted for.
pub async fn since(backend: &dyn Backend) {
    what_was_loaded_in_this_version_is_unchanged(&Bench::new(backend).await).await;
    what_was_unchanged_before_is_so_again(&Bench::new(backend).await).await;
    what_was_not_loaded_is_tried_again(&Bench::new(backend).await).await;
    the_newest_round_says_what_is_loaded(&Bench::new(backend).await).await;
    what_another_revision_loaded_is_loaded_again(&Bench::new(backend).await).await;
    what_a_revision_that_loads_alike_loaded_is_unchanged(&Bench::new(backend).await).await;
    a_run_that_is_deleted_says_nothing(&Bench::new(backend).await).await;
    duplicates_are_found_whatever_they_are(&Bench::new(backend).await).await;
    a_list_held_against_itself_knows_what_is_unchanged(&Bench::new(backend).await).await;
    a_listing_goes_on_after_a_restart(&mut Bench::new(backend).await).await;
    a_run_without_anything_new_is_over_at_once(&Bench::new(backend).await).await;
    batches_of_what_has_changed_are_full(&Bench::new(backend).await).await;
    unchanged_records_go_with_their_run(&Bench::new(backend).await).await;
    runs_that_are_over_are_found(&Bench::new(backend).await).await;
}

fn going_on(name: &str, from: &Run) -> NewRun {
    NewRun { since: Some(from.id.clone()), ..new_run(name) }
}

/// A run with these records on one page, listed to its end.
async fn listed(bench: &Bench, new: NewRun, items: &[(&str, &str)]) -> Run {
    let run = bench.start(new).await;
    let lease = bench.take_listing("lister").await;
    bench.store().commit_page(&lease, versions(1, items, Some(1))).await.unwrap();
    bench.store().close_listing(&lease).await.unwrap();
    bench.run(&run.id).await
}

/// Everything that there is to lease is applied, and the run is over.
async fn loaded(bench: &Bench, run: &Run) -> Run {
    for lease in bench.acquire(A, &[], 100).await.leases {
        bench.deliver(A, &lease, DeliveryState::Applied).await;
    }
    assert_eq!(bench.conclude(run).await, Fenced::Committed(()));
    bench.run(&run.id).await
}

async fn unchanged(bench: &Bench, run: &Run) -> Vec<String> {
    bench.store().unchanged_ids(run, "", 100).await.unwrap()
}

async fn what_was_loaded_in_this_version_is_unchanged(bench: &Bench) {
    let one = listed(bench, new_run("one"), &[("1", "a"), ("2", "a"), ("\"3\"", "a"), ("4", ""), ("5", "a")]).await;
    let one = loaded(bench, &one).await;
    let two =
        listed(bench, going_on("two", &one), &[("1", "a"), ("2", "b"), ("\"3\"", "a"), ("4", ""), ("6", "a")]).await;
    assert_eq!(two.since, Some(one.id.clone()));
    assert_eq!(unchanged(bench, &two).await, ["\"3\"", "1"]);
    let counts = bench.counts(&two).await;
    assert_eq!((counts.listed, counts.unchanged, counts.pending), (5, 2, 3));
    let progress = bench.store().progress(&two).await.unwrap();
    assert_eq!((progress.listed, progress.unchanged, progress.fetched), (5, 2, 0));
    assert_eq!(bench.lease(A).await.parts[0].1, ["2", "4", "6"], "another version, none, and a new one");
    let story = bench.story(&two, "\"3\"").await;
    assert_eq!((story.state, story.batch, story.page), (RecordState::Unchanged, None, 1));
    let why = story.unchanged.unwrap();
    assert_eq!((why.version.as_str(), &why.since, why.loaded_by), ("a", &one.id, Some(one.id.clone())));
    let (mut from, mut rows) = (ExportFrom::default(), Vec::new());
    while let (more, Some(next)) = bench.store().export(&two, from).await.unwrap() {
        rows.extend(more.into_iter().map(|row| (row.record_id, row.state == RecordState::Unchanged)));
        from = next;
    }
    let row = |id: &str, unchanged| (id.to_owned(), unchanged);
    assert_eq!(rows, [row("2", false), row("4", false), row("6", false), row("\"3\"", true), row("1", true)]);
}

async fn what_was_unchanged_before_is_so_again(bench: &Bench) {
    let items = [("1", "a"), ("2", "a")];
    let one = listed(bench, new_run("one"), &items).await;
    let one = loaded(bench, &one).await;
    let two = listed(bench, going_on("two", &one), &[("1", "a"), ("2", "b")]).await;
    let two = loaded(bench, &two).await;
    let three = listed(bench, going_on("three", &two), &[("1", "a"), ("2", "b")]).await;
    assert_eq!(unchanged(bench, &three).await, ["1", "2"]);
    let by = async |id: &str| bench.story(&three, id).await.unchanged.unwrap().loaded_by;
    assert_eq!((by("1").await, by("2").await), (Some(one.id.clone()), Some(two.id.clone())));
    bench.store().delete_run(&one.id).await.unwrap();
    assert_eq!((by("1").await, by("2").await), (None, Some(two.id.clone())), "the next in the chain knows enough");
    let three = loaded(bench, &three).await;
    let four = listed(bench, going_on("four", &three), &[("1", "b"), ("2", "a")]).await;
    assert_eq!(unchanged(bench, &four).await, [""; 0], "both have another version, even if an older run knew it");
}

async fn what_was_not_loaded_is_tried_again(bench: &Bench) {
    let items = [("1", "a"), ("2", "a"), ("3", "a"), ("4", "a"), ("5", "a"), ("6", "a")];
    let one = listed(bench, new_run("one"), &items).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, super::bench::begin(1, [0], 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[dead(1), gone(2), refused(3)])).await;
    bench.store().cancel_run(&one.id).await.unwrap();
    bench.conclude(&one).await;
    let two = listed(bench, going_on("two", &one), &items).await;
    assert_eq!(unchanged(bench, &two).await, ["1"]);
}

async fn the_newest_round_says_what_is_loaded(bench: &Bench) {
    let items = [("1", "a"), ("2", "a")];
    let one = listed(bench, new_run("one"), &items).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, super::bench::begin(1, [0], 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[dead(1)])).await;
    bench.conclude(&one).await;
    let before = listed(bench, going_on("before", &one), &items).await;
    assert_eq!(unchanged(bench, &before).await, ["1"]);
    loaded(bench, &before).await;
    redrive(bench, &one, None).await;
    let meanwhile = listed(bench, going_on("meanwhile", &one), &items).await;
    assert_eq!(unchanged(bench, &meanwhile).await, ["1"], "round 2 has it, and has not loaded it yet");
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    bench.conclude(&bench.run(&one.id).await).await;
    bench.store().cancel_run(&meanwhile.id).await.unwrap();
    let after = listed(bench, going_on("after", &one), &items).await;
    assert_eq!(unchanged(bench, &after).await, ["1", "2"]);
}

async fn redrive(bench: &Bench, run: &Run, terms: Option<crate::domain::Terms>) {
    let outcomes = Outcomes { dead_letter: true, ..Outcomes::default() };
    let redriven = bench.store().redrive(&run.id, Redrive { outcomes, terms, ..Redrive::default() }).await.unwrap();
    assert!(matches!(redriven, Some(Redriven::Opened(_, 1))), "{redriven:?}");
}

async fn what_another_revision_loaded_is_loaded_again(bench: &Bench) {
    let items = [("1", "a"), ("2", "a")];
    let one = listed(bench, new_run("one"), &items).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, super::bench::begin(1, [0], 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[dead(1)])).await;
    bench.conclude(&one).await;
    let mended = crate::domain::Terms { revision: "2".repeat(64), ..new_run("x").terms };
    redrive(bench, &one, Some(mended.clone())).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    bench.conclude(&bench.run(&one.id).await).await;
    // Whoever starts it looks first; this is for what happens between the look and the listing.
    let two = listed(bench, going_on("two", &one), &items).await;
    assert_eq!(unchanged(bench, &two).await, ["1"]);
    let three = listed(bench, NewRun { terms: mended, ..going_on("three", &one) }, &items).await;
    assert_eq!(unchanged(bench, &three).await, ["2"]);
}

async fn what_a_revision_that_loads_alike_loaded_is_unchanged(bench: &Bench) {
    let items = [("1", "a"), ("2", "b")];
    let under = |digit: &str, alike: &[&str], new: NewRun| NewRun {
        terms: crate::domain::Terms { revision: digit.repeat(64), ..new.terms },
        alike: alike.iter().map(|digit| digit.repeat(64)).collect::<BTreeSet<_>>(),
        ..new
    };
    let one = listed(bench, under("1", &[], new_run("one")), &[("1", "a"), ("2", "a")]).await;
    let one = loaded(bench, &one).await;
    let two = listed(bench, under("2", &["1"], going_on("two", &one)), &items).await;
    assert_eq!(unchanged(bench, &two).await, ["1"], "the other one has another version");
    let two = loaded(bench, &two).await;
    let three = listed(bench, under("3", &["2"], going_on("three", &two)), &items).await;
    assert_eq!(unchanged(bench, &three).await, ["1", "2"], "whichever of them loaded it");
    let three = loaded(bench, &three).await;
    assert!(bench.verdict(&three).await.is_complete());
    // It is said of each run for itself, and of these revisions alone.
    let four = listed(bench, under("3", &[], going_on("four", &two)), &items).await;
    assert_eq!(unchanged(bench, &four).await, ["1"], "as the run before found it");
    let five = listed(bench, under("3", &["4", "5"], going_on("five", &one)), &items).await;
    assert_eq!(unchanged(bench, &five).await, [""; 0]);
}

async fn a_run_that_is_deleted_says_nothing(bench: &Bench) {
    let items = [("1", "a"), ("2", "a")];
    let one = listed(bench, new_run("one"), &items).await;
    let one = loaded(bench, &one).await;
    let two = bench.start(going_on("two", &one)).await;
    let lease = bench.take_listing("lister").await;
    bench.store().commit_page(&lease, versions(1, &items[..1], Some(2))).await.unwrap();
    bench.store().delete_run(&one.id).await.unwrap();
    bench.store().commit_page(&lease, versions(2, &items[1..], Some(2))).await.unwrap();
    bench.store().close_listing(&lease).await.unwrap();
    assert_eq!(unchanged(bench, &two).await, ["1"]);
    let counts = bench.counts(&two).await;
    assert_eq!((counts.unchanged, counts.pending), (1, 1));
    assert_eq!(bench.story(&two, "1").await.unchanged.unwrap().loaded_by, None);
    loaded(bench, &two).await;
    while bench.store().sweep().await.unwrap().more {}
    let three = listed(bench, going_on("three", &one), &items).await;
    assert_eq!(
        (unchanged(bench, &three).await.len(), three.since),
        (0, Some(one.id)),
        "it was deleted before the start"
    );
}

async fn duplicates_are_found_whatever_they_are(bench: &Bench) {
    let one = listed(bench, new_run("one"), &[("1", "a"), ("2", "a"), ("3", "a")]).await;
    let one = loaded(bench, &one).await;
    let two = bench.start(going_on("two", &one)).await;
    let lease = bench.take_listing("lister").await;
    let store = bench.store();
    store.commit_page(&lease, versions(1, &[("1", "a"), ("2", "b"), ("1", "a")], Some(2))).await.unwrap();
    // An unchanged one in another version now, and one to be loaded in the version that was loaded before.
    let outcome = store.commit_page(&lease, versions(2, &[("1", "b"), ("2", "a"), ("3", "a")], Some(2))).await.unwrap();
    assert_eq!(outcome, Fenced::Committed(PageOutcome { fresh: 1, duplicates: 2, last: None }));
    store.close_listing(&lease).await.unwrap();
    let verdict = bench.verdict(&two).await;
    let codes: Vec<_> = verdict.discrepancies.iter().map(|found| found.code.as_str()).collect();
    assert_eq!(codes, ["IDS_SHIFTED", "ID_TWICE_ON_A_PAGE"]);
    assert_eq!((verdict.counts.listed, verdict.counts.unchanged), (3, 2));
}

async fn a_list_held_against_itself_knows_what_is_unchanged(bench: &Bench) {
    let one = listed(bench, new_run("one"), &[("1", "a"), ("2", "a"), ("3", "a")]).await;
    let one = loaded(bench, &one).await;
    let store = bench.store();
    let twice = async |name: &str, second: &[(&str, &str)]| {
        let run = bench.start(going_on(name, &one)).await;
        let lease = bench.take_listing("lister").await;
        store.commit_page(&lease, versions(1, &[("1", "a"), ("2", "b")], Some(1))).await.unwrap();
        assert_eq!(store.list_again(&lease).await.unwrap(), Fenced::Committed(()));
        store.commit_page(&lease, versions(1, second, Some(1))).await.unwrap();
        store.close_listing(&lease).await.unwrap();
        let verdict = bench.verdict(&run).await;
        let codes: Vec<_> = verdict.discrepancies.into_iter().map(|found| found.code).collect();
        (codes, verdict.counts.listed, verdict.counts.unchanged)
    };
    assert_eq!(twice("same", &[("1", "a"), ("2", "b")]).await, (vec![], 2, 1));
    let (codes, listed, unchanged) = twice("other", &[("2", "b"), ("3", "a"), ("3", "a")]).await;
    assert_eq!(codes, ["ID_TWICE_ON_A_PAGE", "MISSED_BY_FIRST_LISTING", "VANISHED_FROM_LIST"]);
    assert_eq!((listed, unchanged), (3, 2), "3 came with the second pass, and is unchanged too");
}

async fn a_listing_goes_on_after_a_restart(bench: &mut Bench) {
    let items = [("1", "a"), ("2", "a"), ("3", "a"), ("4", "a"), ("5", "a")];
    let one = listed(bench, new_run("one"), &items).await;
    let one = loaded(bench, &one).await;
    let two = bench.start(going_on("two", &one)).await;
    let lease = bench.take_listing("lister").await;
    bench.store().commit_page(&lease, versions(1, &items[..2], Some(2))).await.unwrap();
    bench.restart().await;
    // Where several coordinators share a ledger, nobody knows yet that this lister is dead.
    bench.pass(LISTING_TTL).await;
    let lease = bench.take_listing("lister").await;
    // The answer to it was lost: it comes again.
    bench.store().commit_page(&lease, versions(1, &items[..2], Some(2))).await.unwrap();
    bench.store().commit_page(&lease, versions(2, &items[2..], Some(2))).await.unwrap();
    bench.store().close_listing(&lease).await.unwrap();
    let verdict = bench.verdict(&two).await;
    assert!(verdict.is_complete(), "{:?}", verdict.discrepancies);
    assert_eq!((verdict.counts.listed, verdict.counts.unchanged), (5, 5));
    assert_eq!(bench.store().progress(&two).await.unwrap().unchanged, 5);
}

async fn a_run_without_anything_new_is_over_at_once(bench: &Bench) {
    let items = [("1", "a"), ("2", "a"), ("3", "a"), ("4", "a"), ("5", "a")];
    let one = listed(bench, new_run("one"), &items).await;
    let one = loaded(bench, &one).await;
    let two = listed(bench, going_on("two", &one), &items).await;
    assert!(bench.nothing_to_lease().await);
    let concludable = bench.store().concludable().await.unwrap();
    assert_eq!(concludable.iter().map(|run| &run.id).collect::<Vec<_>>(), [&two.id]);
    assert_eq!(bench.conclude(&two).await, Fenced::Committed(()));
    let two = bench.run(&two.id).await;
    let verdict = two.verdict.unwrap();
    assert!(two.state == RunState::Finished && verdict.is_complete() && verdict.is_balanced());
    assert_eq!((verdict.counts.listed, verdict.counts.unchanged), (5, 5));
}

async fn batches_of_what_has_changed_are_full(bench: &Bench) {
    let ids = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
    let items = |version| ids.map(|id| (id, if id.ends_with(['1', '3', '5']) { version } else { "a" }));
    let one = listed(bench, new_run("one"), &items("a")).await;
    let one = loaded(bench, &one).await;
    listed(bench, going_on("two", &one), &items("b")).await;
    let leases = bench.acquire(A, &[], 10).await.leases;
    let batches: Vec<_> = leases.iter().map(|lease| lease.parts[0].1.join(" ")).collect();
    assert_eq!(batches, ["1 3 5 11", "13 15"]);
}

async fn unchanged_records_go_with_their_run(bench: &Bench) {
    let one = listed(bench, new_run("one"), &[("1", "a")]).await;
    let one = loaded(bench, &one).await;
    let two = listed(bench, going_on("two", &one), &[("1", "a")]).await;
    let two = loaded(bench, &two).await;
    bench.store().delete_run(&two.id).await.unwrap();
    while bench.store().sweep().await.unwrap().more {}
    assert!(unchanged(bench, &two).await.is_empty());
    let three = listed(bench, going_on("three", &one), &[("1", "a")]).await;
    assert_eq!(unchanged(bench, &three).await, ["1"]);
}

async fn runs_that_are_over_are_found(bench: &Bench) {
    let request = |name: &str| NewRun { request_id: Some(name.to_owned()), request_digest: [9; 32], ..new_run(name) };
    let mut over = Vec::new();
    for name in ["one", "two", "three"] {
        let run = listed(bench, request(name), &[("1", "a")]).await;
        over.insert(0, loaded(bench, &run).await);
    }
    let running = bench.start(new_run("four")).await;
    let store = bench.store();
    let keys = async |before: Option<i64>, limit: u32| -> Vec<i64> {
        let found = store.runs_over("test", before, limit).await.unwrap();
        found.iter().map(|run| run.key).collect()
    };
    let all: Vec<i64> = over.iter().map(|run| run.key).collect();
    assert_eq!((keys(None, 10).await, keys(None, 2).await), (all.clone(), all[..2].to_vec()));
    assert_eq!(keys(Some(all[1]), 10).await, all[2..]);
    assert!(store.runs_over("other", None, 10).await.unwrap().is_empty());
    let revisions = store.revisions("test").await.unwrap();
    assert_eq!(revisions.iter().map(|known| known.revision.clone()).collect::<Vec<_>>(), [new_run("x").terms.revision]);
    assert!(store.revisions("other").await.unwrap().is_empty());
    let of_request = store.run_of_request("two").await.unwrap().map(|(run, digest)| (run.id, digest));
    assert_eq!(of_request, Some((RunId::from_text("test-two"), [9; 32])));
    assert!(store.run_of_request("five").await.unwrap().is_none());
    assert!(matches!(store.start_run(request("two")).await.unwrap(), Started::Same(_)));
    store.delete_run(&over[0].id).await.unwrap();
    assert_eq!(keys(None, 10).await, all[1..]);
    assert!(store.run_of_request("three").await.unwrap().is_none());
    assert_eq!(bench.run(&running.id).await.since, None);
}
