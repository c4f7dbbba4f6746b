//! A run amid chaos, scraped.

use std::time::Duration;

use animals_api::{Amount, Config};
use muster_telemetry::metrics::names::By;
use muster_tests::cluster::{Cluster, free_port};
use muster_tests::deadline::{until_some, within};
use muster_tests::http;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::pipelines::{folder, impatient};
use muster_tests::postgres::Postgres;
use muster_tests::process::Start;
use muster_tests::prometheus::Prometheus;
use muster_tests::turn;

use super::files::{deployed, questions, selectors};
use super::page::{assert_known, expected, read};
use crate::{SHORT, stand_in};

/// Records of these outcomes, whichever coordinators say so.
fn records(run_id: &str, outcomes: &str) -> String {
    format!(
        "sum(max by (muster_outcome) (muster_run_records{{muster_run_id=\"{run_id}\",muster_outcome=~\"{outcomes}\"}}))"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_has_a_run_as_the_book_has_it_and_whatever_the_dashboards_ask_for() {
    let _turn = turn::heavy().await;
    let place = tempfile::tempdir().expect("a folder");
    let some = Amount::Fraction;
    let troubled = Config { poison: some(0.005), gone: some(0.004), malformed: some(0.003), ..Config::calm(4_000) };
    let chaos = Config { chaos: 0.05, stall: SHORT, page_size: 100, latency: Duration::from_millis(100), ..troubled };
    let server = stand_in(chaos);
    let [coordinator, first, second] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
    // What a worker leaves in doubt is sent again soon.
    let pipelines = folder(place.path(), "impatient", &impatient(4_000, &[]));
    let flags = ["--http-listen", &coordinator, "--pipelines", pipelines.to_str().expect("a path")];
    let cluster = Cluster::with(place.path(), &flags, &[]).await;
    let worker = |name, address: &str| cluster.worker(name, &["--concurrency", "16", "--http-listen", address]);
    let (mut doomed, _kept) = (worker("first", &first), worker("second", &second));
    let jobs: [(&str, &[&str]); 2] = [("muster-coordinator", &[&coordinator]), ("muster-worker", &[&first, &second])];
    let prometheus = Prometheus::scraping(place.path(), &jobs, &deployed("prometheus/alerts.yml")).await;

    let run_id = cluster.start_run("impatient", &server.base_url()).await;
    let book = server.book();
    within("some are home", book.until(|book| book.counters().accepted_animals > 300)).await;
    let some_loaded = async || prometheus.number(&records(&run_id, "loaded")).await.filter(|loaded| *loaded > 0.0);
    until_some("Prometheus sees the run move", some_loaded).await;
    // Its leases run out: that is counted, and its batches go to the other one.
    doomed.kill().await;
    cluster.watch(&run_id).await;

    assert_nothing_lost(&book, &Ledger::read(&cluster.database(), &run_id));
    let by_the_book = [
        ("loaded", book.accepted().len()),
        ("gone", book.gone().len()),
        // One that the target refuses after a doubt about it stays in doubt.
        ("dead_letter|in_doubt", book.poison().len() + book.malformed().len()),
        ("pending", 0),
    ];
    for (outcome, count) in by_the_book {
        until_some(&format!("{outcome} is {count}"), async || {
            let seen = prometheus.number(&records(&run_id, outcome)).await?;
            (seen == count as f64).then_some(())
        })
        .await;
    }
    assert!(prometheus.number("sum(muster_leases_expired_total)").await > Some(0.0), "nobody saw a lease run out");

    assert_known(&read(place.path(), &coordinator).await, By::Coordinator);
    assert_known(&read(place.path(), &second).await, By::Worker);
    for (job, by) in [("muster-coordinator", By::Coordinator), ("muster-worker", By::Worker)] {
        for name in expected(by) {
            let seen = prometheus.ask(&format!("count_over_time({name}{{job=\"{job}\"}}[30m])")).await.expect("a name");
            assert!(!seen.is_empty(), "{by:?} never showed {name}");
        }
    }

    for (panel, question) in questions() {
        let question = [("$run", run_id.as_str()), ("$__rate_interval", "30m"), ("$__range", "30m")]
            .iter()
            .fold(question, |question, (variable, value)| question.replace(variable, value));
        prometheus.ask(&question).await.unwrap_or_else(|error| panic!("{panel}: {error}"));
        let read = selectors(&question);
        assert!(!read.is_empty(), "{panel}: {question} reads nothing of ours");
        for selector in read {
            let found = prometheus.ask(&format!("count_over_time({selector}[30m])")).await.expect("a selector");
            assert!(!found.is_empty(), "{panel}: there is no {selector}");
        }
    }
    for rule in prometheus.rules().await {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

/// The value of the one series on a page whose line begins so.
async fn shown(address: &str, series: &str) -> Option<f64> {
    let answer = http::client().expect("a client").get(format!("http://{address}/metrics")).send().await;
    let page = answer.expect("an answer").bytes().await.expect("a body");
    let page = String::from_utf8_lossy(&page).into_owned();
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinators_on_one_postgresql_show_the_same_of_a_run() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let (server, database) = (stand_in(Config { page_size: 100, ..Config::calm(500) }), Postgres::start());
    let addresses = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let mut coordinators = Vec::new();
    for address in &addresses {
        coordinators.push(Cluster::sharing(place.path(), &database.url(), &["--http-listen", address], &[]).await);
    }
    let _worker = coordinators[1].worker("w", &[]);
    let run_id = coordinators[0].start_run("animals", &server.base_url()).await;
    coordinators[0].watch(&run_id).await;
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
    let loaded = format!(
        "muster_run_records{{muster_outcome=\"loaded\",muster_pipeline=\"animals\",muster_run_id=\"{run_id}\"}}"
    );
    let commits = "muster_store_commit_duration_seconds_count{db_system_name=\"postgresql\"}";
    for address in &addresses {
        // What was read is good for a second.
        until_some("all are loaded", async || shown(address, &loaded).await.filter(|loaded| *loaded == 500.0)).await;
        assert!(shown(address, commits).await > Some(0.0), "{address} committed nothing");
    }
}

#[tokio::test]
async fn a_worker_shows_its_metrics_to_others_only_when_that_is_said_aloud() {
    let place = tempfile::tempdir().expect("a folder");
    let line = ["worker", "--coordinator", "http://127.0.0.1:9", "--http-listen", "0.0.0.0:0"];
    let refused = Start::muster(place.path(), line).run().await.with_code(2).stderr;
    assert!(refused.contains("--http-listen") && refused.contains("--insecure"), "{refused}");
}
