//! Sources and targets that are down and come up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_pipeline::Pipeline;
use muster_proto::v1::DeliveryOutcome;
use muster_worker::{Worker, WorkerConfig, connect};
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

use super::coordinator::{Told, lease};
use super::{Api, Script, Stage};

#[tokio::test]
async fn what_is_fetched_is_kept_while_the_target_is_down_and_announced_when_it_is_up() {
    // The port is taken, but nobody listens: connections are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let target = format!("http://{}/", socket.local_addr().unwrap());
    let text = include_str!("animals.yaml")
        .replace("POST, url: \"${param:base_url}/animals/v1/home", &format!("POST, url: \"{target}animals/v1/home"));
    assert!(text.contains(&target));
    let (source, base_url) = Api::start().await;
    let (script, url) = Script::start(&Pipeline::from_yaml(&text, "down.yaml").unwrap(), &base_url).await;
    let shutdown = CancellationToken::new();
    let config = WorkerConfig { acquire_wait: Duration::from_millis(50), seed: 1, ..WorkerConfig::default() };
    let running = tokio::spawn(Worker::new(config, connect(&url).unwrap()).run(shutdown.clone()));
    script.offer(lease(0, 0..5));

    // Twenty renewals after the first announcement are a second: time for several others.
    script
        .until("twenty renewals", |told| {
            let first = told.iter().position(|told| matches!(told, Told::Begin(_)))?;
            (told[first..].iter().filter(|told| matches!(told, Told::Renew(_))).count() >= 20).then_some(())
        })
        .await;
    assert_eq!(script.begins().len(), 1, "nothing is announced that cannot be sent");
    let (target, _) = Api::serve(socket.listen(16).unwrap());
    let report = script.report("token-0").await;
    let outcomes: Vec<_> = report.deliveries.iter().map(|delivery| delivery.outcome()).collect();
    assert_eq!(outcomes, [DeliveryOutcome::NotApplied, DeliveryOutcome::Applied]);
    assert_eq!((target.ids(), source.fetching.borrow().len()), (vec![0, 1, 2, 3, 4], 5), "fetched once");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_source_that_is_down_ends_no_record_and_is_hardly_asked_and_nothing_more_is_leased() {
    // Two tries and a pause of 1 ms between them: gone in a moment, if they counted.
    let stage = Stage::with(|config| WorkerConfig { concurrency: Some(8), max_leases: 2, ..config }).await;
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let answer = move |_| is_down.load(Ordering::Relaxed).then_some((503, "Sorry!"));
    *stage.api.special.lock().unwrap() = Box::new(answer);
    stage.script.offer(lease(0, 0..20));
    stage.script.report("token-0").await;
    down.store(true, Ordering::Relaxed);
    let before = stage.api.fetching.borrow().len();
    stage.script.offer(lease(1, 20..40));
    stage.api.asked_for(20).await;
    // A hundred renewals are five seconds: time for many tries, and for one acquisition that was under way.
    let renewals = |told: &[Told]| told.iter().filter(|told| matches!(told, Told::Renew(_))).count();
    let from = renewals(&stage.script.told());
    stage.script.until("a hundred renewals", |told| (renewals(told) >= from + 100).then_some(())).await;
    let asked = stage.api.fetching.borrow().len() - before;
    assert!(asked <= 8 + 10 + 20, "{asked} requests to a source that is down");
    stage.script.offer(lease(2, 40..60));
    let from = renewals(&stage.script.told());
    stage.script.until("ten renewals more", |told| (renewals(told) >= from + 10).then_some(())).await;
    assert!(stage.api.fetching.borrow().iter().all(|id| *id < 40), "nothing is leased for a source that is down");
    down.store(false, Ordering::Relaxed);
    let report = stage.script.report("token-1").await;
    assert!(report.records.is_empty(), "{report:#?}");
    stage.script.report("token-2").await;
    assert_eq!(stage.api.ids(), (0..60).collect::<Vec<_>>());
    stage.end().await;
}

/// One of version 3 would give it batches of that very run.
#[tokio::test]
async fn of_a_coordinator_that_passes_over_no_run_nothing_is_leased_while_a_source_is_down() {
    let stage = Stage::with(|config| WorkerConfig { concurrency: Some(8), ..config }).await;
    *stage.script.protocol.lock().unwrap() = 3;
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let answer = move |_| is_down.load(Ordering::Relaxed).then_some((503, "Sorry!"));
    *stage.api.special.lock().unwrap() = Box::new(answer);
    stage.script.offer(lease(0, 0..20));
    stage.script.report("token-0").await;
    down.store(true, Ordering::Relaxed);
    stage.script.offer(lease(1, 20..40));
    stage.api.asked_for(20).await;
    let renewals = |told: &[Told]| told.iter().filter(|told| matches!(told, Told::Renew(_))).count();
    let from = renewals(&stage.script.told());
    stage.script.until("a hundred renewals", |told| (renewals(told) >= from + 100).then_some(())).await;
    let (from, acquired) = (renewals(&stage.script.told()), acquisitions(&stage));
    stage.script.until("ten renewals more", |told| (renewals(told) >= from + 10).then_some(())).await;
    assert_eq!(acquisitions(&stage), acquired);
    down.store(false, Ordering::Relaxed);
    stage.script.report("token-1").await;
    stage.end().await;
}

/// Whichever of them it begins with: with this seed, the dead one.
#[tokio::test]
async fn of_several_coordinators_one_that_lives_is_enough() {
    let (api, base_url) = Api::start().await;
    let pipeline = Pipeline::from_yaml(include_str!("animals.yaml"), "animals.yaml").unwrap();
    let (script, url) = Script::start(&pipeline, &base_url).await;
    script.offer(lease(0, 0..5));
    let shutdown = CancellationToken::new();
    let config = WorkerConfig { seed: 0, ..WorkerConfig::default() };
    let urls = format!("http://127.0.0.1:1,{url}");
    let running = tokio::spawn(Worker::new(config, connect(&urls).unwrap()).run(shutdown.clone()));
    let report = script.report("token-0").await;
    assert_eq!(report.deliveries.len(), 1);
    assert_eq!(api.ids(), [0, 1, 2, 3, 4]);
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

fn acquisitions(stage: &Stage) -> usize {
    stage.script.told().iter().filter(|told| matches!(told, Told::Acquire(_))).count()
}
