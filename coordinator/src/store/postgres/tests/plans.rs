//! What PostgreSQL reads for a batch: no more in a long run than in a short one, and one transaction for many transitions.

use std::time::Duration;

use futures::future::join_all;
use muster_postgres::Postgres;

use super::opening::database;
use crate::domain::DeliveryState;
use crate::planted::Planted;
use crate::store::conformance::Bench;
use crate::store::conformance::bench::{MAX_BATCH, begin, new_run, page, report, worker};
use crate::store::postgres::PostgresBackend;
use crate::store::{Acquire, Begun, Completion};

/// Sessions that lease and report at the same time.
const SESSIONS: u32 = 16;
/// Tables whose rows grow with a run.
const TABLES: [&str; 4] = ["records", "batches", "leases", "deliveries"];

/// What a database did for a run.
#[derive(Debug)]
struct Done {
    /// Rows that were read in each of the tables, for each batch.
    read: [f64; TABLES.len()],
    /// Transactions for each batch, with its part of the listing.
    transactions: f64,
}

/// Lists and works off a run of so many batches in an empty database. Nothing has statistics: autovacuum is off in it.
async fn played(server: &Postgres, batches: u32) -> Done {
    let url = database(server);
    let bench = Bench::new(&PostgresBackend::new(url.clone(), Planted::default())).await;
    let tables: Vec<String> =
        TABLES.iter().map(|table| format!("ALTER TABLE {table} SET (autovacuum_enabled = off)")).collect();
    let schema = server.run_in(&url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ledger_%'");
    server.run_in(&url, &format!("SET search_path = {schema}; {}", tables.join("; ")));
    bench.start(new_run("plans")).await;
    let listing = bench.take_listing("lister").await;
    let ids: Vec<String> = (0..batches * MAX_BATCH).map(|id| id.to_string()).collect();
    let pages = ids.chunks(40).zip(1..);
    for (ids, number) in pages {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        bench.store().commit_page(&listing, page(number, &ids, None)).await.unwrap();
    }
    bench.store().close_listing(&listing).await.unwrap();
    work_off(&bench, batches).await;
    bench.store().close().await;
    until_said(server, &url);
    let committed = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    let per_batch = |query: &str| server.run_in(&url, query).parse::<f64>().unwrap() / f64::from(batches);
    let transactions = per_batch(committed);
    let read = TABLES.map(|table| {
        per_batch(&format!(
            "SELECT seq_tup_read + coalesce((SELECT sum(idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid), 0) \
             FROM pg_stat_user_tables t WHERE relname = '{table}'"
        ))
    });
    Done { read, transactions }
}

/// Sessions say what they did when they end: waits until those of the store have.
fn until_said(server: &Postgres, url: &str) {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..300 {
        if server.run_in(url, others) == "0" {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("connections stay open");
}

/// Sessions lease, announce and report side by side until nothing is left.
async fn work_off(bench: &Bench, batches: u32) {
    let store = bench.store();
    let sessions: Vec<String> = (0..SESSIONS).map(|number| format!("session-of-worker-{number}")).collect();
    let mut left = batches;
    while left > 0 {
        let acquired = join_all(sessions.iter().map(|session| {
            let protocol = muster_proto::PROTOCOL;
            store.acquire(Acquire { session: worker(session), capacity: 2, protocol, ..Acquire::default() })
        }))
        .await;
        let leases: Vec<_> = sessions
            .iter()
            .zip(acquired)
            .flat_map(|(session, acquired)| acquired.unwrap().leases.into_iter().map(move |lease| (session, lease)))
            .collect();
        assert!(!leases.is_empty(), "{left} batches are left");
        left -= u32::try_from(leases.len()).unwrap();
        let all = 0..MAX_BATCH;
        let begun =
            join_all(leases.iter().map(|(session, of)| store.begin(session, of.token, begin(1, all.clone(), 0)))).await;
        assert!(begun.into_iter().all(|begun| matches!(begun.unwrap(), Ok(Begun::Announced { .. }))));
        let applied = report(&[(1, DeliveryState::Applied)], &[]);
        let done =
            join_all(leases.iter().map(|(session, of)| store.complete(session, of.token, applied.clone()))).await;
        assert!(done.into_iter().all(|done| done.unwrap() == Ok(Completion::Done)));
        // The concluder comes after every few of these.
        for _ in 0..4 {
            assert_eq!(store.concludable().await.unwrap().is_empty(), left > 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_costs_no_more_in_a_long_run_and_shares_its_transactions() {
    let server = super::server();
    let (short, long) = (played(server, 64).await, played(server, 512).await);
    for (table, (short, long)) in TABLES.iter().zip(short.read.into_iter().zip(long.read)) {
        assert!(short >= 1.0, "{table}: {short} rows of it for a batch");
        assert!(long < 1.5 * short + 4.0, "{table}: {short} rows of it for each batch of 64, {long} for each of 512");
    }
    // Alone, a batch is half an acquisition, an announcement and a report.
    assert!((0.1..1.5).contains(&long.transactions), "{} transactions a batch", long.transactions);
}
