//! README.md, and what docs/TERMINAL.md says of shells: every command of them, typed by somebody who reads on from the
//! first to the last, or named here with the reason why not. The stand-in's book is the judge.

use std::time::Duration;

use animals_api::{Amount, ChaosOn, Config, Server};
use muster_tests::deadline::within;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, State};
use muster_tests::pipelines::{HOLD, variant};
use muster_tests::postgres::Postgres;
use muster_tests::process::Ended;
use muster_tests::{programs, turn};

use crate::documents::prose;
use crate::operations::operator::Operator;
use crate::operations::page::{self, Page, Who, root};
use crate::rounds::loaded_in;
use crate::stand_in;

static README: Page = Page {
    file: "README.md",
    sections: &[
        ("Try it", Who::OneMachine),
        ("One machine, one command", Who::OneMachine),
        ("Separate processes", Who::OneMachine),
        ("Beyond one machine", Who::Postgres),
        ("Your own API", Who::OneMachine),
    ],
};

static TERMINAL: Page = Page { file: "docs/TERMINAL.md", sections: &[("Shells and manuals", Who::OneMachine)] };

const BUILDS: &str = "it builds";
const ENGINE: &str = "it needs an engine for containers";

/// Commands of README.md that are not run here: why, and where they are run instead, if anywhere by a test.
const ELSEWHERE: &[(&str, &str, Option<&str>)] = &[
    ("cargo run --release -- demo", BUILDS, Some("tests/e2e/demo.rs")),
    ("cargo run --release -p animals-api", BUILDS, Some("tests/e2e/tutorial.rs")),
    // What was built is called `muster run` further down.
    ("cargo run --release -- run animals --set base_url=http://127.0.0.1:3123", BUILDS, Some("tests/e2e/readme.rs")),
    ("cargo install --locked --path cli", BUILDS, None),
    ("./tests/run", "it runs this", None),
    ("./tests/run --containers", ENGINE, None),
    ("./tests/run --upgrade", BUILDS, None),
    ("just", "it is a list for people", None),
    ("docker compose up --build --detach", ENGINE, Some("tests/containers/run")),
    (
        "docker compose exec coordinator muster start animals --set base_url=http://animals-api:3123 --watch",
        ENGINE,
        Some("tests/containers/run"),
    ),
    ("docker compose up --detach --scale worker=8", ENGINE, Some("tests/containers/run")),
    ("docker compose --profile postgres up --build --detach worker-postgres", ENGINE, Some("tests/containers/run")),
    ("docker compose run --rm tests", ENGINE, None),
];

/// What a command begins with, where one stands amid words.
const PROGRAMS: [&str; 7] = ["muster", "cargo ", "docker ", "./tests/run", "just", "curl", "grpcurl"];

/// One of them is number 4711.
const ANIMALS: u64 = 5_000;
/// So often the page loads them from one machine into the target: by `run`, by `start`, by curl and by grpcurl.
const LOADED: u32 = 4;
/// Of another herd, with a target that answers late.
const TROUBLED: u64 = 120;

/// A line without what is said about it.
fn typed(line: &str) -> &str {
    line.split(" #").next().unwrap_or(line).trim_end()
}

fn is_elsewhere(line: &str) -> bool {
    ELSEWHERE.iter().any(|(command, ..)| *command == typed(line))
}

/// The commands of a page's blocks.
fn lines(page: &Page) -> Vec<String> {
    let blocks = page.blocks();
    blocks.iter().filter(|block| block.language == "sh").flat_map(|block| page::commands(&block.text)).collect()
}

/// The commands that stand in a table, each at the beginning of a row.
fn in_the_table() -> Vec<String> {
    let text = README.text();
    let commands = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    commands.map(|(command, _)| command.to_owned()).collect()
}

/// What stands as code amid words.
fn amid_words() -> Vec<String> {
    let text = README.text();
    let words = prose(&text).collect::<Vec<_>>().join(" ");
    words.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_command_is_run_or_named_with_the_reason_why_not() {
    README.assert_somebody_runs_all();
    TERMINAL.assert_somebody_runs_all();
    let other = README.blocks().into_iter().find(|block| !["sh", "text"].contains(&block.language.as_str()));
    assert!(other.is_none(), "nobody knows what to do with {other:?}");

    let (blocks, words) = (lines(&README), amid_words());
    for (command, why, test) in ELSEWHERE {
        let mut there = blocks.iter().map(|line| typed(line)).chain(words.iter().map(String::as_str));
        assert!(there.any(|known| known == *command), "{command} ({why}) is not in README.md any more");
        assert!(test.is_none_or(|test| root().join(test).is_file()), "there is no {test:?} to run {command}");
    }
    let table = in_the_table();
    assert!(table.len() >= 8 && table.iter().all(|command| command.starts_with("muster ")), "{table:#?}");
    // Amid words, what begins like one that is run is its name.
    let run: Vec<String> = [blocks, table, lines(&TERMINAL)].concat();
    let is_run = |span: &str| run.iter().any(|line| !is_elsewhere(line) && line.starts_with(span));
    let commands = words.iter().filter(|span| PROGRAMS.iter().any(|program| span.starts_with(program)));
    let left: Vec<&String> = commands.filter(|span| !is_elsewhere(span) && !is_run(span.as_str())).collect();
    assert!(left.is_empty(), "README.md has commands that are neither run nor named as run elsewhere: {left:?}");
}

/// Somebody who has what the page takes for granted.
fn reader(who: Who, server: &Server) -> Operator {
    let operator = Operator::new(&README, who, &server.base_url());
    operator.has_muster();
    std::os::unix::fs::symlink(programs::grpcurl(), operator.below("/usr/local/bin/grpcurl")).expect("a link");
    operator
}

/// The ID of a run of animals in what a command printed.
fn run_in(printed: &str) -> Option<&str> {
    let mut words = printed.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    words.find(|word| word.starts_with("animals-"))
}

/// Does what a section says; RUN is the run that was heard of last.
async fn does(operator: &mut Operator, section: &str, who: Who) {
    for block in README.section(section, who).iter().filter(|block| block.language == "sh") {
        for line in page::commands(&block.text).iter().filter(|line| !is_elsewhere(line)) {
            let printed = operator.command(line).await.stdout.clone();
            if let Some(run) = run_in(&printed) {
                operator.means("RUN", run);
            }
        }
    }
}

/// What a command that was done printed, by how its line ends.
fn told<'a>(operator: &'a Operator, end: &str) -> &'a Ended {
    let found = operator.done.iter().rev().find(|(line, _)| line.ends_with(end));
    &found.unwrap_or_else(|| panic!("nothing was done that ends with {end}")).1
}

/// The IDs of all runs of a ledger, the newest first.
async fn runs(operator: &mut Operator, flags: &str) -> Vec<String> {
    let told = operator.command(&format!("muster runs --json {flags}")).await.json();
    let runs = told["runs"].as_array().expect("runs").iter();
    runs.map(|run| run["run_id"].as_str().expect("an ID").to_owned()).collect()
}

/// A target that answers all POSTs later than anybody waits, and three animals of the wrong shape.
fn late() -> Server {
    let stall = Duration::from_millis(1_200)..=Duration::from_millis(1_500);
    let posts = Config { chaos: 1.0, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(TROUBLED) };
    stand_in(Config { malformed: Amount::Count(3), ..posts })
}

/// A run that does not go well, in the file that is to be a coordinator's; gives its ID.
async fn goes_wrong(operator: &mut Operator, server: &Server) -> String {
    let default = format!("default: {}", server.base_url());
    let herd = variant(&[
        ("name: animals\n", "name: herd\n"),
        ("default: http://127.0.0.1:3123", &default),
        ("max_batch: 100", "max_batch: 20"),
        HOLD,
        ("post_timeout: 25s", "post_timeout: 400ms\n  settle_after: 400ms"),
    ]);
    std::fs::write(operator.folder().join("herd.yaml"), herd).expect("a file");
    let told = operator.ends("muster run ./herd.yaml --db muster.db --json", 3).await.json();
    let book = server.book();
    let acted = book.until(|book| book.counters().accepted_posts == book.counters().posts);
    within("the target acts on all POSTs", acted).await;
    told["run_id"].as_str().expect("an ID").to_owned()
}

/// All that the table has for a run that did not go well, about this one.
async fn is_mended(operator: &mut Operator, server: &Server, run_id: &str) {
    let (file, book) = (operator.folder().join("muster.db"), server.book());
    let ledger = Ledger::read(&file, run_id);
    let doubts = ledger.deliveries.iter().filter(|one| one.state == State::InDoubt);
    let doubts: Vec<String> = doubts.map(|one| one.number.to_string()).collect();
    assert!(doubts.len() >= 5, "{doubts:?}");
    let newest = runs(operator, "").await.remove(0);
    operator.means("compare RUN RUN", &format!("compare {run_id} {newest}"));
    operator.means("RUN DELIVERY...", &format!("{run_id} {}", doubts.join(" ")));
    // Nobody sits at a terminal.
    operator.means("RUN...", &format!("{run_id} --yes"));
    operator.means("RUN", run_id);
    for command in in_the_table() {
        if command.starts_with("muster delete ") {
            let ledger = Ledger::read(&file, run_id);
            assert_nothing_lost(&book, &ledger);
            assert_eq!((ledger.count(State::InDoubt), book.duplicates()), (0, Vec::new()));
        }
        operator.command(&command).await;
        if command.starts_with("muster redrive ") {
            // What is of the wrong shape is so in any round, and doubts wait for a person.
            operator.ends("muster watch RUN", 3).await;
        }
    }
    let letters = &operator.told("muster dead-letters ").stdout;
    assert!(book.malformed().iter().all(|id| letters.contains(&id.to_string())), "{letters}");
    // Those of the wrong shape have a row for each of two rounds.
    let rows = usize::try_from(TROUBLED).expect("a number") + 3;
    assert_eq!(loaded_in(&operator.told("muster export ").stdout), (book.accepted(), rows));
    assert!(operator.told("muster compare ").stdout.contains("SECOND"));
    assert!(operator.folder().join(format!("{run_id}.html")).is_file(), "there is no report");
    operator.ends("muster show RUN", 1).await;
}

/// Whoever followed a run, and asked for its verdict, by curl or by grpcurl, heard that all is well.
fn assert_all_heard_well(operator: &Operator) {
    for (end, word) in [("/events", "\"state\":\"finished\""), ("RunService/WatchRun", "\"RUN_STATE_FINISHED\"")] {
        let seen = &told(operator, end).stdout;
        assert!(seen.contains(word), "{seen}");
    }
    for end in ["/verdict", "AuditService/VerifyRun"] {
        let verdict = &told(operator, end).json()["verdict"];
        assert_eq!((&verdict["complete"], &verdict["balanced"]), (&true.into(), &true.into()), "{verdict}");
        // gRPC's JSON has large numbers as texts.
        assert_eq!(verdict["counts"]["loaded"].to_string().trim_matches('"'), ANIMALS.to_string(), "{verdict}");
    }
    let record = told(operator, "AuditService/GetRecord").json();
    assert_eq!(record["stories"][0]["state"], "RECORD_STATE_LOADED", "{record}");
    let record = &operator.told("muster record latest 4711").stdout;
    assert!(record.contains(": loaded"), "{record}");
}

/// All runs that the page has led to so far are in the book as they are in their ledgers.
async fn assert_loaded(operator: &mut Operator, server: &Server) {
    let mut ledgers = Vec::new();
    for (file, flags) in [("herd.db", "--db herd.db"), ("muster.db", "")] {
        let file = operator.folder().join(file);
        ledgers.extend(runs(operator, flags).await.iter().map(|run_id| Ledger::read(&file, run_id)));
    }
    assert_eq!(ledgers.len(), usize::try_from(LOADED).expect("a number"), "runs");
    let ledger = ledgers.into_iter().reduce(Ledger::and).expect("runs");
    let book = server.book();
    assert_nothing_lost(&book, &ledger);
    assert_eq!(book.duplicates(), (0..ANIMALS).map(|id| (id, LOADED)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_with_one_machine_reads_on_to_the_end() {
    let _turn = turn::heavy().await;
    // A list of whole animals shows whoever looks at it what they may be like.
    let server = stand_in(Config { page_size: 100, whole_items: true, ..Config::calm(ANIMALS) });
    let mut operator = reader(Who::OneMachine, &server);
    operator.env("MUSTER_COORDINATOR", &format!("http://127.0.0.1:{}", operator.port()));
    operator.means("https://api.example.com/items", &format!("{}/animals/v1/animals", server.base_url()));
    let troubled = late();
    let run_id = goes_wrong(&mut operator, &troubled).await;
    troubled.set_chaos(0.0);
    for section in README.sections_of(Who::OneMachine) {
        does(&mut operator, section, Who::OneMachine).await;
        if section == "Separate processes" {
            assert_all_heard_well(&operator);
            is_mended(&mut operator, &troubled, &run_id).await;
            assert_loaded(&mut operator, &server).await;
            operator.nobody_has_gone();
            assert_eq!(operator.stops("muster").await, 2, "a coordinator and a worker");
        }
    }
    // What was proposed for an API of one's own leads into files.
    let written = operator.command("cat out/*/*.ndjson | wc -l").await;
    assert_eq!(written.stdout.trim(), ANIMALS.to_string());
    let accepted = server.book().counters().accepted_animals;
    assert_eq!(accepted, ANIMALS * u64::from(LOADED), "something else was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_with_several_machines_has_one_ledger() {
    let _turn = turn::light().await;
    let (server, database) = (stand_in(Config::calm(1_000)), Postgres::start());
    let mut operator = reader(Who::Postgres, &server);
    operator.means("postgres://muster:secret@db.example/muster", &database.url());
    // No system believes the authority that is made here.
    operator.env("MUSTER_TLS_CA", "ca.pem");
    operator.command("muster dev-certs . --host one.example,two.example").await;
    operator.command("muster token worker --role worker --output worker.token >access.yaml").await;
    operator.command("muster token reader --role operator --output reader.token >>access.yaml").await;
    for section in README.sections_of(Who::Postgres) {
        does(&mut operator, section, Who::Postgres).await;
    }
    let [one, two] =
        ["one", "two"].map(|name| format!("--coordinator https://{name}.example:7470 --token-file reader.token"));
    operator.command(&format!("muster start animals --set base_url=http://127.0.0.1:3123 {one}")).await;
    operator.command(&format!("muster watch latest {two}")).await;
    operator.command(&format!("muster verify latest {one}")).await;
    let run_id = runs(&mut operator, &two).await.remove(0);
    operator.nobody_has_gone();
    assert_eq!(operator.stops("muster").await, 3, "two coordinators and a worker");
    let book = server.book();
    assert!(book.is_perfect(), "{:?}", book.summary());
    assert_nothing_lost(&book, &Ledger::read_shared(&database, &run_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_and_manuals_find_what_they_are_given() {
    let mut operator = Operator::new(&TERMINAL, Who::OneMachine, "");
    operator.has_muster();
    let home = operator.folder().to_str().expect("a path").to_owned();
    operator.env("HOME", &home);
    for section in TERMINAL.sections_of(Who::OneMachine) {
        operator.does(section).await;
    }
    operator.command("source ~/.local/share/bash-completion/completions/muster && complete -p muster").await;
    for page in ["muster.1", "muster-run.1"] {
        assert!(operator.below(".local/share/man/man1").join(page).is_file(), "there is no {page}");
    }
}
