//! Listing by every style: where a list goes on and ends, what is suspicious about it, and listing it a second time.

use super::Backend;
use super::bench::{Bench, LISTING_TTL, item, new_run, page};
use super::protecting::swept;
use crate::domain::{ListedPage, ListingLease, ListingProgress, Problem, Run};
use crate::store::{Fenced, PageOutcome};

/// Ends, cursors, totals, and a second pass.
pub async fn list_guards(backend: &dyn Backend) {
    the_next_holder_finds_the_cursor(&Bench::new(backend).await).await;
    a_list_that_has_ended_stays_so(&Bench::new(backend).await).await;
    a_cursor_that_comes_back_ends_the_list(&Bench::new(backend).await).await;
    totals_of_records_that_disagree_are_suspicious(&Bench::new(backend).await).await;
    an_empty_page_that_leads_on_is_suspicious(&Bench::new(backend).await).await;
    a_short_page_amid_a_list_is_suspicious(&Bench::new(backend).await).await;
    a_page_may_bring_a_problem_of_its_own(&Bench::new(backend).await).await;
    a_list_that_was_given_stands_still(&Bench::new(backend).await).await;
    a_second_pass_names_what_differs(&Bench::new(backend).await).await;
    a_second_pass_that_brings_the_same_is_complete(&Bench::new(backend).await).await;
    a_second_pass_goes_on_where_it_was(&Bench::new(backend).await).await;
    what_a_second_pass_has_seen_is_swept_once_it_is_closed(&Bench::new(backend).await).await;
}

async fn codes(bench: &Bench, run: &Run) -> Vec<String> {
    let verdict = bench.verdict(run).await;
    assert!(verdict.is_balanced(), "{:?}", verdict.discrepancies);
    verdict.discrepancies.into_iter().map(|found| found.code).collect()
}

/// A page of a list by cursors; the last one has none.
fn led(number: u64, ids: &[&str], cursor: Option<&str>) -> ListedPage {
    let last = cursor.is_none().then_some(number);
    ListedPage { last, cursor: cursor.map(str::to_owned), ..page(number, ids, None) }
}

async fn commit(bench: &Bench, lease: &ListingLease, page: ListedPage) -> PageOutcome {
    match bench.store().commit_page(lease, page).await.unwrap() {
        Fenced::Committed(outcome) => outcome,
        Fenced::Stale => panic!("stale"),
    }
}

async fn progress(bench: &Bench) -> ListingProgress {
    bench.pass(LISTING_TTL).await;
    bench.store().take_listing("next", LISTING_TTL).await.unwrap().unwrap().progress
}

async fn the_next_holder_finds_the_cursor(bench: &Bench) {
    bench.start(new_run("one")).await;
    let lease = bench.take_listing("first").await;
    assert_eq!(commit(bench, &lease, led(1, &["1"], Some("a"))).await.last, None);
    commit(bench, &lease, led(2, &["2"], Some("b"))).await;
    // A repeated call changes nothing.
    commit(bench, &lease, led(1, &["1"], Some("a"))).await;
    let found = progress(bench).await;
    assert_eq!((found.first_open, found.cursor.as_deref(), found.last_page, found.again), (3, Some("b"), None, false));
}

async fn a_list_that_has_ended_stays_so(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let lease = bench.take_listing("first").await;
    commit(bench, &lease, led(1, &["1"], Some("a"))).await;
    assert_eq!(commit(bench, &lease, led(2, &["2"], None)).await.last, Some(2));
    assert_eq!(commit(bench, &lease, led(2, &["2"], None)).await.last, Some(2));
    let found = progress(bench).await;
    assert_eq!((found.first_open, found.cursor, found.last_page), (3, None, Some(2)));
    bench.pass(LISTING_TTL).await;
    let lease = bench.take_listing("third").await;
    bench.store().close_listing(&lease).await.unwrap();
    assert_eq!(codes(bench, &run).await, Vec::<String>::new());
}

async fn a_cursor_that_comes_back_ends_the_list(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let lease = bench.take_listing("first").await;
    commit(bench, &lease, led(1, &["1"], Some("a"))).await;
    commit(bench, &lease, led(2, &["2"], Some("b"))).await;
    assert_eq!(commit(bench, &lease, led(3, &["3"], Some("a"))).await.last, Some(3));
    let found = progress(bench).await;
    assert_eq!((found.cursor, found.last_page), (None, Some(3)));
    bench.pass(LISTING_TTL).await;
    let lease = bench.take_listing("third").await;
    bench.store().close_listing(&lease).await.unwrap();
    assert_eq!(codes(bench, &run).await, ["CURSOR_REPEATED"]);
}

async fn totals_of_records_that_disagree_are_suspicious(bench: &Bench) {
    for (totals, expected) in [([2, 2], &[][..]), ([3, 3], &["TOTAL_DISAGREES"]), ([1, 2], &["TOTAL_DISAGREES"])] {
        let run = bench.start(new_run(&format!("{totals:?}"))).await;
        let lease = bench.take_listing("first").await;
        let with = |total, page| ListedPage { total: Some(total), ..page };
        commit(bench, &lease, with(totals[0], led(1, &["1"], Some("a")))).await;
        commit(bench, &lease, with(totals[1], led(2, &["2"], None))).await;
        bench.store().close_listing(&lease).await.unwrap();
        assert_eq!(codes(bench, &run).await, expected, "{totals:?}");
    }
}

async fn an_empty_page_that_leads_on_is_suspicious(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let lease = bench.take_listing("first").await;
    commit(bench, &lease, led(1, &["1"], Some("a"))).await;
    commit(bench, &lease, led(2, &[], Some("b"))).await;
    commit(bench, &lease, led(3, &[], None)).await;
    bench.store().close_listing(&lease).await.unwrap();
    assert_eq!(codes(bench, &run).await, ["EMPTY_PAGE"]);
}

async fn a_short_page_amid_a_list_is_suspicious(bench: &Bench) {
    let sized = |number, ids: &[&str], last| ListedPage { size: Some(2), last, ..page(number, ids, None) };
    for (pages, expected) in [
        (vec![sized(1, &["1"], Some(2)), sized(2, &["2"], Some(2))], &["SHORT_PAGE"][..]),
        (vec![sized(1, &["1", "2"], Some(2)), sized(2, &["3"], Some(2))], &[]),
        // The source does not say how much there is.
        (vec![sized(1, &["1"], None), sized(2, &["2"], Some(2))], &["SHORT_PAGE"]),
        (vec![sized(1, &["1"], None), sized(2, &[], Some(2))], &[]),
    ] {
        let run = bench.start(new_run(&format!("{pages:?}"))).await;
        let lease = bench.take_listing("first").await;
        for page in pages {
            commit(bench, &lease, page).await;
        }
        bench.store().close_listing(&lease).await.unwrap();
        assert_eq!(codes(bench, &run).await, expected);
    }
}

async fn a_page_may_bring_a_problem_of_its_own(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let lease = bench.take_listing("first").await;
    let problem = Some(Problem { code: "ENDLESS_LIST", detail: "page 1".to_owned() });
    for _ in 0..2 {
        commit(bench, &lease, ListedPage { problem: problem.clone(), ..led(1, &["1"], None) }).await;
    }
    bench.store().close_listing(&lease).await.unwrap();
    let verdict = bench.verdict(&run).await;
    assert_eq!((&*verdict.discrepancies[0].code, &*verdict.discrepancies[0].detail), ("ENDLESS_LIST", "page 1"));
}

async fn a_list_that_was_given_stands_still(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let lease = bench.take_listing("first").await;
    let given = |page| ListedPage { given: true, ..page };
    commit(bench, &lease, given(led(1, &["1", "1"], Some("a")))).await;
    commit(bench, &lease, given(led(2, &["1"], None))).await;
    bench.store().close_listing(&lease).await.unwrap();
    assert_eq!(codes(bench, &run).await, ["ID_TWICE_IN_LIST"]);
}

async fn a_second_pass_names_what_differs(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let store = bench.store();
    let lease = bench.take_listing("first").await;
    commit(bench, &lease, led(1, &["1", "2", "3"], Some("a"))).await;
    commit(bench, &lease, led(2, &["4"], None)).await;
    assert_eq!(store.list_again(&lease).await.unwrap(), Fenced::Committed(()));
    let items = ["2", "3", "5"].map(item).to_vec();
    let outcome = commit(bench, &lease, ListedPage { items, ..led(1, &[], Some("a")) }).await;
    assert_eq!((outcome.fresh, outcome.duplicates), (3, 0), "in this pass");
    commit(bench, &lease, led(2, &["4", "6"], None)).await;
    store.close_listing(&lease).await.unwrap();
    let verdict = bench.verdict(&run).await;
    assert!(verdict.is_balanced() && !verdict.is_complete());
    assert_eq!(verdict.counts.listed, 6, "what only the second brought is listed like any other");
    let found: Vec<_> = verdict.discrepancies.iter().map(|found| (&*found.code, &*found.detail)).collect();
    assert_eq!(
        found,
        [
            ("MISSED_BY_FIRST_LISTING", "ID 5 was listed the second time (page 1), and not the first (and 1 more)"),
            ("VANISHED_FROM_LIST", "1 IDs of the first listing, such as 1, were not in the second"),
        ]
    );
}

async fn a_second_pass_that_brings_the_same_is_complete(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let store = bench.store();
    let lease = bench.take_listing("first").await;
    for _ in 0..2 {
        commit(bench, &lease, page(1, &["1", "2"], Some(2))).await;
        commit(bench, &lease, page(2, &["3"], Some(2))).await;
        store.list_again(&lease).await.unwrap();
    }
    store.close_listing(&lease).await.unwrap();
    assert_eq!(codes(bench, &run).await, Vec::<String>::new());
    assert_eq!(store.listed_ids(&run, 0, 10).await.unwrap(), ["1", "2", "3"]);
    assert_eq!(store.list_again(&lease).await.unwrap(), Fenced::Stale, "it is closed");
}

async fn a_second_pass_goes_on_where_it_was(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let store = bench.store();
    let lease = bench.take_listing("first").await;
    commit(bench, &lease, led(1, &["1"], Some("a"))).await;
    commit(bench, &lease, led(2, &["2"], None)).await;
    store.list_again(&lease).await.unwrap();
    let found = progress(bench).await;
    assert_eq!((found.again, found.first_open, found.cursor, found.last_page), (true, 0, None, None));
    bench.pass(LISTING_TTL).await;
    let lease = bench.take_listing("third").await;
    commit(bench, &lease, led(1, &["1"], Some("a"))).await;
    // It has begun already.
    store.list_again(&lease).await.unwrap();
    let found = progress(bench).await;
    assert_eq!((found.again, found.first_open, found.cursor.as_deref()), (true, 2, Some("a")));
    bench.pass(LISTING_TTL).await;
    let lease = bench.take_listing("fourth").await;
    commit(bench, &lease, led(2, &["2"], None)).await;
    store.close_listing(&lease).await.unwrap();
    assert_eq!(codes(bench, &run).await, Vec::<String>::new());
}

/// A run whose one page was listed twice, and is listed still.
async fn twice(bench: &Bench, name: &str, ids: &[&str]) -> (Run, ListingLease) {
    let run = bench.start(new_run(name)).await;
    let lease = bench.take_listing(name).await;
    commit(bench, &lease, page(1, ids, Some(1))).await;
    bench.store().list_again(&lease).await.unwrap();
    commit(bench, &lease, page(1, ids, Some(1))).await;
    (run, lease)
}

async fn what_a_second_pass_has_seen_is_swept_once_it_is_closed(bench: &Bench) {
    let store = bench.store();
    let (one, closed) = twice(bench, "one", &["1", "2", "3"]).await;
    let (two, open) = twice(bench, "two", &["1", "2"]).await;
    assert_eq!(swept(bench).await, 0);
    store.close_listing(&closed).await.unwrap();
    assert_eq!(swept(bench).await, 3);
    assert_eq!(swept(bench).await, 0);
    store.close_listing(&open).await.unwrap();
    for run in [one, two] {
        assert_eq!(codes(bench, &run).await, Vec::<String>::new(), "what was seen was there until then");
    }
    assert_eq!(swept(bench).await, 2);
}
