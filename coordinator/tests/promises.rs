//! Each promise that a store keeps, both ways, on every kind of database: kept by the program, broken by the program with one
//! guard switched off.

use muster_coordinator::planted::{Bug, Planted};
use muster_coordinator::store::conformance::promises::{ALL, Promise};
use muster_coordinator::store::conformance::{Backend, random};
use muster_coordinator::store::postgres::PostgresBackend;
use muster_coordinator::store::sqlite::SqliteBackend;
use muster_postgres::Postgres;

/// Makes backends whose programs have a bug.
type Made<'a> = &'a dyn Fn(Planted) -> Box<dyn Backend>;

#[expect(clippy::print_stdout, reason = "the list of promises, for those who read the output of the tests")]
async fn are_kept(backend: Made<'_>) {
    for promise in ALL {
        let kept = (promise.check)(backend(Planted::default()).as_ref()).await;
        println!("promise {}: {}: {kept:?}", promise.number, promise.words);
        assert_eq!(kept, Ok(()), "promise {}: {}", promise.number, promise.words);
    }
}

#[expect(clippy::print_stdout, reason = "how each was broken, for those who read the output of the tests")]
async fn are_broken(backend: Made<'_>) {
    for Promise { number, guard, check, .. } in ALL {
        let broken = check(backend(Planted::bug(*guard)).as_ref()).await;
        println!("promise {number} with {guard:?}: {broken:?}");
        assert!(broken.is_err(), "promise {number} is kept even with the bug {guard:?}: its check checks nothing");
    }
}

#[tokio::test]
async fn promises_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = std::sync::atomic::AtomicU32::new(0);
    are_kept(&|planted| sqlite(&folder, &numbers, planted)).await;
}

#[tokio::test]
async fn each_promise_is_broken_without_its_guard() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = std::sync::atomic::AtomicU32::new(0);
    are_broken(&|planted| sqlite(&folder, &numbers, planted)).await;
}

#[tokio::test]
async fn on_postgres_each_promise_is_broken_without_its_guard() {
    let server = Postgres::start();
    are_broken(&|planted| Box::new(PostgresBackend::new(server.url(), planted))).await;
}

/// Ledgers in a folder of their own.
fn sqlite(folder: &tempfile::TempDir, numbers: &std::sync::atomic::AtomicU32, planted: Planted) -> Box<dyn Backend> {
    let number = numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let own = folder.path().join(number.to_string());
    std::fs::create_dir(&own).expect("a folder");
    Box::new(SqliteBackend::new(own, planted))
}

/// The campaign would say nothing if it passed whatever the program does.
#[tokio::test]
async fn random_sequences_notice_a_missing_guard() {
    for guard in [
        Bug::NoEpochCheck,
        Bug::SeveralOpen,
        Bug::NoReplayAnswer,
        Bug::BeginWhenStopped,
        Bug::LosesLastId,
        Bug::LosesDeadLetters,
        Bug::NeverReap,
        Bug::GoesOnInSecondPass,
        Bug::OverlooksVanished,
        Bug::CountsFieldsAgain,
    ] {
        let campaign = tokio::spawn(async move {
            let folder = tempfile::tempdir().expect("a folder");
            let backend = SqliteBackend::new(folder.path().to_owned(), Planted::bug(guard));
            random(&backend, 0..100).await
        });
        assert!(campaign.await.is_err(), "100 sequences passed with {guard:?}");
    }
}
