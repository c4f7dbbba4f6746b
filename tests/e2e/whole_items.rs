//! Lists whose items are whole records: nothing else is read of them, and what the list brought outlives whoever dies.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use animals_api::{Amount, Book, Change, Config, Server};
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use muster_proto::v1::{Counts, RedriveRunRequest, Run, RunState, StartRunRequest};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, open_deliveries};
use muster_tests::pipelines::{WHOLE_ITEMS, folder as pipeline_folder, variant};
use muster_tests::process::{Ended, Start};
use muster_tests::turn;
use serde_json::{Value, json};
use tonic::Code;

use crate::{base_url, stand_in};

const RECORD_SIZE: &str = "limits:\n  get_timeout: 3s\n";

fn whole(changes: &[(&str, &str)]) -> String {
    variant(&[&[WHOLE_ITEMS], changes].concat())
}

async fn cluster(folder: &Path, name: &str, pipeline: &str) -> Cluster {
    pipeline_folder(folder, name, pipeline);
    Cluster::with(folder, &["--pipelines", "pipelines"], &[]).await
}

/// The book, of which nothing but the list was read.
fn of_the_list_alone(server: &Server) -> Arc<Book> {
    let book = server.book();
    assert_eq!(book.counters().details, 0, "records were read one by one");
    book
}

fn counts(run: &Run) -> Counts {
    assert_eq!(run.state(), RunState::Finished, "{}", run.state_reason);
    let verdict = run.verdict.as_ref().expect("a verdict");
    assert!(verdict.complete && verdict.balanced, "{:?}", verdict.discrepancies);
    verdict.counts.expect("counts")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_loaded_once_though_workers_and_coordinator_are_killed() {
    let _turn = turn::heavy().await;
    const ANIMALS: u64 = 4_000;
    let place = tempfile::tempdir().expect("a folder");
    let stall = Duration::from_millis(100)..=Duration::from_millis(400);
    let chaos =
        Config { chaos: 0.15, stall, poison: Amount::Count(2), malformed: Amount::Count(3), ..Config::calm(ANIMALS) };
    let server = stand_in(Config { whole_items: true, latency: Duration::from_millis(40), page_size: 100, ..chaos });
    // Asked whether it has what is in doubt, so that the book has no copies.
    let probe = "on_doubt: probe\n  probe: { url: \"${param:base_url}/animals/v1/home/${record:id}\" }";
    let changes =
        [("on_doubt: retry", probe), ("post_timeout: 25s", "post_timeout: 1s"), ("max_batch: 100", "max_batch: 20")];
    let mut cluster = cluster(place.path(), "whole", &whole(&changes)).await;
    let run_id = cluster.start_run("whole", &server.base_url()).await;
    let hire = |cluster: &Cluster, name: &str| (name.to_owned(), cluster.worker(name, &["--max-leases", "4"]));
    let mut crew: Vec<_> = ["w1", "w2"].map(|name| hire(&cluster, name)).into();

    let book = server.book();
    let loaded = async |share: u64| {
        let enough = |book: &Book| book.summary().accepted >= ANIMALS * share / 100;
        within("animals are loaded", book.until(enough)).await;
    };
    loaded(15).await;
    // Amid a delivery, whichever attempt that takes.
    let mut amid = 0;
    for attempt in 3.. {
        let stalls = book.counters().stalls_post + 1;
        within("a POST stalls", book.until(|book| book.counters().stalls_post >= stalls)).await;
        let (database, busy) = (cluster.database(), |name: &str| open_deliveries(&cluster.database(), Some(name)));
        let victim = crew.iter().position(|(name, _)| busy(name) > 0).unwrap_or(0);
        let (name, mut worker) = crew.remove(victim);
        worker.kill().await;
        amid += open_deliveries(&database, Some(&name));
        crew.push(hire(&cluster, &format!("w{attempt}")));
        if amid > 0 {
            break;
        }
    }
    loaded(50).await;
    cluster.kill().await;
    cluster.restart();
    cluster.serves().await;
    assert!(!book.is_perfect(), "it was done before the last kill");

    let run = cluster.watch(&run_id).await;
    let expected = ANIMALS - 5;
    let counts = counts(&run);
    assert_eq!((counts.loaded, counts.dead_letter), (i64::try_from(expected).expect("few"), 5));
    let book = of_the_list_alone(&server);
    assert!(book.is_perfect(), "{:?}", book.summary());
    let ledger = Ledger::read(&cluster.database(), &run_id);
    assert_nothing_lost(&book, &ledger);
    assert!(ledger.endings.contains_key("expired"), "no kill left a lease to run out: {:?}", ledger.endings);
    println!("{amid} deliveries open under a kill; leases: {:?}", ledger.endings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_is_repeated_as_it_was_sent() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    // Half of a POST's animals are stored, and the answer is a 500.
    let server = stand_in(Config { whole_items: true, partial: 0.3, ..Config::calm(300) });
    let changes = [("post_timeout: 25s", "post_timeout: 1s"), ("max_batch: 100", "max_batch: 10")];
    let cluster = cluster(place.path(), "whole", &whole(&changes)).await;
    let _crew = ["w1", "w2"].map(|name| cluster.worker(name, &[]));
    let run_id = cluster.start_run("whole", &server.base_url()).await;
    let run = cluster.watch(&run_id).await;
    assert_eq!(counts(&run).loaded, 300);
    let ledger = Ledger::read(&cluster.database(), &run_id);
    assert_nothing_lost(&of_the_list_alone(&server), &ledger);
    let repeated: Vec<_> = ledger.deliveries.iter().filter(|delivery| delivery.retry_of > 0).collect();
    assert!(!repeated.is_empty(), "nothing was in doubt");
    for again in repeated {
        let first = ledger.deliveries.iter().find(|delivery| delivery.number == again.retry_of).expect("it is there");
        assert_eq!((&again.ids, &again.key), (&first.ids, &first.key), "the same records with the same content");
    }
    assert_eq!(run.verdict.expect("a verdict").changed, 0);
}

/// An animal as its item has it.
fn item(book: &Book, id: u64) -> String {
    let animal = book.animal(id).expect("an animal");
    let born_at = animal.born_at.map_or("null".to_owned(), |millis| millis.to_string());
    let friends = animal.friends().join(",");
    format!(r#"{{"id":{id},"name":"{}","born_at":{born_at},"friends":"{friends}"}}"#, animal.name)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_a_dead_letter_until_it_may_be_larger() {
    let _turn = turn::light().await;
    const LIMIT: usize = 90;
    let place = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { whole_items: true, chaos: 0.02, ..Config::calm(500) });
    let book = server.book();
    let large: Vec<u64> = (0..500).filter(|id| item(&book, *id).len() > LIMIT).collect();
    assert!(large.len() > 20 && large.len() < 480, "{} of 500", large.len());
    let tight = whole(&[(RECORD_SIZE, &format!("{RECORD_SIZE}  record_size: {LIMIT}B\n"))]);
    let cluster = cluster(place.path(), "whole", &tight).await;
    let _crew = ["w1", "w2"].map(|name| cluster.worker(name, &[]));
    let run_id = cluster.start_run("whole", &server.base_url()).await;
    cluster.watch(&run_id).await;
    assert_eq!(book.missing(), large);
    let ask = async |line: &[&str]| cluster.command(line).run().await;
    let told = ask(&["dead-letters", &run_id, "--limit", "0", "--json"]).await.with_code(0).json();
    let [group] = &told["groups"].as_array().expect("groups")[..] else { panic!("{}", told["groups"]) };
    assert!(group["stage"] == "fetch" && group["reason"].to_string().contains("larger than 90 bytes"), "{group}");
    let letters = told["dead_letters"].as_array().expect("dead letters");
    assert_eq!(letters.len(), large.len());
    for letter in letters {
        let id: u64 = letter["record_id"].to_string().trim_matches('"').parse().expect("an ID");
        assert_eq!(letter["body"], item(&book, id), "what there is of it is shown");
    }

    let mend = |mended_pipeline| RedriveRunRequest { run_id: run_id.clone(), mended_pipeline, ..Default::default() };
    let again = cluster.runs().redrive_run(mend(false)).await.expect("it is redriven").into_inner();
    assert_eq!(again.records, i64::try_from(large.len()).expect("few"));
    cluster.watch(&run_id).await;
    assert_eq!(book.missing(), large, "they are as large as before");
    pipeline_folder(place.path(), "whole", &whole(&[]));
    cluster.runs().redrive_run(mend(true)).await.expect("it is redriven");
    let run = cluster.watch(&run_id).await;
    assert_eq!((run.round, run.overall.expect("counts").loaded), (3, 500));
    assert!(of_the_list_alone(&server).is_perfect(), "{:?}", book.summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_kept_no_items_is_not_redriven_by_them() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { whole_items: true, malformed: Amount::Count(2), ..Config::calm(30) });
    let cluster = cluster(place.path(), "herd", &variant(&[])).await;
    let _worker = cluster.worker("w1", &[]);
    let run_id = cluster.start_run("herd", &server.base_url()).await;
    cluster.watch(&run_id).await;
    pipeline_folder(place.path(), "herd", &whole(&[]));
    let mend = RedriveRunRequest { run_id: run_id.clone(), mended_pipeline: true, ..Default::default() };
    let refused = cluster.runs().redrive_run(mend.clone()).await.expect_err("there are no items");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("start a new run"), "{refused}");
    // The other way there is nothing that could be missing.
    let whole_run = cluster.start_run("herd", &server.base_url()).await;
    cluster.watch(&whole_run).await;
    pipeline_folder(place.path(), "herd", &variant(&[]));
    let book = server.book();
    book.reset();
    let mend = RedriveRunRequest { run_id: whole_run.clone(), ..mend };
    cluster.runs().redrive_run(mend).await.expect("it is redriven");
    cluster.watch(&whole_run).await;
    let read: Vec<u64> = (0..30).filter(|id| book.was_fetched(*id)).collect();
    assert_eq!(read, book.malformed(), "only what was redriven");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_changed_is_kept_and_sent_again() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { whole_items: true, chaos: 0.02, ..Config::calm(400) });
    let dated = whole(&[
        ("/animals/v1/animals\n", "/animals/v1/dated\n"),
        ("id: $.id # the ID of an item on it", "id: $.id\n    version: $.updated_at"),
    ]);
    let cluster = cluster(place.path(), "dated", &dated).await;
    let _crew = ["w1", "w2"].map(|name| cluster.worker(name, &[]));
    let start = async |since: &str| {
        let request = StartRunRequest {
            pipeline: "dated".to_owned(),
            parameters: [("base_url".to_owned(), server.base_url())].into(),
            since_run: since.to_owned(),
            ..StartRunRequest::default()
        };
        let run = cluster.runs().start_run(request).await.expect("it starts").into_inner().run.expect("a run");
        counts(&cluster.watch(&run.run_id).await)
    };
    assert_eq!(start("").await, Counts { listed: 400, loaded: 400, ..Counts::default() });
    let book = server.book();
    book.reset();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let changed = vec![3, 7, 399];
    let at_ms = i64::try_from(since.as_millis()).expect("soon");
    server.change(&Change { at_ms, changed: changed.clone(), ..Change::default() });
    assert_eq!(start("latest").await, Counts { listed: 400, unchanged: 397, loaded: 3, ..Counts::default() });
    assert_eq!((of_the_list_alone(&server).accepted(), book.wrong()), (changed, vec![]));
}

/// What a target of large records was sent: the size of each animal's friends, by ID.
type Arrived = Arc<Mutex<BTreeMap<u64, usize>>>;

/// A list of animals with so many bytes of friends each, and a home for them.
async fn giants(sizes: &'static [usize]) -> (String, Arrived) {
    let list = async move || {
        let animal = |(id, size): (u64, &usize)| json!({"id": id, "name": "Giant", "born_at": null, "friends": "x".repeat(*size)});
        Json(json!({"total_pages": 1, "items": (0..).zip(sizes).map(animal).collect::<Vec<_>>()}))
    };
    let home = async |State(arrived): State<Arrived>, Json(animals): Json<Vec<Value>>| {
        for animal in animals {
            let friends = animal["friends"][0].as_str().map_or(0, str::len);
            arrived.lock().expect("no test panics in here").insert(animal["id"].as_u64().expect("an ID"), friends);
        }
        Json(json!({ "message": "Helped" }))
    };
    let arrived = Arrived::default();
    let routes = Router::new()
        .route("/animals/v1/animals", get(list))
        .route("/animals/v1/home", post(home))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(&arrived));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, arrived)
}

#[tokio::test(flavor = "multi_thread")]
async fn items_larger_than_a_message_arrive_whole() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let sizes: &[usize] = &[10, 700_000, 256 << 10, 0, 1_000_000, 2_000_000, 5];
    let (url, arrived) = giants(sizes).await;
    let cluster = cluster(place.path(), "whole", &whole(&[])).await;
    let _worker = cluster.worker("w1", &[]);
    let run_id = cluster.start_run("whole", &url).await;
    let run = cluster.watch(&run_id).await;
    assert_eq!(counts(&run), Counts { listed: 7, loaded: 6, dead_letter: 1, ..Counts::default() });
    let mut expected: BTreeMap<u64, usize> = (0..).zip(sizes.iter().copied()).collect();
    expected.remove(&5);
    assert_eq!(*arrived.lock().expect("no test panics in here"), expected);
}

async fn muster(folder: &Path, line: &[&str]) -> Ended {
    Start::muster(folder, line).run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_take_items_for_records() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let server = stand_in(Config { whole_items: true, ..Config::calm(300) });
    let set = base_url(&server);
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write("whole.yaml", &whole(&[]));
    write("tight.yaml", &whole(&[(RECORD_SIZE, &format!("{RECORD_SIZE}  record_size: 20B\n"))]));
    let tool = async |line: &[&str]| muster(folder, &[&["pipeline"][..], line].concat()).await;
    let explained = tool(&["explain", "whole.yaml"]).await.with_code(0).stdout;
    assert!(explained.contains("nothing more: the items of the list are whole records"), "{explained}");
    assert!(explained.contains("detail: none"), "{explained}");
    tool(&["check", "whole.yaml"]).await.with_code(0);

    let tried = tool(&["try", "whole.yaml", "--set", &set, "--records", "3", "--json"]).await.with_code(0).stdout;
    let lines: Vec<Value> = tried.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines.iter().all(|line| line["before"]["friends"].is_string() && line["after"]["friends"].is_array()),
        "{tried}"
    );
    // In the order in which they are named; one of them stands on the last page.
    let named = ["try", "whole.yaml", "--set", &set, "--id", "295", "--id", "7", "--id", "7", "--id", "999", "--json"];
    let named = tool(&named).await.with_code(0).stdout;
    let lines: Vec<Value> = named.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ids: Vec<&Value> = lines.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, [&json!(295), &json!(7), &json!(999)]);
    assert_eq!((&lines[1]["after"]["id"], &lines[2]["gone"]), (&json!(7), &json!(true)));
    let tight = tool(&["try", "tight.yaml", "--set", &set, "--records", "1"]).await.with_code(1);
    assert!(tight.stderr.contains("larger than 20 bytes; limits.record_size"), "{}", tight.stderr);
    let live =
        tool(&["check", "--live", "whole.yaml", "--set", &set, "--records", "20", "--json"]).await.with_code(0).json();
    assert_eq!((&live["records"], &live["pages_read"]), (&json!(20), &json!(2)));

    let record = ["record", "whole.yaml", "--cassette", "my.cassette.yaml", "--set", &set, "--records", "12"];
    let recorded = tool(&record).await.with_code(0).stderr;
    assert!(recorded.contains("requests for 12 records in my.cassette.yaml"), "{recorded}");
    let test = ["test", "whole.yaml", "--cassette", "my.cassette.yaml", "--set", &set];
    tool(&[&test[..], &["--update"]].concat()).await.with_code(0);
    let fine = tool(&test).await.with_code(0).stdout;
    assert!(fine.contains("ok: 12 records as expected"), "{fine}");

    // An API whose records have nothing that the list has not is not asked for them.
    let list = format!("{}/animals/v1/animals", server.base_url());
    let said = tool(&["init", &list, "-o", "mine.yaml"]).await.with_code(0).stderr;
    assert!(said.contains("the items are whole records: 3 were read"), "{said}");
    let proposed = std::fs::read_to_string(folder.join("mine.yaml")).expect("a file");
    assert!(proposed.contains("\n  detail: none\n"), "{proposed}");
    assert_eq!(server.book().summary().accepted, 0, "a tool sent something to the target");
    let details = server.book().counters().details;
    muster(folder, &["run", "./mine.yaml", "--set", &set, "--db", "mine.db"]).await.with_code(0);
    assert_eq!((details, server.book().counters().details), (3, 3), "only the look for init asked for any");
}

/// How often each animal is in the files of a folder, one a line.
fn lines(folder: &Path) -> BTreeMap<u64, u32> {
    let mut times = BTreeMap::new();
    for file in std::fs::read_dir(folder).expect("a folder").flatten() {
        assert!(file.file_name().to_string_lossy().ends_with(".ndjson"), "{file:?}");
        for line in std::fs::read_to_string(file.path()).expect("a file").lines() {
            let animal: Value = serde_json::from_str(line).expect("a record a line");
            assert!(animal["friends"].is_array(), "{animal}");
            *times.entry(animal["id"].as_u64().expect("an ID")).or_default() += 1;
        }
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_copies_a_list_into_files() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { whole_items: true, page_size: 100, chaos: 0.02, ..Config::calm(2_530) });
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines/whole-items-to-files.yaml");
    let (out, set) = (place.path().join("out"), base_url(&server));
    let into = format!("folder={}", out.display());
    let run = ["run", example, "--set", &set, "--set", &into, "--db", "my.db", "--json"];
    let first = muster(place.path(), &run).await.with_code(0).json();
    let run_id = first["run_id"].as_str().expect("an ID");
    assert_eq!(lines(&out.join(run_id)), (0..2_530).map(|id| (id, 1)).collect());
    assert_eq!(server.book().counters().details, 0);

    let again = [&run[..], &["--since", "latest"]].concat();
    let second = muster(place.path(), &again).await.with_code(0).json();
    let counts = &second["verdict"]["counts"];
    assert_eq!((&counts["unchanged"], &counts["loaded"]), (&json!(2_530), &json!(0)), "{second}");
    assert!(!out.join(second["run_id"].as_str().expect("an ID")).exists(), "nothing has changed");

    let told = muster(place.path(), &["delete", run_id, "--db", "my.db", "--yes", "--json"]).await.with_code(0).json();
    assert!(told["bytes_after"].as_u64() < told["bytes_before"].as_u64().map(|before| before * 2 / 3), "{told}");
}
