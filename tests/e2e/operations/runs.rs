//! What an operator does to runs: in a file, and at a coordinator.

use std::time::Duration;

use animals_api::{ChaosOn, Config, Disconnect, Server};
use muster_tests::deadline::within;
use muster_tests::judge::differences;
use muster_tests::ledger::{Ledger, State};
use muster_tests::pipelines::{HOLD, variant};
use muster_tests::turn;

use super::super::notices::receiver::{Receiver, SECRET};
use super::SLOW_MS;
use super::operator::Operator;
use super::page::{OPERATIONS, Who};
use crate::stand_in;

const ANIMALS: u64 = 400;
/// Of these the schema refuses exactly the first 100.
const TOO_STRICT: (&str, &str) = ("id: { type: integer }", "id: { type: integer, minimum: 100 }");
const ID: &str = "id: $.id # the ID of an item on it";

/// A pipeline of herds that tells what has changed, and leaves doubts to an operator.
fn herd(server: &Server, name: &str, changes: &[(&str, &str)]) -> String {
    let own = [
        ("name: animals\n", &*format!("name: {name}\n")),
        ("/animals/v1/animals\n", "/animals/v1/dated\n"),
        (ID, "id: $.id\n    version: $.updated_at"),
        ("max_batch: 100", "max_batch: 20"),
        HOLD,
        ("post_timeout: 25s", "post_timeout: 400ms\n  settle_after: 400ms"),
        ("default: http://127.0.0.1:3123", &*format!("default: {}", server.base_url())),
    ];
    variant(&own.iter().chain(changes).copied().collect::<Vec<_>>())
}

/// Two ledgers: `herd.db`, of a run that left doubts and dead letters, and one at a coordinator, of a run that left dead
/// letters.
struct Scene {
    operator: Operator,
    /// What `herd.db` is about.
    server: Server,
    /// What the coordinator's runs are about.
    other: Server,
    run_id: String,
}

impl Scene {
    async fn new() -> Scene {
        // Each POST is late, and applied all the same.
        let stall = Duration::from_millis(1_200)..=Duration::from_millis(1_500);
        let late = Config { chaos: 1.0, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(ANIMALS) };
        let server = stand_in(Config { disconnect: Disconnect::Process, ..late });
        let other = stand_in(Config::calm(ANIMALS));
        let mut operator = Operator::new(&OPERATIONS, Who::Runs, "");
        operator.has_muster();
        let write = |name: &str, text: String| {
            let file = operator.folder().join(name);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            std::fs::write(file, text).expect("a file");
        };
        write("herd.yaml", herd(&server, "herd", &[TOO_STRICT]));
        write("before.yaml", herd(&other, "herd", &[TOO_STRICT]));
        for name in ["herd", "invoices", "archive"] {
            write(&format!("pipelines/{name}.yaml"), herd(&other, name, &[]));
        }
        let told = operator.ends("muster run ./herd.yaml --db herd.db --json", 3).await.json();
        operator.ends("muster run ./before.yaml --db muster.db --json", 3).await;
        let run_id = told["run_id"].as_str().expect("a run").to_owned();
        let book = server.book();
        within(
            "the target acts on all POSTs",
            book.until(|book| book.counters().accepted_posts == book.counters().posts),
        )
        .await;
        server.set_chaos(0.0);
        let port = operator.port();
        let line = format!("muster coordinator --listen 127.0.0.1:{port} --pipelines pipelines");
        operator.command(&line).await;
        operator.command(&format!("muster worker --coordinator http://127.0.0.1:{port}")).await;
        operator.env("MUSTER_COORDINATOR", &format!("http://127.0.0.1:{port}"));
        // Mended meanwhile.
        std::fs::write(operator.folder().join("herd.yaml"), herd(&server, "herd", &[])).expect("a file");
        Scene { operator, server, other, run_id }
    }

    fn ledger(&self) -> Ledger {
        Ledger::read(&self.operator.folder().join("herd.db"), &self.run_id)
    }

    /// Of the doubts the page names some.
    async fn settles(&mut self) {
        let ledger = self.ledger();
        let doubts: Vec<_> = ledger.deliveries.iter().filter(|one| one.state == State::InDoubt).collect();
        assert!(doubts.len() >= 15, "{} doubts", doubts.len());
        let (first, last) = (&doubts[3].ids[0], &doubts[3].ids[1]);
        let operator = &mut self.operator;
        for (there, here) in [
            ("latest 7 9 --applied ", format!("latest {} {} --applied ", doubts[0].number, doubts[1].number)),
            ("latest 12 --not-applied ", format!("latest {} --not-applied ", doubts[2].number)),
            (
                "latest 15 --applied-only 4711,4712 ",
                format!("latest {} --applied-only {first},{last} ", doubts[3].number),
            ),
        ] {
            operator.means(there, &here);
        }
        operator.does("Runs / Doubts: settle them").await;
        operator.command("muster run ./herd.yaml --resume --db herd.db").await;
        // What was said to be there was not sent again, all else was: here it had been applied.
        let book = self.server.book();
        assert_eq!((book.missing(), book.wrong()), (Vec::new(), Vec::new()));
        let mut again: Vec<u64> = doubts[2..].iter().flat_map(|one| one.ids.clone()).collect();
        again.retain(|id| id != first && id != last);
        again.sort_unstable();
        let mut twice: Vec<(u64, u32)> = book.duplicates();
        twice.sort_unstable();
        assert_eq!(twice, again.into_iter().map(|id| (id, 2)).collect::<Vec<_>>());
    }

    async fn is_told(&mut self, section: &str) {
        let receiver = Receiver::start(&[]).await;
        self.operator.means("https://hooks.example/muster", &receiver.url);
        self.operator.means("whsec_$(openssl rand -base64 32)", SECRET);
        self.operator.does(section).await;
        assert_eq!(receiver.accepted().len(), 1);
        let told = std::fs::read_to_string(self.operator.folder().join("told.txt")).expect("the hook was told");
        assert_eq!(told, "finished\n");
        let shown = &self.operator.told("muster show latest --db told.db").stdout;
        assert!(shown.contains(&format!("run.ended to {}: delivered", receiver.host())), "{shown}");
    }

    async fn on_a_timer(&mut self) {
        let section = "Runs / On a timer";
        self.operator.does(section).await;
        let posts = [&self.server, &self.other].map(|server| server.book().counters().posts);
        self.operator.does(section).await;
        let now = [&self.server, &self.other].map(|server| server.book().counters().posts);
        assert_eq!(now, posts, "nothing has changed");
    }

    /// At the coordinator, while a run goes on; the newest ends with this code.
    async fn amid_a_run(&mut self, section: &str, code: i32) {
        let book = self.other.book();
        let before = book.counters().details;
        self.other.turn(|knobs| knobs.latency_ms = SLOW_MS);
        self.operator.command("muster start herd").await;
        within("it is under way", book.until(|book| book.counters().details > before)).await;
        self.operator.does(section).await;
        self.other.turn(|knobs| knobs.latency_ms = 0);
        self.operator.ends("muster watch latest", code).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_runs() {
    let _turn = turn::light().await;
    let mut scene = Scene::new().await;
    scene.operator.means("record latest 4711 ", "record latest 47 ");
    // Doubts are left, and what round 1 gave up on stays in its own verdict.
    scene.operator.may_end("muster redrive latest --stage validate --pipeline", 3);
    scene.operator.may_end("muster verify latest --round 1", 3);
    // Nobody sits at a terminal.
    scene.operator.means("muster delete latest --db", "muster delete latest --yes --db");
    for section in OPERATIONS.sections_of(Who::Runs) {
        match section {
            "Runs / Doubts: settle them" => scene.settles().await,
            "Runs / On a timer" => scene.on_a_timer().await,
            "Runs / Pause, resume, cancel" => {
                scene.amid_a_run(section, 1).await;
                let run = scene.operator.command("muster show latest --json").await.json();
                assert_eq!(run["state"], "cancelled", "{run}");
            }
            "Runs / Several runs at once" => scene.amid_a_run(section, 0).await,
            "Runs / Be told when a run ends or stalls" => scene.is_told(section).await,
            other => scene.operator.does(other).await,
        }
        if section == "Runs / Verdicts of several rounds" {
            let (book, ledger) = (scene.server.book(), scene.ledger());
            // What was said of doubts was false, and was not taken for proof: the copies are admitted.
            assert_eq!(differences(&book, &ledger), Vec::<String>::new());
        }
    }
    assert!(scene.operator.told("muster record latest 4711").stdout.contains("validate"));
    let page = std::fs::read_to_string(scene.operator.folder().join("herd.html")).expect("the report");
    assert!(page.contains("Complete and balanced"), "{page}");
    let cost = scene.operator.told("muster report latest --format json --db herd.db | jq").json();
    assert!(cost["requests"].as_f64() >= Some(0.0), "{cost}");
    let compared = &scene.operator.told("muster compare ").stdout;
    assert!(compared.contains("SECOND"), "{compared}");
    let letters = &scene.operator.told("muster export latest --db herd.db | jq").stdout;
    assert_eq!(letters.lines().count(), 0, "all were loaded in the end: {letters}");
    let left = scene.operator.command("muster runs --db herd.db --json").await.json();
    assert_eq!(left["runs"].as_array().map(Vec::len), Some(2), "the newest was deleted: {left}");
}
