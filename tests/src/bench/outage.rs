//! A source that serves nothing for a while in mid-run: what that costs, and how soon the former rate is back.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;
use tokio::time::sleep;

use super::runs::Round;
use super::scene::Api;
use crate::cluster::Cluster;
use crate::http::post;

/// How long it serves nothing.
const OUTAGE: Duration = Duration::from_secs(30);
/// Between two looks at the book.
const LOOK: Duration = Duration::from_millis(500);

/// 60,000 animals at 20 ms each, and an outage of 30 s once a quarter is at home.
///
/// # Errors
/// When the run does not balance, or lost a record.
pub async fn outage(_: usize) -> anyhow::Result<Round> {
    const RECORDS: f64 = 60_000.0;
    let folder = tempfile::tempdir()?;
    let flags = ["--animals", "60000", "--chaos", "0", "--page-size", "1000", "--latency", "20ms"];
    let api = Api::start(folder.path(), &flags).await;
    let cluster = Cluster::start(folder.path()).await;
    let _worker = cluster.worker("w1", &[]);
    let knobs = format!("{}/book/knobs", api.base_url);
    let began = Instant::now();
    let run_id = cluster.start_run("animals", &api.base_url).await;
    let before = rate_until(&api, began, RECORDS / 4.0).await?;
    post(&knobs, &json!({ "outage": true })).await?;
    sleep(OUTAGE).await;
    post(&knobs, &json!({ "outage": false })).await?;
    let back = Instant::now();
    let recovered = recovery(&api, back, before).await?;
    let run = cluster.watch(&run_id).await;
    ensure!(run.verdict.is_some_and(|verdict| verdict.complete && verdict.balanced), "it does not balance");
    let book = api.perfect_book().await?;
    let of = |name: &str| book["counters"][name].as_f64().unwrap_or_default();
    let requests = of("lists") + of("details") + of("posts");
    let needed = RECORDS + RECORDS / 1000.0 + RECORDS / 100.0;
    Ok(vec![
        ("records/s before".to_owned(), before),
        ("s until 95% of that again, from the end of the outage".to_owned(), recovered),
        ("requests per request that was needed".to_owned(), requests / needed),
    ])
}

/// Waits until so many animals are at home, and gives how many came in a second.
async fn rate_until(api: &Api, began: Instant, animals: f64) -> anyhow::Result<f64> {
    loop {
        let accepted = api.book().await?["accepted"].as_f64().unwrap_or_default();
        if accepted >= animals {
            return Ok(accepted / began.elapsed().as_secs_f64());
        }
        sleep(LOOK).await;
    }
}

/// How long until animals come at 95% of a rate again, between two looks; until the end of all when they never do.
async fn recovery(api: &Api, back: Instant, rate: f64) -> anyhow::Result<f64> {
    let mut last = (api.book().await?["accepted"].as_f64().unwrap_or_default(), Instant::now());
    loop {
        sleep(LOOK).await;
        let book = api.book().await?;
        let now = (book["accepted"].as_f64().unwrap_or_default(), Instant::now());
        if (now.0 - last.0) / now.1.duration_since(last.1).as_secs_f64() >= 0.95 * rate || book["missing"]["count"] == 0
        {
            return Ok(back.elapsed().as_secs_f64());
        }
        last = now;
    }
}
