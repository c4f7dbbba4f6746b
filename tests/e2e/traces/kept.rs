//! Which traces are exported: those that the ratio picks, and always those of batches with trouble.

use std::collections::HashSet;
use std::time::Duration;

use animals_api::{Amount, ChaosOn, Config};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::otlp::{By, Receiver};
use muster_tests::pipelines::{impatient, variant};
use muster_tests::process::Signal;
use muster_tests::turn;
use serde_json::Value;

use super::{Scene, batches, borrowed};
use crate::stand_in;

const SMALL: (&str, &str) = ("max_batch: 100", "max_batch: 20");

fn strings(told: &Value, list: &str, name: &str) -> Vec<String> {
    let all = told[list].as_array().unwrap_or_else(|| panic!("no {list} in {told}"));
    all.iter().map(|one| one[name].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_ratio_zero_the_batches_with_dead_letters_arrive_whole_and_no_others() {
    let _turn = turn::light().await;
    let (poison, malformed) = (Amount::Count(1), Amount::Count(2));
    let server = stand_in(Config { poison, malformed, page_size: 100, ..Config::calm(1_000) });
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(folder.path()).await;
    let env = receiver.env_at(By::Http, "0");
    let mut scene = Scene::play(folder.path(), &server, &variant(&[SMALL]), &env).await;
    let letters = scene.asks("dead-letters").await;
    let first = letters["dead_letters"][0]["record_id"].as_str().expect("an ID").to_owned();
    let story = scene.cluster.command(&["record", &scene.run_id, &first, "--json"]).run().await.with_code(0).json();
    let spoken = scene.cluster.command(&["record", &scene.run_id, &first]).run().await.with_code(0).stdout;
    scene.end().await;

    let told: HashSet<String> = strings(&letters, "dead_letters", "trace_id").into_iter().collect();
    let came: HashSet<String> = batches(&receiver).into_iter().map(|batch| batch.trace).collect();
    assert_eq!(told, came, "a dead letter leads to its trace, and nothing else was exported");
    assert!(strings(&letters, "groups", "sample_trace_id").iter().all(|trace| told.contains(trace)), "{letters}");
    let lease = &story["stories"][0]["leases"][0];
    assert!(told.contains(lease["trace_id"].as_str().expect("a trace")), "{story}");
    assert!(spoken.contains(&format!("trace {}", lease["trace_id"].as_str().expect("a trace"))), "{spoken}");
    for batch in batches(&receiver) {
        let trace = &receiver.traces()[&batch.trace];
        assert!(matches!(batch.text("muster.kept"), Some("dead letter" | "rejected")), "{batch:?}");
        assert!(batch.error, "it says that something went wrong");
        // What the coordinator did before anybody knew is there too: it held it.
        let served =
            |name: &str| trace.iter().filter(|span| span.kind == "server" && span.name.ends_with(name)).count();
        assert!(served("/BeginDelivery") > 0 && served("/CompleteBatch") == 1, "{trace:?}");
        assert!(trace.iter().filter(|span| span.name == "GET").count() >= 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_is_kept_and_what_repeats_it_points_back() {
    let _turn = turn::light().await;
    let stall = Duration::from_millis(1_200)..=Duration::from_millis(1_500);
    let server =
        stand_in(Config { chaos: 0.3, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(400) });
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(folder.path()).await;
    let env = receiver.env_at(By::Grpc, "0");
    let mut scene = Scene::play(folder.path(), &server, &impatient(400, &[SMALL]), &env).await;
    scene.end().await;
    let batches = batches(&receiver);
    let doubtful: Vec<_> = batches.iter().filter(|batch| batch.words == "doubt").collect();
    assert!(!doubtful.is_empty(), "no POST was late");
    let mut pointed = 0;
    for batch in batches.iter().filter(|batch| batch.number("muster.epoch") > Some(1)) {
        let earlier: Vec<_> =
            batch.links.iter().filter(|link| link.attributes["muster.link"] == "earlier attempt").collect();
        assert_eq!(Some(earlier.len() as i64), batch.number("muster.epoch").map(|epoch| epoch - 1));
        for link in earlier {
            let other = batches.iter().find(|other| other.span == link.span).expect("it arrived");
            assert_eq!((&other.trace, other.number("muster.batch")), (&link.trace, batch.number("muster.batch")));
            pointed += 1;
        }
    }
    assert!(pointed > 0, "nothing was leased again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_its_worker_abandons_is_kept() {
    let _turn = turn::light().await;
    let stall = Duration::from_secs(60)..=Duration::from_secs(60);
    let server = stand_in(Config { chaos: 1.0, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(20) });
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(folder.path()).await;
    let env = receiver.env_at(By::Http, "0");
    let env = borrowed(&env);
    muster_tests::pipelines::folder(folder.path(), "herd", &variant(&[SMALL]));
    let cluster = Cluster::with(folder.path(), &["--pipelines", "pipelines"], &env).await;
    let mut worker = cluster.worker_with("w1", &["--drain-timeout", "0"], &env);
    cluster.start_run("herd", &server.base_url()).await;
    within("a POST is on its way", server.book().until(|book| book.counters().stalls_post >= 1)).await;
    worker.signal(Signal::Terminate);
    worker.ended().await.with_code(1);
    let batches = batches(&receiver);
    let [batch] = &batches[..] else { panic!("{batches:?}") };
    assert_eq!((batch.text("muster.kept"), batch.words.as_str()), (Some("abandoned"), "abandoned"));
    let trace = &receiver.traces()[&batch.trace];
    assert!(trace.iter().filter(|span| span.name == "GET").count() >= 20, "{trace:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_name_the_trace_that_they_are_part_of() {
    let _turn = turn::light().await;
    let server = stand_in(Config { malformed: Amount::Count(2), page_size: 100, ..Config::calm(200) });
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(folder.path()).await;
    let mut env = receiver.env_at(By::Grpc, "0");
    env.push(("MUSTER_LOG_FORMAT", "json".to_owned()));
    let mut scene = Scene::play(folder.path(), &server, &variant(&[SMALL]), &env).await;
    scene.end().await;
    let lines: Vec<Value> =
        scene.worker.stderr().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let failed: Vec<&Value> = lines.iter().filter(|line| line["message"] == "record cannot be sent").collect();
    assert_eq!(failed.len(), 2, "{lines:?}");
    for line in failed {
        let batch = batches(&receiver).into_iter().find(|batch| line["trace_id"] == batch.trace.as_str());
        assert_eq!(line["span_id"], batch.expect("its trace arrived").span.as_str());
    }
    let started = lines.iter().find(|line| line["message"] == "worker started").expect("a first line");
    assert!(started.get("trace_id").is_none(), "{started}");
}
