//! Rounds: what older ones gave up on goes through once more, and they stay as they were.

use super::Backend;
use super::bench::{A, Bench, begin, dead, gone, holding_run, new_run, report, run_with};
use crate::audit::{audit, overall};
use crate::domain::{Counts, DeliveryState, RecordState, Run, RunState, Terms, Verdict};
use crate::store::{Completion, DeadLetterFilter, ExportFrom, Fenced, LedgerRow, Outcomes, Redrive, Redriven};

/// Redriving runs.
pub async fn rounds(backend: &dyn Backend) {
    dead_letters_are_given_another_try(&Bench::new(backend).await).await;
    older_rounds_stay_as_they_were(&Bench::new(backend).await).await;
    only_what_is_asked_for_is_redriven(&Bench::new(backend).await).await;
    a_record_is_redriven_once_a_round(&Bench::new(backend).await).await;
    a_mended_pipeline_takes_over(&Bench::new(backend).await).await;
    what_a_cancel_left_can_be_sent(&Bench::new(backend).await).await;
    what_an_older_round_left_is_no_demand(&Bench::new(backend).await).await;
    a_cancelled_listing_is_not_taken_up_again(&Bench::new(backend).await).await;
    a_lease_of_an_older_round_is_over(&Bench::new(backend).await).await;
    a_redrive_is_repeatable(&Bench::new(backend).await).await;
    a_dry_run_changes_nothing(&Bench::new(backend).await).await;
    only_runs_that_are_over_are_redriven(&Bench::new(backend).await).await;
    late_words_change_an_older_round_only_by_acknowledgements(&Bench::new(backend).await).await;
    what_was_learnt_since_makes_a_verdict_stale(&Bench::new(backend).await).await;
    dead_letters_are_listed_by_page_and_reason(&Bench::new(backend).await).await;
    dead_letters_are_grouped_by_what_became_of_them(&Bench::new(backend).await).await;
    an_export_has_every_record_of_every_round(&Bench::new(backend).await).await;
}

/// Six records in two batches: "1" dead, "2" gone, the others loaded; over.
async fn over(bench: &Bench) -> Run {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6"]]).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, [2, 3], 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[dead(0), gone(1)])).await;
    let rest = bench.lease(A).await;
    bench.deliver(A, &rest, DeliveryState::Applied).await;
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    bench.run(&run.id).await
}

const DEAD: Outcomes = Outcomes { dead_letter: true, gone: false, cancelled: false };
const CANCELLED: Outcomes = Outcomes { dead_letter: false, gone: false, cancelled: true };

fn redrive(outcomes: Outcomes) -> Redrive {
    Redrive { outcomes, words: "an operator asked for it".to_owned(), ..Redrive::default() }
}

async fn redriven(bench: &Bench, run: &Run, redrive: Redrive) -> (Run, u64) {
    match bench.store().redrive(&run.id, redrive).await.unwrap() {
        Some(Redriven::Opened(run, records)) => (*run, records),
        other => panic!("{other:?}"),
    }
}

async fn of_round(bench: &Bench, run: &Run, round: u32) -> Verdict {
    let (_, verdict) = audit(bench.store().as_ref(), &run.id, Some(round)).await.unwrap().unwrap();
    assert!(verdict.is_balanced(), "{:#?}", verdict.discrepancies);
    verdict
}

async fn all_rounds(bench: &Bench, run: &Run) -> Counts {
    let run = bench.run(&run.id).await;
    let counts = overall(bench.store().as_ref(), &run, &bench.verdict(&run).await).await.unwrap();
    let of_round_1 = of_round(bench, &run, 1).await.counts.listed;
    assert_eq!(counts.listed, of_round_1, "each listed record once");
    counts
}

async fn dead_letters_are_given_another_try(bench: &Bench) {
    let run = over(bench).await;
    let (again, records) = redriven(bench, &run, redrive(DEAD)).await;
    assert_eq!((again.state, again.round, again.finished_at, records), (RunState::Running, 2, None, 1));
    assert!(bench.store().concludable().await.unwrap().is_empty());
    let lease = bench.lease(A).await;
    assert_eq!((lease.token.lease().batch.round, &lease.parts[0].1), (2, &vec!["1".to_owned()]));
    assert_eq!(bench.counts(&run).await.leased, 1);
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    let over = bench.run(&run.id).await;
    assert_eq!((over.state, over.round), (RunState::Finished, 2));
    let verdict = over.verdict.unwrap();
    assert_eq!((verdict.round, verdict.counts.listed, verdict.counts.loaded), (2, 1, 1));
    let all = all_rounds(bench, &run).await;
    assert_eq!((all.listed, all.loaded, all.gone, all.dead_letter), (6, 5, 1, 0));
    let stories = bench.store().stories(&bench.run(&run.id).await, "1").await.unwrap();
    let told: Vec<_> = stories.iter().map(|story| (story.round, story.state, story.page)).collect();
    assert_eq!(told, [(1, RecordState::DeadLetter, 1), (2, RecordState::Loaded, 1)]);
}

async fn older_rounds_stay_as_they_were(bench: &Bench) {
    let run = over(bench).await;
    let before = of_round(bench, &run, 1).await;
    redriven(bench, &run, redrive(DEAD)).await;
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[dead(0)])).await;
    bench.conclude(&run).await;
    let after = of_round(bench, &run, 1).await;
    assert_eq!((before.counts, before.discrepancies), (after.counts, after.discrepancies));
    let rounds = bench.store().rounds(&bench.run(&run.id).await).await.unwrap();
    assert_eq!(rounds[0].verdict, run.verdict, "as it was written then");
    assert_eq!((rounds[1].taken_over.dead_letter, rounds[1].opened_by.as_str()), (1, "an operator asked for it"));
    assert_eq!(all_rounds(bench, &run).await.dead_letter, 1);
    assert!(audit(bench.store().as_ref(), &run.id, Some(3)).await.unwrap().is_none());
}

async fn only_what_is_asked_for_is_redriven(bench: &Bench) {
    let run = over(bench).await;
    let nothing = [
        Redrive { stage: "load".to_owned(), ..redrive(DEAD) },
        Redrive { reason: "it has no age".to_owned(), ..redrive(DEAD) },
        Redrive { record_ids: vec!["3".to_owned()], ..redrive(DEAD) },
        redrive(CANCELLED),
    ];
    for wanted in nothing {
        let answer = bench.store().redrive(&run.id, wanted.clone()).await.unwrap();
        assert!(matches!(answer, Some(Redriven::Nothing)), "{wanted:?}: {answer:?}");
    }
    assert_eq!(bench.run(&run.id).await.state, RunState::Finished);
    let narrow = Redrive { stage: "validate".to_owned(), reason: "no name".to_owned(), ..redrive(DEAD) };
    let narrow = Redrive { record_ids: vec!["1".to_owned(), "2".to_owned()], ..narrow };
    assert_eq!(redriven(bench, &run, narrow).await.1, 1);
}

async fn a_record_is_redriven_once_a_round(bench: &Bench) {
    let run = over(bench).await;
    redriven(bench, &run, redrive(Outcomes { gone: true, ..DEAD })).await;
    let lease = bench.lease(A).await;
    assert_eq!(lease.parts[0].1, ["1", "2"]);
    bench.announce(A, &lease, begin(1, [1], 0)).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::Applied)], &[dead(0)])).await;
    bench.conclude(&run).await;
    let all = all_rounds(bench, &run).await;
    assert_eq!((all.dead_letter, all.gone, all.loaded), (1, 0, 5));
    // The first round still has both as they were; the second decides.
    let (again, records) = redriven(bench, &run, redrive(Outcomes { gone: true, ..DEAD })).await;
    assert_eq!((again.round, records), (3, 1));
}

async fn a_mended_pipeline_takes_over(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[dead(0), dead(1), dead(2)])).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    bench.conclude(&run).await;
    let mended = run_with("two", |terms| {
        (terms.revision, terms.canonical, terms.max_batch) = ("2".repeat(64), "{\"mended\":1}".to_owned(), 2);
    });
    let terms: Terms = mended.terms;
    let (again, _) = redriven(bench, &run, Redrive { terms: Some(terms.clone()), ..redrive(DEAD) }).await;
    assert_eq!(again.revision, terms.revision);
    let acquired = bench.acquire(A, &[], 10).await;
    let sizes: Vec<usize> = acquired.leases.iter().map(|lease| lease.parts[0].1.len()).collect();
    assert_eq!((sizes, acquired.runs[0].revision.as_str()), (vec![2, 1], terms.revision.as_str()));
    let rounds = bench.store().rounds(&again).await.unwrap();
    assert_eq!([&rounds[0].revision, &rounds[1].revision], [&run.revision, &terms.revision]);
    assert_eq!(bench.store().pipeline(&terms.revision).await.unwrap().unwrap().canonical, terms.canonical);
    assert!(bench.store().pipeline(&run.revision).await.unwrap().is_some(), "the older round had that one");
}

async fn what_a_cancel_left_can_be_sent(bench: &Bench) {
    // Nine records: two whole batches, and one record that waits for a full one.
    let run = bench.start(new_run("one")).await;
    let listing = bench.take_listing("lister").await;
    let ids: Vec<String> = (1..=9).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    bench.store().commit_page(&listing, super::bench::page(1, &ids, Some(5))).await.unwrap();
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    bench.store().cancel_run(&run.id).await.unwrap();
    bench.conclude(&run).await;
    let before = of_round(bench, &run, 1).await;
    assert_eq!((before.counts.loaded, before.counts.cancelled, before.is_complete()), (4, 5, false));
    assert_eq!(redriven(bench, &run, redrive(CANCELLED)).await.1, 5);
    for _ in 0..2 {
        let lease = bench.lease(A).await;
        bench.deliver(A, &lease, DeliveryState::Applied).await;
    }
    assert_eq!(bench.conclude(&run).await, Fenced::Committed(()));
    assert_eq!(bench.run(&run.id).await.state, RunState::Finished);
    assert_eq!(all_rounds(bench, &run).await.loaded, 9);
    assert_eq!(of_round(bench, &run, 1).await.counts, before.counts);
    assert!(!bench.verdict(&run).await.is_complete(), "the source was not listed to its end, and never will be");
}

async fn what_an_older_round_left_is_no_demand(bench: &Bench) {
    let demand = async || bench.store().demand(None).await.unwrap().batches(1.0);
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5", "6", "7", "8", "9"]]).await;
    assert_eq!(demand().await, 3.0);
    bench.store().cancel_run(&run.id).await.unwrap();
    bench.conclude(&run).await;
    let only = Redrive { record_ids: vec!["1".to_owned()], ..redrive(CANCELLED) };
    assert_eq!(redriven(bench, &run, only).await.1, 1);
    assert_eq!(demand().await, 1.0, "those of the first round nobody can lease");
    bench.lease(A).await;
    assert!(bench.nothing_to_lease().await);
    assert_eq!(demand().await, 1.0);
}

async fn a_cancelled_listing_is_not_taken_up_again(bench: &Bench) {
    let run = bench.start(new_run("one")).await;
    let listing = bench.take_listing("lister").await;
    bench.store().commit_page(&listing, super::bench::page(1, &["1", "2"], Some(5))).await.unwrap();
    bench.store().cancel_run(&run.id).await.unwrap();
    bench.conclude(&run).await;
    redriven(bench, &run, redrive(CANCELLED)).await;
    assert!(bench.store().take_listing("another", super::bench::LISTING_TTL).await.unwrap().is_none());
    let late = super::bench::page(2, &["3"], Some(5));
    assert_eq!(bench.store().commit_page(&listing, late).await.unwrap(), Fenced::Stale);
    assert_eq!(bench.store().close_listing(&listing).await.unwrap(), Fenced::Stale);
}

async fn a_lease_of_an_older_round_is_over(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let held = bench.lease(A).await;
    bench.store().cancel_run(&run.id).await.unwrap();
    bench.conclude(&run).await;
    let before = of_round(bench, &run, 1).await.counts;
    redriven(bench, &run, redrive(CANCELLED)).await;
    // Its worker has heard nothing of all that.
    let late = bench.begin(A, &held, begin(1, 0..4, 0)).await;
    assert_eq!(late, Ok(crate::store::Begun::Refused(crate::store::Refusal::LeaseLost)));
    let renewed = bench.store().renew(A, &[held.token]).await.unwrap().unwrap();
    assert_eq!(renewed, [crate::store::Renewal::Lost]);
    assert_eq!(bench.complete(A, &held, report(&[], &[dead(0)])).await, Completion::Late);
    assert_eq!(of_round(bench, &run, 1).await.counts, before);
    let lease = bench.lease(super::bench::B).await;
    bench.deliver(super::bench::B, &lease, DeliveryState::Applied).await;
    assert_eq!(all_rounds(bench, &run).await.loaded, 4);
}

async fn a_redrive_is_repeatable(bench: &Bench) {
    let run = over(bench).await;
    let request = Redrive { request_id: Some("r".to_owned()), request_digest: [1; 32], ..redrive(DEAD) };
    assert_eq!(redriven(bench, &run, request.clone()).await.0.round, 2);
    let (same, records) = redriven(bench, &run, request.clone()).await;
    assert_eq!((same.round, records), (2, 1));
    let other = Redrive { request_digest: [2; 32], ..request };
    assert!(matches!(bench.store().redrive(&run.id, other).await.unwrap(), Some(Redriven::Conflict)));
}

async fn a_dry_run_changes_nothing(bench: &Bench) {
    let run = over(bench).await;
    let (same, records) = redriven(bench, &run, Redrive { dry_run: true, ..redrive(DEAD) }).await;
    assert_eq!((same.round, same.state, records), (1, RunState::Finished, 1));
    assert_eq!(bench.store().rounds(&run).await.unwrap().len(), 1);
}

async fn only_runs_that_are_over_are_redriven(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[dead(0)])).await;
    let answer = bench.store().redrive(&run.id, redrive(DEAD)).await.unwrap();
    assert!(matches!(answer, Some(Redriven::NotOver)), "{answer:?}");
    let nowhere = crate::domain::RunId::from_text("nowhere");
    assert!(bench.store().redrive(&nowhere, redrive(DEAD)).await.unwrap().is_none());
}

/// A holding run with a dead letter and a doubt of three, over, and redriven; the lease of the doubt.
async fn doubtful_and_redriven(bench: &Bench) -> (Run, crate::store::GrantedLease) {
    let run = bench.one_batch(holding_run("one"), 4).await;
    bench.warm_up().await;
    let stale = bench.lease(A).await;
    bench.announce(A, &stale, begin(1, [1, 2, 3], 0)).await;
    bench.pass(super::bench::POST_TIMEOUT + std::time::Duration::from_secs(6)).await;
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[dead(0)])).await;
    bench.conclude(&run).await;
    redriven(bench, &run, redrive(DEAD)).await;
    (run, stale)
}

async fn late_words_change_an_older_round_only_by_acknowledgements(bench: &Bench) {
    let (run, stale) = doubtful_and_redriven(bench).await;
    let report = report(&[(1, DeliveryState::NotApplied)], &[]);
    assert_eq!(bench.complete(A, &stale, report).await, Completion::Late);
    assert_eq!(of_round(bench, &run, 1).await.counts.in_doubt, 3, "nobody would send them");
    assert_eq!(bench.acquire(A, &[], 10).await.leases.len(), 1, "the dead letter alone");
}

async fn what_was_learnt_since_makes_a_verdict_stale(bench: &Bench) {
    let (run, stale) = doubtful_and_redriven(bench).await;
    assert!(bench.store().stale_rounds().await.unwrap().is_empty());
    bench.complete(A, &stale, report(&[(1, DeliveryState::Applied)], &[])).await;
    let found = bench.store().stale_rounds().await.unwrap();
    assert_eq!(found.iter().map(|stale| stale.round).collect::<Vec<_>>(), [1]);
    let (read, verdict) = audit(bench.store().as_ref(), &run.id, Some(1)).await.unwrap().unwrap();
    // What the current round does meanwhile is another matter.
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    let older = crate::store::StaleRound { learnt: 0, ..found[0].clone() };
    assert_eq!(bench.store().restate(&older, &verdict).await.unwrap(), Fenced::Stale, "more was learnt");
    assert_eq!(bench.store().restate(&found[0], &verdict).await.unwrap(), Fenced::Committed(()));
    assert!(bench.store().stale_rounds().await.unwrap().is_empty());
    let rounds = bench.store().rounds(&read).await.unwrap();
    assert_eq!(rounds[0].verdict.as_ref().map(|verdict| verdict.counts.loaded), Some(3));
}

async fn dead_letters_are_listed_by_page_and_reason(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    let refused = super::bench::refused(2);
    bench.complete(A, &lease, report(&[], &[dead(0), gone(1), refused, dead(3)])).await;
    let list = async |filter: &DeadLetterFilter, after, limit| {
        bench.store().dead_letters(&run, filter, after, limit).await.unwrap()
    };
    let any = DeadLetterFilter::default();
    let first = list(&any, None, 2).await;
    assert_eq!(first.iter().map(|letter| letter.record_id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
    let rest = list(&any, Some(first[1].place), 2).await;
    assert_eq!(rest.iter().map(|letter| letter.record_id.as_str()).collect::<Vec<_>>(), ["4"]);
    let load = DeadLetterFilter { stage: "load".to_owned(), ..any.clone() };
    let found = list(&load, None, 10).await;
    assert_eq!((found.len(), found[0].http_status, found[0].body.as_str()), (1, 422, "no such colour"));
    assert!(list(&DeadLetterFilter { reason: "no age".to_owned(), ..any.clone() }, None, 10).await.is_empty());
    let groups = bench.store().dead_letter_groups(&run, &any, 10).await.unwrap();
    let counts: Vec<_> = groups.iter().map(|group| (group.stage.as_str(), group.count)).collect();
    assert_eq!(counts, [("validate", 2), ("load", 1)]);
    bench.conclude(&run).await;
    redriven(bench, &run, Redrive { stage: "load".to_owned(), ..redrive(DEAD) }).await;
    assert_eq!(list(&any, None, 10).await.len(), 2);
    let all = list(&DeadLetterFilter { include_redriven: true, ..any }, None, 10).await;
    assert_eq!(all.iter().filter_map(|letter| letter.redriven).collect::<Vec<_>>(), [2]);
}

async fn dead_letters_are_grouped_by_what_became_of_them(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4"], &["5", "6", "7", "8"]]).await;
    let groups = async |include_redriven, limit| {
        let filter = DeadLetterFilter { include_redriven, ..DeadLetterFilter::default() };
        let groups = bench.store().dead_letter_groups(&run, &filter, limit).await.unwrap();
        let told = groups.into_iter().map(|group| (group.stage, group.count, group.sample));
        told.collect::<Vec<_>>()
    };
    let told = |stage: &str, count, sample: &str| (stage.to_owned(), count, sample.to_owned());
    // One of the first batch is said to be a dead letter and was applied all the same; one of the second is none of both.
    let first = bench.lease(A).await;
    bench.announce(A, &first, begin(1, [0], 0)).await;
    let refused = super::bench::refused(3);
    bench.complete(A, &first, report(&[(1, DeliveryState::Applied)], &[dead(0), dead(1), refused])).await;
    assert_eq!(groups(false, 10).await, [told("validate", 1, "2"), told("load", 1, "4")]);
    let rest = bench.lease(A).await;
    bench.deliver(A, &rest, DeliveryState::Applied).await;
    let second = bench.lease(A).await;
    bench.complete(A, &second, report(&[], &[dead(0), gone(1), dead(2)])).await;
    assert_eq!(groups(false, 10).await, [told("validate", 3, "5"), told("load", 1, "4")]);
    assert_eq!(groups(false, 1).await, [told("validate", 3, "5")]);
    let rest = bench.lease(A).await;
    bench.deliver(A, &rest, DeliveryState::Applied).await;
    bench.conclude(&run).await;
    redriven(bench, &run, Redrive { stage: "validate".to_owned(), ..redrive(DEAD) }).await;
    assert_eq!(groups(false, 10).await, [told("load", 1, "4")], "of what is tried again nothing is known yet");
    assert_eq!(groups(true, 10).await, [told("validate", 3, "5"), told("load", 1, "4")]);
    let again = bench.lease(A).await;
    bench.complete(A, &again, report(&[], &[dead(0), dead(1)])).await;
    let found = groups(false, 10).await;
    assert_eq!(
        found.iter().map(|(stage, count, _)| (stage.as_str(), *count)).collect::<Vec<_>>(),
        [("validate", 2), ("load", 1)]
    );
    assert_eq!(groups(true, 10).await[0].1, 5);
}

async fn an_export_has_every_record_of_every_round(bench: &Bench) {
    let run = over(bench).await;
    redriven(bench, &run, redrive(DEAD)).await;
    let run = bench.run(&run.id).await;
    let (mut rows, mut from): (Vec<LedgerRow>, _) = (Vec::new(), Some(ExportFrom::default()));
    while let Some(at) = from {
        let (more, next) = bench.store().export(&run, at).await.unwrap();
        rows.extend(more);
        from = next;
    }
    let told: Vec<_> = rows.iter().map(|row| (row.record_id.as_str(), row.round, row.state)).collect();
    let loaded = |id| (id, 1, RecordState::Loaded);
    let mut expected = vec![("1", 1, RecordState::DeadLetter), ("2", 1, RecordState::Gone)];
    expected.extend(["3", "4", "5", "6"].map(loaded));
    expected.push(("1", 2, RecordState::Pending));
    assert_eq!(told, expected);
    assert_eq!(rows[0].exception.as_ref().map(|(stage, ..)| stage.as_str()), Some("validate"));
    assert_eq!((rows[2].delivery, rows[2].deliveries, rows[4].place), (1, 1, Some((1, 0))));
}
