//! Runs that go on from an earlier one: the book says what was read and sent again, and what was not.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use animals_api::{Book, Change, Config, Disconnect, Server};
use muster_proto::v1::{Counts, GetRecordRequest, RecordState, Run, StartRunRequest};
use muster_tests::cluster::Cluster;
use muster_tests::pipelines::{folder as pipeline_folder, variant};
use muster_tests::process::{Ended, Start};
use muster_tests::turn;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::{base_url, stand_in};

/// The list that says when each animal last changed.
const DATED: (&str, &str) = ("/animals/v1/animals\n", "/animals/v1/dated\n");
const ID: &str = "id: $.id # the ID of an item on it";

fn dated(version: &str) -> String {
    variant(&[DATED, (ID, &format!("id: $.id\n    version: {version}"))])
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_millis()).expect("it is before the year 292 million")
}

/// All that was posted since the book was last emptied.
fn posted(book: &Book) -> BTreeSet<u64> {
    book.posts().iter().flat_map(|post| post.ids.iter().copied()).collect()
}

fn fetched(book: &Book) -> BTreeSet<u64> {
    (0..book.animals()).filter(|id| book.was_fetched(*id)).collect()
}

fn counts(run: &Run) -> Counts {
    let verdict = run.verdict.as_ref().expect("a verdict");
    assert!(verdict.complete && verdict.balanced, "{:?}", verdict.discrepancies);
    verdict.counts.expect("counts")
}

fn request(server: &Server, since: &str, request_id: &str) -> StartRunRequest {
    StartRunRequest {
        pipeline: "dated".to_owned(),
        parameters: [("base_url".to_owned(), server.base_url())].into(),
        since_run: since.to_owned(),
        request_id: request_id.to_owned(),
        ..StartRunRequest::default()
    }
}

async fn start(cluster: &Cluster, request: StartRunRequest) -> Result<Run, Status> {
    cluster.runs().start_run(request).await.map(|answer| answer.into_inner().run.expect("a run"))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_changed_is_read_and_sent_again() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    // What is dropped when its client leaves is never read after all.
    let stall = Duration::from_millis(200)..=Duration::from_millis(1_500);
    let server = stand_in(Config { chaos: 0.1, stall, disconnect: Disconnect::Drop, later: 5, ..Config::calm(405) });
    let book = &server.book();
    pipeline_folder(folder.path(), "dated", &dated("$.updated_at"));
    let cluster = Cluster::with(folder.path(), &["--pipelines", "pipelines"], &[]).await;
    let workers = ["w1", "w2"].map(|name| cluster.worker(name, &[]));

    let first = start(&cluster, request(&server, "latest", "one")).await.expect("it starts");
    assert_eq!(first.since_run, "", "there is none before it");
    assert_eq!(counts(&cluster.watch(&first.run_id).await), Counts { listed: 400, loaded: 400, ..Counts::default() });
    assert_eq!(posted(book), (0..400).collect());

    book.reset();
    let changed = vec![0, 7, 99, 100, 250, 398, 399];
    server.change(&Change { at_ms: now_ms(), changed: changed.clone(), added: 5, removed: vec![1, 200, 300] });
    let new: BTreeSet<u64> = changed.into_iter().chain(400..405).collect();
    let second = start(&cluster, request(&server, &first.run_id, "two")).await.expect("it starts");
    assert_eq!(second.since_run, first.run_id);
    let over = cluster.watch(&second.run_id).await;
    assert_eq!(counts(&over), Counts { listed: 402, loaded: 12, unchanged: 390, ..Counts::default() });
    assert_eq!(over.progress.map(|progress| (progress.listed, progress.unchanged)), Some((402, 390)));
    assert_eq!((posted(book), fetched(book)), (new.clone(), new));
    assert_eq!(book.wrong(), [0; 0], "their new content");

    // Nobody works any more, and nobody has to.
    for mut worker in workers {
        worker.kill().await;
    }
    book.reset();
    let third = start(&cluster, request(&server, "latest", "three")).await.expect("it starts");
    assert_eq!(third.since_run, second.run_id);
    let over = cluster.watch(&third.run_id).await;
    assert_eq!(counts(&over), Counts { listed: 402, unchanged: 402, ..Counts::default() });
    assert_eq!((posted(book), fetched(book)), (BTreeSet::new(), BTreeSet::new()));

    // Who loaded what: the first run, or the second.
    for (id, loaded_by) in [("2", &first), ("7", &second), ("404", &second)] {
        let asked = GetRecordRequest { run_id: third.run_id.clone(), record_id: id.to_owned() };
        let stories = cluster.audit().get_record(asked).await.expect("a story").into_inner().stories;
        let [story] = &stories[..] else { panic!("{stories:?}") };
        let why = story.unchanged.as_ref().expect("why");
        assert_eq!((story.state(), &why.loaded_by_run), (RecordState::Unchanged, &loaded_by.run_id), "{id}");
    }
    let told = cluster.command(&["record", &third.run_id, "2"]).run().await.with_code(0).stdout;
    assert!(told.contains(&first.run_id), "{told}");

    // The same call is the same run, whatever is the latest by now.
    let again = start(&cluster, request(&server, "latest", "three")).await.expect("it is there");
    assert_eq!(again.run_id, third.run_id);
    let other = start(&cluster, request(&server, &first.run_id, "three")).await.expect_err("other arguments");
    assert_eq!(other.code(), Code::AlreadyExists);
}

const LINE: [&str; 4] = ["--db", "my.db", "--audit", "audit"];

async fn muster(folder: &Path, line: &[&str]) -> Ended {
    Start::muster(folder, line).run().await
}

async fn run(folder: &Path, server: &Server, file: &str, more: &[&str], code: i32) -> Value {
    let base_url = base_url(server);
    let line = [&["run", file, "--set", &base_url, "--json"], &LINE[..], more].concat();
    muster(folder, &line).await.with_code(code).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_on_is_tried_again_and_files_name_the_rest() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { malformed: 4_u64.into(), ..Config::calm(200) });
    let (folder, book) = (folder.path(), &server.book());
    std::fs::write(folder.join("dated.yaml"), dated("item")).expect("a file");
    let first = run(folder, &server, "./dated.yaml", &[], 3).await;
    assert_eq!(first["verdict"]["counts"]["loaded"], 196);

    book.reset();
    let second = run(folder, &server, "./dated.yaml", &["--since", "latest"], 3).await;
    let counts = &second["verdict"]["counts"];
    assert_eq!(
        (&counts["listed"], &counts["unchanged"], &counts["dead_letter"]),
        (&json!(200), &json!(196), &json!(4))
    );
    assert_eq!(second["since_run"], first["run_id"]);
    assert_eq!((posted(book), fetched(book)), (BTreeSet::new(), book.malformed().into_iter().collect()));

    let files = second["audit_folder"].as_str().expect("a folder");
    let found = muster(folder, &["verify", "--files", files, "--json"]).await.with_code(3).json();
    assert_eq!(
        (&found["listed"], &found["missing"]["count"], &found["unchanged"]),
        (&json!(4), &json!(4), &json!(196))
    );
    let second_id = second["run_id"].as_str().expect("an ID");
    let verdict = muster(folder, &["verify", second_id, "--db", "my.db"]).await.with_code(3).stdout;
    assert!(verdict.contains("  unchanged                196\n"), "{verdict}");
    let shown = muster(folder, &["show", second_id, "--db", "my.db"]).await.with_code(0).stdout;
    assert!(shown.contains(&format!("since     {}", first["run_id"].as_str().expect("an ID"))), "{shown}");
    let exported = muster(folder, &["export", second_id, "--db", "my.db"]).await.with_code(0).stdout;
    assert_eq!((exported.lines().count(), exported.matches("\"unchanged\"").count()), (200, 196));

    // Other limits load the same records in the same way.
    let hurried = dated("item").replace("hedge_after: 50ms", "hedge_after: 60ms");
    std::fs::write(folder.join("hurried.yaml"), hurried).expect("a file");
    let hurried = run(folder, &server, "./hurried.yaml", &["--since", second_id], 3).await;
    assert_eq!(hurried["verdict"]["counts"]["unchanged"], 196);

    // Under another revision they may have to look otherwise.
    let mended = dated("item").replace("max_batch: 100", "max_batch: 50");
    std::fs::write(folder.join("mended.yaml"), mended).expect("a file");
    let base_url = base_url(&server);
    let refused = |file: &'static str, since: &str| {
        let line = [&["run", file, "--set", &base_url, "--since", since], &LINE[..]].concat();
        Start::muster(folder, line).run()
    };
    let refusal = refused("./mended.yaml", second_id).await.with_code(1).stderr;
    assert!(refusal.contains("under another revision") && refusal.contains("--since latest"), "{refusal}");
    let unknown = refused("./dated.yaml", "dated-none").await.with_code(1).stderr;
    assert!(unknown.contains("there is no run \"dated-none\"") && unknown.contains("muster runs"), "{unknown}");
    let useless = refused("animals", "latest").await.with_code(2).stderr;
    assert!(useless.contains("source.list.version"), "{useless}");
    let third = run(folder, &server, "./mended.yaml", &["--since", "latest"], 3).await;
    assert_eq!((&third["since_run"], &third["verdict"]["counts"]["loaded"]), (&json!(""), &json!(196)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watermark_follows_from_the_run_before() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { later: 5, ..Config::calm(205) });
    let (folder, book) = (folder.path(), &server.book());
    let parameter =
        "parameters:\n  after:\n    type: time\n    default: 2000-01-01T00:00:00Z\n    watermark: { overlap: 1m }\n";
    let list = ("/animals/v1/animals\n", "/animals/v1/dated?updated_since=${param:after}\n");
    let filtered = variant(&[("parameters:\n", parameter), list]);
    std::fs::write(folder.join("filtered.yaml"), filtered).expect("a file");
    let first = run(folder, &server, "./filtered.yaml", &["--since", "latest"], 0).await;
    assert_eq!((&first["verdict"]["counts"]["listed"], &first["since_run"]), (&json!(200), &json!("")));
    assert_eq!(first["parameters"]["after"], "2000-01-01T00:00:00Z");

    book.reset();
    server.change(&Change { at_ms: now_ms(), changed: vec![3, 4], added: 5, removed: vec![9] });
    let second = run(folder, &server, "./filtered.yaml", &["--since", "latest"], 0).await;
    assert_eq!(second["verdict"]["counts"]["loaded"], 7);
    assert_eq!(posted(book), [3, 4].into_iter().chain(200..205).collect());
    let after = second["parameters"]["after"].as_str().expect("a time");
    let started = first["created_at"].as_str().expect("a time");
    assert!(after < started && after.ends_with('Z') && after.len() == 20, "{after} is a minute before {started}");

    let later = ["--since", "latest", "--set", "after=2100-01-01T00:00:00Z"];
    let third = run(folder, &server, "./filtered.yaml", &later, 0).await;
    assert_eq!((&third["verdict"]["counts"]["listed"], &third["since_run"]), (&json!(0), &second["run_id"]));
}
