//! Lists whose items are whole records: nothing else is read of them, and what the list brought outlives whoever dies.

mod giants;
mod tools;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use animals_api::{Amount, Book, Change, Config, Server};
use muster_proto::v1::{
    AcquireLeasesRequest, Counts, Lease, ReadItemsRequest, RedriveRunRequest, ReleaseLeasesRequest, RenewalState, Run,
    RunState, StartRunRequest, WorkerInfo,
};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, open_deliveries};
use muster_tests::pipelines::{WHOLE_ITEMS, folder as pipeline_folder, variant};
use muster_tests::turn;
use tonic::{Code, Status};

use crate::stand_in;

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

#[tokio::test(flavor = "multi_thread")]
async fn items_are_read_by_who_holds_their_batch() {
    let _turn = turn::light().await;
    const MINE: &str = "session-of-a-test-one";
    const OTHER: &str = "session-of-a-test-two";
    let place = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { whole_items: true, ..Config::calm(30) });
    let cluster = cluster(place.path(), "whole", &whole(&[])).await;
    let run_id = cluster.start_run("whole", &server.base_url()).await;
    let listed = |run: &Run| run.progress.is_some_and(|progress| progress.listing_closed);
    cluster.watch_until(&run_id, listed).await;
    let lease = async |protocol: i32| {
        let worker = WorkerInfo { protocol, ..WorkerInfo::default() };
        let request = AcquireLeasesRequest {
            session_id: MINE.to_owned(),
            worker: Some(worker),
            capacity: 1,
            ..AcquireLeasesRequest::default()
        };
        cluster.as_worker().acquire_leases(request).await.expect("an answer").into_inner().leases.pop()
    };
    assert_eq!(lease(2).await, None, "a worker that could not read them gets no batch");
    let Lease { lease_token: token, mut parts, .. } = lease(3).await.expect("a batch");
    let read = async |session: &str, lease_token: &str, from_position: u32| {
        let (session_id, lease_token) = (session.to_owned(), lease_token.to_owned());
        let request = ReadItemsRequest { session_id, lease_token, from_position };
        let mut messages = cluster.as_worker().read_items(request).await?.into_inner();
        let (mut state, mut parts) = (RenewalState::Unspecified, Vec::new());
        while let Some(message) = messages.message().await? {
            state = message.state();
            parts.extend(message.parts);
        }
        Ok::<_, Status>((state, parts))
    };
    let (state, items) = read(MINE, &token, 0).await.expect("its items");
    let came: Vec<String> = items.into_iter().map(|part| String::from_utf8(part.body).expect("a text")).collect();
    // Pages are listed in any order.
    let ids = parts.remove(0).record_ids;
    let expected: Vec<String> = ids.iter().map(|id| item(&server.book(), id.parse().expect("a number"))).collect();
    assert_eq!(came.len(), 30);
    assert_eq!((state, came), (RenewalState::Held, expected));
    let (_, rest) = read(MINE, &token, 28).await.expect("the last ones");
    assert_eq!(rest.iter().map(|part| (part.position, part.last)).collect::<Vec<_>>(), [(28, true), (29, true)]);
    let foreign = read(OTHER, &token, 0).await.expect_err("another session's lease");
    assert_eq!(
        (foreign.code(), foreign.message()),
        (Code::PermissionDenied, "the lease was granted to another session")
    );
    assert_eq!(read(MINE, "no-token", 0).await.expect_err("no token").code(), Code::InvalidArgument);

    let ask = async |line: &[&str]| cluster.command(line).run().await.with_code(0);
    ask(&["pause", &run_id]).await;
    assert_eq!(read(MINE, &token, 0).await.expect("an answer"), (RenewalState::RunStopped, vec![]));
    ask(&["resume", &run_id]).await;
    let release =
        ReleaseLeasesRequest { session_id: MINE.to_owned(), lease_tokens: vec![token.clone()], ..Default::default() };
    cluster.as_worker().release_leases(release).await.expect("it is given back");
    assert_eq!(read(MINE, &token, 0).await.expect("an answer"), (RenewalState::Lost, vec![]));
}
