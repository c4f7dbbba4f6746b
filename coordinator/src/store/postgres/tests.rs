//! PostgreSQL under the conformance suite, and what only PostgreSQL can get wrong. One server for all tests of the process.

mod groups;
mod lanes;
mod opening;
mod outages;
mod plans;
mod together;

use std::sync::OnceLock;

use muster_postgres::Postgres;

use super::PostgresBackend;
use crate::planted::Planted;
use crate::store::conformance::{self, promises};

fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

fn backend() -> PostgresBackend {
    PostgresBackend::new(server().url(), Planted::default())
}

#[tokio::test]
async fn runs() {
    conformance::runs(&backend()).await;
}

#[tokio::test]
async fn listing() {
    conformance::listing(&backend()).await;
}

#[tokio::test]
async fn list_guards() {
    conformance::list_guards(&backend()).await;
}

#[tokio::test]
async fn since() {
    conformance::since(&backend()).await;
}

#[tokio::test]
async fn unknown_fields() {
    conformance::unknown_fields(&backend()).await;
}

#[tokio::test]
async fn acquiring() {
    conformance::acquiring(&backend()).await;
}

#[tokio::test]
async fn sharing() {
    conformance::sharing(&backend()).await;
}

#[tokio::test]
async fn stock() {
    conformance::stock(&backend()).await;
}

#[tokio::test]
async fn rates() {
    conformance::rates(&backend()).await;
}

#[tokio::test]
async fn holding() {
    conformance::holding(&backend()).await;
}

#[tokio::test]
async fn items() {
    conformance::items(&backend()).await;
}

#[tokio::test]
async fn identities() {
    conformance::identities(&backend()).await;
}

#[tokio::test]
async fn announcing() {
    conformance::announcing(&backend()).await;
}

#[tokio::test]
async fn reporting() {
    conformance::reporting(&backend()).await;
}

#[tokio::test]
async fn rounds() {
    conformance::rounds(&backend()).await;
}

#[tokio::test]
async fn settling() {
    conformance::settling(&backend()).await;
}

#[tokio::test]
async fn probing() {
    conformance::probing(&backend()).await;
}

#[tokio::test]
async fn partly_applied() {
    conformance::partly_applied(&backend()).await;
}

#[tokio::test]
async fn protecting() {
    conformance::protecting(&backend()).await;
}

#[tokio::test]
async fn costs() {
    conformance::costs(&backend()).await;
}

#[tokio::test]
async fn outbox() {
    conformance::outbox(&backend()).await;
}

#[tokio::test]
async fn stalls() {
    conformance::stalls(&backend()).await;
}

#[tokio::test]
async fn declined() {
    conformance::declined(&backend()).await;
}

#[tokio::test]
async fn deleting() {
    conformance::deleting(&backend()).await;
}

#[tokio::test]
async fn expiring() {
    conformance::expiring(&backend()).await;
}

#[tokio::test]
async fn doubts() {
    conformance::doubts(&backend()).await;
}

#[tokio::test]
async fn cancelling() {
    conformance::cancelling(&backend()).await;
}

#[tokio::test]
async fn reading() {
    conformance::reading(&backend()).await;
}

/// MUSTER_TEST_SEQUENCES makes the campaign longer. The rarest of what should be met comes once in some 200 sequences, and
/// they go otherwise than SQLite's where a restart leaves a listing held: fewer than 1,000 need not meet everything.
#[tokio::test]
async fn random_sequences() {
    let backend = backend();
    let sequences = std::env::var("MUSTER_TEST_SEQUENCES").ok().and_then(|count| count.parse().ok()).unwrap_or(24);
    let quarter = u64::div_ceil(sequences, 4);
    let campaigns = (0..4).map(|part| conformance::random(&backend, part * quarter..(part + 1) * quarter));
    let seen = futures::future::join_all(campaigns).await.into_iter().flatten().collect::<Vec<_>>();
    if sequences >= 1_000 {
        conformance::assert_all_seen(&seen);
    }
}

#[tokio::test]
async fn random_shares() {
    // What they met, those on SQLite say.
    conformance::random_shares(&backend(), 0..6).await;
}

#[tokio::test]
async fn promises() {
    let backend = backend();
    for promise in promises::ALL {
        assert_eq!((promise.check)(&backend).await, Ok(()), "promise {}: {}", promise.number, promise.words);
    }
}
