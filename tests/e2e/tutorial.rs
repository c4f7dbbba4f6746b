//! The tutorials of docs/PIPELINES.md: every command of them, in a fresh folder, against a real Datasette, a real PostgreSQL
//! and the stand-in, and what they say that one sees.

use std::collections::BTreeMap;
use std::path::Path;

use muster_tests::cluster::free_port;
use muster_tests::datasette::serves;
use muster_tests::postgres::{self, Postgres};
use muster_tests::process::{Process, Start};
use muster_tests::{programs, turn};

const NOTHING: &str = "## From nothing to a loaded table in 10 minutes\n";
const BY_HAND: &str = "## By hand, for an API that fails\n";
/// What stands there for what is another on each machine.
const PORTS: [&str; 2] = ["8001", "3123"];
const DATABASE: &str = "postgres://me:password@127.0.0.1:5432/zoo";

fn page(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    std::fs::read_to_string(root.join(name)).expect("a page")
}

/// The blocks of a tutorial in their order: language and text.
fn blocks(heading: &str) -> Vec<(String, String)> {
    let page = page("docs/PIPELINES.md");
    let (_, rest) = page.split_once(heading).expect("a tutorial");
    let (tutorial, _) = rest.split_once("\n## ").expect("something after it");
    let parts: Vec<&str> = tutorial.split("```").collect();
    assert!(parts.len() % 2 == 1, "a block is not closed");
    let block = |part: &&str| part.split_once('\n').map(|(language, text)| (language.to_owned(), text.to_owned()));
    parts.iter().skip(1).step_by(2).map(|part| block(part).expect("a language")).collect()
}

/// Somebody who does what the page says.
struct Reader {
    folder: tempfile::TempDir,
    path: std::ffi::OsString,
    /// The pipeline that the page is about.
    file: &'static str,
    port: u16,
    /// The URL of a database.
    database: String,
    /// What was exported so far.
    exported: String,
    /// What the last command printed and said, and how it ended.
    seen: String,
    code: Option<i32>,
    server: Option<Process>,
}

impl Reader {
    fn new(file: &'static str, database: &str) -> Reader {
        let folder = tempfile::tempdir().expect("a folder");
        let datasette = programs::datasette();
        let tools = datasette.parent().and_then(Path::parent).expect("a venv");
        std::os::unix::fs::symlink(tools, folder.path().join("tools")).expect("a link");
        let before = [programs::muster().parent().expect("a folder").to_owned(), postgres::programs()];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(before.into_iter().chain(std::env::split_paths(&path))).expect("a PATH");
        let (port, database) = (free_port(), database.to_owned());
        let (exported, seen) = (String::new(), String::new());
        Reader { folder, path, file, port, database, exported, seen, code: Some(0), server: None }
    }

    fn here(&self, text: &str) -> String {
        let port = self.port.to_string();
        PORTS.iter().fold(text.replace(DATABASE, &self.database), |text, known| text.replace(known, &port))
    }

    fn command(&self, text: &str) -> Start {
        let script = format!("set -eu\n{}{text}", self.exported);
        Start::program(Path::new("/bin/bash"), self.folder.path(), ["-c", &script]).env("PATH", &self.path)
    }

    /// Does all that a tutorial says; gives how many commands and looks there were.
    async fn does(&mut self, heading: &str) -> (usize, usize) {
        let (mut commands, mut looks) = (0, 0);
        for (language, text) in blocks(heading) {
            let expects_trouble = language == "text" && (text.contains(" is paused") || text.contains("dead letters "));
            assert!(self.code == Some(0) || expects_trouble, "it ended with {:?}\n{}", self.code, self.seen);
            self.code = Some(0);
            match language.as_str() {
                "sh" => {
                    commands += 1;
                    self.shell(&text).await;
                }
                // Of slips there is another test.
                "text" if text.starts_with(&format!("{}:", self.file)) => {}
                "text" => {
                    looks += 1;
                    self.sees(&text);
                }
                "json" => self.sees_alike(&text),
                "yaml" => self.edits(&text),
                // So there is of transforms.
                "jq" => {}
                other => panic!("nobody knows what to do with {other}: {text}"),
            }
        }
        assert_eq!(self.code, Some(0), "{}", self.seen);
        (commands, looks)
    }

    async fn shell(&mut self, text: &str) {
        if text.contains("pip install") {
            // The tools of the tests stand for it; they are what the page says.
            let pins: Vec<&str> = text.split_whitespace().filter(|word| word.contains("==")).collect();
            assert!(!pins.is_empty() && pins.iter().all(|pin| page("tests/run").contains(pin)), "{pins:?}");
            return;
        }
        let text = self.here(text);
        let built = text.replace("cargo run --release -p animals-api --", &format!("animals-api --port {}", self.port));
        if text.contains("datasette serve") || built != text {
            // In its own terminal: the one that was there before is stopped.
            if let Some(mut server) = self.server.take() {
                server.kill().await;
            }
            self.server = Some(self.command(&format!("exec {built}")).start());
            return serves(self.port).await;
        }
        let ended = self.command(&text).run().await;
        self.seen = format!("{}{}", ended.stdout, ended.stderr);
        self.code = ended.code;
        self.exported.extend(text.lines().filter(|line| line.starts_with("export ")).map(|line| format!("{line}\n")));
    }

    /// The lines of a block, in their order; `…` stands for anything.
    fn sees(&self, text: &str) {
        let mut rest = self.seen.lines();
        for line in self.here(text).lines() {
            let found = rest.any(|seen| is_like(seen.trim(), line.trim()));
            assert!(found, "{line:?} is not (here) in\n{}", self.seen);
        }
    }

    /// A shortened sample: what it has, an answer has.
    fn sees_alike(&self, text: &str) {
        let sample: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let answers = serde_json::Deserializer::from_str(&self.seen).into_iter::<serde_json::Value>();
        let has_all = |answer: &serde_json::Value| {
            sample.as_object().expect("an object").keys().all(|key| answer.get(key).is_some())
        };
        assert!(answers.map(|answer| answer.expect("JSON")).any(|answer| has_all(&answer)), "{text}\n{}", self.seen);
    }

    /// Puts sections into the pipeline, in place of those of the same name.
    fn edits(&self, text: &str) {
        let file = self.folder.path().join(self.file);
        let mut all = sections(&std::fs::read_to_string(&file).unwrap_or_default());
        all.extend(sections(&self.here(text)));
        std::fs::write(&file, all.into_values().collect::<String>()).expect("a file");
    }
}

/// Whether a line is one of the page: `…` stands for anything.
fn is_like(seen: &str, wanted: &str) -> bool {
    let mut parts = wanted.split('…');
    let Some(mut rest) = parts.next().and_then(|first| seen.strip_prefix(first)) else { return false };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || wanted.ends_with('…')
}

/// The parts of a file that begin with a key at the margin.
fn sections(yaml: &str) -> BTreeMap<String, String> {
    let mut sections = BTreeMap::new();
    let mut key = String::new();
    for line in yaml.lines() {
        if let Some((name, _)) = line.split_once(':').filter(|_| !line.starts_with([' ', '#'])) {
            key = name.to_owned();
        }
        *sections.entry(key.clone()).or_insert_with(String::new) += &format!("{line}\n");
    }
    sections
}

#[test]
fn what_is_seen_is_held_against_the_page() {
    assert!(is_like("run a-1 is over", "run … is over") && is_like("abc", "a…") && is_like("", ""));
    assert!(!is_like("run a-1 is paused", "run … is over") && !is_like("loaded 3000", "loaded 300"));
}

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_a_loaded_table() {
    let _turn = turn::heavy().await;
    let database = Postgres::start();
    let (commands, looks) = Reader::new("animals.yaml", &database.url()).does(NOTHING).await;
    assert!(commands >= 15 && looks >= 12, "{commands} commands, {looks} looks");
    // What the page does not say, its reader may wonder.
    let rows = database.sql("SELECT count(*), count(DISTINCT id), count(born), count(keeper) FROM animals");
    assert_eq!(rows, "1000|1000|858|333");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_for_an_api_that_fails() {
    let _turn = turn::heavy().await;
    let (commands, looks) = Reader::new("my-herd.yaml", "").does(BY_HAND).await;
    assert!(commands >= 9 && looks >= 3, "{commands} commands, {looks} looks");
}
