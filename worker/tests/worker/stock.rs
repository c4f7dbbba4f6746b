//! What a worker holds in stock goes to others that have nothing to do.

use muster_proto::v1::LeasesWanted;
use muster_proto::v1::attend_response::Event;
use muster_worker::WorkerConfig;

use super::Stage;
use super::coordinator::{Told, lease};

/// A worker of four slots with two batches of five records, of which the first four wait for the source.
async fn with_stock() -> Stage {
    let stage = Stage::with(|config| WorkerConfig { concurrency: Some(4), ..config }).await;
    stage.api.held.lock().unwrap().extend(0..10);
    stage.script.offer(lease(0, 0..5));
    stage.script.offer(lease(1, 5..10));
    stage.api.asked_for(3).await;
    let both = |told: &Told| matches!(told, Told::Renew(request) if request.lease_tokens.len() == 2);
    stage.script.until("both leases", |told| told.iter().any(both).then_some(())).await;
    stage
}

fn wanted(leases: i32) -> Event {
    Event::LeasesWanted(LeasesWanted { leases })
}

#[tokio::test]
async fn a_batch_in_stock_is_given_back_and_not_taken_again_at_once() {
    let stage = with_stock().await;
    stage.script.push(wanted(9));
    stage.script.released("token-1").await;
    let from = stage.script.told().len();
    stage.script.offer(lease(2, 10..15));
    let renewals = |told: &[Told]| told.iter().filter(|told| matches!(told, Told::Renew(_))).count();
    stage.script.until("some renewals", |told| (renewals(&told[from..]) >= 4).then_some(())).await;
    let asked = stage.script.told()[from..].iter().any(|told| matches!(told, Told::Acquire(_)));
    assert!(!asked, "it has what keeps its slots busy");
    stage.api.source_open.send_replace(true);
    // What is worked on is no stock.
    stage.script.report("token-0").await;
    stage.script.report("token-2").await;
    let ids = stage.api.ids();
    assert_eq!(ids, [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]);
    assert!(stage.api.fetching.borrow().iter().all(|id| !(5..10).contains(id)), "nobody began to work on it");
    let summary = stage.end().await;
    assert_eq!((summary.batches_completed, summary.batches_released), (2, 1));
}

#[tokio::test]
async fn whoever_wants_none_gets_none() {
    let stage = with_stock().await;
    stage.script.push(wanted(0));
    stage.script.push(wanted(-1));
    stage.api.source_open.send_replace(true);
    stage.script.report("token-0").await;
    stage.script.report("token-1").await;
    assert_eq!(stage.end().await.batches_released, 0);
}
