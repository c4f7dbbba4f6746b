//! A run by plain HTTP, from its start to its verdict; the book is the judge.

use animals_api::{Amount, Config};
use muster_tests::turn;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Site;
use crate::stand_in;

/// The data of server-sent events of a name.
fn events<'a>(text: &'a str, name: &'a str) -> Vec<Value> {
    let blocks = text.split("\n\n").filter(|block| block.starts_with(&format!("event: {name}\n")));
    let data = blocks.filter_map(|block| block.lines().find_map(|line| line.strip_prefix("data: ")));
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

/// The report is the same file from the dashboard and from the command, and the same JSON.
async fn assert_report_is_the_commands(site: &Site, id: &str) {
    let command = async |format: &str| {
        let line = ["report", id, "--format", format, "--output", "-"];
        site.cluster.command(&line).run().await.with_code(0).stdout
    };
    let report = site.get(&format!("/api/v1/runs/{id}/report")).await.fine();
    assert_eq!(report, serde_json::from_str::<Value>(&command("json").await).expect("JSON"));
    assert_eq!((&report["failures"][0]["count"], &report["costs"]["records"]), (&json!(3), &json!(500)));
    for (ending, kind) in [("html", "text/html"), ("csv", "text/csv")] {
        let file = site.get(&format!("/runs/{id}/report.{ending}")).await;
        assert!(file.status.is_success() && file.kind.starts_with(kind), "{file:?}");
        assert_eq!(file.header("content-disposition"), format!("attachment; filename=\"{id}.{ending}\""));
        assert_eq!(file.text, command(ending).await, "the {ending}");
    }
    assert_eq!(site.get("/runs/nobody-1/report.html").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_watched_and_judged_by_plain_http() {
    let _turn = turn::light().await;
    let (folder, server) =
        (tempfile::tempdir().expect("a folder"), stand_in(Config { poison: Amount::Count(3), ..Config::calm(500) }));
    let site = Site::start(folder.path()).await;
    let _worker = site.cluster.worker("w1", &[]);
    let order = json!({ "pipeline": "animals", "parameters": { "base_url": server.base_url() }, "request_id": "r-1" });
    let started = site.post("/api/v1/runs", &order).await.fine();
    let id = started["run_id"].as_str().expect("an ID").to_owned();
    assert_eq!(site.post("/api/v1/runs", &order).await.fine()["run_id"], id.as_str(), "the same request, the same run");

    let followed = site.get(&format!("/api/v1/runs/{id}/events")).await;
    assert_eq!(followed.kind, "text/event-stream");
    let told = events(&followed.text, "run");
    let last = told.last().expect("an event");
    assert_eq!((&last["state"], &last["verdict"]["complete"]), (&json!("finished"), &json!(true)));

    let command = async |line: &[&str]| site.cluster.command(line).run().await.json();
    let run = site.get(&format!("/api/v1/runs/{id}")).await.fine();
    assert_eq!(run, command(&["show", &id, "--json"]).await, "the API and the command tell the same");
    assert_eq!((&run["overall"]["loaded"], &run["overall"]["dead_letter"]), (&json!(497), &json!(3)));
    let verdict = site.get(&format!("/api/v1/runs/{id}/verdict")).await.fine();
    assert_eq!(verdict["verdict"]["counts"], run["verdict"]["counts"]);

    let letters = site.get(&format!("/api/v1/runs/{id}/dead-letters?page_size=2&stage=load")).await.fine();
    assert_eq!(letters["dead_letters"].as_array().map(Vec::len), Some(2));
    assert_eq!(letters["groups"][0]["count"], 3);
    let token = letters["next_page_token"].as_str().expect("a token");
    let rest = site.get(&format!("/api/v1/runs/{id}/dead-letters?page_size=2&page_token={token}")).await.fine();
    assert_eq!((rest["dead_letters"].as_array().map(Vec::len), &rest["next_page_token"]), (Some(1), &json!("")));
    let dead = letters["dead_letters"][0]["record_id"].as_str().expect("an ID").to_owned();
    let story = site.get(&format!("/api/v1/runs/{id}/records/{dead}")).await.fine();
    assert_eq!(story["stories"][0]["exception"]["stage"], "load");
    let ledger = site.get(&format!("/api/v1/runs/{id}/ledger")).await;
    let rows: Vec<Value> = ledger.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((rows.len(), rows.iter().filter(|row| row["state"] == "dead_letter").count()), (500, 3));

    assert_report_is_the_commands(&site, &id).await;
    let would = json!({ "dry_run": true });
    assert_eq!(site.post(&format!("/api/v1/runs/{id}:redrive"), &would).await.fine()["records"], 3);
    let redriven = site.post(&format!("/api/v1/runs/{id}:redrive"), &json!({ "stage": "load" })).await.fine();
    assert_eq!((&redriven["records"], &redriven["run"]["round"]), (&json!(3), &json!(2)));
    let over = events(&site.get(&format!("/api/v1/runs/{id}/events")).await.text, "run").pop().expect("an event");
    assert_eq!((&over["state"], over["rounds"].as_array().map(Vec::len)), (&json!("finished"), Some(2)));
    let gone = site.ask(Method::DELETE, &format!("/api/v1/runs/{id}"), None, &[]).await;
    assert_eq!((gone.status, gone.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(site.get(&format!("/api/v1/runs/{id}")).await.json()["reason"], "RUN_UNKNOWN");
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_paused_resumed_shared_and_cancelled_by_plain_http() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(300)));
    let site = Site::start(folder.path()).await;
    let order = json!({ "pipeline": "animals", "parameters": { "base_url": server.base_url() } });
    let id = site.post("/api/v1/runs", &order).await.fine()["run_id"].as_str().expect("an ID").to_owned();
    let verb = async |verb: &str, body: Value| site.post(&format!("/api/v1/runs/{id}:{verb}"), &body).await;
    let paused = verb("pause", json!({ "reason": "lunch" })).await.fine();
    assert_eq!((&paused["state"], &paused["state_reason"]), (&json!("paused"), &json!("lunch")));
    assert_eq!(verb("resume", json!({})).await.fine()["state"], "running");
    assert_eq!(verb("share", json!({ "share": { "weight": 300 } })).await.fine()["share"]["weight"], 300);
    let early = verb("redrive", json!({})).await;
    assert_eq!((early.status, &early.json()["reason"]), (StatusCode::CONFLICT, &json!("RUN_NOT_OVER")));
    verb("cancel", json!({})).await.fine();
    let followed = site.get(&format!("/api/v1/runs/{id}/events")).await;
    assert_eq!(events(&followed.text, "run").last().expect("an event")["state"], "cancelled");
    assert_eq!(server.book().counters().posts, 0, "nobody was there to send anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_a_problem_with_its_reason() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::start(folder.path()).await;
    let refused = async |method: Method, path: &str, body: Option<&str>, status: u16, reason: &str, words: &str| {
        let answer = site.ask(method, path, body, &[("content-type", "application/json")]).await;
        let problem = answer.json();
        assert_eq!((answer.status.as_u16(), answer.kind.as_str()), (status, "application/problem+json"), "{answer:?}");
        assert_eq!((&problem["status"], &problem["reason"]), (&json!(status), &json!(reason)), "{path}");
        assert!(problem["detail"].as_str().expect("words").contains(words), "{problem}");
        answer
    };
    let head = site.ask(Method::HEAD, "/api/v1/runs", None, &[]).await;
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
    let (get, post) = (Method::GET, Method::POST);
    refused(get.clone(), "/api/v1/runs/x", None, 404, "RUN_UNKNOWN", "there is no run \"x\"").await;
    refused(get.clone(), "/api/v1/runs?page_token=x", None, 400, "PAGE_TOKEN_INVALID", "next_page_token").await;
    refused(get.clone(), "/api/v1/runs?page_size=-1", None, 400, "PAGE_SIZE_INVALID", "page_size").await;
    refused(get.clone(), "/api/v1/runs?page_size=x", None, 400, "REQUEST_INVALID", "page_size must be a whole").await;
    refused(get.clone(), "/api/v1/runs?size=1", None, 400, "REQUEST_INVALID", "there are: page_size, page_token").await;
    refused(get.clone(), "/api/v1/nothing", None, 404, "", "openapi.json").await;
    let runs = "/api/v1/runs";
    refused(post.clone(), runs, Some("{"), 400, "REQUEST_INVALID", "no JSON").await;
    refused(post.clone(), runs, Some("[]"), 400, "REQUEST_INVALID", "must be an object").await;
    refused(post.clone(), runs, Some("{\"pipelin\":\"x\"}"), 400, "REQUEST_INVALID", "\"pipelin\"").await;
    refused(post.clone(), runs, Some("{\"pipeline\":\"x\"}"), 404, "PIPELINE_UNKNOWN", "it knows: animals").await;
    let parameter = "{\"pipeline\":\"animals\",\"parameters\":{\"base_url\":\"no url\"}}";
    refused(post.clone(), runs, Some(parameter), 400, "PARAMETER_INVALID", "base_url").await;
    refused(post.clone(), "/api/v1/runs/x:pause", Some("{\"run_id\":\"y\"}"), 400, "REQUEST_INVALID", "the path").await;
    refused(post.clone(), runs, Some(&"x".repeat(2 << 20)), 413, "", "1024 KiB").await;
    let other = refused(Method::PUT, runs, None, 405, "", "it takes POST, GET").await;
    assert_eq!(other.header("allow"), "POST, GET");
    let form = site.ask(post, runs, Some("pipeline=animals"), &[("content-type", "text/plain")]).await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
