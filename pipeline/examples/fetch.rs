//! How long it takes to fetch a herd through chaos, and what it costs.
//!
//! ```sh
//! cargo run --release -p muster-pipeline --example fetch -- CHAOS [LATENCY_MS] [ANIMALS] [SEED]
//! ```
//!
//! Each animal is fetched from the stand-in API, of whose answers the share CHAOS (such as 0.02) is half errors, half
//! stalls of 5 to 15 s; 128 are fetched at once. Records are validated and transformed as a worker does.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, for people at a terminal")]

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use animals_api::{Config, Server};
use futures::{StreamExt, stream};
use muster_pipeline::{Cost, Get, Pipeline, RecordId, Requester, RequesterConfig, built_in};
use tokio::time::Instant;

/// The n-th argument, from 1.
fn argument<T: FromStr>(number: usize, default: T) -> T {
    let given = std::env::args().nth(number);
    given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("argument {number} is no number: {text}")))
}

#[tokio::main]
async fn main() {
    let animals: u32 = argument(3, 5500);
    let config = Config {
        chaos: argument(1, 0.02),
        latency: Duration::from_millis(argument(2, 0)),
        seed: argument(4, 1),
        ..Config::calm(animals.into())
    };
    let server = Server::start(config, ([127, 0, 0, 1], 0).into()).unwrap();
    let pipeline = Pipeline::from_yaml(built_in("animals").unwrap(), "animals").unwrap();
    let parameters = BTreeMap::from([("base_url".to_owned(), server.base_url())]);
    let compiled = pipeline.compile(&parameters).unwrap();
    let requester = Requester::new(pipeline.limits(), &RequesterConfig::default()).unwrap();

    let start = Instant::now();
    let fetch_one = |id: u64| {
        let (requester, compiled) = (&requester, &compiled);
        async move {
            let begun = Instant::now();
            let (body, cost) = requester.get(&compiled.detail_url(&RecordId::from(id)).unwrap(), Get::Detail).await;
            compiled.process(&body.unwrap()).unwrap();
            (begun.elapsed(), cost)
        }
    };
    let mut fetched: Vec<(Duration, Cost)> =
        stream::iter(0..animals.into()).map(fetch_one).buffer_unordered(128).collect().await;
    let took = start.elapsed();

    fetched.sort_by_key(|(took, _)| *took);
    let at = |permille: usize| fetched[(fetched.len() - 1) * permille / 1000].0;
    let requests: u32 = fetched.iter().map(|(_, cost)| cost.attempts + cost.hedges).sum();
    println!("{animals} records in {took:.2?}: {:.0} a second", f64::from(animals) / took.as_secs_f64());
    println!("{:.3} requests for each, of {:?}", f64::from(requests) / f64::from(animals), requester.stats());
    let (median, p95, p99, p999, longest) = (at(500), at(950), at(990), at(999), at(1000));
    println!("each took: median {median:.1?}, 95% {p95:.1?}, 99% {p99:.1?}, 99.9% {p999:.1?}, longest {longest:.1?}");
    server.shutdown().await;
}
