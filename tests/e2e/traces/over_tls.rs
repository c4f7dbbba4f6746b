//! Traces and metrics to a collector behind TLS.

use animals_api::Config;
use muster_tests::deadline::until_some;
use muster_tests::otlp::{By, Receiver};
use muster_tests::pipelines::variant;
use muster_tests::turn;

use super::{Scene, batches};
use crate::over_https::{authority, tls, tls_before};
use crate::stand_in;

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_behind_tls_gets_what_its_authority_vouches_for() {
    let _turn = turn::light().await;
    let server = stand_in(Config::calm(50));
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(folder.path()).await;
    let trusted = folder.path().join("authority.pem");
    let (collector, _) = tls_before(receiver.address(By::Http), tls(&authority(&trusted), &[])).await;
    let env = |trusts: &std::path::Path| {
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.clone()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "500".to_owned()),
            ("SSL_CERT_FILE", trusts.to_string_lossy().into_owned()),
            ("SSL_CERT_DIR", folder.path().join("nowhere").to_string_lossy().into_owned()),
        ]
    };

    // Who is told to trust somebody else sends nothing, and says so.
    let other = folder.path().join("other.pem");
    authority(&other);
    let place = tempfile::tempdir().expect("a folder");
    let mut scene = Scene::play(place.path(), &server, &variant(&[]), &env(&other)).await;
    until_some("it says so", async || {
        let said = scene.worker.stderr();
        (said.contains("traces cannot be exported") && said.contains("metrics cannot be sent")).then_some(())
    })
    .await;
    scene.end().await;
    assert_eq!((receiver.spans().len(), receiver.points().len()), (0, 0));

    let mut scene = Scene::play(folder.path(), &server, &variant(&[]), &env(&trusted)).await;
    scene.end().await;
    let batches = batches(&receiver);
    assert!(!batches.is_empty() && batches.iter().all(|batch| batch.by == "http"), "{batches:?}");
    let services: std::collections::BTreeSet<_> = receiver.points().into_iter().map(|point| point.service).collect();
    assert_eq!(services.into_iter().collect::<Vec<_>>(), ["muster-coordinator", "muster-worker"]);
}
