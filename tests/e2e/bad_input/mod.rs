//! Everything a person can get wrong or meet: what, where and what to do is said, the exit code tells, nothing is lost,
//! and once the cause is mended the run goes on to a complete, balanced verdict.
//!
//! One list of cases serves the tests and the table that `bad_input_table` prints as Markdown:
//! `cargo test --release -p muster-tests --features planted-bugs --test e2e bad_input_table -- --ignored --nocapture`.

mod folders;
mod ledgers;
mod lines;
mod serving;
mod sources;

use std::any::Any;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use animals_api::Server;
use muster_proto::v1::RunState;
use muster_tests::cluster::Cluster;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::powerless;
use muster_tests::process::{Ended, Start};
use muster_tests::turn;
use serde_json::Value;
use tokio::task::LocalSet;

/// What a case waits for.
type Later<T> = Pin<Box<dyn Future<Output = T>>>;

/// One bad input.
struct Case {
    /// What is bad, in the table's words.
    what: &'static str,
    /// How the command ends.
    code: i32,
    /// What standard error says: what, where, what to do.
    says: &'static [&'static str],
    /// Makes what is bad in a folder of its own.
    make: fn(PathBuf) -> Later<Scene>,
}

/// What is bad, made.
#[derive(Default)]
struct Scene {
    /// The command line after `muster`.
    line: Vec<String>,
    /// Whether root's power over other people's files is taken from the command.
    powerless: bool,
    /// Files that the command must leave as they are.
    untouched: Vec<PathBuf>,
    /// Mends the cause; without it there is nothing to go on with.
    mend: Option<Box<dyn FnOnce() -> Later<Mended>>>,
    /// What must live while the command runs.
    kept: Vec<Box<dyn Any>>,
    /// Why this machine cannot show the case.
    impossible: Option<String>,
}

/// The cause is mended.
struct Mended {
    /// Where the records go now.
    server: Server,
    /// The ledger, when the run that met the trouble is in it and goes on; without it the command starts anew.
    resume: bool,
}

impl Scene {
    fn of<S: ToString>(line: impl IntoIterator<Item = S>) -> Scene {
        Scene { line: line.into_iter().map(|word| word.to_string()).collect(), ..Scene::default() }
    }

    fn keep(mut self, kept: impl Any) -> Scene {
        self.kept.push(Box::new(kept));
        self
    }

    fn mended(mut self, mend: impl FnOnce() -> Later<Mended> + 'static) -> Scene {
        self.mend = Some(Box::new(mend));
        self
    }

    fn start(&self, folder: &Path, more: &[&str]) -> Start {
        let line = self.line.iter().map(String::as_str).chain(more.iter().copied());
        if self.powerless { powerless::muster(folder, line) } else { Start::muster(folder, line) }
    }
}

/// A case as it was met.
struct Met {
    command: String,
    ended: Ended,
}

/// Meets one case, mends its cause and goes on. `None`: this machine cannot show it, which was said aloud.
async fn meet(case: &Case) -> Option<Met> {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let mut scene = (case.make)(folder.to_owned()).await;
    if let Some(why) = &scene.impossible {
        crate::skipped(&format!("{}: {why}", case.what));
        return None;
    }
    let bytes = |paths: &[PathBuf]| paths.iter().map(std::fs::read).map(Result::ok).collect::<Vec<_>>();
    let before = bytes(&scene.untouched);
    let ended = scene.start(folder, &[]).run().await;
    let told = format!("{}: {}\n{}", case.what, scene.line.join(" "), ended.stderr);
    assert_eq!(ended.code, Some(case.code), "{told}");
    for words in case.says {
        assert!(ended.stderr.contains(words), "{words:?} is not said: {told}");
    }
    assert!(!ended.stderr.contains("panicked"), "{told}");
    // The password of all cases that have one.
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("canary"), "a password is printed: {}", case.what);
    assert!(bytes(&scene.untouched) == before, "it changed a file that is not its own: {told}");
    let summary = ended.stdout.starts_with("run ") && ended.stdout.contains("\nstate ");
    // A run that began has a summary; what never began has nothing to print.
    assert!(ended.stdout.is_empty() || summary, "{told}\n{}", ended.stdout);
    if let Some(mend) = scene.mend.take() {
        let mended = mend().await;
        go_on(&scene, folder, &mended).await;
    }
    let command = format!("muster {}", scene.line.join(" "));
    Some(Met { command, ended })
}

/// The same command, with --resume when its run had begun, comes to a complete and balanced verdict; the stand-in's book
/// and the ledger agree.
async fn go_on(scene: &Scene, folder: &Path, mended: &Mended) {
    let more: &[&str] = if mended.resume { &["--json", "--resume"] } else { &["--json"] };
    let told: Value = scene.start(folder, more).run().await.with_code(0).json();
    let verdict = &told["verdict"];
    assert_eq!((&verdict["complete"], &verdict["balanced"]), (&true.into(), &true.into()), "{verdict}");
    let database = folder.join(told["database"].as_str().expect("a path"));
    let ledger = Ledger::read(&database, told["run_id"].as_str().expect("an ID"));
    assert!(!ledger.listed.is_empty(), "{told}");
    assert_nothing_lost(&mended.server.book(), &ledger);
}

/// Meets all of a group at the same time; fails with all that fail.
async fn meet_all(cases: &'static [Case]) {
    let _turn = turn::heavy().await;
    let local = LocalSet::new();
    let meeting: Vec<_> = cases.iter().map(|case| local.spawn_local(meet(case))).collect();
    local.await;
    let mut failed = 0;
    for met in meeting {
        failed += usize::from(met.await.is_err());
    }
    assert_eq!(failed, 0, "{failed} of {} cases failed, see above", cases.len());
}

/// At a coordinator the same trouble pauses the run with the same words, and once it is mended the run goes on.
async fn meet_at_a_coordinator(case: &Case) {
    let place = tempfile::tempdir().expect("a folder");
    let pipelines = place.path().join("pipelines");
    std::fs::create_dir(&pipelines).expect("a folder");
    let scene = (case.make)(pipelines.clone()).await;
    let url = scene.line.iter().find_map(|word| word.strip_prefix("base_url=")).expect("a source").to_owned();
    let cluster = Cluster::with(place.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
    let _worker = cluster.worker("w1", &[]);
    let run_id = cluster.start_run("animals", &url).await;
    let paused = cluster.watch_until(&run_id, |run| run.state() == RunState::Paused).await;
    for words in case.says.iter().filter(|words| !words.contains("--resume")) {
        let words = words.trim_start_matches("is paused: ");
        assert!(paused.state_reason.contains(words), "{}: {words:?} is not in {:?}", case.what, paused.state_reason);
    }
    let mended = scene.mend.expect("it can be mended")().await;
    cluster.command(&["resume", &run_id]).run().await.with_code(0);
    let run = cluster.watch(&run_id).await;
    let verdict = run.verdict.expect("a verdict");
    assert!(verdict.complete && verdict.balanced, "{}: {verdict:?}", case.what);
    assert_nothing_lost(&mended.server.book(), &Ledger::read(&cluster.database(), &run_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_and_targets_of_a_coordinator() {
    let _turn = turn::heavy().await;
    let local = LocalSet::new();
    // Those that pause a run.
    let cases = sources::CASES.iter().filter(|case| case.code == 1);
    let meeting: Vec<_> = cases.map(|case| (case, local.spawn_local(meet_at_a_coordinator(case)))).collect();
    local.await;
    let mut failed = Vec::new();
    for (case, met) in meeting {
        failed.extend(met.await.err().map(|_| case.what));
    }
    assert_eq!(failed, Vec::<&str>::new(), "see above");
}

#[tokio::test(flavor = "multi_thread")]
async fn command_lines_and_pipeline_files() {
    meet_all(lines::CASES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_and_targets() {
    meet_all(sources::CASES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ledger_files() {
    meet_all(ledgers::CASES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_and_coordinators() {
    meet_all(serving::CASES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_and_disks() {
    meet_all(folders::CASES).await;
}

/// Prints the table: what is bad, what was run, what was said, the exit code.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints a table for people; its cases are those of the other tests"]
async fn bad_input_table() {
    println!("| bad input | command | exit | said |\n| --- | --- | --- | --- |");
    for group in [lines::CASES, sources::CASES, ledgers::CASES, serving::CASES, folders::CASES] {
        for case in group {
            let Some(Met { command, ended }) = meet(case).await else { continue };
            let code = ended.code.unwrap_or_default();
            println!("| {} | `{}` | {code} | {} |", case.what, cell(&command), said(&ended.stderr));
        }
    }
}

/// The lines that say what is wrong and what to do: no progress, and of a log line all but its time.
fn said(stderr: &str) -> String {
    let telling = |line: &&str| {
        let progress = line.contains(" after ") && line.contains("listed ");
        !(progress || line.starts_with("run ") && line.contains(", ledger ") || line.trim().is_empty())
    };
    let lines: Vec<String> = stderr.lines().filter(telling).map(|line| format!("`{}`", cell(line.trim()))).collect();
    let shown = lines.len().saturating_sub(3);
    lines[shown..].join("<br>")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('`', "'")
}
