//! Reports: what they say that a run cost is what the stand-in's book says, and they stay the same whatever is killed.

use std::path::Path;
use std::time::Duration;

use animals_api::{Amount, Book, ChaosOn, Config, Server};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::pipelines::{folder, impatient, variant};
use muster_tests::postgres::Postgres;
use muster_tests::process::{Ended, Start};
use muster_tests::turn;
use serde_json::{Value, json};

use crate::{base_url, stand_in};

/// One copy of a GET at a time: a copy that was dropped at once need not have arrived.
const ALONE: (&str, &str) = ("hedge_after: 50ms", "hedge_after: 50ms\n  hedge_copies: 1");

async fn muster(folder: &Path, line: &[&str]) -> Ended {
    Start::muster(folder, line).run().await
}

/// The value in the line of a section and a name, of all rounds.
fn value<'a>(csv: &'a str, section: &str, name: &str) -> &'a str {
    let found = csv.lines().find_map(|line| line.split_once(&format!(",,{section},{name},")).map(|(_, value)| value));
    found.unwrap_or_else(|| panic!("no {name} of {section}: {csv}"))
}

/// What was asked of the stand-in, and what it was sent, as the report has it.
fn assert_as_the_book_has_it(report: &Value, book: &Book) {
    let (costs, counted) = (&report["costs"], book.counters());
    let told = |part: &str, name: &str| costs[part][name].as_u64().unwrap_or_else(|| panic!("{part}.{name}: {costs}"));
    assert_eq!(told("source", "requests"), counted.details, "{costs}");
    assert_eq!(told("deliveries", "announced"), counted.posts, "{costs}");
    let loaded = u64::try_from(book.accepted().len()).expect("few");
    assert_eq!(report["run"]["overall"]["loaded"].as_u64(), Some(loaded));
    assert_eq!(costs["leases_unreported"], 0, "{costs}");
    assert_eq!(report["round_costs"][0]["source"], costs["source"], "one round is all");
}

/// Errors enough for retries, and nothing that leaves anything open.
fn troubled(animals: u64) -> Config {
    let some = Amount::Count;
    Config { chaos: 0.1, stall_share: 0.0, poison: some(3), gone: some(2), malformed: some(4), ..Config::calm(animals) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_says_what_the_book_says() {
    let _turn = turn::light().await;
    let (place, server) = (tempfile::tempdir().expect("a folder"), stand_in(troubled(1_200)));
    let (place, book) = (place.path(), server.book());
    std::fs::write(place.join("alone.yaml"), variant(&[ALONE])).expect("a file");
    let set = base_url(&server);
    let run = muster(place, &["run", "./alone.yaml", "--set", &set, "--db", "my.db", "--json"]).await.with_code(3);
    let id = run.json()["run_id"].as_str().expect("an ID").to_owned();

    let ask = async |line: &[&str]| muster(place, &[line, &["--db", "my.db"]].concat()).await.with_code(0);
    let report = ask(&["report", "latest", "--format", "json"]).await.json();
    assert_as_the_book_has_it(&report, &book);
    let source = &report["costs"]["source"];
    // Each that was asked for again had failed, and none was asked for once more than that.
    let asked: u64 = 1_200;
    assert_eq!(source["retries"].as_u64(), Some(book.counters().details - asked), "{source}");
    assert!(source["retries"].as_u64() > Some(0) && source["bytes_received"].as_u64() > Some(asked), "{source}");
    assert!(source["waited_seconds"].as_f64() > Some(0.0), "retries wait: {source}");
    let failed: u64 =
        report["failures"].as_array().expect("failures").iter().filter_map(|one| one["count"].as_u64()).sum();
    assert_eq!((failed, &report["in_doubt"]), (3 + 4, &json!([])));
    assert_eq!(ask(&["report", &id, "--json"]).await.json(), report);

    let csv = ask(&["report", &id, "--format", "csv"]).await.stdout;
    assert_eq!(value(&csv, "costs", "requests"), source["requests"].to_string());
    assert_eq!(value(&csv, "deliveries", "announced"), book.counters().posts.to_string());
    assert_eq!(value(&csv, "records", "loaded"), book.accepted().len().to_string());
    assert_eq!(value(&csv, "records", "dead_letter"), "7");

    let written = ask(&["report", &id]).await;
    assert!(written.stdout.is_empty() && written.stderr.contains(&format!("{id}.html")), "{written:?}");
    let page = std::fs::read_to_string(place.join(format!("{id}.html"))).expect("the page");
    assert!(page.contains("Complete and balanced") && page.contains("1,200 of 1,200 listed records"), "{page}");
    assert_eq!(ask(&["report", &id, "--output", "-"]).await.stdout, page, "the same each time");
    ask(&["report", &id, "--format", "csv", "--output", "herd.csv"]).await;
    assert_eq!(std::fs::read_to_string(place.join("herd.csv")).expect("values"), csv);
    let nobody = muster(place, &["report", "nobody-1", "--db", "my.db"]).await.with_code(1);
    assert!(nobody.stderr.contains("nobody-1"), "{nobody:?}");
}

/// All that is told of a run, as text.
async fn told(cluster: &Cluster, id: &str) -> [String; 3] {
    let mut all = [const { String::new() }; 3];
    for (one, format) in all.iter_mut().zip(["html", "json", "csv"]) {
        let line = ["report", id, "--format", format, "--output", "-"];
        *one = cluster.command(&line).run().await.with_code(0).stdout;
    }
    all
}

/// A run at a coordinator to its end, and its report, before and after the coordinator was killed.
async fn outlives_its_coordinator(cluster: &mut Cluster, server: &Server, place: &Path) {
    let worker = cluster.worker("w1", &["--concurrency", "8"]);
    let id = cluster.start_run("alone", &server.base_url()).await;
    cluster.watch(&id).await;
    let before = told(cluster, &id).await;
    assert_as_the_book_has_it(&serde_json::from_str(&before[1]).expect("JSON"), &server.book());
    drop(worker);
    cluster.kill().await;
    cluster.restart();
    cluster.serves().await;
    assert_eq!(told(cluster, &id).await, before, "{}", place.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_outlives_its_coordinator() {
    let _turn = turn::light().await;
    let (place, server) = (tempfile::tempdir().expect("a folder"), stand_in(troubled(800)));
    let pipelines = folder(place.path(), "alone", &variant(&[ALONE]));
    let flags = ["--pipelines", pipelines.to_str().expect("a path")];
    let mut cluster = Cluster::with(place.path(), &flags, &[]).await;
    outlives_its_coordinator(&mut cluster, &server, place.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_outlives_its_coordinator_on_postgresql() {
    let _turn = turn::light().await;
    let (place, server) = (tempfile::tempdir().expect("a folder"), stand_in(troubled(800)));
    let pipelines = folder(place.path(), "alone", &variant(&[ALONE]));
    let flags = ["--pipelines", pipelines.to_str().expect("a path")];
    let database = Postgres::start();
    let mut cluster = Cluster::sharing(place.path(), &database.url(), &flags, &[]).await;
    outlives_its_coordinator(&mut cluster, &server, place.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_asked_for_is_known_to_be_missing() {
    let _turn = turn::heavy().await;
    let place = tempfile::tempdir().expect("a folder");
    let latency = Duration::from_millis(20);
    let stall = Duration::from_millis(200)..=Duration::from_millis(600);
    let slow = Config { chaos: 0.5, stall_share: 0.9, chaos_on: ChaosOn::Posts, stall, latency, ..Config::calm(4_000) };
    let server = stand_in(slow);
    let pipelines = folder(place.path(), "impatient", &impatient(4_000, &[ALONE]));
    let cluster = Cluster::with(place.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
    let mut doomed = cluster.worker("doomed", &["--concurrency", "16"]);
    let id = cluster.start_run("impatient", &server.base_url()).await;
    let book = server.book();
    within("POSTs are on their way", book.until(|book| book.counters().stalls_post >= 2)).await;
    doomed.kill().await;
    server.set_chaos(0.0);
    let on_its_way = &told(&cluster, &id).await;
    assert!(on_its_way[0].contains("Not over yet") && on_its_way[0].contains("As of "), "{}", on_its_way[0]);
    let _heir = cluster.worker("heir", &["--concurrency", "16"]);
    cluster.watch(&id).await;
    assert_nothing_lost(&book, &Ledger::read(&cluster.database(), &id));
    let [page, report, _] = told(&cluster, &id).await;
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let (costs, counted) = (&report["costs"], book.counters());
    assert!(costs["leases_unreported"].as_u64() > Some(0) && costs["leases_expired"].as_u64() > Some(0), "{costs}");
    let requests = costs["source"]["requests"].as_u64().expect("a number");
    assert!((1..counted.details).contains(&requests), "{requests} of {}", counted.details);
    assert!(costs["deliveries"]["announced"].as_u64() >= Some(counted.posts), "{costs}, {} POSTs", counted.posts);
    assert!(page.contains("ended without a report"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_for_a_rate_are_told_of_and_two_runs_are_compared() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let place = place.path();
    let servers = [stand_in(Config::calm(60)), stand_in(Config::calm(80))];
    let mut ids = Vec::new();
    for (server, (name, limits)) in servers.iter().zip([
        ("free.yaml", "hedge_after: 50ms\n  hedge_copies: 1"),
        ("paced.yaml", "hedge_after: 50ms\n  hedge_copies: 1\n  rate: 40/s\n  burst: 1"),
    ]) {
        std::fs::write(place.join(name), variant(&[("hedge_after: 50ms", limits)])).expect("a file");
        let set = base_url(server);
        let line = ["run", &format!("./{name}"), "--set", &set, "--db", "my.db", "--json"];
        ids.push(muster(place, &line).await.with_code(0).json()["run_id"].as_str().expect("an ID").to_owned());
    }
    let compare = ["compare", &ids[0], &ids[1], "--db", "my.db"];
    let shown = muster(place, &compare).await.with_code(0).stdout;
    assert!(shown.contains("differ in  revision: ") && shown.contains("base_url: http://127.0.0.1:"), "{shown}");
    let told = muster(place, &[&compare[..], &["--json"]].concat()).await.with_code(0).json();
    assert_eq!(
        (&told["same_pipeline"], &told["same_revision"], &told["same_parameters"]),
        (&json!(true), &json!(false), &json!(false))
    );
    let figure = |name: &str| {
        let figures = told["figures"].as_array().expect("figures").iter();
        figures.clone().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {told}")).clone()
    };
    let loaded = json!({ "name": "loaded", "first": 60, "second": 80, "difference": 20, "percent": 33.3 });
    assert_eq!(figure("loaded"), loaded);
    let [free, paced] = [0, 1].map(|place: usize| servers[place].book().counters());
    let requests = figure("requests");
    assert_eq!((requests["first"].as_u64(), requests["second"].as_u64()), (Some(free.details), Some(paced.details)));
    let waited = figure("waited_seconds");
    assert!(waited["second"].as_f64() > Some(0.0), "80 requests at 40 a second, one at a time: {waited}");
}
