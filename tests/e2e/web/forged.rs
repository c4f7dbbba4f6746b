//! Requests that a browser was made to send, and records that would like to be more than text.

use animals_api::Config;
use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use muster_tests::deadline::until_some;
use muster_tests::pipelines::{folder as pipeline_folder, variant};
use muster_tests::turn;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Site;
use crate::stand_in;

type Headers<'a> = &'a [(&'a str, &'a str)];

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_changes_nothing_and_shows_nothing() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(10)));
    let site = Site::start(folder.path()).await;
    let order = json!({ "pipeline": "animals", "parameters": { "base_url": server.base_url() } });
    let id = site.post("/api/v1/runs", &order).await.fine()["run_id"].as_str().expect("an ID").to_owned();
    let form: Headers<'_> = &[("content-type", "application/x-www-form-urlencoded")];
    let plain: Headers<'_> = &[("content-type", "text/plain")];
    let json_body: Headers<'_> = &[("content-type", "application/json")];
    let changes = [
        (Method::POST, format!("/runs/{id}/cancel"), "", form),
        (Method::POST, format!("/runs/{id}/delete"), "", form),
        (Method::POST, "/runs/new".to_owned(), "pipeline=animals", form),
        (Method::POST, "/sign-in".to_owned(), "token=x", form),
        (Method::POST, "/sign-out".to_owned(), "", form),
        (Method::POST, format!("/api/v1/runs/{id}:cancel"), "{}", json_body),
        (Method::POST, "/api/v1/runs".to_owned(), "{\"pipeline\":\"animals\"}", plain),
        (Method::DELETE, format!("/api/v1/runs/{id}"), "", plain),
    ];
    let own = site.url("");
    let forged: [Headers<'_>; 7] = [
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        // Another port of the same host is another origin of the same site.
        &[("origin", "http://127.0.0.1:1"), ("sec-fetch-site", "same-site")],
        &[("cookie", "muster=x")],
        &[("origin", &own), ("sec-fetch-site", "cross-site")],
    ];
    for (method, path, body, kind) in &changes {
        for headers in forged {
            let answer = site.ask(method.clone(), path, Some(body), &[*kind, headers].concat()).await;
            assert_eq!(
                (answer.status, &answer.json()["reason"]),
                (StatusCode::FORBIDDEN, &json!("CROSS_SITE")),
                "{path} {headers:?}"
            );
        }
    }
    let run = site.get(&format!("/api/v1/runs/{id}")).await.fine();
    assert_eq!(run["state"], "running", "it was changed");
    assert_eq!(site.get("/api/v1/runs").await.fine()["runs"].as_array().map(Vec::len), Some(1), "one was started");

    let into_a_page: Headers<'_> =
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")];
    for path in ["/api/v1/runs".to_owned(), format!("/runs/{id}"), format!("/runs/{id}/live")] {
        let answer = site.ask(Method::GET, &path, None, into_a_page).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    let link: Headers<'_> =
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(site.ask(Method::GET, &format!("/runs/{id}"), None, link).await.status, StatusCode::OK);
    let own_form = site.submit(&format!("/runs/{id}/cancel"), "").await;
    assert_eq!((own_form.status, own_form.header("location")), (StatusCode::SEE_OTHER, format!("/runs/{id}").as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_pointed_here_by_somebody_else_is_not_answered() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::with(folder.path(), &["--http-host", "muster.example.org,other.example"]).await;
    let (_, port) = site.address.split_once(':').expect("a port");
    for path in ["/runs", "/api/v1/runs", "/api/v1/openapi.json", "/sign-in", "/nothing"] {
        for hostile in
            ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "muster.example.org.evil.example"]
        {
            let host = format!("{hostile}:{port}");
            let answer = site.ask(Method::GET, path, None, &[("host", &host)]).await;
            assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{path} {host}");
            assert!(answer.text.contains(&format!("--http-host {hostile}")), "{}", answer.text);
        }
    }
    for ours in ["localhost", "127.0.0.1", "[::1]", "muster.example.org", "MUSTER.example.org", "other.example"] {
        let answer = site.ask(Method::GET, "/runs", None, &[("host", &format!("{ours}:{port}"))]).await;
        assert_eq!(answer.status, StatusCode::OK, "{ours}");
    }
    // What asks whether it is well calls it by whatever address it has.
    assert_eq!(site.ask(Method::GET, "/readyz", None, &[("host", "pod.of.a.cluster")]).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_that_it_is_not_to_be_framed_and_runs_its_own_files_only() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::start(folder.path()).await;
    let page = site.get("/runs").await;
    let stylesheet =
        page.text.split('"').find(|part| part.starts_with("/assets/style-")).expect("a style sheet").to_owned();
    for path in
        ["/", "/runs", "/runs/nothing", "/nothing", "/pipelines/animals", "/api/v1/runs", "/api/v1/x", &stylesheet]
    {
        let answer = site.get(path).await;
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
        let kept = answer.header("cache-control");
        assert_eq!(kept.contains("immutable"), path.starts_with("/assets/"), "{path}: {kept}");
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:", "<script>"] {
            assert!(path.starts_with("/assets/") || !answer.text.contains(inline), "{path}: {inline}");
        }
    }
    let file = site.get(&stylesheet).await;
    let again = site.ask(Method::GET, &stylesheet, None, &[("if-none-match", file.header("etag"))]).await;
    assert_eq!((file.status, again.status, again.text.as_str()), (StatusCode::OK, StatusCode::NOT_MODIFIED, ""));
}

/// What a record would like to be.
pub(super) const SCRIPT: &str = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">";

/// A source whose one record has a script for its ID, and is refused by the target with another.
pub(super) async fn hostile_source() -> String {
    let list = || async { axum::Json(json!({ "items": [{ "id": SCRIPT }], "page": 1, "total_pages": 1 })) };
    let detail = |Path(id): Path<String>| async move {
        axum::Json(json!({ "id": id, "name": SCRIPT, "born_at": null, "friends": SCRIPT }))
    };
    let home = || async { (axum::http::StatusCode::UNPROCESSABLE_ENTITY, format!("no \"{SCRIPT}\" here")) };
    let routes = Router::new()
        .route("/animals/v1/animals", get(list))
        .route("/animals/v1/animals/{id}", get(detail))
        .route("/animals/v1/home", post(home));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, crate::unreliable(routes)).await });
    format!("http://{address}")
}

/// A pipeline that takes such records.
pub(super) fn texts(folder: &std::path::Path) -> String {
    let text = variant(&[("id: { type: integer }", "id: { type: string }")]);
    pipeline_folder(folder, "texts", &text).to_str().expect("a path").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_carries_a_script_is_shown_as_text() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::with(folder.path(), &["--pipelines", &texts(folder.path())]).await;
    let _worker = site.cluster.worker("<script>w</script>", &[]);
    let order = json!({ "pipeline": "texts", "parameters": { "base_url": hostile_source().await } });
    let id = site.post("/api/v1/runs", &order).await.fine()["run_id"].as_str().expect("an ID").to_owned();
    until_some("the record is a dead letter, or its run paused", async || {
        let run: Value = site.get(&format!("/api/v1/runs/{id}")).await.fine();
        (run["state"] == "finished" || run["state"] == "paused").then_some(())
    })
    .await;
    let quoted = serde_json::to_string(SCRIPT).expect("text");
    let encoded: String = quoted.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let story = format!("/runs/{id}/record?id={encoded}");
    let mut shown = 0;
    for path in
        ["/runs".to_owned(), format!("/runs/{id}"), format!("/runs/{id}/dead-letters"), story, "/workers".to_owned()]
    {
        let page = site.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {page:?}");
        for raw in ["<script>d", "<script>w", "<img src=x", "onerror=\"d"] {
            assert!(!page.text.contains(raw), "{path} has {raw}:\n{}", page.text);
        }
        shown += page.text.matches("&#60;script&#62;").count() + page.text.matches("&lt;script&gt;").count();
    }
    assert!(shown >= 3, "it was not shown at all");
}
