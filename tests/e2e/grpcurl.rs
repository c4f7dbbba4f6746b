//! A coordinator and three workers, driven by the real grpcurl, which knows nothing but what reflection tells it.

use std::path::Path;

use animals_api::Config;
use muster_tests::cluster::Cluster;
use muster_tests::process::{Ended, Start};
use muster_tests::{programs, turn};
use serde_json::{Value, json};

use crate::stand_in;

struct Grpcurl<'a> {
    folder: &'a Path,
    address: String,
}

impl Grpcurl<'_> {
    async fn run(&self, flags: &[&str], what: &[&str]) -> Ended {
        let arguments =
            ["-plaintext"].iter().chain(flags).copied().chain([self.address.as_str()]).chain(what.iter().copied());
        Start::program(&programs::grpcurl(), self.folder, arguments).run().await
    }

    /// All answers to a call.
    async fn call(&self, method: &str, request: &Value) -> Vec<Value> {
        let ended = self.run(&["-emit-defaults", "-d", &request.to_string()], &[method]).await.with_code(0);
        let answers = serde_json::Deserializer::from_str(&ended.stdout).into_iter();
        answers.map(|answer| answer.expect("JSON")).collect()
    }

    /// The answer to a call that has one.
    async fn ask(&self, method: &str, request: &Value) -> Value {
        let mut answers = self.call(method, request).await;
        assert_eq!(answers.len(), 1, "{method}");
        answers.remove(0)
    }

    async fn list(&self, what: &[&str]) -> Vec<String> {
        let list = ["list"].iter().chain(what).copied().collect::<Vec<_>>();
        let ended = self.run(&[], &list).await.with_code(0);
        ended.stdout.lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_driven_by_grpcurl() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { gone: 3_u64.into(), ..Config::calm(2_000) });
    let cluster = Cluster::start(folder.path()).await;
    let _workers = ["w1", "w2", "w3"].map(|name| cluster.worker(name, &[]));
    let grpcurl = Grpcurl { folder: folder.path(), address: cluster.address() };

    let parameters = json!({"base_url": server.base_url()});
    let started = json!({"pipeline": "animals", "parameters": parameters, "request_id": "from-grpcurl"});
    let run = grpcurl.ask("muster.v1.RunService/StartRun", &started).await;
    let again = grpcurl.ask("muster.v1.RunService/StartRun", &started).await;
    let run_id = run["run"]["runId"].clone();
    assert_eq!(again["run"]["runId"], run_id, "the same request is the same run");

    let changes = grpcurl.call("muster.v1.RunService/WatchRun", &json!({"run_id": run_id})).await;
    let last = &changes.last().expect("a last message")["run"];
    assert_eq!(last["state"], "RUN_STATE_FINISHED");
    assert_eq!(last["verdict"]["complete"], true);

    let verdict = &grpcurl.ask("muster.v1.AuditService/VerifyRun", &json!({"run_id": run_id})).await["verdict"];
    assert_eq!((&verdict["complete"], &verdict["balanced"]), (&json!(true), &json!(true)));
    let counts = &verdict["counts"];
    assert_eq!((&counts["listed"], &counts["loaded"], &counts["gone"]), (&json!("2000"), &json!("1997"), &json!("3")));
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());

    let id = server.book().accepted()[42].to_string();
    let record = grpcurl.ask("muster.v1.AuditService/GetRecord", &json!({"run_id": run_id, "record_id": id})).await;
    assert_eq!(record["stories"][0]["state"], "RECORD_STATE_LOADED");
    assert_eq!(record["stories"][0]["deliveries"][0]["state"], "applied");
    let runs = grpcurl.ask("muster.v1.RunService/ListRuns", &json!({})).await;
    assert_eq!(runs["runs"][0]["runId"], run_id);
    let workers = grpcurl.ask("muster.v1.FleetService/ListWorkers", &json!({})).await;
    assert_eq!(workers["workers"].as_array().map(Vec::len), Some(3), "{workers}");
    let pipelines = grpcurl.ask("muster.v1.PipelineService/ListPipelines", &json!({})).await;
    assert_eq!(pipelines["pipelines"][0]["name"], "animals");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_found_and_errors_explain_themselves() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(folder.path()).await;
    let grpcurl = Grpcurl { folder: folder.path(), address: cluster.address() };

    let services = grpcurl.list(&[]).await;
    let ours = ["RunService", "AuditService", "PipelineService", "WorkerService", "FleetService"];
    let ours = ours.map(|service| format!("muster.v1.{service}"));
    let theirs =
        ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];
    for service in ours.iter().map(String::as_str).chain(theirs) {
        assert!(services.iter().any(|known| known == service), "{service} is not among {services:?}");
    }
    for version in ["v1", "v1alpha"] {
        let method = format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let answer = grpcurl.ask(&method, &json!({"file_containing_symbol": "muster.v1.RunService"})).await;
        let files = &answer["fileDescriptorResponse"]["fileDescriptorProto"];
        assert!(files.as_array().is_some_and(|files| !files.is_empty()), "{version}: {answer}");
    }
    let mut named = vec![String::new()];
    named.extend(ours);
    for service in named {
        let health = grpcurl.ask("grpc.health.v1.Health/Check", &json!({"service": service})).await;
        assert_eq!(health["status"], "SERVING", "{service:?}");
    }

    let unknown = json!({"run_id": "animals-nowhere0"}).to_string();
    let refused = grpcurl.run(&["-d", &unknown], &["muster.v1.RunService/GetRun"]).await;
    assert_ne!(refused.code, Some(0));
    // Versions of grpcurl differ in their spaces.
    let said: String = refused.stderr.split_whitespace().collect();
    for part in ["Code:NotFound", "google.rpc.ErrorInfo", "\"reason\":\"RUN_UNKNOWN\"", "\"domain\":\"muster\""] {
        assert!(said.contains(part), "{part} is not in {}", refused.stderr);
    }
}
