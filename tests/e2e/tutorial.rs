//! The tutorial at the head of docs/PIPELINES.md: every command of it, in a fresh folder, against a real Datasette and a real
//! PostgreSQL, and what it says that one sees.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_tests::cluster::free_port;
use muster_tests::datasette::serves;
use muster_tests::postgres::{self, Postgres};
use muster_tests::process::{Process, Start};
use muster_tests::{programs, turn};

const HEADING: &str = "## From nothing to a loaded table in 10 minutes\n";
/// What stands there for what is another on each machine.
const PORT: &str = "8001";
const DATABASE: &str = "postgres://me:password@127.0.0.1:5432/zoo";

fn page(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    std::fs::read_to_string(root.join(name)).expect("a page")
}

/// The blocks of the tutorial in their order: language and text.
fn blocks() -> Vec<(String, String)> {
    let page = page("docs/PIPELINES.md");
    let (_, rest) = page.split_once(HEADING).expect("a tutorial");
    let (tutorial, _) = rest.split_once("\n## ").expect("something after it");
    let parts: Vec<&str> = tutorial.split("```").collect();
    assert!(parts.len() % 2 == 1, "a block is not closed");
    let block = |part: &&str| part.split_once('\n').map(|(language, text)| (language.to_owned(), text.to_owned()));
    parts.iter().skip(1).step_by(2).map(|part| block(part).expect("a language")).collect()
}

/// Somebody who does what the page says.
struct Reader {
    folder: PathBuf,
    path: std::ffi::OsString,
    port: u16,
    database: Postgres,
    /// What was exported so far.
    exported: String,
    /// What the last command printed and said.
    seen: String,
    servers: Vec<Process>,
}

impl Reader {
    fn here(&self, text: &str) -> String {
        text.replace(PORT, &self.port.to_string()).replace(DATABASE, &self.database.url())
    }

    fn command(&self, text: &str) -> Start {
        let script = format!("set -eu\n{}{text}", self.exported);
        Start::program(Path::new("/bin/bash"), &self.folder, ["-c", &script]).env("PATH", &self.path)
    }

    async fn shell(&mut self, text: &str) {
        if text.contains("pip install") {
            // The tools of the tests stand for it; they are what the page says.
            let pins: Vec<&str> = text.split_whitespace().filter(|word| word.contains("==")).collect();
            assert!(!pins.is_empty() && pins.iter().all(|pin| page("tests/run").contains(pin)), "{pins:?}");
            return;
        }
        let text = self.here(text);
        if text.contains("datasette serve") {
            self.servers.push(self.command(&format!("exec {text}")).start());
            return serves(self.port).await;
        }
        let ended = self.command(&text).run().await;
        self.seen = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, Some(0), "{text}\n{}", self.seen);
        self.exported.extend(text.lines().filter(|line| line.starts_with("export ")).map(|line| format!("{line}\n")));
    }

    /// The lines of a block, in their order; `…` stands for anything.
    fn sees(&self, text: &str) {
        let mut rest = self.seen.as_str();
        for line in self.here(text).lines() {
            let find = |rest: &str| {
                let found = rest.lines().position(|seen| is_like(seen.trim(), line.trim()))?;
                Some(rest.lines().take(found + 1).map(|line| line.len() + 1).sum::<usize>().min(rest.len()))
            };
            let end = find(rest).unwrap_or_else(|| panic!("{line:?} is not (here) in\n{}", self.seen));
            rest = &rest[end..];
        }
    }

    /// Puts sections of a pipeline in place of those of the same name.
    fn edits(&self, text: &str) {
        let file = self.folder.join("animals.yaml");
        let mut all = sections(&std::fs::read_to_string(&file).expect("it was proposed"));
        all.extend(sections(text));
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
async fn the_tutorial_does_what_it_says() {
    let _turn = turn::heavy().await;
    let here = tempfile::tempdir().expect("a folder");
    let datasette = programs::datasette();
    let tools = datasette.parent().and_then(Path::parent).expect("a venv");
    std::os::unix::fs::symlink(tools, here.path().join("tools")).expect("a link");
    let muster = programs::muster();
    let before = [muster.parent().expect("a folder").to_owned(), postgres::programs()];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(before.into_iter().chain(std::env::split_paths(&path))).expect("a PATH");
    let database = Postgres::start().await;
    let mut reader = Reader {
        folder: here.path().to_owned(),
        path,
        port: free_port(),
        database,
        exported: String::new(),
        seen: String::new(),
        servers: Vec::new(),
    };
    let (mut commands, mut looks) = (0, 0);
    for (language, text) in blocks() {
        match language.as_str() {
            "sh" => {
                commands += 1;
                reader.shell(&text).await;
            }
            "text" => {
                looks += 1;
                reader.sees(&text);
            }
            "yaml" => reader.edits(&text),
            other => panic!("nobody knows what to do with {other}: {text}"),
        }
    }
    assert!(commands >= 12 && looks >= 5, "{commands} commands, {looks} looks");
    // What the page does not say, the reader may wonder.
    let rows = reader.database.sql("SELECT count(*), count(DISTINCT id), count(born), count(keeper) FROM animals");
    assert_eq!(rows, "1000|1000|858|333");
}
