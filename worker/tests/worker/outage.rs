//! A target that is down and comes up.

use std::time::Duration;

use muster_pipeline::Pipeline;
use muster_proto::v1::DeliveryOutcome;
use muster_worker::{Worker, WorkerConfig, connect};
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

use super::coordinator::{Told, lease};
use super::{Api, Script};

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
