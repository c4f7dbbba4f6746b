//! The document that describes the API, held against what the API does.

use animals_api::{Amount, ChaosOn, Config, Disconnect};
use muster_tests::deadline::until_some;
use muster_tests::pipelines::{HOLD, folder as pipeline_folder, variant};
use muster_tests::turn;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Site;
use crate::access::{Keys, replace};
use crate::stand_in;

/// Each operation: method, path, and what the document says of it.
fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let mut operations = Vec::new();
    for (path, place) in document["paths"].as_object().expect("paths") {
        for (method, operation) in place.as_object().expect("operations") {
            operations.push((method.to_uppercase().parse().expect("a method"), path.clone(), operation.clone()));
        }
    }
    assert!(operations.len() >= 20, "{}", operations.len());
    operations
}

/// What an answer is to look like, and no other member besides: an answer that is not described is a document that is not
/// whole.
fn schema(document: &Value, reference: &Value) -> jsonschema::Validator {
    let mut components = document["components"].clone();
    for schema in components["schemas"].as_object_mut().expect("schemas").values_mut() {
        schema["additionalProperties"] = false.into();
    }
    // Problems may say more.
    components["schemas"]["Problem"]["additionalProperties"] = true.into();
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [reference], "components": components,
    });
    jsonschema::validator_for(&whole).expect("a schema")
}

fn assert_as_described(document: &Value, reference: &Value, value: &Value, place: &str) {
    let schema = schema(document, reference);
    let wrong: Vec<String> =
        schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{place}: {wrong:#?}\n{value:#}");
}

/// Values that an answer comes in.
fn values(kind: &str, text: &str) -> Vec<Value> {
    let parse = |text: &str| serde_json::from_str(text).expect("JSON");
    match kind {
        "application/json" => vec![parse(text)],
        "application/x-ndjson" => text.lines().map(parse).collect(),
        "text/event-stream" => text.lines().filter_map(|line| line.strip_prefix("data: ")).map(parse).collect(),
        _ => panic!("{kind}"),
    }
}

/// A run with dead letters, doubts and a worker, all of which answers then have.
async fn eventful(site: &Site, base_url: &str) -> Value {
    let order = json!({ "pipeline": "held", "parameters": { "base_url": base_url } });
    let id = site.post("/api/v1/runs", &order).await.fine()["run_id"].as_str().expect("an ID").to_owned();
    until_some("the run ends", async || {
        let run = site.get(&format!("/api/v1/runs/{id}")).await.fine();
        (run["state"] == "finished").then_some(run)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_the_document_says() {
    let _turn = turn::light().await;
    let stall = std::time::Duration::from_millis(1_200)..=std::time::Duration::from_millis(1_500);
    let calm = Config { malformed: Amount::Count(2), ..Config::calm(400) };
    let late = Disconnect::Process;
    let server =
        stand_in(Config { chaos: 0.4, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, disconnect: late, ..calm });
    let folder = tempfile::tempdir().expect("a folder");
    let patience = "post_timeout: 400ms\n  settle_after: 400ms";
    let held = variant(&[("max_batch: 100", "max_batch: 20"), HOLD, ("post_timeout: 25s", patience)]);
    let pipelines = pipeline_folder(folder.path(), "held", &held);
    let site = Site::with(folder.path(), &["--pipelines", pipelines.to_str().expect("a path")]).await;
    let _worker = site.cluster.worker("w1", &[]);
    let run = eventful(&site, &server.base_url()).await;
    let id = run["run_id"].as_str().expect("an ID");
    let dead = site.get(&format!("/api/v1/runs/{id}/dead-letters")).await.fine();
    let dead = dead["dead_letters"][0]["record_id"].as_str().expect("a dead letter").to_owned();
    let doubt = site.get(&format!("/api/v1/runs/{id}/in-doubt")).await.fine()["deliveries"][0]["number"].clone();
    // On the page what was typed is not typed again for a mistake.
    let form = format!("delivery={doubt}&settlement=some&note=import+log");
    let refused = site.submit(&format!("/runs/{id}/in-doubt"), &form).await;
    assert_eq!(refused.status.as_u16(), 400);
    for shown in ["tick the records", "name=\"note\" value=\"import log\""] {
        assert!(refused.text.contains(shown), "{shown}: {}", refused.text);
    }
    assert!(doubt.is_number(), "nothing is in doubt");

    let answer = site.get("/api/v1/openapi.json").await;
    let document = answer.fine();
    // What ends things comes last.
    let mut operations = operations(&document);
    operations.sort_by_key(|(method, path, _)| (*method == Method::DELETE, path.contains(":redrive")));
    for (method, path, operation) in operations {
        let revision = run["pipeline_revision"].as_str().expect("a revision");
        let place = path
            .replace("{run_id}", id)
            .replace("{record_id}", &dead)
            .replace("{name}", "animals")
            .replace("{revision}", revision);
        assert!(!place.contains('{'), "{place}");
        let body = match operation["operationId"].as_str().expect("an ID") {
            "StartRun" => json!({ "pipeline": "animals", "parameters": { "base_url": server.base_url() } }),
            "SettleDelivery" => json!({ "delivery_numbers": [doubt], "settlement": "applied", "note": "seen" }),
            "SetRunShare" => json!({ "share": { "weight": 10 } }),
            "RedriveRun" => json!({ "dry_run": true }),
            _ => json!({}),
        };
        let called = match method {
            Method::POST => site.post(&place, &body).await,
            _ => site.ask(method.clone(), &place, None, &[]).await,
        };
        let described = &operation["responses"][called.status.as_str()];
        if called.status == StatusCode::NO_CONTENT {
            assert!(described.is_object() && called.text.is_empty(), "{place}");
            continue;
        }
        let kind = called.kind.split(';').next().expect("a kind").to_owned();
        if called.status.is_success() {
            let reference = &described["content"][&kind]["schema"];
            assert!(reference.is_object(), "{method} {place}: {kind} is not described");
            let values = values(&kind, &called.text);
            assert!(!values.is_empty(), "{place} gives nothing");
            values.iter().for_each(|value| assert_as_described(&document, reference, value, &place));
        } else {
            // Pausing what is over: a problem, which is described too.
            assert_eq!(called.status, StatusCode::CONFLICT, "{method} {place}: {called:?}");
            let reference = &operation["responses"]["default"]["content"][&kind]["schema"];
            assert_as_described(&document, reference, &called.json(), &place);
        }
        if method == Method::POST {
            let reference = &operation["requestBody"]["content"]["application/json"]["schema"];
            assert_as_described(&document, reference, &body, &place);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_admits_the_roles_that_the_document_names() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    let mut list = String::new();
    for role in ["viewer", "operator", "worker"] {
        list += &keys.token(&format!("{role}.token"), role, role).await;
    }
    replace(&keys.file("access.yaml"), &list);
    let mut site = Site::with(place.path(), &["--tokens", &keys.text("access.yaml")]).await;
    let token =
        |name: &str| std::fs::read_to_string(keys.file(&format!("{name}.token"))).expect("a token").trim().to_owned();
    site.token = Some(token("viewer"));
    let document = site.get("/api/v1/openapi.json").await.fine();
    let others = [(None, "CREDENTIALS_MISSING"), (Some("mst_nobody".to_owned()), "CREDENTIALS_UNKNOWN")];
    for (method, path, operation) in operations(&document) {
        let place = path.replace("{run_id}", "x").replace("{record_id}", "7").replace(['{', '}'], "");
        for (other, expected) in &others {
            site.token.clone_from(other);
            let answer = site.ask(method.clone(), &place, None, &[]).await;
            assert_eq!(
                (answer.status, &answer.json()["reason"]),
                (StatusCode::UNAUTHORIZED, &json!(expected)),
                "{place}"
            );
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let roles = operation["x-roles"].as_array().expect("roles");
        assert!(!roles.is_empty(), "{place}");
        for role in ["viewer", "operator", "worker"] {
            site.token = Some(token(role));
            let answer = site.ask(method.clone(), &place, None, &[]).await;
            let is_refused = answer.status == StatusCode::FORBIDDEN && answer.json()["reason"] == "ROLE_REQUIRED";
            assert_eq!(is_refused, !roles.contains(&json!(role)), "{role}: {method} {place}: {answer:?}");
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{role}: {place}");
        }
    }
}
