//! Fields that a schema does not know: each record counts once, whatever is told again.

use muster_pipeline::MAX_UNKNOWN_FIELDS;

use super::Backend;
use super::bench::{A, B, Bench, POST_TIMEOUT, begin, dead, evidence, new_run, page, positions, refused, report};
use crate::audit::audit;
use crate::domain::{DeliveryState, Positions, Run, UnknownField};
use crate::store::{Begin, Begun, Fenced, GrantedLease, LEASE_TTL, Outcomes, Redrive, Refusal, Swept};

/// Reporting fields that the schema does not know.
pub async fn unknown_fields(backend: &dyn Backend) {
    a_record_counts_once_for_each_of_its_fields(&Bench::new(backend).await).await;
    what_is_sent_again_counts_once(&Bench::new(backend).await).await;
    what_a_dead_worker_announced_counts(&Bench::new(backend).await).await;
    what_is_refused_does_not_count(&Bench::new(backend).await).await;
    the_sample_is_the_first_that_was_listed(&Bench::new(backend).await).await;
    what_goes_beyond_the_bound_is_counted_as_others(&Bench::new(backend).await).await;
    each_round_says_its_own(&Bench::new(backend).await).await;
    they_are_deleted_with_their_run(&Bench::new(backend).await).await;
}

/// Which records have which field.
fn having(begin: Begin, fields: &[(&str, &[u32])]) -> Begin {
    let field =
        |(path, places): &(&str, &[u32])| ((*path).to_owned(), Positions::from_ascending(places.to_vec()).unwrap());
    Begin { unknown_fields: fields.iter().map(field).collect(), ..begin }
}

fn field(path: &str, records: u64, sample: &str) -> UnknownField {
    UnknownField { path: path.to_owned(), records, sample: sample.to_owned() }
}

/// As query and verdict say, which must be the same; nothing of it stands against the verdict.
async fn found(bench: &Bench, run: &Run) -> Vec<UnknownField> {
    let run = bench.run(&run.id).await;
    let found = bench.store().unknown_fields(&run, run.round).await.unwrap();
    let verdict = bench.verdict(&run).await;
    assert_eq!(verdict.unknown_fields, found);
    assert!(verdict.is_complete(), "{:#?}", verdict.discrepancies);
    found
}

async fn a_record_counts_once_for_each_of_its_fields(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    assert_eq!(found(bench, &run).await, []);
    let lease = bench.lease(A).await;
    let announced = having(begin(1, 0..4, 0), &[("/friends/*/nick", &[1, 3]), ("/wings", &[3])]);
    let number = bench.announce(A, &lease, announced.clone()).await;
    let expected = [field("/friends/*/nick", 2, "2"), field("/wings", 1, "4")];
    assert_eq!(found(bench, &run).await, expected, "as soon as it is announced");
    assert_eq!(bench.announce(A, &lease, announced).await, number, "a repeated call");
    let end = report(&[(1, DeliveryState::Applied)], &[]);
    bench.complete(A, &lease, end.clone()).await;
    bench.complete(A, &lease, end).await;
    assert_eq!(found(bench, &run).await, expected);
    bench.conclude(&run).await;
    let over = bench.run(&run.id).await;
    assert_eq!(over.verdict.expect("a verdict").unknown_fields, expected, "and it is kept with the verdict");
}

async fn what_is_sent_again_counts_once(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, having(begin(1, 0..4, 0), &[("/wings", &[0, 2])])).await;
    // Halves under the same lease: the source said the same of these records.
    let half = Begin { settled: vec![evidence(1, DeliveryState::Rejected)], ..begin(2, 0..2, 0) };
    bench.announce(A, &lease, having(half, &[("/wings", &[0])])).await;
    let ends = [(1, DeliveryState::Rejected), (2, DeliveryState::InDoubt)];
    bench.complete(A, &lease, report(&ends, &[])).await;
    bench.pass(POST_TIMEOUT).await;
    // By the next try of the doubt the source has changed: both are true of records that were sent.
    let lease = bench.lease(B).await;
    let (doubt, _) = lease.parts.iter().find(|(part, _)| part.retry_of > 0).expect("the doubt");
    let again = begin(1, doubt.positions.iter(), doubt.retry_of);
    bench.announce(B, &lease, having(again, &[("/horns", &[1]), ("/wings", &[0, 1])])).await;
    assert_eq!(found(bench, &run).await, [field("/horns", 1, "2"), field("/wings", 3, "1")]);
}

async fn what_a_dead_worker_announced_counts(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, having(begin(1, 0..4, 0), &[("/wings", &[1])])).await;
    bench.pass(POST_TIMEOUT + LEASE_TTL).await;
    assert_eq!(bench.counts(&run).await.in_doubt, 4, "nobody heard of it any more");
    assert_eq!(found(bench, &run).await, [field("/wings", 1, "2")]);
}

async fn what_is_refused_does_not_count(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.store().pause_run(&run.id, "for a moment").await.unwrap();
    let announced = having(begin(1, 0..4, 0), &[("/wings", &[1])]);
    assert_eq!(bench.begin(A, &lease, announced).await, Ok(Begun::Refused(Refusal::RunPaused)));
    assert_eq!(found(bench, &run).await, []);
}

async fn the_sample_is_the_first_that_was_listed(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["7", "\"x\"", "3", "4", "5", "6"]]).await;
    let (first, second) = (bench.lease(A).await, bench.lease(B).await);
    bench.announce(B, &second, having(begin(1, 0..2, 0), &[("/wings", &[0, 1])])).await;
    assert_eq!(found(bench, &run).await, [field("/wings", 2, "5")]);
    bench.announce(A, &first, having(begin(1, 0..4, 0), &[("/wings", &[1, 3])])).await;
    assert_eq!(found(bench, &run).await, [field("/wings", 4, "\"x\"")]);
}

async fn what_goes_beyond_the_bound_is_counted_as_others(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6"]]).await;
    let (first, second) = (bench.lease(A).await, bench.lease(B).await);
    let many = |from: usize, to: usize, places: &Positions| -> Vec<(String, Positions)> {
        (from..to).map(|name| (format!("/{name:03}"), places.clone())).collect()
    };
    let mut told = many(0, 60, &positions([0, 1]));
    told.push((String::new(), positions([3])));
    bench.announce(A, &first, Begin { unknown_fields: told, ..begin(1, 0..4, 0) }).await;
    let told = many(30, MAX_UNKNOWN_FIELDS + 2, &positions([1]));
    bench.announce(B, &second, Begin { unknown_fields: told.clone(), ..begin(1, 0..2, 0) }).await;
    bench.announce(B, &second, Begin { unknown_fields: told, ..begin(1, 0..2, 0) }).await;
    let found = found(bench, &run).await;
    assert_eq!(found.len(), MAX_UNKNOWN_FIELDS + 1);
    assert_eq!(
        (&found[0], &found[30], &found[99]),
        (&field("/000", 2, "1"), &field("/030", 3, "1"), &field("/099", 1, "6"))
    );
    assert_eq!(found[100], field("", 2, "4"), "a record with two fields beyond it counts once");
}

async fn each_round_says_its_own(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, having(begin(1, 0..3, 0), &[("/wings", &[0, 1])])).await;
    let half = Begin { settled: vec![evidence(1, DeliveryState::Rejected)], ..begin(2, 1..3, 0) };
    bench.announce(A, &lease, half).await;
    let ends = [(1, DeliveryState::Rejected), (2, DeliveryState::Applied)];
    bench.complete(A, &lease, report(&ends, &[refused(0), dead(3)])).await;
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    let outcomes = Outcomes { dead_letter: true, ..Outcomes::default() };
    let redrive = Redrive { outcomes, words: "an operator asked for it".to_owned(), ..Redrive::default() };
    bench.store().redrive(&run.id, redrive).await.unwrap();
    let lease: GrantedLease = bench.lease(A).await;
    bench.announce(A, &lease, having(begin(1, 0..2, 0), &[("/wings", &[0]), ("/horns", &[1])])).await;
    assert_eq!(found(bench, &run).await, [field("/horns", 1, "4"), field("/wings", 1, "1")]);
    let (_, first) = audit(bench.store().as_ref(), &run.id, Some(1)).await.unwrap().unwrap();
    assert_eq!(first.unknown_fields, [field("/wings", 2, "1")]);
}

async fn they_are_deleted_with_their_run(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, having(begin(1, 0..4, 0), &[("/horns", &[1]), ("/wings", &[1, 2])])).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[])).await;
    bench.conclude(&run).await;
    let other = bench.start(new_run("two")).await;
    let listing = bench.take_listing("lister").await;
    bench.store().commit_page(&listing, page(1, &["1", "2", "3", "4"], None)).await.unwrap();
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, having(begin(1, 0..4, 0), &[("/wings", &[3])])).await;
    bench.store().delete_run(&run.id).await.unwrap();
    let mut rows = 0;
    loop {
        let Swept { rows: some, more } = bench.store().sweep().await.unwrap();
        rows += some;
        if !more {
            break;
        }
    }
    // 4 records, a page, a batch, a lease, a delivery, the run itself, and 2 unknown fields.
    assert_eq!(rows, 11);
    let other = bench.store().unknown_fields(&other, 1).await.unwrap();
    assert_eq!(other, [field("/wings", 1, "4")], "those of others stay");
}
