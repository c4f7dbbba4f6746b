//! SQLite under the conformance suite, and what only SQLite can get wrong.

use tempfile::TempDir;

use super::SqliteBackend;
use crate::planted::Planted;
use crate::store::conformance::{self, promises};

fn backend() -> (SqliteBackend, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (SqliteBackend::new(folder.path().to_owned(), Planted::default()), folder)
}

#[tokio::test]
async fn runs() {
    let (backend, _folder) = backend();
    conformance::runs(&backend).await;
}

#[tokio::test]
async fn listing() {
    let (backend, _folder) = backend();
    conformance::listing(&backend).await;
}

#[tokio::test]
async fn acquiring() {
    let (backend, _folder) = backend();
    conformance::acquiring(&backend).await;
}

#[tokio::test]
async fn holding() {
    let (backend, _folder) = backend();
    conformance::holding(&backend).await;
}

#[tokio::test]
async fn announcing() {
    let (backend, _folder) = backend();
    conformance::announcing(&backend).await;
}

#[tokio::test]
async fn reporting() {
    let (backend, _folder) = backend();
    conformance::reporting(&backend).await;
}

#[tokio::test]
async fn expiring() {
    let (backend, _folder) = backend();
    conformance::expiring(&backend).await;
}

#[tokio::test]
async fn doubts() {
    let (backend, _folder) = backend();
    conformance::doubts(&backend).await;
}

#[tokio::test]
async fn cancelling() {
    let (backend, _folder) = backend();
    conformance::cancelling(&backend).await;
}

#[tokio::test]
async fn reading() {
    let (backend, _folder) = backend();
    conformance::reading(&backend).await;
}

/// MUSTER_TEST_SEQUENCES makes the campaign longer.
#[tokio::test]
async fn random_sequences() {
    let (backend, _folder) = backend();
    let seeds = std::env::var("MUSTER_TEST_SEQUENCES").ok().and_then(|sequences| sequences.parse().ok()).unwrap_or(200);
    conformance::random(&backend, 0..seeds).await;
}

#[tokio::test]
async fn promises() {
    let (backend, _folder) = backend();
    for promise in promises::ALL {
        assert_eq!((promise.check)(&backend).await, Ok(()), "promise {}: {}", promise.number, promise.words);
    }
}
