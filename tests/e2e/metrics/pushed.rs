//! Metrics by OTLP, to a receiver that is made of OpenTelemetry's own messages.

use std::collections::BTreeSet;

use animals_api::Config;
use muster_telemetry::metrics::names::{ALL, Kind, Metric};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::until_some;
use muster_tests::otlp::{By, Receiver};
use muster_tests::process::{Signal, Start};
use muster_tests::turn;

use crate::{SHORT, stand_in};

/// The environment of a program that sends to a receiver in this way, soon.
fn env(receiver: &Receiver, by: By) -> Vec<(&'static str, String)> {
    let mut env = receiver.env(by);
    env.push(("OTEL_METRIC_EXPORT_INTERVAL", "500".to_owned()));
    env
}

fn texts<'a>(env: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    env.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// As OTLP has it.
fn kind_of(metric: &Metric) -> &'static str {
    match metric.kind {
        Kind::Counter => "sum",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_nobody_here_wrote_gets_the_metrics_of_a_run() {
    let _turn = turn::heavy().await;
    let place = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(place.path()).await;
    let server = stand_in(Config { chaos: 0.05, stall: SHORT, page_size: 100, ..Config::calm(2_000) });
    let [by_grpc, by_http] = [By::Grpc, By::Http].map(|by| env(&receiver, by));
    let mut cluster = Cluster::with(place.path(), &[], &texts(&by_grpc)).await;
    let mut worker = cluster.worker_with("w", &[], &texts(&by_http));
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    cluster.watch(&run_id).await;
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());

    let loaded = server.book().accepted().len() as f64;
    until_some("what is loaded arrives, and the verdict", async || {
        let points = receiver.points();
        points.iter().find(|point| point.name == "muster.run.verdict")?;
        let mut loaded_by = points.iter().rev().filter(|point| {
            point.name == "muster.run.records"
                && point.attributes["muster.outcome"] == "loaded"
                && point.attributes["muster.run.id"] == run_id.as_str()
        });
        loaded_by.next().filter(|point| point.number == loaded).map(drop)
    })
    .await;
    // What was counted last goes out at the end.
    worker.signal(Signal::Terminate);
    worker.ended().await.with_code(0);
    cluster.process().signal(Signal::Terminate);
    cluster.process().ended().await.with_code(0);

    let points = receiver.points();
    for point in &points {
        let (service, by) = (point.service.as_str(), point.by.as_str());
        assert!(matches!((service, by), ("muster-coordinator", "grpc") | ("muster-worker", "http")), "{point:?}");
        let metric = ALL.iter().find(|metric| metric.name == point.name);
        let metric = metric.unwrap_or_else(|| panic!("{point:?} is not in the list"));
        assert_eq!((point.unit.as_str(), point.kind.as_str()), (metric.unit, kind_of(metric)), "{point:?}");
        assert!(point.cumulative, "{point:?}");
        let known: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert!(point.attributes.keys().all(|label| known.contains(label.as_str())), "{point:?}");
    }
    let arrived: BTreeSet<&str> = points.iter().map(|point| point.name.as_str()).collect();
    let wanted: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(wanted.difference(&arrived).collect::<Vec<_>>(), Vec::<&&str>::new(), "not sent");
    let of_workers =
        points.iter().rev().find(|point| point.name == "muster.worker.records.loaded").expect("it is there");
    assert_eq!(of_workers.number, loaded, "what was counted last was not sent");
}

#[tokio::test]
async fn a_collector_that_is_none_is_named_before_anything_begins() {
    let place = tempfile::tempdir().expect("a folder");
    let line = ["coordinator", "--listen", "127.0.0.1:0", "--database", "sqlite://m.db"];
    let start = Start::muster(place.path(), line).env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let said = start.env("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon").run().await.with_code(2).stderr;
    assert!(said.contains("OTEL_EXPORTER_OTLP_PROTOCOL") && said.contains("grpc or http/protobuf"), "{said}");
}
