//! Several coordinators on one ledger.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::opening::database;
use super::{backend, server};
use crate::domain::{DeliveryState, RunState};
use crate::planted::Planted;
use crate::store::conformance::Bench;
use crate::store::conformance::bench::{A, B, LISTING_TTL, begin, dead, new_run, report, run_with, worker};
use crate::store::postgres::{Options, PostgresBackend, PostgresStore};
use crate::store::{
    Acquire, Begun, Completion, Event, GrantedLease, LEASE_TTL, Queries, Renewal, Report, Session, Started, Store,
    Transitions,
};

/// A bench on one coordinator, and another coordinator beside it.
async fn two() -> (Bench, Arc<PostgresStore>) {
    let mut harness = backend().next().await;
    let other = harness.another().await;
    (Bench::on(Box::new(harness)), other)
}

/// A test that waits longer has missed what it waits for.
async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{what} never came"))
}

#[tokio::test]
async fn what_one_commits_the_other_hears() {
    let (bench, other) = two().await;
    let mut work = other.events().work();
    let mut pushed = other.events().pushed();
    // It says so when it has begun to listen.
    soon("the listener", work.changed()).await.unwrap();
    work.mark_unchanged();
    let run = bench.one_batch(new_run("one"), 4).await;
    soon("work", work.changed()).await.unwrap();
    assert_eq!(other.run(&run.id).await.unwrap().unwrap().state, RunState::Running);

    bench.warm_up().await;
    let lease = bench.lease(A).await;
    bench.pass(LEASE_TTL).await;
    let expired = Event::LeaseExpired { session: A.to_owned(), token: lease.token };
    assert_eq!(soon("the loss of a lease", pushed.recv()).await.unwrap(), expired);
    bench.store().pause_run(&run.id, "why").await.unwrap();
    let stopped = Event::RunStopped { run_id: run.id.clone(), reason: "why".to_owned() };
    assert_eq!(soon("the pause", pushed.recv()).await.unwrap(), stopped);
}

#[tokio::test]
async fn any_of_them_takes_any_call() {
    let (bench, other) = two().await;
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5"]]).await;
    let lease = bench.lease(A).await;
    let begun = other.begin(A, lease.token, begin(1, 0..4, 0)).await.unwrap();
    assert!(matches!(begun, Ok(Begun::Announced { number: 1, .. })), "{begun:?}");
    let again = bench.begin(A, &lease, begin(1, 0..4, 0)).await;
    assert!(matches!(again, Ok(Begun::Announced { number: 1, .. })), "{again:?}");
    assert_eq!(other.renew(A, &[lease.token]).await.unwrap().unwrap(), [Renewal::Held(LEASE_TTL)]);
    let done = report(&[(1, DeliveryState::Applied)], &[]);
    assert_eq!(other.complete(A, lease.token, done.clone()).await.unwrap(), Ok(Completion::Done));
    assert_eq!(bench.complete(A, &lease, done).await, Completion::Done);
    assert_eq!(bench.counts(&run).await.loaded, 4);
}

/// A report by which the run is judged holds it alone, and wakes nobody at its end.
#[tokio::test]
async fn what_was_passed_over_is_looked_for_again_soon() {
    let harness = backend().next().await;
    let url = harness.url.clone();
    let bench = Bench::on(Box::new(harness));
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4", "5"]]).await;
    bench.warm_up().await;
    bench.lease(A).await;
    let mut holder = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut holder).await.unwrap();
    let hold = sqlx::query("SELECT 1 FROM runs WHERE run = $1 FOR NO KEY UPDATE").bind(run.key);
    hold.execute(&mut holder).await.unwrap();
    let passed = bench.acquire(B, &[], 1).await;
    assert!(passed.leases.is_empty() && passed.next_in == Some(Duration::from_millis(100)), "{passed:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    bench.lease(B).await;
    let none = bench.acquire("session-of-a-third", &[], 1).await;
    assert!(none.leases.is_empty() && none.next_in == Some(LEASE_TTL), "nothing is ready: {none:?}");
}

#[tokio::test]
async fn one_of_them_lists() {
    let (bench, other) = two().await;
    bench.start(new_run("one")).await;
    let (one, two) = tokio::join!(
        async { bench.store().take_listing("one", LISTING_TTL).await.unwrap() },
        other.take_listing("two", LISTING_TTL)
    );
    assert_eq!(usize::from(one.is_some()) + usize::from(two.unwrap().is_some()), 1);
    bench.pass(LISTING_TTL).await;
    assert!(other.take_listing("two", LISTING_TTL).await.unwrap().is_some(), "the other goes on");
}

#[tokio::test]
async fn the_same_request_at_the_same_time_is_one_run() {
    let (bench, other) = two().await;
    let new = || crate::domain::NewRun { request_id: Some("request".to_owned()), ..new_run("one") };
    let named = |id: &str| crate::domain::NewRun { id: crate::domain::RunId::from_text(id), ..new() };
    let store = bench.store();
    let (one, two) = tokio::join!(store.start_run(named("one")), other.start_run(named("two")));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(
        matches!((&one, &two), (Started::New(_), Started::Same(_)) | (Started::Same(_), Started::New(_))),
        "{one:?}, {two:?}"
    );
    assert_eq!(bench.store().runs(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_report_at_the_same_time_counts_once() {
    let (bench, other) = two().await;
    let run = bench.one_batch(new_run("one"), 4).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    let half = || report(&[(1, DeliveryState::Applied)], &[dead(2)]);
    let store = bench.store();
    let copies = (0..8).map(|copy| match copy % 2 {
        0 => store.complete(A, lease.token, half()),
        _ => other.complete(A, lease.token, half()),
    });
    for answer in join_all(copies).await {
        assert_eq!(answer.unwrap(), Ok(Completion::Requeued));
    }
    assert_eq!(bench.run(&run.id).await.acknowledged, 1);
    let counts = bench.counts(&run).await;
    assert_eq!((counts.loaded, counts.dead_letter, counts.pending), (2, 1, 1));
}

/// Leases batches until nothing is left of the run, as `session`; gives how many batches it did.
async fn work_off(store: Arc<dyn Store>, session: String) -> usize {
    let mut done = 0;
    loop {
        let acquire = Acquire { session: worker(&session), capacity: 3, protocol: 3, ..Acquire::default() };
        let leases = store.acquire(acquire).await.unwrap().leases;
        if leases.is_empty() {
            return done;
        }
        let outcomes = join_all(leases.iter().map(|lease| work_on(store.as_ref(), &session, lease))).await;
        done += outcomes.len();
    }
}

async fn work_on(store: &dyn Store, session: &str, lease: &GrantedLease) {
    let records = u32::try_from(lease.parts[0].1.len()).unwrap();
    let begun = store.begin(session, lease.token, begin(1, 0..records, 0)).await.unwrap();
    assert!(matches!(begun, Ok(Begun::Announced { .. })), "{begun:?}");
    let applied = report(&[(1, DeliveryState::Applied)], &[]);
    let done = store.complete(session, lease.token, applied).await.unwrap();
    assert_eq!(done, Ok(Completion::Done));
}

/// Nobody gets what another has, nothing is lost, and nothing is counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_shares_the_batches() {
    const BATCHES: usize = 60;
    let (bench, other) = two().await;
    let other: Arc<dyn Store> = other;
    let run = bench.start(run_with("one", |terms| terms.max_batch = 2)).await;
    let ids: Vec<String> = (0..BATCHES * 2).map(|id| id.to_string()).collect();
    let lease = bench.take_listing("lister").await;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let page = crate::store::conformance::bench::page(1, &ids, Some(1));
    bench.store().commit_page(&lease, page).await.unwrap();
    bench.store().close_listing(&lease).await.unwrap();
    let crowd = (0..6).map(|number| {
        let store = if number % 2 == 0 { bench.store() } else { Arc::clone(&other) };
        tokio::spawn(work_off(store, format!("session-of-worker-{number}")))
    });
    let done: usize = join_all(crowd).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(done, BATCHES);
    let run = bench.run(&run.id).await;
    assert_eq!(run.acknowledged, i64::try_from(BATCHES).unwrap());
    let verdict = bench.verdict(&run).await;
    assert!(verdict.is_complete() && verdict.is_balanced(), "{:?}", verdict.discrepancies);
    assert_eq!((verdict.counts.loaded, verdict.possible_copies), (2 * BATCHES as u64, 0));
}

/// Whatever comes at the same time, in whatever order the locks are asked for: everything is answered in the end.
#[tokio::test(flavor = "multi_thread")]
async fn operators_and_workers_do_not_stand_in_each_others_way_for_ever() {
    let (bench, other) = two().await;
    let run = bench.start(run_with("one", |terms| terms.max_batch = 1)).await;
    let listing = bench.take_listing("lister").await;
    let ids: Vec<String> = (0..60).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    bench.store().commit_page(&listing, crate::store::conformance::bench::page(1, &ids, Some(1))).await.unwrap();
    bench.store().close_listing(&listing).await.unwrap();
    let store = bench.store();
    let operate = async {
        for _ in 0..10 {
            other.pause_run(&run.id, "why").await.unwrap();
            other.resume_run(&run.id).await.unwrap();
        }
    };
    let session = |name: &str| Session { id: format!("session-of-{name}"), ..worker(name) };
    let refuse = |name: &'static str| {
        let store = Arc::clone(&store);
        let session = session(name);
        async move {
            for _ in 0..15 {
                let acquire = Acquire { session: session.clone(), capacity: 2, protocol: 3, ..Acquire::default() };
                for lease in store.acquire(acquire).await.unwrap().leases {
                    let refused = Report { digest: [7; 32], records: vec![dead(0)], ..Report::default() };
                    store.complete(&session.id, lease.token, refused).await.unwrap().unwrap();
                }
            }
        }
    };
    let all = async { tokio::join!(operate, refuse("one"), refuse("two"), refuse("three")) };
    soon("the end of all that", all).await;
    let verdict = bench.verdict(&bench.run(&run.id).await).await;
    assert!(verdict.is_balanced(), "{:?}", verdict.discrepancies);
}

/// What another call of the session still holds, it has when that call is over: it is given back too.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_comes_after_what_is_under_way() {
    let harness = PostgresBackend::new(database(server()), Planted::default()).next().await;
    let url = harness.url.clone();
    let bench = Bench::on(Box::new(harness));
    bench.one_batch(new_run("one"), 4).await;
    bench.lease(A).await;
    let mut renewing = PgConnection::connect(&url).await.unwrap();
    let hold =
        format!("BEGIN; UPDATE sessions SET seen_at = seen_at WHERE session = '{A}'; SELECT 1 FROM batches FOR UPDATE");
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut renewing).await.unwrap();
    let store = bench.store();
    let ending = tokio::spawn(async move { store.release(A, &[], true).await });
    let name = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0;
    let waiting =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event_type = 'Lock'");
    let begins_to_wait = async {
        while server().sql(&waiting) == "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the end", begins_to_wait).await;
    sqlx::raw_sql("COMMIT").execute(&mut renewing).await.unwrap();
    assert!(soon("its answer", ending).await.unwrap().unwrap().unwrap().is_empty());
    assert_eq!(bench.lease(B).await.attempt, 1);
}

#[tokio::test]
async fn a_gap_is_one_for_all_of_them() {
    let (bench, other) = two().await;
    bench.one_batch(new_run("one"), 4).await;
    bench.warm_up().await;
    bench.lease(B).await;
    // One coordinator serves on while the other is silent: that is no gap.
    bench.pass(LEASE_TTL - Duration::from_secs(1)).await;
    assert_eq!(other.expire().await.unwrap().leases, 0);
    bench.silence(Duration::from_secs(1)).await;
    assert_eq!(other.expire().await.unwrap().leases, 1);
    // Both were silent for long: the lease of that time is not taken away at once, by neither.
    bench.lease(B).await;
    bench.silence(Duration::from_secs(60)).await;
    assert_eq!(other.expire().await.unwrap().leases, 0);
    assert_eq!(bench.store().expire().await.unwrap().leases, 0);
    bench.pass(LEASE_TTL).await;
    assert_eq!(other.expire().await.unwrap().leases, 0, "it was taken away by the first");
    assert_eq!(bench.lease(A).await.attempt, 3);
}

/// As in a database that speaks PostgreSQL's protocol and has no NOTIFY.
#[tokio::test]
async fn without_notices_they_look_by_themselves() {
    let url = database(server());
    let name = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0;
    server().sql(&format!("CREATE ROLE plain_{name} LOGIN; ALTER DATABASE {name} OWNER TO plain_{name}"));
    let plain = url.replace("muster:", &format!("plain_{name}:"));
    server().run_in(&url, "REVOKE EXECUTE ON FUNCTION pg_notify FROM PUBLIC");
    let open = || PostgresStore::open(&plain, Options::default());
    let (one, other) = (open().await.unwrap(), open().await.unwrap());
    let mut work = other.events().work();
    assert!(matches!(one.start_run(new_run("one")).await.unwrap(), Started::New(_)));
    soon("work", async {
        loop {
            work.changed().await.unwrap();
            if other.take_listing("other", LISTING_TTL).await.unwrap().is_some() {
                return;
            }
        }
    })
    .await;
}
