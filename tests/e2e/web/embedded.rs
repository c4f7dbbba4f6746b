//! The dashboard of a run in one process.

use std::time::Duration;

use animals_api::Config;
use muster_tests::deadline::until_some;
use muster_tests::http;
use muster_tests::process::Start;
use muster_tests::turn;

use crate::{base_url, stand_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_one_process_has_a_dashboard_while_it_goes_on() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { latency: Duration::from_secs(3), ..Config::calm(20) });
    let line = ["run", "animals", "--set", &base_url(&server), "--http-listen", "127.0.0.1:0"];
    let mut process = Start::muster(folder.path(), line).start();
    let url = until_some("it says where", async || {
        let said = process.stderr();
        let (_, after) = said.split_once("dashboard at ")?;
        after.split_whitespace().next().filter(|url| url.ends_with('/')).map(str::to_owned)
    })
    .await;
    let id = until_some("the run is there", async || {
        let runs = http::get(&format!("{url}api/v1/runs")).await.expect("runs");
        runs["runs"][0]["run_id"].as_str().map(str::to_owned)
    })
    .await;
    let client = http::client().expect("a client");
    let page = client.get(format!("{url}runs/{id}")).send().await.expect("an answer");
    assert!(page.status().is_success());
    assert!(page.text().await.expect("a page").contains(&id));
    let news = client.get(format!("{url}runs/{id}/live?state=running")).send().await.expect("news");
    server.turn(|knobs| knobs.latency_ms = 0);
    process.ended().await.with_code(0);
    let news = news.text().await.expect("news to their end");
    assert!(news.contains("event: verdict\n") && news.contains("event: turned\ndata: over\n"), "{news}");
    assert!(client.get(&url).send().await.is_err(), "it is still there");
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());

    let open = ["run", "animals", "--http-listen", "0.0.0.0:0"];
    let refused = Start::muster(folder.path(), open).run().await.with_code(2);
    assert!(refused.stderr.contains("reachable from other machines"), "{}", refused.stderr);
}
