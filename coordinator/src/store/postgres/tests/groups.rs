//! Transitions that share a transaction.

use std::collections::HashSet;

use futures::future::join_all;

use super::{backend, server};
use crate::domain::{Counts, DeliveryState, Run, ShareChange};
use crate::store::conformance::Bench;
use crate::store::conformance::bench::{A, B, begin, dead, page, report, run_with, worker};
use crate::store::{
    Acquire, Begun, Completion, GrantedLease, Misuse, Renewal, Store, StoreError, StoreResult, WorkerResult,
};

/// A run of so many batches of two records, all of them leased by one session.
async fn leased(bench: &Bench, batches: u32) -> (Run, Vec<GrantedLease>) {
    let run = bench.start(run_with("one", |terms| terms.max_batch = 2)).await;
    let listing = bench.take_listing("lister").await;
    let ids: Vec<String> = (0..batches * 2).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    bench.store().commit_page(&listing, page(1, &ids, Some(1))).await.unwrap();
    bench.store().close_listing(&listing).await.unwrap();
    let leases = bench.acquire(A, &[], batches).await.leases;
    assert_eq!(leases.len(), batches as usize);
    (run, leases)
}

/// All at once, each with an answer of its own, and numbered without a gap.
#[tokio::test(flavor = "multi_thread")]
async fn each_has_its_own_answer() {
    const BATCHES: u32 = 50;
    let bench = Bench::new(&backend()).await;
    let (run, leases) = leased(&bench, BATCHES).await;
    let store = bench.store();
    let begun = join_all(leases.iter().map(|lease| store.begin(A, lease.token, begin(1, 0..2, 0)))).await;
    let mut numbers: Vec<i64> = begun
        .into_iter()
        .map(|begun| match begun.unwrap() {
            Ok(Begun::Announced { number, .. }) => number,
            other => panic!("{other:?}"),
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=i64::from(BATCHES)).collect::<Vec<_>>());
    // Every second one loses a record, which is written at once in the midst of the group.
    let said = |number: usize| match number % 2 {
        0 => report(&[(1, DeliveryState::Applied)], &[]),
        _ => report(&[(1, DeliveryState::NotApplied)], &[dead(0), dead(1)]),
    };
    let reports = leases.iter().enumerate();
    let done = join_all(reports.map(|(number, lease)| store.complete(A, lease.token, said(number)))).await;
    assert!(done.into_iter().all(|done| done.unwrap() == Ok(Completion::Done)));
    let run = bench.run(&run.id).await;
    assert_eq!(run.acknowledged, i64::from(BATCHES / 2));
    let verdict = bench.verdict(&run).await;
    assert!(verdict.is_balanced(), "{:?}", verdict.discrepancies);
    assert_eq!((verdict.counts.loaded, verdict.counts.dead_letter), (u64::from(BATCHES), u64::from(BATCHES)));
}

/// From here on the server ends whoever changes deliveries so, while it commits that.
fn end_at_commit(url: &str, change: &str) {
    let trigger = format!(
        "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER at_commit AFTER {change} ON deliveries DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION at_commit();"
    );
    server().run_in(url, &trigger);
}

fn let_commit(url: &str) {
    server().run_in(url, "DROP TRIGGER at_commit ON deliveries; DROP FUNCTION at_commit();");
}

async fn begin_all(store: &dyn Store, leases: &[GrantedLease]) -> Vec<WorkerResult<Begun>> {
    join_all(leases.iter().map(|lease| store.begin(A, lease.token, begin(1, 0..2, 0)))).await
}

async fn complete_all(store: &dyn Store, leases: &[GrantedLease]) -> Vec<WorkerResult<Completion>> {
    let applied = || report(&[(1, DeliveryState::Applied)], &[]);
    join_all(leases.iter().map(|lease| store.complete(A, lease.token, applied()))).await
}

fn is_unknown<T>(answer: &StoreResult<T>) -> bool {
    matches!(answer, Err(StoreError::Unavailable(words)) if words.contains("not known whether it was committed"))
}

/// None of those whom a COMMIT carried that was not answered is told that it went well; repeated, each goes through
/// once.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_answered_is_acknowledged_to_none_of_those_it_carried() {
    const BATCHES: u32 = 20;
    const RECORDS: u64 = 40;
    let harness = backend().next().await;
    let url = harness.url.clone();
    let bench = Bench::on(Box::new(harness));
    let (run, leases) = leased(&bench, BATCHES).await;
    let store = bench.store();

    end_at_commit(&url, "INSERT");
    let begun = begin_all(store.as_ref(), &leases).await;
    assert!(begun.iter().all(is_unknown), "{begun:?}");
    let untouched = Counts { listed: RECORDS, leased: RECORDS, ..Counts::default() };
    assert_eq!(bench.counts(&run).await, untouched);
    let_commit(&url);
    let begun = begin_all(store.as_ref(), &leases).await;
    let number = |begun: WorkerResult<Begun>| match begun.unwrap() {
        Ok(Begun::Announced { number, .. }) => number,
        other => panic!("{other:?}"),
    };
    let mut numbers: Vec<i64> = begun.into_iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=i64::from(BATCHES)).collect::<Vec<_>>());

    end_at_commit(&url, "UPDATE");
    let done = complete_all(store.as_ref(), &leases).await;
    assert!(done.iter().all(is_unknown), "{done:?}");
    assert_eq!(bench.counts(&run).await, Counts { listed: RECORDS, delivering: RECORDS, ..Counts::default() });
    let_commit(&url);
    let done = complete_all(store.as_ref(), &leases).await;
    assert!(done.into_iter().all(|done| done.unwrap() == Ok(Completion::Done)));
    assert_eq!(bench.run(&run.id).await.acknowledged, i64::from(BATCHES));
    let verdict = bench.verdict(&run).await;
    assert!(verdict.is_complete(), "{:?}", verdict.discrepancies);
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (RECORDS, 0));
}

/// Who does what nobody may takes nobody else along.
#[tokio::test(flavor = "multi_thread")]
async fn a_misuse_is_the_affair_of_one() {
    let bench = Bench::new(&backend()).await;
    let (run, leases) = leased(&bench, 20).await;
    let store = bench.store();
    let session = |number: usize| if number % 7 == 3 { B } else { A };
    let calls = leases.iter().enumerate();
    let begun =
        join_all(calls.map(|(number, lease)| store.begin(session(number), lease.token, begin(1, 0..2, 0)))).await;
    for (number, begun) in begun.into_iter().enumerate() {
        match (session(number), begun.unwrap()) {
            (B, Err(Misuse::OtherSession)) | (A, Ok(Begun::Announced { .. })) => {}
            (_, other) => panic!("{number}: {other:?}"),
        }
    }
    // A report that knows more of one delivery with each line, and the same one twice at the same time.
    let applied = report(&[(1, DeliveryState::InDoubt), (1, DeliveryState::Applied)], &[]);
    let twice = leases[..3].iter().flat_map(|lease| [lease, lease]);
    let done = join_all(twice.map(|lease| store.complete(A, lease.token, applied.clone()))).await;
    assert!(done.into_iter().all(|done| done.unwrap() == Ok(Completion::Done)));
    assert_eq!(bench.run(&run.id).await.acknowledged, 3);
    assert_eq!(bench.counts(&run).await.loaded, 6);
}

/// Who asks for batches at the same time gets different ones, and of a run that is for few workers only these get any.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_acquire_at_the_same_time_share_what_is_ready() {
    const BATCHES: usize = 30;
    for max_workers in [0, 2] {
        let bench = Bench::new(&backend()).await;
        let (run, leases) = leased(&bench, u32::try_from(BATCHES).unwrap()).await;
        let tokens: Vec<_> = leases.iter().map(|lease| lease.token).collect();
        assert!(bench.store().release(A, &tokens, true).await.unwrap().unwrap().iter().all(|released| *released));
        let change = ShareChange { max_workers: Some(max_workers), ..ShareChange::default() };
        bench.store().set_share(&run.id, change).await.unwrap();
        let store = bench.store();
        let sessions: Vec<String> = (0..10).map(|number| format!("session-of-worker-{number}")).collect();
        let acquired = join_all(sessions.iter().map(|session| {
            let acquire = Acquire { session: worker(session), capacity: 4, protocol: 3, ..Acquire::default() };
            store.acquire(acquire)
        }))
        .await;
        let leases: Vec<Vec<GrantedLease>> = acquired.into_iter().map(|acquired| acquired.unwrap().leases).collect();
        let with_some = leases.iter().filter(|leases| !leases.is_empty()).count();
        assert!(max_workers == 0 || with_some == 2, "{with_some} workers");
        let granted: Vec<_> = leases.iter().flatten().map(|lease| lease.token.lease().batch).collect();
        assert_eq!(granted.len(), if max_workers == 0 { BATCHES } else { 8 });
        assert_eq!(granted.iter().collect::<HashSet<_>>().len(), granted.len(), "a batch was granted twice");
        for (session, leases) in sessions.iter().zip(&leases) {
            let tokens: Vec<_> = leases.iter().map(|lease| lease.token).collect();
            let renewed = store.renew(session, &tokens).await.unwrap().unwrap();
            assert!(renewed.iter().all(|renewal| matches!(renewal, Renewal::Held(_))), "{renewed:?}");
        }
    }
}
