//! Records of parts, and with fields that their schema does not know, through chaos and the kill -9 of a worker: each part
//! ends in its own record, and the counts of unknown fields are those of the book, whatever was read and sent again.

use std::collections::BTreeMap;
use std::time::Duration;

use animals_api::{Amount, ChaosOn, Config, Server};
use muster_proto::v1::{Run, RunState};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::{until_some, within};
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, open_deliveries};
use muster_tests::pipelines::{folder, impatient};
use muster_tests::process::{Process, Start};
use muster_tests::turn;

use crate::stand_in;

const ANIMALS: u64 = 2_000;
const CREW: [&str; 2] = ["w1", "w2"];

const ENRICH: (&str, &str) = (
    "  max_gone: 1%",
    "  max_gone: 1%\n  enrich:\n    checkups:\n      request: { url: \"${param:base_url}/animals/v1/animals/${record:id}/checkups\" }\n      optional: true",
);
const REPORT: (&str, &str) = ("schema:\n  type: object\n", "on_schema_drift: report\nschema:\n  type: object\n");
/// The schema knows checkups, but no notes in them, and no keepers and wings.
const CHECKUPS: (&str, &str) = (
    "    friends: { type: string }",
    "    checkups: { type: [array, \"null\"], items: { properties: { vet: true, fee: true } } }\n    friends: { type: string }",
);
const OUTPUT: (&str, &str) = ("    friends: (.friends / \",\")\n", "    friends: (.friends / \",\"),\n    checkups\n");
const SMALL_BATCHES: (&str, &str) = ("max_batch: 100", "max_batch: 50");
const RETRY: &str = "on_doubt: retry";
/// What a probe finds is never read again.
const PROBE: &str = "on_doubt: probe\n  probe: { url: \"${param:base_url}/animals/v1/home/${record:id}\" }";

/// Some of everything: errors, stalls, and animals that are not there, not right, not wanted, or not as documented.
fn zoo() -> Server {
    stand_in(Config {
        checkups: true,
        drift: 0.2.into(),
        poison: Amount::Count(3),
        gone: Amount::Count(4),
        malformed: Amount::Count(5),
        chaos: 0.08,
        stall: Duration::from_millis(100)..=Duration::from_millis(600),
        latency: Duration::from_millis(5),
        ..Config::calm(ANIMALS)
    })
}

/// A run by two workers of whom one is killed while a delivery of it is open.
struct Scene {
    server: Server,
    cluster: Cluster,
    run: Run,
    _place: tempfile::TempDir,
}

impl Scene {
    async fn play(on_doubt: &str, bug: &str) -> Scene {
        let (place, server) = (tempfile::tempdir().expect("a folder"), zoo());
        let changes = [ENRICH, REPORT, CHECKUPS, OUTPUT, SMALL_BATCHES, (RETRY, on_doubt)];
        let pipelines = folder(place.path(), "zoo", &impatient(4_000, &changes));
        let flags = ["--pipelines", pipelines.to_str().expect("a path")];
        let cluster = Cluster::with(place.path(), &flags, &[("MUSTER_PLANTED_BUG", bug)]).await;
        let run_id = cluster.start_run("zoo", &server.base_url()).await;
        let mut crew = CREW.map(|name| (name, cluster.worker(name, &["--concurrency", "16", "--max-leases", "4"])));
        within("some have come home", server.book().until(|book| book.counters().accepted_posts >= 5)).await;
        kill_amid_a_delivery(&server, &cluster, &mut crew).await;
        let run = cluster.watch(&run_id).await;
        assert_eq!(run.state(), RunState::Finished);
        Scene { server, cluster, run, _place: place }
    }

    /// What the run says: by path, in how many records, and in which first.
    fn told(&self) -> BTreeMap<String, (u64, u64)> {
        let told = &self.run.verdict.as_ref().expect("a verdict").unknown_fields;
        let number = |text: &str| text.parse().expect("a number");
        told.iter()
            .map(|field| (field.path.clone(), (field.records.unsigned_abs(), number(&field.sample_record_id))))
            .collect()
    }

    /// What the book says.
    fn known(&self) -> BTreeMap<String, (u64, u64)> {
        let drifting = self.server.book().drifting();
        drifting.into_iter().map(|(path, ids)| (path.to_owned(), (ids.len() as u64, ids[0]))).collect()
    }
}

/// Every POST stalls for a while. Once all that are under way do, a worker that has one is killed.
async fn kill_amid_a_delivery(server: &Server, cluster: &Cluster, crew: &mut [(&str, Process); 2]) {
    let (before, database) = (server.knobs(), cluster.database());
    let stalls = || server.book().counters().stalls_post;
    let stalled = stalls();
    server.turn(|knobs| {
        (knobs.chaos, knobs.stall_share, knobs.chaos_on) = (1.0, 1.0, ChaosOn::Posts);
        knobs.stall_ms = [3_000, 3_000];
    });
    let victim = until_some("all deliveries that are open stall", async || {
        let open = open_deliveries(&database, None).unsigned_abs();
        let all_stall = open > 0 && stalls() - stalled >= open;
        let is_busy = |(name, _): &(&str, Process)| open_deliveries(&database, Some(name)) > 0;
        if all_stall { crew.iter().position(is_busy) } else { None }
    })
    .await;
    let (name, worker) = &mut crew[victim];
    worker.kill().await;
    assert!(open_deliveries(&database, Some(name)) > 0, "it was killed after its delivery");
    server.turn(|knobs| *knobs = before);
}

async fn right_through_a_kill(on_doubt: &str) -> Scene {
    let scene = Scene::play(on_doubt, "").await;
    let book = scene.server.book();
    let ledger = Ledger::read(&scene.cluster.database(), &scene.run.run_id);
    // Wrong in the book is an animal without its checkups, or with another's.
    assert_nothing_lost(&book, &ledger);
    let counters = book.counters();
    assert!(counters.parts > ANIMALS - 12 && counters.stalls_part > 0 && counters.sorry > 0, "{counters:?}");
    let known = scene.known();
    assert_eq!(known.keys().map(String::as_str).collect::<Vec<_>>(), ["/checkups/*/note", "/keeper", "/wings"]);
    assert_eq!(scene.told(), known);
    let verdict = scene.run.verdict.as_ref().expect("a verdict");
    assert!(verdict.complete && verdict.balanced, "{verdict:?}");
    let counts = verdict.counts.expect("counts");
    assert_eq!((counts.gone, counts.dead_letter, counts.in_doubt), (4, 8, 0), "{counts:?}");
    assert_eq!(scene.run.unknown_fields, verdict.unknown_fields);
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_right_where_doubts_are_sent_again() {
    let _turn = turn::heavy().await;
    let scene = right_through_a_kill(RETRY).await;
    let (records, sample) = scene.known()["/wings"];
    let words = format!(
        "warning: {records} records have a field /wings that the schema does not know, such as record {sample}\n"
    );
    let (url, here) = (scene.cluster.url(), tempfile::tempdir().expect("a folder"));
    for command in ["show", "verify"] {
        let line = [command, scene.run.run_id.as_str(), "--coordinator", &url];
        let said = Start::muster(here.path(), line).run().await;
        assert!(said.stdout.contains(&words), "{command}: {}{}", said.stdout, said.stderr);
        let said = Start::muster(here.path(), line.into_iter().chain(["--json"])).run().await.json();
        let fields = said["unknown_fields"].as_array().expect("a list");
        assert!(fields.iter().any(|field| field["path"] == "/wings" && field["records"] == records), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_right_where_doubts_are_asked_for() {
    let _turn = turn::heavy().await;
    let scene = right_through_a_kill(PROBE).await;
    assert!(scene.server.book().counters().asked > 0, "the kill left no doubt");
    assert_eq!(scene.server.book().duplicates(), []);
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_that_is_taken_for_another_record_is_noticed() {
    let _turn = turn::heavy().await;
    let scene = Scene::play(RETRY, "counts_fields_again").await;
    assert_ne!(scene.told(), scene.known());
}
