//! Listing: pages come in under a fenced right.

use std::time::Duration;

use super::Backend;
use super::bench::{A, Bench, LISTING_TTL, new_run, page};
use crate::domain::{ListedPage, Problem, Run, RunState};
use crate::store::{Fenced, PageOutcome};

/// Taking listings up, committing pages, closing.
pub async fn listing(backend: &dyn Backend) {
    a_listing_has_one_holder(&Bench::new(backend).await).await;
    the_next_holder_finds_the_committed_pages(&Bench::new(backend).await).await;
    a_holder_that_was_overtaken_is_stale(&Bench::new(backend).await).await;
    renewing_keeps_a_listing(&Bench::new(backend).await).await;
    a_page_is_committed_once(&Bench::new(backend).await).await;
    full_batches_are_cut_and_the_last_one_at_the_close(&Bench::new(backend).await).await;
    an_id_twice_on_a_page_is_listed_once(&Bench::new(backend).await).await;
    an_id_on_two_pages_is_suspicious(&Bench::new(backend).await).await;
    ids_of_other_types_are_other_ids(&Bench::new(backend).await).await;
    totals_that_disagree_are_suspicious(&Bench::new(backend).await).await;
    a_total_below_a_page_with_items_is_suspicious(&Bench::new(backend).await).await;
    an_empty_page_below_the_last_is_suspicious(&Bench::new(backend).await).await;
    an_empty_source_is_complete(&Bench::new(backend).await).await;
    a_page_that_repeats_others_is_suspicious(&Bench::new(backend).await).await;
    a_page_that_repeats_another_ends_no_list_of_known_length(&Bench::new(backend).await).await;
    ids_that_moved_are_no_repeated_page(&Bench::new(backend).await).await;
    a_page_given_up_is_named(&Bench::new(backend).await).await;
    missing_pages_are_named(&Bench::new(backend).await).await;
    a_cancelled_run_takes_no_pages(&Bench::new(backend).await).await;
    a_paused_run_takes_pages_on_their_way(&Bench::new(backend).await).await;
    a_closed_listing_is_not_taken_up(&Bench::new(backend).await).await;
    the_oldest_run_is_listed_first(&Bench::new(backend).await).await;
}

async fn codes(bench: &Bench, run: &Run) -> Vec<String> {
    bench.verdict(run).await.discrepancies.into_iter().map(|found| found.code).collect()
}

async fn a_listing_has_one_holder(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let store = bench.store();
    let first = store.take_listing("first", LISTING_TTL).await.unwrap().unwrap();
    assert_eq!((first.lease.run, first.run.id), (run.key, run.id));
    assert_eq!((first.progress.total_pages, first.progress.first_open), (0, 0));
    assert!(store.take_listing("second", LISTING_TTL).await.unwrap().is_none());
    assert_eq!(store.release_listing(&first.lease).await.unwrap(), Fenced::Committed(()));
    assert_eq!(store.release_listing(&first.lease).await.unwrap(), Fenced::Stale);
    let second = store.take_listing("second", LISTING_TTL).await.unwrap().unwrap();
    assert!(second.lease.epoch > first.lease.epoch);
}

async fn the_next_holder_finds_the_committed_pages(bench: &Bench) {
    bench.start(new_run("one")).await;
    let store = bench.store();
    let lease = bench.take_listing("first").await;
    for number in [1, 2, 5, 4] {
        store.commit_page(&lease, page(number, &[&number.to_string()], Some(9))).await.unwrap();
    }
    let problem = Problem { code: "PAGE_GIVEN_UP", detail: "page 7".to_owned() };
    store.give_up_page(&lease, 7, problem).await.unwrap();
    store.release_listing(&lease).await.unwrap();
    let progress = store.take_listing("second", LISTING_TTL).await.unwrap().unwrap().progress;
    assert_eq!((progress.total_pages, progress.first_open, progress.done_after), (9, 3, vec![4, 5, 7]));
}

async fn a_holder_that_was_overtaken_is_stale(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let store = bench.store();
    let first = bench.take_listing("first").await;
    bench.pass(LISTING_TTL).await;
    let second = bench.take_listing("second").await;
    assert_eq!(store.commit_page(&first, page(1, &["1"], None)).await.unwrap(), Fenced::Stale);
    let problem = Problem { code: "PAGE_GIVEN_UP", detail: "page 1".to_owned() };
    assert_eq!(store.give_up_page(&first, 1, problem).await.unwrap(), Fenced::Stale);
    assert_eq!(store.renew_listing(&first, LISTING_TTL).await.unwrap(), Fenced::Stale);
    assert_eq!(store.release_listing(&first).await.unwrap(), Fenced::Stale);
    assert_eq!(store.close_listing(&first).await.unwrap(), Fenced::Stale);
    assert_eq!(bench.counts(&run).await.listed, 0);
    let outcome = PageOutcome { fresh: 1, duplicates: 0, last: None };
    assert_eq!(store.commit_page(&second, page(1, &["1"], None)).await.unwrap(), Fenced::Committed(outcome));
    assert_eq!(store.close_listing(&second).await.unwrap(), Fenced::Committed(()));
    assert_eq!(bench.counts(&run).await.listed, 1);
}

async fn renewing_keeps_a_listing(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let store = bench.store();
    let lease = bench.take_listing("first").await;
    for _ in 0..5 {
        bench.pass(LISTING_TTL / 2).await;
        assert_eq!(store.renew_listing(&lease, LISTING_TTL).await.unwrap(), Fenced::Committed(()));
        assert!(store.take_listing("second", LISTING_TTL).await.unwrap().is_none());
    }
    store.pause_run(&run.id, "why").await.unwrap();
    assert_eq!(store.renew_listing(&lease, LISTING_TTL).await.unwrap(), Fenced::Stale, "nobody lists a paused run");
    assert!(store.take_listing("second", LISTING_TTL).await.unwrap().is_none());
}

async fn a_page_is_committed_once(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let lease = bench.take_listing("first").await;
    let ids = ["1", "2", "3"];
    let first = bench.store().commit_page(&lease, page(1, &ids, Some(1))).await.unwrap();
    assert_eq!(first, Fenced::Committed(PageOutcome { fresh: 3, duplicates: 0, last: None }));
    let again = bench.store().commit_page(&lease, page(1, &ids, Some(1))).await.unwrap();
    assert_eq!(again, Fenced::Committed(PageOutcome::default()));
    bench.store().close_listing(&lease).await.unwrap();
    let verdict = bench.verdict(&run).await;
    assert!(verdict.is_complete(), "a repeated call is no duplicate: {:?}", verdict.discrepancies);
    assert_eq!(verdict.counts.listed, 3);
}

async fn full_batches_are_cut_and_the_last_one_at_the_close(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let store = bench.store();
    let lease = bench.take_listing("first").await;
    store.commit_page(&lease, page(1, &["1", "2", "3"], Some(2))).await.unwrap();
    assert!(bench.nothing_to_lease().await, "no batch is full");
    assert_eq!(bench.counts(&run).await.pending, 3);
    store.commit_page(&lease, page(2, &["4", "5", "6"], Some(2))).await.unwrap();
    let first = bench.lease(A).await;
    assert_eq!(first.parts[0].1, ["1", "2", "3", "4"], "leasing starts while listing goes on");
    assert!(bench.nothing_to_lease().await);
    store.close_listing(&lease).await.unwrap();
    let last = bench.acquire(A, &[&first], 5).await.leases;
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].parts[0].1, ["5", "6"]);
    let verdict = bench.verdict(&run).await;
    assert!(verdict.is_complete());
    assert_eq!((verdict.counts.listed, verdict.counts.leased), (6, 6));
}

async fn an_id_twice_on_a_page_is_listed_once(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let lease = bench.take_listing("first").await;
    let outcome = bench.store().commit_page(&lease, page(1, &["1", "2", "1"], Some(1))).await.unwrap();
    assert_eq!(outcome, Fenced::Committed(PageOutcome { fresh: 2, duplicates: 1, last: None }));
    bench.store().close_listing(&lease).await.unwrap();
    assert_eq!(bench.counts(&run).await.listed, 2);
    assert_eq!(codes(bench, &run).await, ["ID_TWICE_ON_A_PAGE"]);
}

async fn an_id_on_two_pages_is_suspicious(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2"], &["2", "3"], &["3", "4"]]).await;
    let verdict = bench.verdict(&run).await;
    assert_eq!(verdict.counts.listed, 4);
    assert!(!verdict.is_complete());
    assert_eq!(verdict.discrepancies.len(), 1);
    assert_eq!(verdict.discrepancies[0].code, "IDS_SHIFTED");
    assert!(verdict.discrepancies[0].detail.contains("(and 1 more)"), "{:?}", verdict.discrepancies);
}

async fn ids_of_other_types_are_other_ids(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["7", "\"7\"", "\"a b\"", "7.0"]]).await;
    let verdict = bench.verdict(&run).await;
    assert!(verdict.is_complete());
    assert_eq!(bench.store().listed_ids(&run, 0, 10).await.unwrap(), ["7", "\"7\"", "\"a b\"", "7.0"]);
    assert_ne!(bench.story(&run, "7").await.position, bench.story(&run, "\"7\"").await.position);
}

async fn totals_that_disagree_are_suspicious(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let lease = bench.take_listing("first").await;
    for (number, total) in [(1, 2), (2, 3), (3, 3)] {
        bench.store().commit_page(&lease, page(number, &[&number.to_string()], Some(total))).await.unwrap();
    }
    bench.store().close_listing(&lease).await.unwrap();
    assert_eq!(codes(bench, &run).await, ["TOTAL_DISAGREES"]);
    let progress = bench.store().progress(&run).await.unwrap();
    assert_eq!((progress.pages_committed, progress.pages_total), (3, 3));
}

async fn a_total_below_a_page_with_items_is_suspicious(bench: &Bench) {
    // The last: a source that counts its pages from 0.
    for (number, total) in [(1, 0), (0, 0)] {
        let run = bench.start(new_run(&format!("from-{number}"))).await;
        let lease = bench.take_listing("first").await;
        bench.store().commit_page(&lease, page(number, &["1"], Some(total))).await.unwrap();
        bench.store().close_listing(&lease).await.unwrap();
        assert_eq!(codes(bench, &run).await, ["TOTAL_DISAGREES"], "page {number}");
    }
    let run = bench.start(new_run("three-of-two")).await;
    let lease = bench.take_listing("first").await;
    for number in 1..=3 {
        bench.store().commit_page(&lease, page(number, &[&number.to_string()], Some(2))).await.unwrap();
    }
    bench.store().close_listing(&lease).await.unwrap();
    assert_eq!(codes(bench, &run).await, ["TOTAL_DISAGREES"]);
}

async fn an_empty_page_below_the_last_is_suspicious(bench: &Bench) {
    for first in [0, 1] {
        let run = bench.start(new_run(&format!("from-{first}"))).await;
        let store = bench.store();
        let lease = bench.take_listing("first").await;
        store.commit_page(&lease, page(first, &["1"], Some(3))).await.unwrap();
        store.release_listing(&lease).await.unwrap();
        let lease = bench.take_listing("second").await;
        store.commit_page(&lease, page(first + 1, &[], Some(3))).await.unwrap();
        // The last one may be empty: the source counts so.
        store.commit_page(&lease, page(first + 2, &[], Some(3))).await.unwrap();
        store.close_listing(&lease).await.unwrap();
        let verdict = bench.verdict(&run).await;
        assert!(!verdict.is_complete());
        let found: Vec<_> = verdict.discrepancies.iter().map(|found| (&*found.code, &*found.detail)).collect();
        let detail = format!("page {} has no items, and the source speaks of 3 pages", first + 1);
        assert_eq!(found, [("EMPTY_PAGE", &*detail)]);
    }
}

async fn an_empty_source_is_complete(bench: &Bench) {
    for total in [None, Some(0), Some(1)] {
        let run = bench.start(new_run(&format!("{total:?}"))).await;
        let lease = bench.take_listing("first").await;
        bench.store().commit_page(&lease, page(1, &[], total)).await.unwrap();
        bench.store().close_listing(&lease).await.unwrap();
        assert_eq!(codes(bench, &run).await, Vec::<String>::new(), "{total:?}");
    }
}

async fn a_page_that_repeats_others_is_suspicious(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let lease = bench.take_listing("first").await;
    bench.store().commit_page(&lease, page(1, &["1", "2"], None)).await.unwrap();
    let again = bench.store().commit_page(&lease, page(2, &["1", "2"], None)).await.unwrap();
    assert_eq!(again, Fenced::Committed(PageOutcome { fresh: 0, duplicates: 2, last: Some(2) }));
    bench.store().close_listing(&lease).await.unwrap();
    let verdict = bench.verdict(&run).await;
    assert!(!verdict.is_complete());
    let found = verdict.discrepancies.iter().find(|found| found.code == "PAGE_REPEATED").expect("named");
    assert!(found.detail.starts_with("page 2 brought only IDs already listed"), "{}", found.detail);
}

/// What the source says of its length: pages, or records.
async fn a_page_that_repeats_another_ends_no_list_of_known_length(bench: &Bench) {
    for (total_pages, total) in [(Some(4), None), (None, Some(4))] {
        let run = bench.start(new_run(&format!("{total_pages:?}"))).await;
        let lease = bench.take_listing("first").await;
        for (number, ids) in [(1, ["1", "2"]), (2, ["1", "2"]), (3, ["1", "2"]), (4, ["3", "4"])] {
            let listed = ListedPage { total, last: Some(4), ..page(number, &ids, total_pages) };
            let Fenced::Committed(outcome) = bench.store().commit_page(&lease, listed).await.unwrap() else {
                panic!("stale");
            };
            assert_eq!(outcome.last, Some(4), "page {number}");
        }
        bench.store().close_listing(&lease).await.unwrap();
        let verdict = bench.verdict(&run).await;
        assert_eq!(verdict.counts.listed, 4, "a later page brings what is new");
        let found = verdict.discrepancies.iter().find(|found| found.code == "PAGE_REPEATED").expect("named");
        assert!(found.detail.starts_with("page 2 brought only IDs already listed"), "{}", found.detail);
        assert!(found.detail.ends_with("(and 1 more)"), "{}", found.detail);
    }
}

async fn ids_that_moved_are_no_repeated_page(bench: &Bench) {
    // From two pages; from one, but not all of it.
    for (number, third) in [(1, &["2", "3"][..]), (2, &["4"])] {
        let run = bench.start(new_run(&format!("moved-{number}"))).await;
        let lease = bench.take_listing("first").await;
        for (number, ids) in [(1, &["1", "2"][..]), (2, &["3", "4"]), (3, third)] {
            bench.store().commit_page(&lease, page(number, ids, Some(3))).await.unwrap();
        }
        bench.store().close_listing(&lease).await.unwrap();
        assert_eq!(codes(bench, &run).await, ["IDS_SHIFTED"]);
    }
}

async fn a_page_given_up_is_named(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let store = bench.store();
    let lease = bench.take_listing("first").await;
    store.commit_page(&lease, page(1, &["1"], Some(3))).await.unwrap();
    let problem = || Problem { code: "PAGE_GIVEN_UP", detail: "page 2: it answers 500".to_owned() };
    for _ in 0..2 {
        assert_eq!(store.give_up_page(&lease, 2, problem()).await.unwrap(), Fenced::Committed(()));
        // One that is there is not given up.
        assert_eq!(store.give_up_page(&lease, 1, problem()).await.unwrap(), Fenced::Committed(()));
    }
    store.commit_page(&lease, page(3, &["3"], Some(3))).await.unwrap();
    store.close_listing(&lease).await.unwrap();
    let verdict = bench.verdict(&run).await;
    assert!(!verdict.is_complete());
    let found: Vec<_> = verdict.discrepancies.iter().map(|found| (&*found.code, &*found.detail)).collect();
    assert_eq!(
        found,
        [("PAGE_GIVEN_UP", "page 2: it answers 500"), ("PAGES_MISSING", "1 of 3 pages are not in the ledger")]
    );
}

async fn missing_pages_are_named(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let lease = bench.take_listing("first").await;
    bench.store().commit_page(&lease, page(1, &["1"], Some(2))).await.unwrap();
    assert_eq!(codes(bench, &run).await, ["LISTING_OPEN"]);
    bench.store().close_listing(&lease).await.unwrap();
    assert_eq!(codes(bench, &run).await, ["PAGES_MISSING"]);
}

async fn a_cancelled_run_takes_no_pages(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let store = bench.store();
    let lease = bench.take_listing("first").await;
    store.commit_page(&lease, page(1, &["1"], None)).await.unwrap();
    store.cancel_run(&run.id).await.unwrap();
    assert_eq!(store.commit_page(&lease, page(2, &["2"], None)).await.unwrap(), Fenced::Stale);
    assert_eq!(store.renew_listing(&lease, LISTING_TTL).await.unwrap(), Fenced::Stale);
    assert_eq!(store.close_listing(&lease).await.unwrap(), Fenced::Stale);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.listed, counts.cancelled), (1, 1));
    assert!(store.take_listing("second", LISTING_TTL).await.unwrap().is_none());
}

async fn a_paused_run_takes_pages_on_their_way(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let store = bench.store();
    let lease = bench.take_listing("first").await;
    store.pause_run(&run.id, "why").await.unwrap();
    let outcome = store.commit_page(&lease, page(1, &["1"], None)).await.unwrap();
    assert_eq!(outcome, Fenced::Committed(PageOutcome { fresh: 1, duplicates: 0, last: None }));
    store.release_listing(&lease).await.unwrap();
    store.resume_run(&run.id).await.unwrap();
    let progress = store.take_listing("second", LISTING_TTL).await.unwrap().unwrap().progress;
    assert_eq!(progress.first_open, 2);
}

async fn a_closed_listing_is_not_taken_up(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1"]]).await;
    assert!(bench.store().take_listing("second", LISTING_TTL).await.unwrap().is_none());
    bench.pass(LISTING_TTL + Duration::from_secs(1)).await;
    assert!(bench.store().take_listing("second", LISTING_TTL).await.unwrap().is_none());
    assert_eq!(bench.run(&run.id).await.state, RunState::Running);
}

async fn the_oldest_run_is_listed_first(bench: &Bench) {
    let (one, two) = (bench.start(new_run("one")).await, bench.start(new_run("two")).await);
    assert_eq!(bench.take_listing("first").await.run, one.key);
    assert_eq!(bench.take_listing("first").await.run, two.key);
}
