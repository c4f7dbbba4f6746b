//! What one bare process does with an HTTP client and typed structs: no schema, no ledger, no coordinator, retries barely. A
//! benchmark's yardstick: it says in JSON what it did.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};

/// Bring all animals home as fast as one bare process can
#[derive(Debug, Parser)]
struct Flags {
    /// Where the animals API is
    #[arg(long)]
    base_url: String,
    /// Animals read at once
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
    /// Seconds after which a GET is given up and asked again
    #[arg(long, default_value_t = 3.0)]
    give_up: f64,
    /// Threads that serve the requests
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Pages read, and POSTs sent, at once.
const AT_ONCE: usize = 16;
const BATCH: usize = 100;
/// Above the longest stall of the API.
const POST_TIMEOUT: Duration = Duration::from_secs(25);
const TRIES: u32 = 50;

#[derive(Deserialize)]
struct Page {
    total_pages: u64,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    id: u64,
}

#[derive(Deserialize)]
struct Animal {
    id: u64,
    name: String,
    born_at: Option<i64>,
    friends: String,
}

#[derive(Serialize)]
struct Home<'a> {
    id: u64,
    name: &'a str,
    born_at: Option<String>,
    friends: Vec<&'a str>,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(flags.threads).enable_all().build()?;
    runtime.block_on(run(flags))
}

struct Api {
    client: Client,
    base_url: String,
    give_up: Duration,
}

impl Api {
    /// The body of a 200; whatever else comes is asked for again.
    async fn get(&self, path: &str) -> anyhow::Result<bytes::Bytes> {
        let url = format!("{}{path}", self.base_url);
        for _ in 0..TRIES {
            let answer = async {
                let answer = self.client.get(&url).timeout(self.give_up).send().await?;
                let status = answer.status();
                Ok::<_, reqwest::Error>((status, answer.bytes().await?))
            };
            if let Ok((StatusCode::OK, body)) = answer.await {
                return Ok(body);
            }
        }
        bail!("{url} does not answer in {TRIES} tries")
    }

    async fn page(&self, page: u64) -> anyhow::Result<Page> {
        Ok(serde_json::from_slice(&self.get(&format!("/animals/v1/animals?page={page}")).await?)?)
    }

    async fn animal(&self, id: u64) -> anyhow::Result<Animal> {
        Ok(serde_json::from_slice(&self.get(&format!("/animals/v1/animals/{id}")).await?)?)
    }

    async fn post(&self, animals: Vec<Animal>) -> anyhow::Result<usize> {
        let homes = animals.iter().map(home).collect::<anyhow::Result<Vec<_>>>()?;
        let body = bytes::Bytes::from(serde_json::to_vec(&homes)?);
        let url = format!("{}/animals/v1/home", self.base_url);
        for _ in 0..TRIES {
            let request = self.client.post(&url).header("content-type", "application/json").timeout(POST_TIMEOUT);
            if let Ok(answer) = request.body(body.clone()).send().await
                && answer.status().is_success()
            {
                answer.bytes().await?;
                return Ok(animals.len());
            }
        }
        bail!("a batch is not taken in {TRIES} tries")
    }
}

fn home(animal: &Animal) -> anyhow::Result<Home<'_>> {
    let born_at = match animal.born_at {
        Some(millis) => Some(Timestamp::from_millisecond(millis)?.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()),
        None => None,
    };
    let friends = animal.friends.split(',').filter(|friend| !friend.is_empty()).collect();
    Ok(Home { id: animal.id, name: &animal.name, born_at, friends })
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
async fn run(flags: Flags) -> anyhow::Result<()> {
    let client = muster_tests::http::client()?;
    let give_up = Duration::from_secs_f64(flags.give_up);
    let api = Arc::new(Api { client, base_url: flags.base_url, give_up });
    let began = Instant::now();
    let first = api.page(1).await?;
    let pages = first.total_pages;
    let later = stream::iter(2..=pages).map(|page| api.page(page)).buffer_unordered(AT_ONCE);
    let listed = stream::iter([Ok(first)]).chain(later);
    let ids = listed.map_ok(|page| stream::iter(page.items.into_iter().map(|item| anyhow::Ok(item.id)))).try_flatten();
    // Each in a task of its own, so that all threads have their share.
    let read = ids.map_ok(|id| {
        let api = Arc::clone(&api);
        async move { tokio::spawn(async move { api.animal(id).await }).await.context("a task")? }
    });
    let animals = read.try_buffer_unordered(flags.in_flight);
    let sent = animals.try_chunks(BATCH).map_err(|error| error.1).map_ok(|batch| {
        let api = Arc::clone(&api);
        async move { tokio::spawn(async move { api.post(batch).await }).await.context("a task")? }
    });
    let records: usize = sent.try_buffer_unordered(AT_ONCE).try_fold(0, async |sum, sent| Ok(sum + sent)).await?;
    ensure!(records > 0, "there are no animals");
    println!("{}", serde_json::json!({ "records": records, "seconds": began.elapsed().as_secs_f64() }));
    Ok(())
}
