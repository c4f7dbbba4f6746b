//! Each promise that a store keeps, both ways: kept by the program, broken by the program with one guard switched off.

use muster_coordinator::planted::{Bug, Planted};
use muster_coordinator::store::conformance::promises::{ALL, Promise};
use muster_coordinator::store::conformance::random;
use muster_coordinator::store::sqlite::SqliteBackend;

async fn check(promise: &Promise, planted: Planted) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    (promise.check)(&SqliteBackend::new(folder.path().to_owned(), planted)).await
}

#[tokio::test]
async fn promises_are_kept() {
    for promise in ALL {
        let kept = check(promise, Planted::default()).await;
        println!("promise {}: {}: {kept:?}", promise.number, promise.words);
        assert_eq!(kept, Ok(()), "promise {}: {}", promise.number, promise.words);
    }
}

#[tokio::test]
async fn each_promise_is_broken_without_its_guard() {
    for promise in ALL {
        let broken = check(promise, Planted::bug(promise.guard)).await;
        println!("promise {} with {:?}: {broken:?}", promise.number, promise.guard);
        let (number, guard) = (promise.number, promise.guard);
        assert!(broken.is_err(), "promise {number} is kept even with the bug {guard:?}: its check checks nothing");
    }
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
