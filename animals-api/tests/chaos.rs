//! Errors, stalls, limits and outages.

mod common;

use std::time::{Duration, Instant};

use animals_api::{Book, ChaosOn, Config, Disconnect, Knobs, RateLimit};
use common::{Zoo, read};

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(50);
/// Long enough to leave in the middle, even on a busy machine.
const LONG: Duration = Duration::from_secs(2);

fn errors(animals: u64) -> Config {
    Config { chaos: 1.0, stall_share: 0.0, ..Config::calm(animals) }
}

fn stalls(stall: Duration) -> Config {
    Config { chaos: 1.0, stall_share: 1.0, stall: stall..=stall, ..Config::calm(100) }
}

fn stalled_posts(count: u64) -> impl FnMut(&Book) -> bool {
    move |book| book.counters().stalls_post >= count
}

#[tokio::test]
async fn sorry_is_a_5xx_and_nothing_was_processed() {
    let zoo = Zoo::open(errors(100));
    let mut statuses = Vec::new();
    for _ in 0..60 {
        let came = zoo.load([1]).await;
        assert_eq!((&*came.text, &*came.kind), ("Sorry!", "text/plain; charset=utf-8"));
        statuses.push(came.status);
    }
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, [500, 502, 503, 504]);
    assert!(zoo.book.accepted().is_empty());
    for path in ["/animals/v1/animals", "/animals/v1/animals/1", "/docs", "/openapi.json", "/nowhere"] {
        assert_eq!(zoo.get(path).await.text, "Sorry!", "{path}");
    }
    assert!(!zoo.book.was_listed(0) && !zoo.book.was_fetched(1));
    let counters = zoo.book.counters();
    assert_eq!((counters.sorry, counters.posts, counters.lists, counters.details, counters.others), (65, 60, 1, 1, 3));
}

#[tokio::test]
async fn hello_and_the_book_never_fail() {
    let zoo = Zoo::open(Config { rate_limit: Some(RateLimit { per_second: 0.001, burst: 1 }), ..errors(10) });
    zoo.server.set_outage(true);
    for path in ["/", "/book", "/book/accepted", "/book/posts", "/book/animals/3", "/book/knobs"] {
        for _ in 0..10 {
            assert_eq!(zoo.get(path).await.status, 200, "{path}");
        }
    }
    assert_eq!(zoo.book.counters().hellos, 10);
}

#[tokio::test]
async fn draws_repeat_by_seed() {
    let sequence = async |seed| {
        let zoo = Zoo::open(Config { chaos: 0.5, stall_share: 0.0, ..Config::seeded(seed) });
        let mut statuses = Vec::new();
        for _ in 0..40 {
            statuses.push(zoo.get("/animals/v1/animals").await.status);
        }
        statuses
    };
    let first = sequence(5).await;
    assert_eq!(first, sequence(5).await);
    assert_ne!(first, sequence(6).await);
}

#[tokio::test]
async fn a_stalled_request_waits_and_is_then_processed() {
    let zoo = Zoo::open(stalls(SHORT));
    let began = Instant::now();
    assert_eq!(zoo.load([1, 2]).await.status, 200);
    assert!(began.elapsed() >= SHORT);
    assert_eq!(zoo.book.accepted(), [1, 2]);
    assert_eq!(zoo.get("/animals/v1/animals/1").await.status, 200);
    let counters = zoo.book.counters();
    assert_eq!((counters.stalls_post, counters.stalls_detail, counters.stalls_list), (1, 1, 0));
    assert_eq!(counters.longest_post_stall_ms, 50);
}

#[tokio::test]
async fn a_client_that_gives_up_and_sends_again_loads_twice() {
    let zoo = Zoo::open(stalls(LONG));
    let impatient = tokio::spawn(zoo.posting(zoo.batch([1, 2])).send());
    zoo.until(stalled_posts(1)).await;
    impatient.abort();
    zoo.until(|book| book.counters().clients_left == 1).await;
    zoo.server.set_chaos(0.0);
    assert_eq!(zoo.load([1, 2]).await.status, 200);
    zoo.until(|book| book.counters().accepted_posts == 2).await;
    assert_eq!(zoo.book.duplicates(), [(1, 2), (2, 2)]);
}

#[tokio::test]
async fn with_drop_a_client_that_leaves_takes_its_request_along() {
    let zoo = Zoo::open(Config { disconnect: Disconnect::Drop, ..stalls(LONG) });
    let impatient = tokio::spawn(zoo.posting(zoo.batch([1, 2])).send());
    zoo.until(stalled_posts(1)).await;
    impatient.abort();
    zoo.until(|book| book.counters().clients_left == 1).await;
    // This stall begins after the dropped one would have, and so it ends after it.
    assert_eq!(zoo.load([3]).await.status, 200);
    assert_eq!(zoo.book.accepted(), [3]);
}

#[tokio::test]
async fn chaos_can_keep_to_posts() {
    let zoo = Zoo::open(Config { chaos_on: ChaosOn::Posts, ..errors(100) });
    assert_eq!(zoo.get("/animals/v1/animals").await.status, 200);
    assert_eq!(zoo.load([1]).await.text, "Sorry!");
}

#[tokio::test]
async fn beyond_the_rate_there_is_429_with_retry_after() {
    // One token an hour: none comes back during the test.
    let limit = RateLimit { per_second: 1.0 / 3600.0, burst: 3 };
    let zoo = Zoo::open(Config { rate_limit: Some(limit), ..Config::calm(100) });
    for page in 1..=3 {
        assert_eq!(zoo.get(&format!("/animals/v1/animals?page={page}")).await.status, 200);
    }
    let response = zoo.posting(zoo.batch([1])).send().await.expect("an answer");
    let after = response.headers().get("retry-after").and_then(|after| after.to_str().ok()?.parse::<u64>().ok());
    assert!(after.is_some_and(|after| (3000..=3600).contains(&after)), "{after:?}");
    assert_eq!(read(response).await.said(), (429, r#"{"detail":"Too Many Requests"}"#));
    assert!(zoo.book.accepted().is_empty());
    assert_eq!(zoo.book.counters().limited, 1);
}

#[tokio::test]
async fn latency_precedes_every_answer() {
    let zoo = Zoo::open(Config { latency: SHORT, jitter: Duration::from_millis(5), ..Config::calm(100) });
    let began = Instant::now();
    assert_eq!(zoo.get("/animals/v1/animals").await.status, 200);
    assert!(began.elapsed() >= SHORT);
    assert_eq!(zoo.book.counters().stalls_list, 0);
}

#[tokio::test]
async fn an_outage_comes_and_goes() {
    let zoo = Zoo::open(Config::calm(100));
    zoo.server.set_outage(true);
    assert_eq!(zoo.load([1]).await.said(), (503, "Sorry!"));
    zoo.server.set_outage(false);
    assert_eq!(zoo.load([1]).await.status, 200);
    zoo.server.set_chaos(1.0);
    zoo.server.turn(|knobs: &mut Knobs| knobs.stall_share = 0.0);
    assert_eq!(zoo.load([1]).await.text, "Sorry!");
    assert_eq!((zoo.book.counters().outage, zoo.book.counters().sorry), (1, 1));
}

#[tokio::test]
async fn a_shutdown_waits_for_no_stall_and_frees_the_port() {
    let zoo = Zoo::open(stalls(Duration::from_secs(3600)));
    let stalled = tokio::spawn(zoo.posting(zoo.batch([1])).send());
    zoo.until(stalled_posts(1)).await;
    let Zoo { server, book, .. } = zoo;
    let addr = server.addr;
    tokio::time::timeout(Duration::from_secs(30), server.shutdown()).await.expect("it stops");
    let came = read(stalled.await.expect("sent").expect("an answer")).await;
    assert_eq!(came.said(), (503, "Sorry!"));
    assert!(book.accepted().is_empty());
    animals_api::Server::start(Config::calm(1), addr).expect("the port is free again");
}

#[tokio::test]
async fn a_taken_port_and_a_senseless_knob_are_errors() {
    let zoo = Zoo::open(Config::calm(1));
    let start = |config, addr| animals_api::Server::start(config, addr).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(start(Config::calm(1), zoo.server.addr), Err(std::io::ErrorKind::AddrInUse));
    let senseless = Config { chaos: 1.5, ..Config::default() };
    assert_eq!(start(senseless, ([127, 0, 0, 1], 0).into()), Err(std::io::ErrorKind::InvalidInput));
}
