//! The pipeline `animals` against the stand-in API with all its pain points, judged by the stand-in's own book.

use std::collections::BTreeSet;
use std::time::Duration;

use animals_api::{Config, Server};
use muster_pipeline::{Pipeline, built_in};
use muster_proto::v1::RecordOutcome;
use muster_worker::{Worker, WorkerConfig, connect};
use tokio_util::sync::CancellationToken;

use super::coordinator::{Script, lease, reports};

const ANIMALS: u32 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn through_chaos_each_animal_is_loaded_once_and_the_others_are_named() {
    let config = Config {
        chaos: 0.2,
        stall: Duration::from_millis(100)..=Duration::from_millis(400),
        poison: 3_u64.into(),
        gone: 2_u64.into(),
        malformed: 2_u64.into(),
        ..Config::calm(u64::from(ANIMALS))
    };
    let server = Server::start(config, ([127, 0, 0, 1], 0).into()).unwrap();
    let pipeline = Pipeline::from_yaml(built_in("animals").unwrap(), "animals").unwrap();
    let (script, url) = Script::start(&pipeline, &server.base_url()).await;
    let batches = ANIMALS / 100;
    for batch in 0..batches {
        script.offer(lease(i64::from(batch), batch * 100..(batch + 1) * 100));
    }
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(Worker::new(WorkerConfig::default(), connect(&url).unwrap()).run(shutdown.clone()));
    let all = script.until("all reports", |told| Some(reports(told)).filter(|all| all.len() == batches as usize)).await;
    shutdown.cancel();
    let summary = running.await.unwrap().unwrap();

    let (mut dead, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for report in all {
        let batch: u64 = report.lease_token.trim_start_matches("token-").parse().unwrap();
        for record in &report.records {
            let id = batch * 100 + u64::from(record.position);
            assert!(if record.outcome() == RecordOutcome::Gone { &mut gone } else { &mut dead }.insert(id));
        }
    }
    let book = server.book();
    assert_eq!(gone, book.gone().into_iter().collect());
    assert_eq!(dead, book.poison().into_iter().chain(book.malformed()).collect());
    assert_eq!((book.missing(), book.duplicates(), book.wrong()), (vec![], vec![], vec![]));
    assert_eq!(summary.records_applied, book.accepted().len() as u64);
    server.shutdown().await;
}
