//! Tracing that does not work: the work goes on, and somebody is told, once.

use animals_api::Config;
use muster_tests::cluster::{Cluster, free_port};
use muster_tests::otlp::{By, Receiver};
use muster_tests::process::{Signal, Start};
use muster_tests::turn;

use super::borrowed;
use crate::{base_url, stand_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_costs_one_warning() {
    let _turn = turn::light().await;
    for protocol in ["grpc", "http/protobuf"] {
        let server = stand_in(Config::calm(2_000));
        let folder = tempfile::tempdir().expect("a folder");
        let endpoint = format!("http://127.0.0.1:{}", free_port());
        let arguments = ["run", "animals", "--set", &base_url(&server), "--db", "my.db", "--json"];
        let start = Start::muster(folder.path(), arguments).env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
        let start = start.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol).env("OTEL_BSP_SCHEDULE_DELAY", "100");
        let ended = start.run().await.with_code(0);
        assert!(server.book().is_perfect(), "{:?}", server.book().summary());
        let told: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("traces cannot be exported")).collect();
        let [line] = told[..] else { panic!("{protocol}: {}", ended.stderr) };
        assert!(line.contains(&endpoint) && line.contains("does a collector listen there"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_keeps_no_process() {
    let _turn = turn::light().await;
    // Connections to it are made, and nobody ever reads from them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    for protocol in ["grpc", "http/protobuf"] {
        let server = stand_in(Config::calm(200));
        let folder = tempfile::tempdir().expect("a folder");
        let arguments = ["run", "animals", "--set", &base_url(&server), "--db", "my.db", "--json"];
        let start = Start::muster(folder.path(), arguments).env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
        let start = start.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol).env("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000");
        start.run().await.with_code(0);
        assert!(server.book().is_perfect(), "{:?}", server.book().summary());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_only_asks_has_nothing_to_export() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    // No use to whoever exports traces.
    let set = |start: Start| {
        start.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").env("OTEL_TRACES_EXPORTER", "console")
    };
    set(Start::muster(folder.path(), ["completions", "bash"])).run().await.with_code(0);
    set(Start::muster(folder.path(), ["worker"])).run().await.with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_is_no_use_is_refused_and_says_what_would_be() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = [
        ("OTEL_TRACES_SAMPLER_ARG", "1%", "from 0 to 1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[", "say where a collector listens"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
    ];
    for (name, value, advice) in wrong {
        for program in ["coordinator", "worker"] {
            let start = Start::muster(folder.path(), [program]);
            let start = start.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
            let start = start.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").env("OTEL_TRACES_SAMPLER", "traceidratio");
            let ended = start.env(name, value).run().await.with_code(2);
            assert!(ended.stderr.contains(name) && ended.stderr.contains(advice), "{program}: {}", ended.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_is_the_callers_error() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(folder.path()).await;
    let env = receiver.env(By::Http);
    let mut cluster = Cluster::with(folder.path(), &[], &borrowed(&env)).await;
    let redrive = cluster.command(&["redrive", "animals-00000000"]);
    env.iter().fold(redrive, |start, (name, value)| start.env(name, value)).run().await.with_code(1);
    cluster.process().signal(Signal::Terminate);
    cluster.process().ended().await.with_code(0);
    let spans = receiver.spans();
    let of = |kind: &str| {
        let name = "muster.v1.RunService/GetRun";
        spans
            .iter()
            .find(|span| span.kind == kind && span.name == name)
            .unwrap_or_else(|| panic!("no {kind} among {spans:?}"))
    };
    let (asked, refused) = (of("client"), of("server"));
    assert_eq!((asked.service(), refused.service()), ("muster", "muster-coordinator"));
    assert_eq!((&refused.trace, &refused.parent), (&asked.trace, &asked.span));
    for side in [asked, refused] {
        assert_eq!(side.text("rpc.response.status_code"), Some("NOT_FOUND"));
    }
    assert_eq!((asked.error, asked.text("error.type")), (true, Some("NOT_FOUND")));
    assert_eq!((refused.error, refused.text("error.type")), (false, None), "it did what it should");
}
