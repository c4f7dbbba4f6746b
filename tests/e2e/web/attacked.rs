//! Attacks in a real browser: a page of another site, and a record that carries a script.

use animals_api::Config;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use muster_tests::browser::Browser;
use muster_tests::deadline::until_some;
use muster_tests::turn;
use serde_json::json;

use super::Site;
use super::forged::{SCRIPT, hostile_source, texts};
use crate::stand_in;

/// A page of another site: frames the dashboard, and has forms of it submitted from frames of its own.
async fn hostile_page(target: &str, id: &str) -> String {
    let page = format!(
        "<!doctype html><title>hostile</title><body>\
         <iframe id=framed src='{target}/runs'></iframe>\
         <iframe name=one></iframe><iframe name=two></iframe>\
         <form id=cancel method=post target=one action='{target}/runs/{id}/cancel'></form>\
         <form id=api method=post target=two enctype='text/plain' action='{target}/api/v1/runs/{id}:cancel'>\
         <input name='{{\"x\":\"' value='\"}}'></form>\
         <script>\
         document.getElementById('cancel').submit(); document.getElementById('api').submit();\
         window.tried = Promise.allSettled([\
           fetch('{target}/api/v1/runs/{id}:cancel', {{ method: 'POST', mode: 'no-cors', body: '{{}}' }}),\
           fetch('{target}/api/v1/runs/{id}:cancel', {{ method: 'POST', headers: {{ 'content-type': 'application/json' }}, body: '{{}}' }}),\
           fetch('{target}/api/v1/runs').then((answer) => answer.text()),\
         ]).then((all) => {{ window.outcomes = all.map((one) => one.status); }});\
         </script>"
    );
    let routes = Router::new().route("/", get(|| async move { Html(page) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    // Another site than 127.0.0.1, for a browser.
    format!("http://localhost:{port}/")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_neither_frames_nor_changes_anything() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(10)));
    let site = Site::start(folder.path()).await;
    let order = json!({ "pipeline": "animals", "parameters": { "base_url": server.base_url() } });
    let id = site.post("/api/v1/runs", &order).await.fine()["run_id"].as_str().expect("an ID").to_owned();
    let browser = Browser::start(folder.path()).await;
    browser.goto(&hostile_page(&site.url(""), &id).await).await;
    let outcomes = until_some("all was tried", async || {
        let outcomes = browser.script("return window.outcomes ?? null").await;
        outcomes.is_array().then_some(outcomes)
    })
    .await;
    // The first is sent without asking; what comes of it the page may not see. The others are not even that.
    assert_eq!((&outcomes[1], &outcomes[2]), (&json!("rejected"), &json!("rejected")), "{outcomes}");
    let mut said = Vec::new();
    until_some("the browser says that it does not frame it", async || {
        said.extend(browser.errors().await);
        said.iter().any(|error| error.contains("frame-ancestors")).then_some(())
    })
    .await;
    let framed = browser.script_in_frame("#framed", "return location.href").await;
    assert!(framed.as_str().is_some_and(|url| url.starts_with("chrome-error:")), "it is framed: {framed}");
    let requests = browser.requests().await;
    let sent = requests.iter().filter(|url| url.contains("cancel")).count();
    assert!(sent >= 3, "the attack was not made: {requests:?}");
    assert_eq!(site.get(&format!("/api/v1/runs/{id}")).await.fine()["state"], "running", "it was cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_carries_a_script_stays_text_in_a_browser() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::with(folder.path(), &["--pipelines", &texts(folder.path())]).await;
    let _worker = site.cluster.worker("<img src=x onerror=\"document.title='taken'\">", &[]);
    let order = json!({ "pipeline": "texts", "parameters": { "base_url": hostile_source().await } });
    let id = site.post("/api/v1/runs", &order).await.fine()["run_id"].as_str().expect("an ID").to_owned();
    let browser = Browser::start(folder.path()).await;
    browser.goto(&site.url(&format!("/runs/{id}"))).await;
    browser.wait_for_text("#part-state .badge", |text| text == "finished" || text == "paused").await;
    browser.goto(&site.url(&format!("/runs/{id}/record"))).await;
    browser.write("#record", SCRIPT).await;
    browser.click("form.search button").await;
    let story = browser.wait_for_text(".story", |text| !text.is_empty()).await;
    assert!(story.contains("<script>document.title='taken'</script>"), "{story}");
    for page in [format!("/runs/{id}"), format!("/runs/{id}/dead-letters"), "/workers".to_owned()] {
        browser.goto(&site.url(&page)).await;
        assert!(browser.title().await.ends_with("Muster"), "{page}: {}", browser.title().await);
        assert!(browser.find("main img, main script").await.is_none(), "{page} has an element of the record's");
    }
    let errors = browser.errors().await;
    assert!(errors.is_empty(), "{errors:?}");
    // Were it one after all, the policy would not let it run.
    let ran = browser
        .script(
            "const script = document.createElement('script'); script.textContent = 'window.ran = true'; document.body.append(script); \
             const image = document.createElement('div'); image.innerHTML = `<img src=x onerror=\"window.ran = true\">`; document.body.append(image); \
             let violations = 0; \
             return new Promise((done) => { document.addEventListener('securitypolicyviolation', () => { if (++violations === 2) done(window.ran ?? false); }); \
             setTimeout(() => done(`${violations} violations were told`), 20000); });",
        )
        .await;
    assert_eq!(ran, false);
}
