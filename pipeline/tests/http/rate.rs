//! A host that takes so many requests per second, and a pipeline that keeps to that.

use std::time::Duration;

use animals_api::{ChaosOn, Config, Counters, RateLimit, Server};
use muster_pipeline::{Get, Limits, Rate, Requester, RequesterConfig, RequesterStats};

const RATE: u32 = 150;

/// Reads all records of a host with that limit, which has its troubles too; what the host and what the requester counted.
async fn read_all(records: u64, rate: Option<Rate>) -> (Counters, RequesterStats) {
    let stall = Duration::from_millis(700)..=Duration::from_millis(1_000);
    // What the way there bunches together is no fault of the requester.
    let rate_limit = Some(RateLimit { per_second: f64::from(RATE), burst: 20 });
    let troubled = Config { chaos: 0.25, chaos_on: ChaosOn::Reads, stall, rate_limit, ..Config::calm(records) };
    let server = Server::start(troubled, ([127, 0, 0, 1], 0).into()).unwrap();
    let limits = Limits {
        rate,
        // As often as it likes: what is not sent for other reasons proves nothing.
        retry_budget: 1.0,
        get_attempts: 100,
        backoff: Duration::from_millis(1),
        ..Limits::default()
    };
    let requester = Requester::new(&limits, &RequesterConfig::default()).unwrap();
    let all = (0..records).map(|id| {
        let url = format!("{}/animals/v1/animals/{id}", server.base_url()).parse().unwrap();
        let requester = &requester;
        async move { requester.get(&url, Get::Detail).await.0.unwrap() }
    });
    futures::future::join_all(all).await;
    (server.book().counters(), requester.stats())
}

#[tokio::test]
async fn a_host_with_a_limit_has_hardly_anything_to_refuse() {
    let rate = Rate { requests: RATE, per: Duration::from_secs(1), burst: 1 };
    let (host, own) = read_all(250, Some(rate)).await;
    assert!(own.retries > 20 && own.hedges > 2, "neither retries nor hedges to speak of: {own:?}");
    assert!(host.details >= 250 + own.retries, "{host:?}, {own:?}");
    assert!(host.limited * 50 <= host.details, "{} of {} requests were too many", host.limited, host.details);

    let (host, own) = read_all(60, None).await;
    assert!(host.limited * 50 > host.details, "without a rate nothing was too many: {host:?}, {own:?}");
}
