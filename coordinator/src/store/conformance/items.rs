//! Records that came whole with the list: kept with it, and read by who holds their batch.

use super::Backend;
use super::bench::{A, B, Bench, POST_TIMEOUT, begin, dead, holding_run, new_run, report};
use super::protecting::swept;
use super::settling::settled;
use crate::domain::{DeliveryState, LeaseToken, ListedItem, ListedPage, NewRun, Run};
use crate::store::{Fenced, GrantedLease, Item, ItemsRead, LEASE_TTL, Misuse, Outcomes, Redrive, Redriven, Settle};

/// Keeping and reading items.
pub async fn items(backend: &dyn Backend) {
    a_lease_reads_the_items_of_its_batch(&Bench::new(backend).await).await;
    items_are_read_bit_by_bit(&Bench::new(backend).await).await;
    records_without_an_item_are_passed_over(&Bench::new(backend).await).await;
    what_came_first_counts(&Bench::new(backend).await).await;
    tokens_prove_who_may_read(&Bench::new(backend).await).await;
    a_lost_lease_reads_nothing(&Bench::new(backend).await).await;
    a_stopped_run_is_not_read(&Bench::new(backend).await).await;
    a_doubt_is_repeated_with_the_same_items(&Bench::new(backend).await).await;
    later_rounds_have_their_items(&Bench::new(backend).await).await;
    a_settlement_takes_items_along(&Bench::new(backend).await).await;
    of_what_is_unchanged_nothing_is_kept(&Bench::new(backend).await).await;
    items_outlive_a_restart(&mut Bench::new(backend).await).await;
    items_go_with_their_run(&Bench::new(backend).await).await;
}

/// More than all items of a batch have.
const ALL: usize = 1 << 20;

/// The item of an ID, and of which size it is.
fn body(id: &str, size: usize) -> String {
    format!("{{\"id\":{id},\"padding\":\"{}\"}}", "x".repeat(size))
}

fn whole(id: &str, size: usize) -> ListedItem {
    ListedItem { id: id.to_owned(), version: None, body: Some(body(id, size).into()) }
}

/// A run of these items on one page, listed to its end.
async fn listed(bench: &Bench, new: NewRun, items: Vec<ListedItem>) -> Run {
    let run = bench.start(new).await;
    let lease = bench.take_listing("lister").await;
    let page = ListedPage { page: 1, items, total_pages: Some(1), ..ListedPage::default() };
    assert!(matches!(bench.store().commit_page(&lease, page).await.unwrap(), Fenced::Committed(_)));
    assert_eq!(bench.store().close_listing(&lease).await.unwrap(), Fenced::Committed(()));
    bench.run(&run.id).await
}

/// One batch of four small items, "1" to "4".
async fn four(bench: &Bench, new: NewRun) -> Run {
    listed(bench, new, ["1", "2", "3", "4"].map(|id| whole(id, 1)).into()).await
}

async fn ask(bench: &Bench, session: &str, token: LeaseToken, from: u32, bytes: usize) -> Result<ItemsRead, Misuse> {
    bench.store().items(session, token, from, bytes).await.unwrap()
}

/// Places and items of a lease from a place on.
async fn some(bench: &Bench, session: &str, lease: &GrantedLease, from: u32, bytes: usize) -> Vec<(u32, String)> {
    let Ok(ItemsRead::Items(items)) = ask(bench, session, lease.token, from, bytes).await else { panic!("refused") };
    let text = |Item { position, body }| (position, String::from_utf8(body.to_vec()).unwrap());
    items.into_iter().map(text).collect()
}

fn small(places: impl IntoIterator<Item = (u32, &'static str)>) -> Vec<(u32, String)> {
    places.into_iter().map(|(place, id)| (place, body(id, 1))).collect()
}

async fn a_lease_reads_the_items_of_its_batch(bench: &Bench) {
    let ids = ["1", "2", "3", "4", "5", "6"];
    listed(bench, new_run("one"), ids.map(|id| whole(id, 1)).into()).await;
    listed(bench, new_run("two"), vec![whole("1", 7)]).await;
    let mut leases = bench.acquire(A, &[], 10).await.leases;
    // Run by run, as they were listed.
    leases.sort_by_key(|lease| (lease.token.lease().batch.run, lease.token.lease().batch.batch));
    assert_eq!(some(bench, A, &leases[0], 0, ALL).await, small([(0, "1"), (1, "2"), (2, "3"), (3, "4")]));
    assert_eq!(some(bench, A, &leases[1], 0, ALL).await, small([(0, "5"), (1, "6")]));
    assert_eq!(some(bench, A, &leases[2], 0, ALL).await, [(0, body("1", 7))]);
    assert_eq!(some(bench, A, &leases[0], 2, ALL).await, small([(2, "3"), (3, "4")]));
    for beyond in [4, u32::MAX] {
        assert_eq!(some(bench, A, &leases[0], beyond, ALL).await, []);
    }
}

async fn items_are_read_bit_by_bit(bench: &Bench) {
    // The second is larger than whatever a store keeps on one page.
    let sizes = [10, 700_000, 0, 10];
    let one = |(id, size): (u32, usize)| whole(&id.to_string(), size);
    listed(bench, new_run("one"), (1..).zip(sizes).map(one).collect()).await;
    let lease = bench.lease(A).await;
    let expected: Vec<(u32, String)> =
        (0..).zip(sizes).map(|(place, size)| (place, body(&(place + 1).to_string(), size))).collect();
    for (bytes, steps) in [(1, &[1, 1, 1, 1][..]), (100, &[1, 1, 2]), (2 * ALL, &[4])] {
        let (mut read, mut taken) = (Vec::new(), Vec::new());
        loop {
            let from = read.last().map_or(0, |(place, _)| place + 1);
            let more = some(bench, A, &lease, from, bytes).await;
            if more.is_empty() {
                break;
            }
            taken.push(more.len());
            read.extend(more);
        }
        assert_eq!(taken, steps, "at most {bytes} bytes, but one item at least");
        assert!(read == expected);
    }
}

async fn records_without_an_item_are_passed_over(bench: &Bench) {
    let bare = ListedItem { body: None, ..whole("2", 1) };
    listed(bench, new_run("one"), vec![whole("1", 1), bare, whole("3", 1)]).await;
    let lease = bench.lease(A).await;
    assert_eq!(some(bench, A, &lease, 0, ALL).await, small([(0, "1"), (2, "3")]));
}

async fn what_came_first_counts(bench: &Bench) {
    listed(bench, new_run("one"), vec![whole("1", 1), whole("2", 1), whole("1", 9)]).await;
    let lease = bench.lease(A).await;
    assert_eq!(some(bench, A, &lease, 0, ALL).await, small([(0, "1"), (1, "2")]));
}

async fn tokens_prove_who_may_read(bench: &Bench) {
    four(bench, new_run("one")).await;
    let lease = bench.lease(A).await;
    assert_eq!(ask(bench, B, lease.token, 0, ALL).await, Err(Misuse::OtherSession));
    let forged = LeaseToken::new(lease.token.lease(), [9; 16]);
    assert_eq!(ask(bench, A, forged, 0, ALL).await, Err(Misuse::TokenUnknown));
    let mut never = lease.token.lease();
    never.epoch += 1;
    assert_eq!(ask(bench, A, LeaseToken::new(never, [9; 16]), 0, ALL).await, Err(Misuse::TokenUnknown));
}

async fn a_lost_lease_reads_nothing(bench: &Bench) {
    let run = four(bench, new_run("one")).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.pass(LEASE_TTL).await;
    assert_eq!(ask(bench, A, lease.token, 0, ALL).await, Ok(ItemsRead::Lost), "expired");
    let again = bench.lease(B).await;
    assert_eq!(ask(bench, A, lease.token, 0, ALL).await, Ok(ItemsRead::Lost), "another one holds it");
    assert_eq!(some(bench, B, &again, 0, ALL).await.len(), 4);
    bench.complete(B, &again, report(&[], &[dead(0), dead(1), dead(2), dead(3)])).await;
    assert_eq!(ask(bench, B, again.token, 0, ALL).await, Ok(ItemsRead::Lost), "reported");
    bench.conclude(&run).await;
    assert_eq!(ask(bench, B, again.token, 0, ALL).await, Ok(ItemsRead::Lost), "over");
}

async fn a_stopped_run_is_not_read(bench: &Bench) {
    let run = four(bench, new_run("one")).await;
    let lease = bench.lease(A).await;
    bench.store().pause_run(&run.id, "wait").await.unwrap();
    assert_eq!(ask(bench, A, lease.token, 0, ALL).await, Ok(ItemsRead::RunStopped));
    bench.store().resume_run(&run.id).await.unwrap();
    assert_eq!(some(bench, A, &lease, 0, ALL).await.len(), 4);
    bench.store().cancel_run(&run.id).await.unwrap();
    assert_eq!(ask(bench, A, lease.token, 0, ALL).await, Ok(ItemsRead::RunStopped));
}

async fn a_doubt_is_repeated_with_the_same_items(bench: &Bench) {
    four(bench, new_run("one")).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, [1, 3], 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::InDoubt)], &[dead(2)])).await;
    bench.pass(POST_TIMEOUT).await;
    let again = bench.lease(B).await;
    let parts: Vec<(i64, String)> = again.parts.iter().map(|(part, ids)| (part.retry_of, ids.join(" "))).collect();
    assert_eq!(parts, [(0, "1".to_owned()), (1, "2 4".to_owned())]);
    assert_eq!(some(bench, B, &again, 0, ALL).await, small([(0, "1"), (1, "2"), (2, "3"), (3, "4")]));
}

async fn later_rounds_have_their_items(bench: &Bench) {
    let run = four(bench, new_run("one")).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, [0, 2], 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[dead(1), dead(3)])).await;
    bench.conclude(&run).await;
    for round in [2, 3] {
        let redrive = Redrive { outcomes: Outcomes { dead_letter: true, ..Default::default() }, ..Default::default() };
        let redriven = bench.store().redrive(&run.id, redrive).await.unwrap();
        assert!(matches!(redriven, Some(Redriven::Opened(run, 2)) if run.round == round));
        let lease = bench.lease(A).await;
        assert_eq!(some(bench, A, &lease, 0, ALL).await, small([(0, "2"), (1, "4")]), "round {round}");
        bench.complete(A, &lease, report(&[], &[dead(0), dead(1)])).await;
        bench.conclude(&bench.run(&run.id).await).await;
    }
}

async fn a_settlement_takes_items_along(bench: &Bench) {
    let run = four(bench, holding_run("one")).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    bench.pass(POST_TIMEOUT).await;
    bench.conclude(&run).await;
    let not_there = Settle { numbers: vec![1], applied: false, note: "not there".to_owned(), ..Settle::default() };
    let (run, _, to_send) = settled(bench, &run, not_there).await;
    assert_eq!((run.round, to_send), (2, 4));
    let lease = bench.lease(A).await;
    assert_eq!(some(bench, A, &lease, 1, ALL).await, small([(1, "2"), (2, "3"), (3, "4")]));
}

async fn of_what_is_unchanged_nothing_is_kept(bench: &Bench) {
    let version = |id: &str, version: &str| ListedItem { version: Some(version.to_owned()), ..whole(id, 1) };
    let one = listed(bench, new_run("one"), vec![version("1", "a"), version("2", "a")]).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    bench.conclude(&one).await;
    let new = NewRun { since: Some(one.id.clone()), ..new_run("two") };
    let two = listed(bench, new, vec![version("1", "a"), version("2", "b"), version("3", "a")]).await;
    assert_eq!(bench.counts(&two).await.unchanged, 1);
    let lease = bench.lease(A).await;
    assert_eq!(lease.parts[0].1, ["2", "3"]);
    assert_eq!(some(bench, A, &lease, 0, ALL).await, small([(0, "2"), (1, "3")]));
    bench.store().cancel_run(&two.id).await.unwrap();
    bench.conclude(&two).await;
    bench.store().delete_run(&two.id).await.unwrap();
    // Records, items, the unchanged one, a page, a batch, a lease, the run itself.
    assert_eq!(swept(bench).await, 2 + 2 + 1 + 1 + 1 + 1 + 1);
}

async fn items_outlive_a_restart(bench: &mut Bench) {
    four(bench, new_run("one")).await;
    let lease = bench.lease(A).await;
    bench.restart().await;
    assert_eq!(some(bench, A, &lease, 0, ALL).await, small([(0, "1"), (1, "2"), (2, "3"), (3, "4")]));
}

async fn items_go_with_their_run(bench: &Bench) {
    let run = four(bench, new_run("one")).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 1..4, 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[dead(0)])).await;
    bench.conclude(&run).await;
    bench.store().delete_run(&run.id).await.unwrap();
    // 4 records and their items, a page, a batch, a lease, a delivery, an exception, the run itself.
    assert_eq!(swept(bench).await, 4 + 4 + 1 + 1 + 1 + 1 + 1 + 1);
    assert_eq!(ask(bench, A, lease.token, 0, ALL).await, Err(Misuse::TokenUnknown));
}
